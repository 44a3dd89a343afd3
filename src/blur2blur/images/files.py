"""Photographs of a path: read, written, found. The only place that opens image files.

The content decides what a file is, not its suffix. Of several pages in a TIFF, or pictures in a
JPEG, the first is the photograph; animations are refused. `Raster.notes` says what was passed over.
"""

import mmap
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import InputError
from blur2blur.files import atomic_path
from blur2blur.images import animation, colour, decoding, encoding, exif, listing
from blur2blur.images.animation import Animation
from blur2blur.images.boundary import explained, reading
from blur2blur.images.history import Tag
from blur2blur.images.kinds import KIND_OF, KINDS, kind_of, wrong_suffix
from blur2blur.images.limits import refuse_size
from blur2blur.images.metadata import upright_xmp
from blur2blur.images.raster import Compression, Photograph, Raster, to_photograph, to_raster


def read(path: Path) -> Photograph:
    """Read one photograph with its metadata. Raises InputError as `decode`."""
    with reading(path):
        return to_photograph(_decode(path))


def decode(path: Path) -> Raster:
    """Read the numbers of one file, turned upright.

    Raises:
        InputError: missing, empty, no image, damaged, cut short, animated, of more than
            `limits.MAX_PIXELS` pixels, of values that are not read, or of a kind whose library is
            not installed.
    """
    with reading(path):
        return _decode(path)


def _decode(path: Path) -> Raster:
    data = path.read_bytes()
    kind = kind_of(data)
    if kind is None:
        raise InputError(f"it is not an image of a known kind ({KINDS})")
    raster = decoding.upright(decoding.decode(data, kind))
    told = wrong_suffix(path, kind)
    grey = raster.values.shape[2] < 3
    profile = colour.fitting_profile(raster.icc_profile, grey=grey)
    colour.colour_space(profile)  # which finds out here whether it can be used
    return replace(
        raster,
        icc_profile=profile,
        metadata=replace(raster.metadata, xmp=upright_xmp(raster.metadata.xmp)),
        notes=(told, *raster.notes) if told else raster.notes,
    )


def compression_of(path: Path) -> Compression | None:
    """Return how a JPEG file was compressed, by its header; None of another file.

    Raises:
        InputError: missing, or a JPEG file whose header is damaged.
    """
    with reading(path):
        data = path.read_bytes()
        return decoding.compression_of_jpeg(data) if kind_of(data) == "JPEG" else None


def read_rgb(path: Path) -> NDArray[np.float32]:
    """Read float32 `H W 3`, sRGB in [0, 1], upright; alpha ignored. Raises InputError as `read`."""
    with reading(path):
        return colour.working_pixels(replace(to_photograph(_decode(path)), alpha=None))


def read_rgb_uint8(path: Path) -> NDArray[np.uint8]:
    """Read uint8 `H W 3`, sRGB, upright; 16 bits are rounded. Raises InputError as `read`."""
    with reading(path):
        raster = _decode(path)
        values = raster.values
        if values.dtype == np.uint16:
            values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        channels = 1 if values.shape[2] < 3 else 3
        values = np.ascontiguousarray(values[..., :channels], dtype=np.uint8)
        return colour.rgb_uint8(values, raster.icc_profile)


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of the upright photograph from its header alone.

    Raises:
        InputError: as `read`, except for damage behind the header.
    """
    with reading(path):
        header = _read_header(path)
        return header.height, header.width


def read_time_taken(path: Path) -> datetime | None:
    """Return when the shutter was pressed (EXIF DateTimeOriginal, the camera's local time).

    None where the file does not say. Raises InputError as `read_size`.
    """
    with reading(path):
        block = _read_header(path).exif
        return exif.time_taken(block) if block else None


def is_animation(path: Path) -> bool:
    """Tell whether a GIF, PNG, WebP or AVIF has several frames. Raises InputError as `read`."""
    with reading(path):
        data = path.read_bytes()
        kind = kind_of(data)
        return kind is not None and decoding.is_animation(data, kind)


def decode_animation(path: Path) -> Animation:
    """Read an animated GIF, WebP or PNG. Raises InputError as `read`."""
    with reading(path):
        data = path.read_bytes()
        kind = kind_of(data)
        if kind is None:
            raise InputError(f"it is not an image of a known kind ({KINDS})")
        return animation.decode(data, kind)


def encode_animation(path: Path, made: Animation) -> tuple[str, ...]:
    """Write an animation whole or not at all; the suffix, of ANIMATION_SUFFIXES, chooses the kind.

    Returns and raises as `encode`.
    """
    with explained(path, "cannot be encoded"):
        data, notes = animation.encode(KIND_OF[path.suffix.lower()], made)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return notes


def _read_header(path: Path) -> decoding.Header:
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        kind = kind_of(data)
        if kind is None:
            raise InputError(f"it is not an image of a known kind ({KINDS})")
        header = decoding.read_header(data, kind)
        refuse_size(header.height, header.width)
        return header


def write(
    path: Path, photograph: Photograph, *, quality: int | None = None, tag: Tag | None = None
) -> tuple[str, ...]:
    """Write a photograph whole or not at all; the suffix chooses the format.

    Returns and raises as `to_raster` and `encode`.
    """
    return encode(path, to_raster(path, photograph), quality=quality, tag=tag)


def encode(
    path: Path, raster: Raster, *, quality: int | None = None, tag: Tag | None = None
) -> tuple[str, ...]:
    """Write what `to_raster` made for this path, whole or not at all.

    Args:
        path: its suffix chooses the format.
        raster: what to write.
        quality: of JPEG, WebP and AVIF, 1 to 100. None for the one that the photograph was read
            with: a JPEG's own tables and subsampling, a lossless WebP stays lossless; else 95.
        tag: what is added to the history in its XMP; BMP has no place for it.

    Returns:
        What of its metadata the format could not hold, one line each.

    Raises:
        InputError: a size that the format cannot hold, a full disk or a folder that cannot be
            written.
    """
    with explained(path, "cannot be encoded"):
        data, notes = encoding.encode(path.suffix.lower(), raster, quality=quality, tag=tag)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return notes


def write_rgb(path: Path, pixels: NDArray[np.float32]) -> None:
    """Write float32 `H W 3`, sRGB in [0, 1], at 8 bits per channel. Raises as `write`."""
    write(path, Photograph(pixels=pixels))


def jpeg_of_rgb(pixels: NDArray[np.float32], *, quality: int) -> bytes:
    """Return a JPEG file of float32 `H W 3`, sRGB in [0, 1]; quality from 1 to 100."""
    raster = to_raster(Path("picture.jpg"), Photograph(pixels=pixels))
    return encoding.encode(".jpg", raster, quality=quality)[0]


def find_images(folder: Path) -> list[Path]:
    """Return the images in a folder and the folders in it, sorted by path, hidden ones left out.

    Raises:
        DataError: the folder is missing, is a file, or cannot be listed.
    """
    return list(listing.find(folder).photographs)


def sharpness(image_uint8: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of the grey image: uint8 `H W 3` (RGB) or `H W`.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    values = image_uint8.astype(np.int32)
    if values.ndim == 3:  # as OpenCV weighs and rounds them
        values = (values @ np.array([4899, 9617, 1868]) + 8192) >> 14
    grey = np.pad(values, 1, mode="reflect") if min(values.shape) > 1 else np.pad(values, 1, "edge")
    neighbours = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((neighbours - 4 * values).var())
