"""Where a number was measured: one line for the machine, one for the software."""

import os
import platform
from pathlib import Path

import torch


def describe() -> str:
    """Return processor, cores, GPU, versions and threads in two lines."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return (
        f"machine   {model or platform.machine()}, {os.cpu_count()} cores, GPU {gpu}\n"
        f"software  Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
