"""What an installation weighs and how soon it deblurs: clean environments, side by side.

`python benchmarks/installation.py NAME=REQUIREMENT... --out DIR`, such as `light=. all=.[train]`,
or a clone of another version: `before=/path/to/clone`. Each is installed into an environment of its
own under DIR; then a photograph of 256 x 256 pixels is deblurred in turns.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from machine import describe

TOOLS = {"pip", "setuptools", "wheel", "_distutils_hack"}
IMPORT = "import time; t = time.time(); from blur2blur import Pipeline; print(time.time() - t)"
START = (
    "import time; from blur2blur import Pipeline; t = time.time(); "
    "getattr(Pipeline, 'from_files', Pipeline)(); print(time.time() - t)"
)


def install(requirement: str, folder: Path, constraints: Path) -> Path:
    """Return the folder of the commands of an environment with that requirement alone."""
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin/pip", "install", "-q", "-c", constraints, requirement]
        subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    return folder / "bin"


def size_mb(commands: Path) -> tuple[float, int]:
    """Return the megabytes and the number of distributions of an environment, tools left out."""
    (packages,) = commands.parent.glob("lib/*/site-packages")
    files = [path for path in packages.rglob("*") if path.is_file() and not path.is_symlink()]
    kept = [path for path in files if path.relative_to(packages).parts[0] not in TOOLS]
    return sum(path.stat().st_size for path in kept) / 1e6, len(list(packages.glob("*.dist-info")))


def seconds(command: list[object]) -> float:
    """Return how long a command takes."""
    start = time.perf_counter()
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Install, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("installations", nargs="+", metavar="NAME=REQUIREMENT")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    constraints = Path(__file__).parents[1] / "constraints.txt"
    photograph = options.out / "photograph.png"
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(noise).save(photograph)
    places: dict[str, Path] = {}
    for text in options.installations:
        name, _, requirement = text.partition("=")
        places[name] = install(requirement, options.out / name, constraints)
    print(describe())
    times: dict[str, dict[str, list[float]]] = {name: {} for name in places}
    for repeat in range(options.repeats + 1):
        for name, commands in places.items():
            out = options.out / f"{name}.png"
            deblur = [commands / "blur2blur", "deblur", photograph, "-o", out]
            taken = {"deblur 256 px": seconds(deblur)}
            for what, code in (("import Pipeline", IMPORT), ("Pipeline()", START)):
                done = subprocess.run(
                    [commands / "python", "-c", code], check=True, capture_output=True, text=True
                )
                taken[what] = float(done.stdout)
            for what, value in taken.items() if repeat else ():  # the first fills caches
                times[name].setdefault(what, []).append(value)
    print("| installation | MB | distributions | " + " | ".join(next(iter(times.values()))) + " |")
    print("|---|---|---|" + "---|" * 3)
    for name, commands in places.items():
        megabytes, count = size_mb(commands)
        shown = (
            f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
            for values in times[name].values()
        )
        print(f"| {name} | {megabytes:.0f} | {count} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
