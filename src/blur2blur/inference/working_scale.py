"""At which size an image is deblurred: large blur is small where the image is small.

The image is averaged down by a whole factor, deblurred there, and only the change is enlarged and
added to it, so that its size, its grain and what the blur left of its finest detail stay.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from blur2blur.errors import ConfigError, InputError
from blur2blur.networks import SizeRule

Scale = Literal["auto", "1", "1/2", "1/3", "1/4"]

FACTORS = (1, 2, 3, 4)
"""The working scales, as factors that the sides are divided by."""

LARGEST_EXTENT_PX = 8.0
"""Blur that reaches farther is better undone at a smaller size, by the weights that ship."""

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


def reduce(image: Tensor, factor: int) -> Tensor:
    """Return B C H W averaged down; sides that are no multiples are continued by their edge."""
    height, width = image.shape[-2:]
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        image = F.pad(image, (0, right, 0, bottom), mode="replicate")
    return F.avg_pool2d(image, factor)


def at_scale(
    image: Tensor, factor: int, process: Callable[[Tensor], Tensor], *, out: Tensor | None
) -> Tensor:
    """Process an image at a smaller size and add the enlarged change to it.

    Args:
        image: B 3 H W in [0, 1].
        factor: the sides are divided by it.
        process: maps B 3 h w to B C h w, C being 3 or a multiple: images, each of which `image` is
            compared with.
        out: B C H W, where to write the result; may be `image` itself. None for a new tensor.

    Returns:
        B C H W, in [0, 1].
    """
    small = reduce(image.float(), factor)
    # process may write over what it is given
    change = process(small.clone())
    change = change - small.repeat(1, change.shape[1] // small.shape[1], 1, 1)
    copies = change.shape[1] // image.shape[1]
    if out is None:
        out = image.new_empty(image.shape[0], change.shape[1], *image.shape[-2:])
    # in bands: an enlarged change is as large as the image
    for top in range(0, change.shape[-2], math.ceil(_BAND_ROWS / factor)):
        band = _enlarged(change, factor, top, math.ceil(_BAND_ROWS / factor))
        rows = slice(top * factor, min(image.shape[-2], top * factor + band.shape[-2]))
        band = band[..., : rows.stop - rows.start, : image.shape[-1]]
        before = image[..., rows, :].repeat(1, copies, 1, 1)
        out[..., rows, :] = (before + band.to(before)).clamp(0, 1)
    return out


def _enlarged(change: Tensor, factor: int, top: int, count: int) -> Tensor:
    """Return `count` rows from `top` on, enlarged; the rows around them are taken into account."""
    first = max(0, top - _CONTEXT_ROWS)
    rows = change[..., first : top + count + _CONTEXT_ROWS, :]
    enlarged = F.interpolate(rows, scale_factor=factor, mode="bicubic", align_corners=False)
    start = (top - first) * factor
    return enlarged[..., start : start + min(count, change.shape[-2] - top) * factor, :]


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
