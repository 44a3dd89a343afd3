"""Between the planes of a decoded video frame and sRGB, without resampling what stays as it is.

Networks see R'G'B' in [0, 1]. What they *changed* is brought back to luma and chroma and added to
the planes of the input, so that a network that changes nothing gives back every sample, whatever
the sampling of chroma, and values outside the nominal range survive.

Matrices and ranges: ITU-T H.273 (07/2021), equations for MatrixCoefficients and
VideoFullRangeFlag; their weights of red and blue from table 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import InputError
from blur2blur.tiling import Pixels

if TYPE_CHECKING:
    from av import VideoFrame

Planes = Sequence[NDArray[np.int32]]

_BT709, _BT601, _BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)
# MatrixCoefficients of H.273 -> weights of red and blue
_WEIGHTS = {
    1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: _BT2020,
}  # fmt: skip
_UNSPECIFIED = 2
_FULL_RANGE = 2
# Untagged clips are read as players do: the matrix of high definition from this height on.
_HIGH_DEFINITION_PX = 720


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a frame stores its samples.

    Attributes:
        name: FFmpeg's name of the pixel format.
        bits: bits per sample.
        halved_x: chroma has half the columns.
        halved_y: chroma has half the rows.
        grey: luma alone.
        rgb: planes are green, blue, red.
    """

    name: str
    bits: int
    halved_x: bool = False
    halved_y: bool = False
    grey: bool = False
    rgb: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What turns R'G'B' into luma and chroma.

    Attributes:
        red: weight of red in luma.
        blue: weight of blue in luma.
        full_range: samples use all their values; else black is 16 and white 235 (of 8 bits).
    """

    red: float
    blue: float
    full_range: bool


def _layouts() -> dict[str, Layout]:
    found: list[Layout] = []
    for bits in (8, 10, 12):
        deep = "" if bits == 8 else f"{bits}le"
        found += [
            Layout(name=f"yuv420p{deep}", bits=bits, halved_x=True, halved_y=True),
            Layout(name=f"yuv422p{deep}", bits=bits, halved_x=True),
            Layout(name=f"yuv444p{deep}", bits=bits),
            Layout(name=f"gray{deep}", bits=bits, grey=True),
            Layout(name=f"gbrp{deep}", bits=bits, rgb=True),
        ]
    return {layout.name: layout for layout in found}


LAYOUTS = _layouts()


def matrix_of(frame: "VideoFrame") -> Matrix:
    """Return the matrix and range a frame is tagged with, or what players take without a tag.

    Raises:
        InputError: a matrix that is no linear one of red, green and blue.
    """
    code = int(frame.colorspace)
    if code == _UNSPECIFIED or frame.format.is_rgb:
        weights = _BT709 if frame.height >= _HIGH_DEFINITION_PX else _BT601
    elif code in _WEIGHTS:
        weights = _WEIGHTS[code]
    else:
        raise InputError(
            f"colours are stored with matrix {code} of H.273, which is not handled; convert the "
            "clip to bt709 or bt2020nc first"
        )
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return Matrix(red=weights[0], blue=weights[1], full_range=full)


def read_planes(frame: "VideoFrame") -> list[NDArray[np.int32]]:
    """Copy the samples of a frame: integer h w for each plane of its layout."""
    planes: list[NDArray[np.int32]] = []
    deep = frame.format.components[0].bits > 8
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8)
        samples = samples.reshape(plane.height, -1)[:, : plane.width]
        planes.append(samples.astype(np.int32))
    return planes


def write_planes(frame: "VideoFrame", planes: Planes, layout: Layout) -> None:
    """Set the samples of a frame from integer h w planes of its size."""
    kind = np.uint16 if layout.bits > 8 else np.uint8
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
        rows[:, : plane.width] = samples
        # a buffer may be longer than its rows
        np.asarray(memoryview(plane))[: rows.nbytes] = np.frombuffer(rows.tobytes(), np.uint8)


def to_rgb(planes: Planes, layout: Layout, matrix: Matrix) -> Pixels:
    """Return float32 H W 3, R'G'B' in [0, 1] as displayed; values outside it are clipped.

    Args:
        planes: integer h w planes as `read_planes` gives them.
        layout: how they store colour.
        matrix: how to read it.
    """
    values = [plane.astype(np.float32) for plane in planes]
    if layout.rgb:
        green, blue, red = values
        return np.clip(np.stack([red, green, blue], axis=2) / _largest(layout), 0, 1)
    luma_span, chroma_span, black, middle = _spans(layout, matrix)
    luma = (values[0] - black) / luma_span
    if layout.grey:
        return np.clip(luma, 0, 1)[..., None].repeat(3, axis=2)
    of_blue, of_red = (
        _upsample((plane - middle) / chroma_span, layout, *luma.shape) for plane in values[1:]
    )
    red = luma + 2 * (1 - matrix.red) * of_red
    blue = luma + 2 * (1 - matrix.blue) * of_blue
    green = (luma - matrix.red * red - matrix.blue * blue) / (1 - matrix.red - matrix.blue)
    return np.clip(np.stack([red, green, blue], axis=2), 0, 1)


def add_change(
    planes: Planes, change: Pixels, layout: Layout, matrix: Matrix
) -> list[NDArray[np.int32]]:
    """Return `planes` with a change of their R'G'B' added, rounded to integers.

    Args:
        planes: integer h w planes of the input.
        change: float32 H W 3, output minus what `to_rgb` gave for `planes`.
        layout: how planes store colour.
        matrix: likewise.
    """
    red, green, blue = (change[..., channel] for channel in range(3))
    if layout.rgb:
        scaled: list[Pixels] = [part * _largest(layout) for part in (green, blue, red)]
    else:
        luma_span, chroma_span, _, _ = _spans(layout, matrix)
        luma = matrix.red * red + matrix.blue * blue
        luma = luma + (1 - matrix.red - matrix.blue) * green
        scaled = [luma * luma_span]
        if not layout.grey:
            for part, weight in ((blue, matrix.blue), (red, matrix.red)):
                chroma = (part - luma) / (2 * (1 - weight))
                scaled.append(_downsample(chroma, layout) * chroma_span)
    return [
        np.clip(np.rint(plane + part), 0, _largest(layout)).astype(np.int32)
        for plane, part in zip(planes, scaled, strict=True)
    ]


def _largest(layout: Layout) -> int:
    return 2**layout.bits - 1


def _spans(layout: Layout, matrix: Matrix) -> tuple[float, float, float, float]:
    """Return the span of luma, that of chroma, the sample of black, and of no colour."""
    step = 2 ** (layout.bits - 8)
    if matrix.full_range:
        return _largest(layout), _largest(layout), 0, 128 * step
    return 219 * step, 224 * step, 16 * step, 128 * step


def _upsample(chroma: Pixels, layout: Layout, height: int, width: int) -> Pixels:
    """Interpolate h w linearly; chroma stands on even columns, and between rows."""
    if layout.halved_x:
        following = np.concatenate([chroma[:, 1:], chroma[:, -1:]], axis=1)
        chroma = np.stack([chroma, (chroma + following) / 2], axis=2).reshape(len(chroma), -1)
    if layout.halved_y:
        above = np.concatenate([chroma[:1], chroma[:-1]])
        below = np.concatenate([chroma[1:], chroma[-1:]])
        between = np.stack([0.25 * above + 0.75 * chroma, 0.75 * chroma + 0.25 * below], axis=1)
        chroma = between.reshape(2 * len(chroma), -1)
    return chroma[:height, :width]


def _downsample(chroma: Pixels, layout: Layout) -> Pixels:
    """Average H W to where chroma stands: columns by 1 2 1, rows by pairs."""
    if layout.halved_y:
        chroma = np.pad(chroma, ((0, chroma.shape[0] % 2), (0, 0)), mode="edge")
        chroma = (chroma[0::2] + chroma[1::2]) / 2
    if layout.halved_x:
        padded = np.pad(chroma, ((0, 0), (1, 1 + chroma.shape[1] % 2)), mode="edge")
        chroma = (padded[:, 0:-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
    return chroma
