"""Which photographs `deblur` leaves as they are: sharp ones, and ones of known blur.

`python benchmarks/sharp_photographs.py --sharp DIR [--others DIR...]`: sharp photographs are asked
as they are, and as simulated cameras take them, without motion and with blur of each extent; the
camera `known` has blur alone, `phone` noise and JPEG too. Parts of them are blurred as well: one
half, or an object in the middle. A row for each tells how many are left by the rule, and by its
first condition alone at other limits. Folders of other photographs are a row each.
"""

import argparse
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.inference.blur_extent import estimate_px, is_sharp, load_estimator
from blur2blur.tiling import Pixels
from sharp_regions import mask

LIMITS_PX = (1.2, 1.4, 1.6, 2.0)
EXTENTS_PX = (2.0, 3.0, 5.0, 10.0, 20.0)
CAMERAS = {"known": ["still=0"], "phone": ["still=0", "lens.defocus_px=0"]}

Estimate = Callable[[Pixels], Pixels]


def photographed(path: Path, camera: str, extent_px: float, seed: int) -> tuple[Pixels, Pixels]:
    """Return (blurry, sharp) that a simulated camera takes of a photograph."""
    settings = load_camera(camera, [*CAMERAS[camera], f"extent_px={extent_px}"])
    rng = torch.Generator().manual_seed(seed + zlib.crc32(path.name.encode()))
    blurry, sharp = Camera(settings).photograph_pair(tensors.read_rgb(path)[None], rng)
    return tensors.to_array(blurry[0]), tensors.to_array(sharp[0])


def row(name: str, pictures: Sequence[Pixels], estimate: Estimate) -> str:
    """Return a line of the table."""
    pictures = [np.ascontiguousarray(pixels) for pixels in pictures]
    left = sum(is_sharp(estimate, pixels) for pixels in pictures)
    found = np.array([estimate_px(estimate, pixels) for pixels in pictures])
    counts = "".join(f"{(found < limit).sum():>8}" for limit in LIMITS_PX)
    told = " ".join(f"{px:5.1f}" for px in np.percentile(found, (5, 50, 95)))
    return f"{name:<22}{left:>6} of {len(found):<5}{counts}   {told}"


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sharp", type=Path, required=True, help="sharp photographs")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="others, as they are")
    parser.add_argument("--extents", type=float, nargs="+", default=EXTENTS_PX)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    estimate = load_estimator()
    limits = "".join(f"{f'<{px:g}px':>8}" for px in LIMITS_PX)
    print(f"{'left as they are':<22}{'by the rule':<15}{limits}   extent: 5, 50, 95 %")
    paths = images.find_images(arguments.sharp)
    print(row("sharp, as they are", [images.read_rgb(path) for path in paths], estimate))
    for camera in CAMERAS:
        taken = [photographed(path, camera, 2.0, arguments.seed) for path in paths]
        print(row(f"{camera}, no motion", [sharp for _, sharp in taken], estimate))
        for extent_px in arguments.extents:
            taken = [photographed(path, camera, extent_px, arguments.seed) for path in paths]
            name = f"{camera}, {extent_px:g} px"
            print(row(name, [blurry for blurry, _ in taken], estimate), flush=True)
            for part in ("half", "object") if camera == "known" and extent_px >= 5 else ():
                mixed = [
                    sharp + mask(part, *sharp.shape[:2]) * (blurry - sharp)
                    for blurry, sharp in taken
                ]
                print(row(f"... of a part: {part}", mixed, estimate), flush=True)
    for folder in arguments.others:
        found = [images.read_rgb(path) for path in images.find_images(folder)]
        print(row("/".join(folder.parts[-2:]), found, estimate), flush=True)


if __name__ == "__main__":
    main()
