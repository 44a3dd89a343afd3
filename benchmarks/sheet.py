"""A sheet of photographs before and after, as the command deblurs them: crops at full size.

    python benchmarks/sheet.py --photos DIR -o sheet.jpg

Of each photograph that part is shown which changes most, so that mistakes are on the sheet too.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blur2blur import images
from blur2blur.inference import Pipeline

CROP_PX = (320, 240)  # width, height
GAP_PX = 6


def most_changed(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[slice, slice]:
    """Return the rows and columns of a crop's size where they differ most."""
    height, width = before.shape[:2]
    across, down = min(CROP_PX[0], width), min(CROP_PX[1], height)
    change = np.square(after - before).mean(axis=2)
    sums = cv2.boxFilter(change, -1, (across, down), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    inside = sums[: height - down + 1, : width - across + 1]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return slice(int(top), int(top) + down), slice(int(left), int(left) + across)


def pair(path: Path, pipeline: Pipeline) -> Image.Image:
    """Return the crop before and after, beside each other, over the file's name."""
    before = images.read_rgb(path)
    after = np.asarray(pipeline(before))
    rows, columns = most_changed(before, after)
    made = Image.new("RGB", (2 * CROP_PX[0] + GAP_PX, CROP_PX[1] + 14), "white")
    for left, pixels in ((0, before), (CROP_PX[0] + GAP_PX, after)):
        crop = (pixels[rows, columns].clip(0, 1) * 255).round().astype(np.uint8)
        made.paste(Image.fromarray(crop), (left, 0))
    ImageDraw.Draw(made).text((2, CROP_PX[1] + 1), path.stem, fill="black")
    return made


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=2)
    given = parser.parse_args()
    pipeline = Pipeline()
    pairs = [pair(path, pipeline) for path in images.find_images(given.photos)]
    width, height = (side + GAP_PX for side in pairs[0].size)
    rows = -(-len(pairs) // given.columns)
    sheet = Image.new("RGB", (given.columns * width, rows * height), "white")
    for number, made in enumerate(pairs):
        sheet.paste(made, (number % given.columns * width, number // given.columns * height))
    sheet.save(given.out, quality=88)


if __name__ == "__main__":
    main()
