"""What deblurring does to the sharp part of a photograph that is blurred elsewhere.

`python benchmarks/sharp_regions.py --photos DIR`: one half of each photograph, or all but an object
in its middle, is sharp, the rest blurred by the camera `known`; the border between them is mixed
over 8 pixels. Measured are, in dB, the output against the input in the sharp part (higher: less is
changed), and the gain of the blurred part; of wholly sharp and wholly blurred ones the same.
"""

import argparse
import statistics
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.inference import Pipeline
from blur2blur.statistics.image_quality import psnr_db
from blur2blur.tiling import Pixels
from blur2blur.weights import zoo

KINDS = ("sharp", "half", "object", "blurred")
_BORDER_PX = 32  # around the border neither part is measured


def mask(kind: str, height: int, width: int) -> Pixels:
    """Return H W 1, 1 where it is blurred."""
    blurred = np.zeros((height, width), np.uint8)
    if kind == "half":
        blurred[:, width // 2 :] = 255
    elif kind == "object":
        rows, columns = (slice(length // 3, 2 * length // 3) for length in (height, width))
        blurred[rows, columns] = 255
    elif kind == "blurred":
        blurred[:] = 255
    soft = Image.fromarray(blurred).filter(ImageFilter.BoxBlur(4))
    return np.asarray(soft, np.float32)[..., None] / 255


def composites(
    folder: Path, kind: str, extent_px: float
) -> Iterator[tuple[Pixels, Pixels, Pixels]]:
    """Yield (input, truth, mask) of each photograph."""
    camera = Camera(load_camera("known", ["still=0", f"extent_px={extent_px}"]))
    for path in images.find_images(folder):
        sharp = tensors.read_rgb(path)[None]
        rng = torch.Generator().manual_seed(zlib.crc32(path.name.encode()))
        blurry = camera.photograph_pair(sharp, rng)[0][0].permute(1, 2, 0).numpy()
        truth = sharp[0].permute(1, 2, 0).numpy()
        part = mask(kind, *truth.shape[:2])
        yield truth + part * (blurry - truth), truth, part


def part_of(part: Pixels, *, blurred: bool) -> Pixels:
    """Return where an image is of one part, away from the border: H W, bool."""
    wanted = part[..., 0] if blurred else 1 - part[..., 0]
    reach = Image.fromarray((255 * (wanted > 0.999)).astype(np.uint8))
    return np.asarray(reach.filter(ImageFilter.MinFilter(2 * _BORDER_PX + 1))) > 0


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--extent", type=float, default=5.0, help="of the blur, px")
    parser.add_argument("--converter", default="none", help="'none' for none")
    parser.add_argument("--deblurrer", default=zoo.DEFAULT_DEBLURRER)
    parser.add_argument("--scale", default="1")
    arguments = parser.parse_args()
    converter = None if arguments.converter == "none" else arguments.converter
    pipeline = Pipeline(arguments.deblurrer, converter, scale=arguments.scale)
    print("photographs        sharp part: output to input   blurred part: gain   left as they are")
    for kind in KINDS:
        kept_db: list[float] = []
        gains_db: list[float] = []
        left: list[bool] = []
        for pixels, truth, part in composites(arguments.photos, kind, arguments.extent):
            made = pipeline.process(pixels)
            left.append(pipeline.finds_sharp(pixels))
            where = part_of(part, blurred=False)
            if where.any():
                kept_db.append(psnr_db(made[where][None], pixels[where][None]))
            where = part_of(part, blurred=True)
            if where.any():
                before, after = (
                    psnr_db(each[where][None], truth[where][None]) for each in (pixels, made)
                )
                gains_db.append(after - before)
        kept, gain = (
            f"{statistics.fmean(each):.2f} dB" if each else "" for each in (kept_db, gains_db)
        )
        print(f"{kind:<19}{kept:>28}{gain:>22}{sum(left):>10} of {len(left)}", flush=True)


if __name__ == "__main__":
    main()
