"""Codecs for what Pillow cannot hold: colour of 16 bits per channel, in PNG and TIFF.

OpenCV decodes both and encodes PNG; TIFF is written here, strips of deflated rows under a
directory that Pillow lays out (TIFF 6.0; Adobe deflate, horizontal predictor).
"""

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from blur2blur.images import exif

_BITS_PER_SAMPLE = 258
_STRIP_BYTES = 1 << 18
_LITTLE_ENDIAN_TIFF = b"II\x2a\x00\x08\x00\x00\x00"
_PNG_HEADER_END = 33  # signature 8, then the IHDR chunk: length 4, name 4, content 13, checksum 4


def is_deep(image: Image.Image) -> bool:
    """Tell whether an opened file, not yet loaded, holds more than 8 bits per channel."""
    if image.format == "PNG":
        tiles: Any = image.tile  # pyright: ignore[reportAttributeAccessIssue]
        return "16" in str(tiles[0].args)
    return max(_tags(image).get(_BITS_PER_SAMPLE, (1,))) > 8


def unsupported(image: Image.Image) -> str | None:
    """Say what in the layout of a deep file OpenCV would read wrongly or not at all."""
    if image.format == "PNG":
        return None
    tags = _tags(image)
    if set(tags[_BITS_PER_SAMPLE]) != {16} or set(tags.get(339, (1,))) != {1}:
        return "channels that are not unsigned integers of 8 or 16 bits"
    if tags.get(284, 1) != 1:
        return "16-bit colour planes stored apart"
    if tags.get(262, 1) not in (1, 2):
        return "16-bit channels other than RGB or grey with black at zero"
    if 1 in tags.get(338, ()):
        return "16-bit colour multiplied by its alpha"
    return None


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return getattr(image, "tag_v2", {})


def decode(data: bytes, *, grey: bool) -> NDArray[np.uint16]:
    """Return the pixels of a 16-bit PNG or TIFF file, `H W C`, in the order (grey|RGB)[alpha].

    They come as they lie in the file, not turned upright.

    Raises:
        ValueError: the channels do not come out as 16 bits.
    """
    if data[:4] in (b"II\x2b\x00", b"MM\x00\x2b"):
        raise ValueError("16-bit BigTIFF is not supported")
    if not data.startswith(exif.PNG_SIGNATURE):
        data = exif.upright(data)  # some versions of OpenCV turn a TIFF, some do not
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    # OpenCV's stubs leave out that a damaged file gives None
    if decoded is None or decoded.dtype != np.uint16:  # pyright: ignore[reportUnnecessaryComparison]
        raise ValueError("its channels do not come out as 16 bits")
    pixels: NDArray[np.uint16] = decoded.astype(np.uint16, copy=False)
    if pixels.ndim == 2:
        return pixels[..., np.newaxis]
    colour = [0] if grey else [2, 1, 0]
    return pixels[..., [*colour, *range(3, pixels.shape[2])]]


def encode_png(
    pixels: NDArray[np.uint16], *, exif_block: bytes | None, icc_profile: bytes | None
) -> bytes:
    """Return a 16-bit PNG file of `H W C` pixels, C = 1 (grey), 3 or 4."""
    order = [0] if pixels.shape[2] == 1 else [2, 1, 0, *range(3, pixels.shape[2])]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels[..., order]))
    data = encoded.tobytes()
    chunks = b""
    if icc_profile:
        chunks += _png_chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc_profile))
    if exif_block:
        chunks += _png_chunk(b"eXIf", exif_block)
    return data[:_PNG_HEADER_END] + chunks + data[_PNG_HEADER_END:]


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def encode_tiff(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    exif_block: bytes | None,
    icc_profile: bytes | None,
) -> bytes:
    """Return a TIFF file of `H W C` pixels, C = 1 (grey), 2 (grey, alpha), 3 or 4."""
    height, width, channels = pixels.shape
    rows = max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))
    strips = [_deflate(pixels[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    tags: dict[int, Any] = exif.description(exif_block) if exif_block else {}
    tags |= {
        256: width,
        257: height,
        _BITS_PER_SAMPLE: (8 * pixels.itemsize,) * channels,
        259: 8,  # compression: Adobe deflate
        262: 1 if channels < 3 else 2,  # black is zero, or RGB
        273: tuple(int(offset) for offset in np.cumsum([0, *sizes[:-1]])),
        277: channels,
        278: rows,
        279: tuple(sizes),
        284: 1,  # channels side by side
        317: 2,  # predictor: difference to the pixel on the left
        exif.ORIENTATION: 1,
    }
    if channels in (2, 4):
        tags[338] = 2  # extra sample: alpha, not multiplied into the colour
    if icc_profile:
        tags[34675] = icc_profile
    directory = ImageFileDirectory_v2(_LITTLE_ENDIAN_TIFF)
    for tag, value in tags.items():
        directory[tag] = value
    file = io.BytesIO()
    directory.save(file)
    for strip in strips:
        file.write(strip)
    return file.getvalue()


def _deflate(rows: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(f"<u{rows.itemsize}").tobytes(), 6)
