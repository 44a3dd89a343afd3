"""At which size an image is deblurred: large blur is small where the image is small.

The image is averaged down by a whole factor, deblurred there, and only the change is enlarged and
added to it, so that its size, its grain and what the blur left of its finest detail stay.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from PIL import Image

from blur2blur.errors import ConfigError, InputError
from blur2blur.tiling import Pixels, SizeRule

Scale = Literal["auto", "1", "1/2", "1/3", "1/4"]

FACTORS = (1, 2, 3, 4)
"""The working scales, as factors that the sides are divided by."""

LARGEST_EXTENT_PX = 12.0
"""Blur that is read to reach farther is better undone at a smaller size, by the weights that ship:
`python benchmarks/working_scale.py` compares limits."""

_BAND_ROWS = 256
_CONTEXT_ROWS = 2  # that bicubic interpolation looks at


def factor_of(scale: str) -> int | None:
    """Return what a working scale divides the sides by; None for "auto".

    Raises:
        ConfigError: no such scale.
    """
    if scale not in get_args(Scale):
        raise ConfigError(f"scale '{scale}': choose {', '.join(get_args(Scale))}")
    return None if scale == "auto" else int(scale.removeprefix("1/"))


def fits(height: int, width: int, factor: int, rule: SizeRule) -> bool:
    """Tell whether the image, made smaller, is still as large as the networks' least size."""
    return factor == 1 or min(height, width) // factor >= rule.minimum


def check_fits(height: int, width: int, factor: int, rule: SizeRule) -> None:
    """Raise InputError where `fits` is not so."""
    if not fits(height, width, factor, rule):
        largest = max(each for each in FACTORS if fits(height, width, each, rule))
        raise InputError(
            f"an image of {width}x{height} is {width // factor}x{height // factor} at scale "
            f"1/{factor}, below the {rule.minimum} pixels that the networks need; use scale "
            f"{'1' if largest == 1 else f'1/{largest}'} or auto"
        )


def reduce(image: Pixels, factor: int) -> Pixels:
    """Return H W C averaged down; sides that are no multiples are continued by their edge."""
    height, width, channels = image.shape
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        image = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(rows, factor, columns, factor, channels)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def at_scale(
    image: Pixels, factor: int, process: Callable[[Pixels], Pixels], *, out: Pixels | None
) -> Pixels:
    """Process an image at a smaller size and add the enlarged change to it.

    Args:
        image: H W 3 in [0, 1].
        factor: the sides are divided by it.
        process: maps h w 3 to h w C, C being 3 or a multiple: images, each of which `image` is
            compared with; may write over what it is given.
        out: H W C, where to write the result; may be `image` itself. None for a new array.

    Returns:
        H W C, in [0, 1].
    """
    small = reduce(image, factor)
    change = process(small.copy())
    copies = change.shape[2] // 3
    change = change - np.tile(small, copies)
    if out is None:
        out = np.empty((*image.shape[:2], change.shape[2]), np.float32)
    # in bands: an enlarged change is as large as the image
    rows = math.ceil(_BAND_ROWS / factor)
    for top in range(0, len(change), rows):
        band = _enlarged(change, factor, top, rows)
        place = slice(top * factor, min(len(image), top * factor + len(band)))
        band = band[: place.stop - place.start, : image.shape[1]]
        np.clip(np.tile(image[place], copies) + band, 0, 1, out=out[place])
    return out


def _enlarged(change: Pixels, factor: int, top: int, count: int) -> Pixels:
    """Return `count` rows from `top` on, enlarged; the rows around them are taken into account."""
    first = max(0, top - _CONTEXT_ROWS)
    rows = change[first : top + count + _CONTEXT_ROWS]
    size = (rows.shape[1] * factor, rows.shape[0] * factor)
    channels = np.ascontiguousarray(rows.transpose(2, 0, 1))
    parts = [Image.fromarray(each).resize(size, Image.Resampling.BICUBIC) for each in channels]
    start = (top - first) * factor
    rows = np.stack([np.asarray(part) for part in parts], axis=2)
    return rows[start : start + min(count, len(change) - top) * factor]


def choose(extent_px: float, height: int, width: int, rule: SizeRule) -> int:
    """Return the factor at which blur of that extent is better undone than made smaller still.

    Args:
        extent_px: extent of the image's blur.
        height: of the image.
        width: likewise.
        rule: the networks'; a factor that leaves too little of the image is not chosen.
    """
    possible = [factor for factor in FACTORS if fits(height, width, factor, rule)]
    return next((each for each in possible if extent_px / each <= LARGEST_EXTENT_PX), possible[-1])
