"""Does reading and writing hold a folder up? Pure computation against the whole of `deblur`.

    python benchmarks/folder_throughput.py
    python benchmarks/folder_throughput.py --count 20 --network mimo_unet

Generated photographs of mixed sizes and formats, the same tiles each time: *computation* is the
pipeline alone on photographs in memory, *folder* the command's way with its threads, *sequential*
one photograph after the other. Resident memory is read before each photograph of *folder* (Linux).
"""

import argparse
import json
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import skimage.data
import torch
from torch import Tensor

from blur2blur import networks, tensors
from blur2blur.files import write_text
from blur2blur.inference import Pipeline, folder, planning
from blur2blur.weights import checkpoints, headers, zoo
from machine import describe

SCENES = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "retina", "rocket")
ASPECTS = (3 / 2, 4 / 3, 16 / 9, 1.0, 3 / 4, 2 / 3)
SUFFIXES = (".jpg", ".png")
MEBIBYTE = 2**20
SETTLED_AFTER = 0.25  # of the photographs: what is loaded and cached by then is no leak


def main() -> None:
    """Make the photographs, measure, print, leave a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--least-mp", type=float, default=0.2)
    parser.add_argument("--most-mp", type=float, default=3.0)
    parser.add_argument("--deblurrer", default=zoo.DEFAULT_DEBLURRER)
    parser.add_argument("--converter")
    parser.add_argument("--network", help="an untrained network of that name instead")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("folder_throughput.json"))
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        megapixels = write_photographs(root / "in", options)
        jobs = planning.plan([str(root / "in")], root / "out").photographs
        pipeline = load(root, options)
        for job in jobs[:2]:
            folder.process(pipeline, job)
        runs = [measure(pipeline, jobs) for _ in range(options.repeats)]
    result = {
        "machine": describe(),
        "options": {key: str(value) for key, value in vars(options).items()},
        "megapixels": megapixels,
        "runs": runs,
    }
    report(runs, options, megapixels)
    write_text(options.out, json.dumps(result, indent=1) + "\n")


def write_photographs(place: Path, options: argparse.Namespace) -> float:
    """Write crops of scikit-image's photographs, JPEG and PNG in turn; return megapixels in all."""
    drawn = random.Random(options.seed)
    scenes = [getattr(skimage.data, name)()[..., :3] for name in SCENES]
    least, most = math.log(options.least_mp), math.log(options.most_mp)
    megapixels = 0.0
    for index in range(options.count):
        area, aspect = math.exp(drawn.uniform(least, most)) * 1e6, drawn.choice(ASPECTS)
        size = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        pixels = enlarged(crop(drawn.choice(scenes), aspect, drawn), size)
        tensors.write_rgb(place / f"{index:05d}{SUFFIXES[index % 2]}", pixels)
        megapixels += size[0] * size[1] / 1e6
    return megapixels


def crop(scene: np.ndarray, aspect: float, drawn: random.Random) -> Tensor:
    """Return the part of that aspect at a random place: float 3 H W in [0, 1]."""
    height = int(min(scene.shape[0], scene.shape[1] / aspect) * drawn.uniform(0.6, 1))
    width = int(height * aspect)
    top, left = drawn.randint(0, scene.shape[0] - height), drawn.randint(0, scene.shape[1] - width)
    part = scene[top : top + height, left : left + width]
    return torch.from_numpy(part.copy()).permute(2, 0, 1) / 255


def enlarged(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize, and add the grain that a camera would leave at that size."""
    large = torch.nn.functional.interpolate(image[None], size=size, mode="bicubic")[0]
    return (large + 0.01 * torch.randn_like(large)).clamp(0, 1)


def load(root: Path, options: argparse.Namespace) -> Pipeline:
    """Return the pipeline; the time that it takes does not depend on what weights have learned."""
    if options.network is None:
        return Pipeline(options.deblurrer, options.converter)
    network = networks.build(options.network)
    header = headers.Header(
        role="deblurrer", network=options.network, options=network.options.model_dump()
    )
    checkpoints.save_network(root / "untrained.safetensors", network, header)
    return Pipeline(root / "untrained.safetensors", options.converter)


def measure(pipeline: Pipeline, jobs: Sequence[planning.Job]) -> dict[str, object]:
    """Return seconds of the three ways, and MiB of resident memory before each photograph."""
    computation = 0.0
    for job in jobs:
        pixels = tensors.read_rgb(job.source)
        computation += seconds_of(lambda pixels=pixels: pipeline(pixels))
    memory_mib: list[float] = []
    failures: list[folder.Failure] = []

    def with_threads() -> None:
        failures.extend(
            folder.run(
                pipeline,
                jobs,
                on_photograph=lambda *_: memory_mib.append(resident_mib()),
                on_tile=lambda *_: None,
            ).failures
        )

    def one_by_one() -> None:
        for job in jobs:
            folder.process(pipeline, job)

    whole = seconds_of(with_threads)
    if failures:
        raise failures[0].error
    return {
        "computation_s": computation,
        "folder_s": whole,
        "sequential_s": seconds_of(one_by_one),
        "memory_mib": memory_mib,
    }


def seconds_of(function: Callable[[], object]) -> float:
    """Return the seconds that it takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def resident_mib() -> float:
    """Return the memory that this process holds now; 0 where the system does not tell so."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def slope_mib(memory_mib: Sequence[float]) -> float:
    """Return MiB per 100 photographs, a straight line through what follows the first quarter."""
    settled = memory_mib[int(len(memory_mib) * SETTLED_AFTER) :]
    if len(settled) < 2:
        return 0.0
    return statistics.linear_regression(range(len(settled)), settled).slope * 100


def report(runs: Sequence[dict], options: argparse.Namespace, megapixels: float) -> None:
    """Print medians, with the least and the most of several repeats."""
    weights = options.network or f"{options.converter or 'no converter'}, {options.deblurrer}"
    print(f"photos    {options.count}, {megapixels:.1f} megapixels, JPEG and PNG; {weights}")
    computation = [run["computation_s"] for run in runs]
    for name in ("computation", "folder", "sequential"):
        seconds = [run[f"{name}_s"] for run in runs]
        ratios = [pure / own for pure, own in zip(computation, seconds, strict=True)]
        print(
            f"{name:12s} {statistics.median(seconds):.1f} s "
            f"({megapixels / statistics.median(seconds):.2f} megapixels/s), computation/this "
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )
    memory = runs[0]["memory_mib"]
    print(
        f"memory    {memory[0]:.0f} MiB before the first photograph, {memory[-1]:.0f} before the "
        f"last, at most {max(memory):.0f}; slope {slope_mib(memory):+.1f} MiB per 100 photographs"
    )


if __name__ == "__main__":
    main()
