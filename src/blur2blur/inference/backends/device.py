"""Which device to run on, without loading torch where no GPU can be."""

import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from blur2blur import extras


def find(name: str) -> str:
    """Return the device of that name; "auto" is a GPU where there is one, else "cpu".

    Raises:
        ConfigError: no such device here.
    """
    if name == "cpu" or (name == "auto" and not (_gpu_is_likely() and find_spec("torch"))):
        return "cpu"
    torch_devices = extras.load("blur2blur.device", purpose=f"the device {name}")
    return str(torch_devices.find_device(name))


def _gpu_is_likely() -> bool:
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32/nvcuda.dll").exists()
    return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
