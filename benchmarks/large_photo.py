"""Peak memory and seconds of `blur2blur deblur` for photographs of 24 megapixels.

    python benchmarks/large_photo.py                        # untrained MIMO-UNet, twice
    python benchmarks/large_photo.py --photographs 3        # a folder of them
    python benchmarks/large_photo.py --converter mine.safetensors --deblurrer theirs.pth

Speed and memory do not depend on what the weights have learned, so untrained networks stand in
where no files are given. Both networks run: the command deblurs through a converter.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
import torch

from blur2blur import checkpoints, images, networks

MEBIBYTE = 2**20


def main() -> None:
    """Parse the options, run the command once, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--photographs", type=int, default=1, help="of that size in the folder")
    parser.add_argument("--network", default="mimo_unet", help="untrained stand-in")
    parser.add_argument("--converter", type=Path)
    parser.add_argument("--deblurrer", type=Path)
    parser.add_argument("options", nargs="*", help="passed on, after --: -- --tile 768")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(arguments.photographs):
            _write_photograph(folder / f"in/{index}.jpg", arguments.height, arguments.width)
        converter = arguments.converter or _write_untrained(folder, "converter", arguments.network)
        deblurrer = arguments.deblurrer or _write_untrained(folder, "deblurrer", arguments.network)
        command = [
            *[sys.executable, "-c", "from blur2blur.cli.main import main; main()"],
            *["deblur", str(folder / "in"), "-o", str(folder / "out")],
            *["--converter", str(converter), "--deblurrer", str(deblurrer), *arguments.options],
        ]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - started
    _print_machine()
    print(f"networks     converter {converter.name}, deblurrer {deblurrer.name}", end=" ")
    print(f"(untrained: {arguments.network})" if arguments.converter is None else "")
    size = f"{arguments.width} x {arguments.height}"
    print(f"photographs  {arguments.photographs} of {size}, JPEG to JPEG")
    print(f"options      {' '.join(arguments.options) or 'defaults'}")
    print(f"seconds      {seconds:.1f} (start of the program, reading and writing included)")
    print(f"peak memory  {_peak_bytes() / MEBIBYTE:.0f} MiB (resident)")


def _write_photograph(path: Path, height: int, width: int) -> None:
    tile = skimage.data.astronaut()
    repeats = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    pixels = np.tile(tile, repeats)[:height, :width]
    images.write_rgb(path, torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)


def _write_untrained(folder: Path, role: str, name: str) -> Path:
    torch.manual_seed(0)
    network = networks.build(name)
    options = network.options.model_dump()
    path = folder / f"{role}.safetensors"
    header = checkpoints.Header(role=role, network=name, options=options)
    checkpoints.save_network(path, network, header)
    return path


def _print_machine() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"machine      {model or platform.machine()}, {os.cpu_count()} cores, GPU {gpu}")
    print(f"software     Python {platform.python_version()}, torch {torch.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads")


def _peak_bytes() -> int:
    """Return the peak of the largest child; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
