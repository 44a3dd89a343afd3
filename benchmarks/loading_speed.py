"""Crops per second that the converter's data loader gives.

    python benchmarks/loading_speed.py
    python benchmarks/loading_speed.py --photos DIR --crop 256 --batch 8

Without `--photos`, photographs that come with scikit-image stand in, enlarged to 12 megapixels.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import skimage.data
import torch
from torch.utils.data import DataLoader

import machine
from blur2blur import images, tensors
from blur2blur.data.samples.datasets import Sample, StepSampler, UnpairedBlur

SCENES = ("astronaut", "coffee", "hubble_deep_field", "rocket")
SIZE_PX = (3000, 4000)
CROPS_PER_SAMPLE = 2


def main() -> None:
    """Measure with 0 and 2 workers, with and without a cache."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder; half of it is A, half B")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--cache-gb", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="least length of a repeat")
    arguments = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        if arguments.photos is None:
            write_photographs(Path(name))
        paths = images.find_images(arguments.photos or Path(name))
        print(
            f"photos    {len(paths)}, the first {' x '.join(map(str, images.read_size(paths[0])))}"
        )
        for cache_gb in (0.0, arguments.cache_gb):
            for workers in (0, 2):
                rates = measure(paths, arguments, cache_gb=cache_gb, workers=workers)
                print(
                    f"cache {cache_gb:g} GB, {workers} workers: "
                    f"{statistics.median(rates):.1f} crops/s "
                    f"(median of {len(rates)}, {min(rates):.1f} to {max(rates):.1f})"
                )


def measure(
    paths: Sequence[Path], arguments: argparse.Namespace, *, cache_gb: float, workers: int
) -> list[float]:
    """Return the crops per second of each repeat."""
    half = len(paths) // 2
    dataset = UnpairedBlur(
        unknown_blurry=paths[:half],
        known={"unknown_sharp": paths[half:]},
        crop_px=arguments.crop,
        seed=0,
        samples_per_step=arguments.batch,
        cache_gb=cache_gb,
    )
    # without end, so that workers never run dry; a repeat is long against what they hold ready
    sampler = StepSampler(first_step=0, last_step=1_000_000, batch_size=arguments.batch)
    loader: DataLoader[Sample] = DataLoader(
        dataset, batch_size=arguments.batch, sampler=sampler, num_workers=workers
    )
    batches = iter(loader)
    for _ in range(1 + 2 * workers):
        next(batches)
    rates: list[float] = []
    for _ in range(arguments.repeats):
        crops, started = 0, time.perf_counter()
        while time.perf_counter() - started < arguments.seconds:
            next(batches)
            crops += CROPS_PER_SAMPLE * arguments.batch
        rates.append(crops / (time.perf_counter() - started))
    return rates


def write_photographs(folder: Path) -> None:
    """Write enlarged photographs: what JPEG decoding costs depends on size and content."""
    for scene in SCENES:
        pixels = torch.from_numpy(getattr(skimage.data, scene)()[..., :3]).permute(2, 0, 1) / 255
        large = torch.nn.functional.interpolate(pixels[None], size=SIZE_PX, mode="bicubic")[0]
        tensors.write_rgb(folder / f"{scene}.jpg", large.clamp(0, 1))


if __name__ == "__main__":
    main()
