"""Images of any kind as float32 `H W 3`, and results as the kind that was given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from blur2blur import images
from blur2blur.errors import InputError
from blur2blur.images import Photograph, Raster
from blur2blur.images.colour import fitting_profile
from blur2blur.tiling import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    AnyImage: TypeAlias = str | Path | Image.Image | NDArray[Any] | Tensor

_KINDS = (
    "a path, a PIL image, an array (uint8, uint16 or float in [0, 1]; H W, H W 3 or H W 4), a "
    "tensor (float in [0, 1]; 3 H W or B 3 H W), or a list of them"
)
# what a filter or a change of colour space may add to the ends of [0, 1] by rounding
_RANGE_TOLERANCE = 1e-3
_MODES = ("L", "LA", "RGB", "RGBA")
_WITH_ALPHA = Path("any.png")


def unpack(image: "AnyImage") -> tuple[list[Pixels], Callable[[list[Pixels]], Any]]:
    """Return an image's pixels, and what makes of results for them the kind that was given.

    A batch of tensors is several images, anything else is one. Transparency is kept as it is; one
    channel of grey becomes three alike and their mean again.

    Args:
        image: a path (whose result is a PIL image of 8 bits), a PIL image, an array, or a tensor.
            Of a path and a PIL image the result is upright and in sRGB.

    Returns:
        float32 `H W 3` each, sRGB in [0, 1], in memory of their own; and the way back.

    Raises:
        InputError: another kind, shape, type or range, or a file that cannot be read.
    """
    if isinstance(image, str | Path):
        return _of_photograph(images.read(Path(image)))
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    if isinstance(image, np.ndarray):
        pixels, back = _of_array(image)
        return [pixels], lambda results: back(results[0])
    if _is_tensor(image):
        return _of_tensor(image)
    raise InputError(f"an image is {_KINDS}, not a {type(image).__name__}")


def _of_pillow(
    image: Image.Image,
) -> tuple[list[Pixels], Callable[[list[Pixels]], Image.Image]]:
    upright = ImageOps.exif_transpose(image)
    if image.mode == "I;16":
        pixels, back = _of_array(np.asarray(upright))
        return [pixels], lambda results: Image.fromarray(back(results[0]))
    if image.mode not in _MODES:
        way = "an array in [0, 1]" if image.mode in ("I", "F") else "image.convert('RGB')"
        raise InputError(f"a PIL image of mode {image.mode} is not taken; give {way}")
    values = np.atleast_3d(np.asarray(upright))
    profile = fitting_profile(image.info.get("icc_profile"), grey=image.mode in ("L", "LA"))
    return _of_photograph(images.to_photograph(Raster(values=values, icc_profile=profile)))


def _of_photograph(
    photograph: Photograph,
) -> tuple[list[Pixels], Callable[[list[Pixels]], Image.Image]]:
    """Return a photograph in sRGB, and what makes a PIL image of 8 bits of its result."""
    srgb = images.working_pixels(replace(photograph, alpha=None))
    plain = replace(photograph, pixels=srgb, icc_profile=None, bit_depth=8)

    def back(results: list[Pixels]) -> Image.Image:
        made = images.with_result(plain, results[0])
        values = images.to_raster(_WITH_ALPHA, made).values
        return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)

    return [images.working_pixels(plain)], back


def _is_tensor(image: object) -> bool:
    """Tell whether it is a tensor of torch, or of a class made of it, without loading torch."""
    kinds = type(image).__mro__
    return ("torch", "Tensor") in {(kind.__module__, kind.__name__) for kind in kinds}


def _of_array(values: NDArray[Any]) -> tuple[Pixels, Callable[[Pixels], NDArray[Any]]]:
    kind, shape = values.dtype, values.shape
    channels = shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or not 1 <= channels <= 4 or 0 in shape:
        raise InputError(f"an image is {_KINDS}, not an array of shape {shape}")
    if not (np.issubdtype(kind, np.floating) or kind.name in ("uint8", "uint16")):
        raise InputError(f"an image is {_KINDS}, not an array of {kind}")
    whole = values if values.ndim == 3 else values[..., None]
    colours = 1 if channels < 3 else 3
    pixels = np.empty((*shape[:2], 3), np.float32)
    with np.errstate(over="ignore"):  # what is infinite then is out of range
        pixels[...] = whole[..., :colours]
    if np.issubdtype(kind, np.integer):
        pixels /= np.float32(np.iinfo(kind).max)
    else:
        check_range(pixels)

    def back(result: Pixels) -> NDArray[Any]:
        made = np.empty(whole.shape, kind)
        colour = result if colours == 3 else result.mean(axis=2, keepdims=True)
        made[..., :colours] = _rounded(colour, kind)
        made[..., colours:] = whole[..., colours:]
        return made.reshape(shape)

    return pixels, back


def _of_tensor(image: Any) -> "tuple[list[Pixels], Callable[[list[Pixels]], Tensor]]":  # noqa: ANN401
    import torch

    from blur2blur.tensors import to_array, to_tensor

    tensor = cast("Tensor", image)
    shape = tuple(tensor.shape)
    if tensor.ndim not in (3, 4) or shape[-3] != 3 or 0 in shape or not tensor.is_floating_point():
        raise InputError(f"an image is {_KINDS}, not a tensor of {tensor.dtype} and shape {shape}")
    batch = tensor if tensor.ndim == 4 else tensor[None]
    arrays = [to_array(each) for each in batch]
    for pixels in arrays:
        check_range(pixels)

    def back(results: list[Pixels]) -> "Tensor":
        made = torch.stack([to_tensor(each) for each in results]).to(tensor)
        return made if tensor.ndim == 4 else made[0]

    return arrays, back


def check_range(pixels: Pixels) -> None:
    """Raise InputError where values are not in [0, 1], or not finite."""
    least, most = float(pixels.min()), float(pixels.max())
    # not (a or b): NaN is in no order
    if not (least >= -_RANGE_TOLERANCE and most <= 1 + _RANGE_TOLERANCE):
        raise InputError(
            f"values of an image are sRGB in [0, 1], not from {least:g} to {most:g}; divide 8-bit "
            "values by 255"
        )


def _rounded(values: Pixels, kind: np.dtype[Any]) -> NDArray[Any]:
    if np.issubdtype(kind, np.integer):
        values = np.rint(values * np.float32(np.iinfo(kind).max))
    return values.astype(kind)
