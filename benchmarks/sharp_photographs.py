"""Which photographs `deblur` leaves as they are: sharp ones, and ones of known blur.

`python benchmarks/sharp_photographs.py --sharp DIR [--others DIR...]`: of each sharp photograph the
extent of its blur is estimated, and of what simulated cameras make of it, without motion and with
blur of each extent. The camera `known` has blur alone, `phone` noise and JPEG too. A row for each
tells the share that is left at each limit, the project's own marked, and 5, 50 and 95 per cent of
the estimates. Folders of other photographs are a row each.
"""

import argparse
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.inference.blur_extent import SHARP_PX, estimate_px, is_sharp, load_estimator
from blur2blur.tiling import Pixels

LIMITS_PX = sorted({1.2, 1.6, 2.0, SHARP_PX})
EXTENTS_PX = (2.0, 3.0, 5.0, 10.0, 20.0)
CAMERAS = {"known": ["still=0"], "phone": ["still=0", "lens.defocus_px=0"]}

Estimate = Callable[[Pixels], float | None]


def photographed(
    path: Path, camera: str, extent_px: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (blurry, sharp), 3 H W, that a simulated camera takes of a photograph."""
    settings = load_camera(camera, [*CAMERAS[camera], f"extent_px={extent_px}"])
    rng = torch.Generator().manual_seed(seed + zlib.crc32(path.name.encode()))
    blurry, sharp = Camera(settings).photograph_pair(tensors.read_rgb(path)[None], rng)
    return blurry[0], sharp[0]


def row(name: str, pictures: Sequence[Pixels], estimate: Estimate) -> str:
    """Return a line of the table."""
    found = [estimate(pixels) for pixels in pictures]
    left = [
        np.mean([extent_px is not None and extent_px < limit for extent_px in found])
        for limit in LIMITS_PX
    ]
    # the rule itself at its own limit, which knows more than the number
    left[LIMITS_PX.index(SHARP_PX)] = np.mean(
        [is_sharp(px, *pixels.shape[:2]) for px, pixels in zip(found, pictures, strict=True)]
    )
    told = np.percentile([extent_px or 0.0 for extent_px in found], (5, 50, 95))
    shares = "  ".join(f"{100 * share:5.0f}%" for share in left)
    return f"{name:<22}{len(found):>5}  {shares}   " + " ".join(f"{px:5.1f}" for px in told)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sharp", type=Path, required=True, help="sharp photographs")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="others, as they are")
    parser.add_argument("--extents", type=float, nargs="+", default=EXTENTS_PX)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    network = load_estimator()

    def estimate(pixels: Pixels) -> float | None:
        return estimate_px(network, np.ascontiguousarray(pixels))

    limits = "  ".join(f"{f'<{px:g}px':>6}" + ("*" if px == SHARP_PX else "") for px in LIMITS_PX)
    print(f"{'left as they are':<22}{'n':>5}  {limits}   extent: 5, 50, 95 %")
    paths = images.find_images(arguments.sharp)
    print(row("sharp, as they are", [images.read_rgb(path) for path in paths], estimate))
    for camera in CAMERAS:
        taken = [photographed(path, camera, 2.0, arguments.seed) for path in paths]
        print(row(f"{camera}, no motion", [each[1].permute(1, 2, 0).numpy() for each in taken],
                  estimate))  # fmt: skip
        for extent_px in arguments.extents:
            taken = [photographed(path, camera, extent_px, arguments.seed) for path in paths]
            blurry = [each[0].permute(1, 2, 0).numpy() for each in taken]
            print(row(f"{camera}, {extent_px:g} px", blurry, estimate), flush=True)
    for folder in arguments.others:
        found = [images.read_rgb(path) for path in images.find_images(folder)]
        print(row("/".join(folder.parts[-2:]), found, estimate), flush=True)


if __name__ == "__main__":
    main()
