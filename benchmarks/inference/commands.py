"""The whole command `blur2blur deblur`, timed and its memory watched from outside."""

import subprocess
import sys
import time
from pathlib import Path

import torch
from benchmarks.inference.cases import SHIPPED, photograph

from blur2blur import networks, tensors
from blur2blur.weights import checkpoints, headers, zoo

ROOT = Path(__file__).parents[2]
Row = dict[str, str | float]

# The command, and in the end its peak of memory in KiB as the last line of its output. Not from
# getrusage, where what the program was started by counts too on Linux.
COMMAND = """
import atexit
from blur2blur.cli.main import main
def tell_peak():
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
atexit.register(tell_peak)
main()
"""


def memory(
    out: Path, network: str, backends: list[str], sides: tuple[int, int], options: list[str]
) -> list[Row]:
    """Return seconds and peak memory of one large photograph through converter and deblurrer."""
    rows: list[Row] = []
    height, width = sides
    for backend in backends:
        measured = _deblur(out, network, sides, ["--backend", backend, *options])
        size = f"{width}x{height}"
        rows.append({"backend": backend, "network": network, "size": size, **measured})
        print(f"{backend:12} {size} {measured['seconds']:.1f} s {measured['peak_rss_mb']:.0f} MiB")
    return rows


def _deblur(
    out: Path, network: str, sides: tuple[int, int], options: list[str]
) -> dict[str, float]:
    out = out.resolve()
    source = out / f"photograph-{sides[1]}x{sides[0]}.jpg"
    if not source.exists():
        tensors.write_rgb(source, photograph(*sides))
    command = [
        *[sys.executable, "-c", COMMAND],
        *["deblur", str(source), "-o", str(out / "deblurred")],
        *["--converter", str(_weights(out, "converter", network))],
        *["--deblurrer", str(_weights(out, "deblurrer", network)), *options],
    ]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"the command failed: {' '.join(command)}")
    return {"seconds": seconds, "peak_rss_mb": int(done.stdout.splitlines()[-1]) / 1024}


def _weights(out: Path, role: str, name: str) -> Path | str:
    """Return weights that ship, or untrained ones: speed does not depend on what is learned."""
    if name == SHIPPED:
        return "generic" if role == "converter" else zoo.DEFAULT_DEBLURRER
    path = out / f"{role}-{name}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        network = networks.build("mimo_unet" if role == "converter" else name)
        header = headers.Header(
            role=role, network=network.name, options=network.options.model_dump()
        )
        checkpoints.save_network(path, network, header)
    return path
