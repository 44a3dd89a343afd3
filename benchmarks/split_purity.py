"""How well `data split` tells blurry from sharp photographs, on rolls of which it is known.

A roll has 60 photographs of one simulated camera, with its noise and its JPEG. They are taken in
bursts of 1 to 5 frames of one scene, the camera a little elsewhere in each; half of them, drawn
whatever their burst, are blurred. Purity is the part of trainA that was blurred, and of trainB that
was not; kept is the part of the roll that either holds.
"""

import argparse
import random
import statistics
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import torch
from PIL import Image
from rich.progress import track

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.data.folders import split
from blur2blur.errors import DataError
from blur2blur.images import listing

PHOTOGRAPHS = 60
MOST_FRAMES = 5
HEIGHT_PX, WIDTH_PX = 720, 960
SHIFT_PX = 24
LEAST_SHARPNESS = 36  # variance of the Laplacian: softer photographs are no sharp ones
PAUSE = timedelta(minutes=5)
TIME_TAKEN = (0x8769, 0x9003)  # the Exif directory, DateTimeOriginal

Purity = tuple[float, float, float]


def sharp_photographs(folders: Sequence[Path]) -> list[Path]:
    """Return those large and sharp enough to cut frames from."""
    found = [path for folder in folders for path in images.find_images(folder)]
    return [path for path in track(found, "looking at photographs") if _fits(path)]


def _fits(path: Path) -> bool:
    pixels = images.read_rgb_uint8(path)
    large = pixels.shape[0] >= HEIGHT_PX // 2 and pixels.shape[1] >= WIDTH_PX // 2
    return large and images.sharpness(pixels) >= LEAST_SHARPNESS


def make_roll(
    photographs: Sequence[Path], name: str, seed: int, blurred: int, folder: Path
) -> None:
    """Write a roll of a camera; the file name of a blurred photograph ends with "blurred"."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    camera = Camera(load_camera(name))
    truth = [number < blurred for number in range(PHOTOGRAPHS)]
    rng.shuffle(truth)
    scenes = iter(rng.sample(list(photographs), len(photographs)))
    taken = datetime(2024, 5, 1, 12)
    while truth:
        scene = tensors.read_rgb(next(scenes))
        taken += PAUSE
        for _ in range(min(rng.randint(1, MOST_FRAMES), len(truth))):
            number, is_blurred = PHOTOGRAPHS - len(truth), truth.pop()
            blurry, sharp = camera.photograph_pair(_frame(scene, rng)[None], generator)
            stem = f"{number:03}-{'blurred' if is_blurred else 'sharp'}"
            taken += timedelta(seconds=1)
            _save(folder / f"{stem}.jpg", (blurry if is_blurred else sharp)[0], taken)


def _frame(scene: torch.Tensor, rng: random.Random) -> torch.Tensor:
    place: list[slice] = [slice(None)]
    for length, wanted in zip(scene.shape[1:], (HEIGHT_PX, WIDTH_PX), strict=True):
        size = min(wanted, length - SHIFT_PX)
        start = (length - SHIFT_PX - size) // 2 + rng.randint(0, SHIFT_PX)
        place.append(slice(start, start + size))
    return scene[tuple(place)]


def _save(path: Path, pixels: torch.Tensor, taken: datetime) -> None:
    exif = Image.Exif()
    directory, tag = TIME_TAKEN
    exif.get_ifd(directory)[tag] = taken.strftime("%Y:%m:%d %H:%M:%S")
    values = (pixels.permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(values).save(path, quality=97, subsampling=0, exif=exif.tobytes())


def measure(folder: Path) -> Purity | None:
    """Return purity of trainA and of trainB, and the kept part; None where no valley is found."""
    photographs = listing.find(folder).photographs
    try:
        plan = split.plan(
            folder, photographs, blurry_share=None, gap_seconds=30, advance=lambda: None
        )
    except DataError:
        return None
    blurred = [
        [file.source.stem.endswith("blurred") for file in plan.on(side)]
        for side in ("trainA", "trainB")
    ]
    kept = sum(map(len, blurred)) / PHOTOGRAPHS
    return statistics.mean(blurred[0]), 1 - statistics.mean(blurred[1]), kept


def main() -> None:
    """Make rolls, split them, print a row for each camera."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="sharp photographs")
    parser.add_argument("--cameras", nargs="+", default=["phone", "roll", "night", "dashcam"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--blurred", type=int, default=PHOTOGRAPHS // 2, help=f"how many of {PHOTOGRAPHS}"
    )
    arguments = parser.parse_args()
    photographs = sharp_photographs(arguments.photos)
    print(f"{len(photographs)} sharp photographs, seeds {arguments.seeds}, per cent: mean (lowest)")
    print(f"{'camera':<8}  {'trainA blurry':>14}  {'trainB sharp':>14}  {'kept':>14}  no valley")
    everything: list[Purity | None] = []
    for camera in arguments.cameras:
        found: list[Purity | None] = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                make_roll(photographs, camera, seed, arguments.blurred, Path(folder))
                found.append(measure(Path(folder)))
        print(row(camera, found), flush=True)
        everything += found
    print(row("all", everything))


def row(name: str, found: Sequence[Purity | None]) -> str:
    """Return a line of the table."""
    split_rolls = [purity for purity in found if purity is not None]
    cells = [
        f"{100 * statistics.mean(values):.1f} ({100 * min(values):.1f})"
        for values in zip(*split_rolls, strict=True)
    ] or ["-"] * 3
    without = f"{len(found) - len(split_rolls)} of {len(found)}"
    return "  ".join([f"{name:<8}", *(f"{cell:>14}" for cell in cells), f"{without:>9}"])


if __name__ == "__main__":
    main()
