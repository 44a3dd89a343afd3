"""At which extent of its blur a photograph is better deblurred at a smaller size.

`python benchmarks/working_scale.py [--photos DIR] [--real DIR]`

Every photograph is blurred by one of several simulated cameras, from 1 to 40 px, and deblurred by
the pair that ships at each working scale. A row of the table is a limit: the largest scale is taken
at which the extent that was estimated is no larger. `--real` is a folder with `blur` and `sharp`.
`--enlarge 6` makes large photographs of small ones (Lanczos): what is left of their detail is what
a lens that is soft at that size would leave.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from blur2blur import Pipeline, images, tensors
from blur2blur.inference.working_scale import FACTORS
from machine import describe
from quality import Pairs, real_pairs, simulated

CAMERAS = ("any", "any-light", "any-coded", "any-frames", "known")
LIMITS_PX = (4, 8, 12, 16, 20, 25, 30, 40)
WORSE_DB = 0.2


def enlarged(photos: Path, factor: int, every: int, out: Path) -> Path:
    """Write every n-th photograph, its sides times `factor`, to `out`, and return that folder."""
    for path in images.find_images(photos)[::every]:
        with Image.open(path) as photograph:
            sides = photograph.width * factor, photograph.height * factor
            photograph.convert("RGB").resize(sides, Image.Resampling.LANCZOS).save(
                out / f"{path.stem}.png", compress_level=1
            )
    return out


def blurred(photos: Path, cameras: Sequence[str], overrides: Sequence[str], seed: int) -> Pairs:
    """Return the photographs, each by the camera whose turn it is."""
    every = [simulated(photos, camera, overrides, seed=seed) for camera in cameras]
    taken = enumerate(zip(*every, strict=True))
    return [pairs[index % len(every)] for index, pairs in taken]


def measure(name: str, pairs: Pairs, pipeline: Pipeline) -> NDArray[np.float64]:
    """Return N x 5: the estimated extent in px, and the gain in dB at each working scale."""
    rows: list[list[float]] = []
    for _, blurry, sharp in track(pairs, name, transient=True):
        pixels = tensors.to_array(blurry)
        before = tensors.psnr_db(blurry, sharp)
        outputs = (pipeline.process(pixels, factor=factor) for factor in FACTORS)
        gains = [tensors.psnr_db(tensors.to_tensor(each), sharp) - before for each in outputs]
        rows.append([pipeline.extent_px(pixels), *gains])
    return np.array(rows)


def report(name: str, rows: NDArray[np.float64]) -> None:
    """Print the mean gain by scale, and by limit."""
    extents_px, gains = rows[:, 0], rows[:, 1:]
    best = gains.max(axis=1)
    print(f"{name}: {len(rows)} images, mean gain in dB")
    for factor, gain in zip(FACTORS, gains.T, strict=True):
        print(f"  scale 1/{factor}          {gain.mean():.2f}, worse {(gain < -WORSE_DB).sum()}")
    print(f"  best of each       {best.mean():.2f}")
    for limit_px in LIMITS_PX:
        needed = np.ceil(extents_px / limit_px).clip(FACTORS[0], FACTORS[-1]).astype(int)
        gain = gains[np.arange(len(rows)), needed - 1]
        worse = (gain < -WORSE_DB).sum()
        short = (best - gain).mean()
        print(f"  auto, up to {limit_px:4} px {gain.mean():.2f}, worse {worse}, short {short:.2f}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="sharp photographs")
    parser.add_argument("--cameras", nargs="+", default=CAMERAS)
    parser.add_argument("--overrides", nargs="*", default=["extent_px=[1,40]", "still=0"])
    parser.add_argument("--enlarge", type=int, default=1, metavar="FACTOR")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(), f"seed      {options.seed}", sep="\n", flush=True)
    sets: list[tuple[str, Pairs]] = []
    if options.photos is not None:
        with tempfile.TemporaryDirectory() as made:
            photos = enlarged(options.photos, options.enlarge, options.every, Path(made))
            pairs = blurred(photos, options.cameras, options.overrides, options.seed)
        sets.append(("simulated", pairs))
    if options.real is not None:
        sets.append(("real", real_pairs(options.real)))
    with Pipeline() as pipeline:
        for name, pairs in sets:
            report(name, measure(name, pairs, pipeline))


if __name__ == "__main__":
    main()
