"""A photograph as values in [0, 1] and as the whole numbers of its file, and the way between."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import InputError
from blur2blur.images import metadata as carriers
from blur2blur.images.kinds import KIND_OF, SUFFIXES_OF
from blur2blur.images.metadata import Metadata

Values: TypeAlias = NDArray[np.uint8 | np.uint16]

BAND_ROWS = 256
"""Rows that are converted at once: copies of whole photographs would set the peak of memory."""

WRITTEN_SUFFIXES = frozenset[str]().union(
    *(SUFFIXES_OF[kind] for kind in ("JPEG", "PNG", "TIFF", "BMP", "WebP", "AVIF", "HEIC"))
)
"""Suffixes of the files that can be written."""

_DEEP_SUFFIXES = SUFFIXES_OF["PNG"] | SUFFIXES_OF["TIFF"] | SUFFIXES_OF["HEIC"]
_ALPHA_SUFFIXES = _DEEP_SUFFIXES | SUFFIXES_OF["WebP"] | SUFFIXES_OF["AVIF"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How a file's pixels were compressed, so that the next file can be much the same size.

    Attributes:
        quality: 1 to 100, on the scale of libjpeg; None where unknown.
        jpeg_tables: its quantisation tables, of a JPEG file.
        jpeg_subsampling: its subsampling of colour: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0; None of
            grey, and where it is another.
        lossless: the file was of a kind that may lose something, and did not.
    """

    quality: int | None = None
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    jpeg_subsampling: int | None = None
    lossless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photograph:
    """One photograph, upright, with what its file must keep.

    `dataclasses.replace(photograph, pixels=...)` carries the metadata over to a result.

    Attributes:
        pixels: float32 `H W 3` in [0, 1], encoded as the colour profile says, sRGB without one;
            a grey file's channel three times. `colour.working_pixels` gives sRGB.
        alpha: float32 `H W 1` in [0, 1], not multiplied into the colour; None where opaque.
        grey: the file held one colour channel, and is written back as one.
        bit_depth: bits per channel of the file.
        exif: the EXIF block as a TIFF stream, its orientation reset to upright.
        icc_profile: the colour profile of the pixels.
        metadata: what else the file carries.
        compression: how it was compressed.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    grey: bool = False
    bit_depth: Literal[8, 16] = 8
    exif: bytes | None = None
    icc_profile: bytes | None = None
    metadata: Metadata = carriers.NONE
    compression: Compression = Compression()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raster:
    """The same as whole numbers, as files hold it: a quarter of the memory, or half at 16 bits.

    Attributes:
        values: uint8 or uint16 `H W C`, upright, encoded as the colour profile says, sRGB without
            one; C = 1 (grey), 2 (grey, alpha), 3 or 4.
        exif, icc_profile, metadata, compression: as in `Photograph`.
        notes: what a user should be told of the file, one line each.
    """

    values: Values
    exif: bytes | None = None
    icc_profile: bytes | None = None
    metadata: Metadata = carriers.NONE
    compression: Compression = Compression()
    notes: tuple[str, ...] = ()


def to_photograph(raster: Raster) -> Photograph:
    """Turn the numbers of a file into values in [0, 1]."""
    height, width, channels = raster.values.shape
    levels = np.iinfo(raster.values.dtype).max
    grey = channels < 3
    pixels = np.empty((height, width, 3), np.float32)
    np.divide(raster.values[..., :1] if grey else raster.values[..., :3], levels, out=pixels)
    return Photograph(
        pixels=pixels,
        alpha=(
            raster.values[..., -1:].astype(np.float32) / np.float32(levels)
            if channels in (2, 4)
            else None
        ),
        grey=grey,
        bit_depth=16 if levels > 255 else 8,
        exif=raster.exif,
        icc_profile=raster.icc_profile,
        metadata=raster.metadata,
        compression=raster.compression,
    )


def to_raster(path: Path, photograph: Photograph) -> Raster:
    """Round a photograph to the numbers that a file of that suffix will hold.

    Bit depth, alpha and one grey channel are kept where the format can: 16 bits in PNG, TIFF
    and HEIC, alpha in those, WebP and AVIF; a note says that alpha was left out. Values are clamped
    to [0, 1].

    Raises:
        InputError: a suffix that is not in WRITTEN_SUFFIXES, values that are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        known = " ".join(sorted(WRITTEN_SUFFIXES))
        raise InputError(f"cannot write {path}: the suffix must be one of {known}")
    pixels = photograph.pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are H W 3, not {pixels.shape}")
    deep = photograph.bit_depth == 16 and suffix in _DEEP_SUFFIXES
    alpha = photograph.alpha if suffix in _ALPHA_SUFFIXES else None
    colours = 1 if photograph.grey else 3
    shape = (*pixels.shape[:2], colours if alpha is None else colours + 1)
    values: Values = np.empty(shape, np.uint16) if deep else np.empty(shape, np.uint8)
    for top in range(0, shape[0], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        band = pixels[rows]
        if not np.isfinite(band).all():
            raise InputError(f"cannot write {path}: the result holds values that are not finite")
        band = band.mean(axis=2, keepdims=True) if photograph.grey else band
        values[rows, :, :colours] = _rounded(band, levels=65535 if deep else 255)
        if alpha is not None:
            values[rows, :, colours:] = _rounded(alpha[rows], levels=65535 if deep else 255)
    return Raster(
        values=values,
        exif=photograph.exif,
        icc_profile=photograph.icc_profile,
        metadata=photograph.metadata,
        compression=photograph.compression,
        notes=()
        if alpha is photograph.alpha
        else (f"{KIND_OF[suffix]} has no place for transparency: left out",),
    )


def _rounded(values: NDArray[np.float32], *, levels: int) -> NDArray[np.float32]:
    """Return values in [0, 1] as whole numbers from 0 to `levels`."""
    return np.rint(np.clip(values, 0, 1) * np.float32(levels))
