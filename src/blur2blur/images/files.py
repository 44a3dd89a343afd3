"""The only place that reads, writes and converts pixels.

Read: JPEG, PNG and TIFF of 8 or 16 bits, BMP, WebP; colour, grey, with or without alpha, palette,
one bit, CMYK (converted to RGB, its profile dropped). The content decides, not the suffix. Of
several pages in a TIFF, or pictures in a JPEG, the first is the photograph; animations (PNG, WebP)
are refused, and so are floating-point pixels, whose range no file states.
"""

import io
import os
import struct
import threading
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from blur2blur.errors import DataError, InputError
from blur2blur.files import atomic_path
from blur2blur.images import deep, exif
from blur2blur.images.raster import (
    BAND_ROWS,
    SUFFIXES,
    Photograph,
    Raster,
    to_photograph,
    to_raster,
)

MAX_PIXELS = 500_000_000

_KINDS = "JPEG, PNG, TIFF, BMP, WebP"
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
_MAX_JPEG_EXIF = 65533 - len(exif.EXIF_PREFIX)
# All that decoders have been seen to raise on damaged files.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    cv2.error,
)
_UNSUPPORTED_MODES = {"F": "floating-point values", "I": "32-bit values", "LAB": "Lab colour"}
_open_lock = threading.Lock()


def read(path: Path) -> Photograph:
    """Read one photograph with its metadata. Raises InputError as `decode`."""
    return to_photograph(decode(path))


def decode(path: Path) -> Raster:
    """Read the numbers of one file, turned upright.

    Raises:
        InputError: missing, empty, no image, damaged, cut short, animated, floating-point, or of
            more than MAX_PIXELS pixels (found in the header, before decoding).
    """
    _refuse_missing(path)
    with _explained(path):
        data = path.read_bytes()
        with _open(path, io.BytesIO(data)) as image:
            tiff = image.format == "TIFF"
            is_deep = deep.is_deep(image)
            # a TIFF's tags before loading, which turns it upright; a PNG's may stand after pixels
            exif_block = _exif_block(image) if tiff else None
            image.load()  # also when deep: it sees damage that OpenCV passes over
            exif_block = exif_block if tiff else _exif_block(image)
            profile: bytes | None = image.info.get("icc_profile")
            values: NDArray[np.uint8] | NDArray[np.uint16]
            if is_deep:
                grey = image.mode in ("LA", "L") or image.mode.startswith("I;16")
                values = deep.decode(data, grey=grey)
            else:
                values = _values_uint8(image)
    if exif_block:
        values = values if tiff and not is_deep else _turn(values, exif.orientation_of(exif_block))
        exif_block = exif.upright(exif_block)
    profile = exif.fitting_profile(profile, grey=values.shape[2] < 3)
    return Raster(values=values, exif=exif_block, icc_profile=profile)


def read_rgb(path: Path) -> NDArray[np.float32]:
    """Read float32 `H W 3`, sRGB in [0, 1], upright; alpha ignored. Raises InputError as `read`."""
    return read(path).pixels


def read_rgb_uint8(path: Path) -> NDArray[np.uint8]:
    """Read uint8 `H W 3`, sRGB, upright; 16 bits are rounded. Raises InputError as `read`."""
    values = decode(path).values
    if values.dtype == np.uint16:
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    colour = values[..., :1].repeat(3, axis=2) if values.shape[2] < 3 else values[..., :3]
    return np.ascontiguousarray(colour, dtype=np.uint8)


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of the upright photograph from its header alone.

    Raises:
        InputError: as `read`, except for damage behind the header.
    """
    width, height, exif_block, tiff = _read_header(path)
    turned = exif_block is not None and not tiff and exif.orientation_of(exif_block) >= 5
    return (width, height) if turned else (height, width)


def read_time_taken(path: Path) -> datetime | None:
    """Return when the shutter was pressed (EXIF DateTimeOriginal, the camera's local time).

    None where the file does not say. Raises InputError as `read_size`.
    """
    exif_block = _read_header(path)[2]
    return exif.time_taken(exif_block) if exif_block else None


def _read_header(path: Path) -> tuple[int, int, bytes | None, bool]:
    """Return width, height, EXIF block, and whether it is a TIFF, whose size is upright already."""
    _refuse_missing(path)
    with _explained(path), path.open("rb") as file, _open(path, file) as image:
        exif_block = _exif_block(image)
        if exif_block is None and image.format == "PNG":
            exif_block = exif.exif_after_pixels(file)
        return *image.size, exif_block, image.format == "TIFF"


def write(path: Path, photograph: Photograph) -> None:
    """Write a photograph whole or not at all; the suffix chooses the format.

    Raises:
        InputError: as `to_raster` and `encode`.
    """
    encode(path, to_raster(path, photograph))


def encode(path: Path, raster: Raster) -> None:
    """Write what `to_raster` made for this path, whole or not at all.

    EXIF and ICC profile are kept in all formats but BMP. JPEG and WebP are written at quality 95,
    JPEG without colour subsampling.

    Raises:
        InputError: a size that the format cannot hold, a full disk or a folder that cannot be
            written.
    """
    with _explained(path, "cannot be encoded"):
        data = _encode(path.suffix.lower(), raster)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_rgb(path: Path, pixels: NDArray[np.float32]) -> None:
    """Write float32 `H W 3`, sRGB in [0, 1], at 8 bits per channel. Raises as `write`."""
    write(path, Photograph(pixels=pixels))


def find_images(folder: Path) -> list[Path]:
    """Return the images in a folder and the folders in it, sorted by path, hidden ones left out.

    Raises:
        DataError: the folder is missing, is a file, or cannot be listed.
    """
    if not folder.exists():
        raise DataError(f"no folder {folder}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; a folder of photographs is needed")
    try:
        return sorted(_walk(folder))
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror or error}") from error


def _walk(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)


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


@contextmanager
def _explained(
    path: Path, problem: str = "cannot be read (damaged or cut short?)"
) -> Generator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image of a known kind ({_KINDS})") from error
    except _DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} {problem}: {reason}") from error


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        raise InputError(f"no file {path}")
    if not path.is_file():
        raise InputError(f"{path} is not a file; an image file is needed here")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (zero bytes)")


def _open(path: Path, file: BinaryIO) -> Image.Image:
    """Read the header and refuse what `read` refuses."""
    # Pillow's own limit (89 megapixels, warned about) is below today's panoramas, and global
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{path} says it is {width}x{height}; the limit is {MAX_PIXELS} pixels")
    if width * height == 0:
        raise InputError(f"{path} says it is {width}x{height}: it holds no pixels")
    if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
        raise InputError(f"{path} is an animation; save its frames as single images")
    layout = _UNSUPPORTED_MODES.get(image.mode)
    if layout is None and deep.is_deep(image):
        layout = deep.unsupported(image)
    if layout is not None:
        raise InputError(f"{path} holds {layout}; save it as RGB with 8 or 16 bits per channel")
    return image


def _exif_block(image: Image.Image) -> bytes | None:
    if image.format == "TIFF":
        return exif.from_tiff(image.getexif())
    exif_block: bytes | None = image.info.get("exif")
    return exif.strip_prefix(exif_block) or None if exif_block else None


def _values_uint8(image: Image.Image) -> NDArray[np.uint8]:
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")
    if image.mode == "1":
        image = image.convert("L")
    image = image if image.mode == mode else image.convert(mode)
    width, height = image.size
    values = np.empty((height, width, len(mode)), np.uint8)
    for top in range(0, height, BAND_ROWS):  # Pillow copies what it hands over, twice
        band = image.crop((0, top, width, min(top + BAND_ROWS, height)))
        values[top : top + BAND_ROWS] = np.asarray(band).reshape(-1, width, len(mode))
    return values


def _turn(
    values: NDArray[np.uint8] | NDArray[np.uint16], orientation: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Undo an EXIF orientation: 2 to 4 are flips, 5 to 8 the same after swapping the axes."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _encode(suffix: str, raster: Raster) -> bytes:
    values, exif_block = raster.values, raster.exif
    profile = exif.fitting_profile(raster.icc_profile, grey=values.shape[2] < 3)
    if suffix in (".tif", ".tiff"):
        return deep.encode_tiff(values, exif_block=exif_block, icc_profile=profile)
    if values.dtype == np.uint16:
        return deep.encode_png(values.astype(np.uint16), exif_block=exif_block, icc_profile=profile)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    file = io.BytesIO()
    if suffix == ".png":
        image.save(file, "PNG", exif=exif_block or b"", icc_profile=profile, compress_level=4)
    elif suffix == ".webp":
        image.save(file, "WEBP", exif=exif_block or b"", icc_profile=profile or b"", quality=95)
    elif suffix == ".bmp":
        image.save(file, "BMP")
    else:
        kept = exif_block if exif_block and len(exif_block) <= _MAX_JPEG_EXIF else b""
        prefix = exif.EXIF_PREFIX if kept else b""
        image.save(file, "JPEG", quality=95, subsampling=0, exif=prefix + kept, icc_profile=profile)
    return file.getvalue()
