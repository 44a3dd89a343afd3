"""PNG of 16 bits per channel, which Pillow holds for grey only (PNG, third edition, W3C 2025)."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blur2blur.images.limits import refuse_size
from blur2blur.images.png import SIGNATURE, chunk

_GREY, _RGB, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6
_TYPE_OF_CHANNELS = {1: _GREY, 2: _GREY_ALPHA, 3: _RGB, 4: _RGB_ALPHA}
# kinds of 8 bits whose pixels have as many bytes
_SAME_BYTES = {_GREY: _GREY_ALPHA, _GREY_ALPHA: _RGB_ALPHA}
_HEADER_AT, _HEADER_END, _BIT_DEPTH_AT, _TYPE_AT = 16, 33, 24, 25
_BAND_ROWS = 256
_PAETH = 4


def decode(data: bytes, key: bytes | None) -> NDArray[np.uint16]:
    """Return `H W C`, 16 bits, in the order (grey|RGB)[alpha].

    Args:
        data: the file; of its chunks only those of the pixels.
        key: content of tRNS: one colour that is clear.

    Raises:
        InputError: too many pixels.
        Exception: whatever Pillow raises on damage.
    """
    if len(data) < _HEADER_END:
        raise ValueError("it ends in its header")
    width, height = struct.unpack_from(">II", data, _HEADER_AT)
    colour_type = data[_TYPE_AT]
    refuse_size(height, width, data_bytes=len(data), bits=16)
    if colour_type in _SAME_BYTES:
        header = data[_HEADER_AT:_BIT_DEPTH_AT] + bytes([8, _SAME_BYTES[colour_type]])
        header += data[_TYPE_AT + 1 : _HEADER_AT + 13]
        halves = _opened(SIGNATURE + chunk(b"IHDR", header) + data[_HEADER_END:], None)
        high, low = halves[..., ::2], halves[..., 1::2]
    else:
        # Pillow keeps the higher byte of each value; told of the other order, the lower one
        high, low = _opened(data, "16B"), _opened(data, "16L")
    values = high.astype(np.uint16)
    values <<= 8
    values |= low
    colours = values.shape[2]
    if key is not None and len(key) == 2 * colours:
        clear = np.frombuffer(key, ">u2").astype(np.uint16)
        seen = (values != clear).any(axis=2, keepdims=True)
        values = np.concatenate([values, seen * np.uint16(65535)], axis=2)
    return values


def _opened(data: bytes, order: str | None) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        if order is not None:
            tiles: Any = image.tile  # pyright: ignore[reportAttributeAccessIssue]
            told: Any = [tile._replace(args=tile.args.replace("16B", order)) for tile in tiles]
            image.tile = told  # pyright: ignore[reportAttributeAccessIssue]
        return np.asarray(image, np.uint8)


def encode(values: NDArray[np.uint16]) -> bytes:
    """Return a PNG file of `H W C`, 16 bits, C = 1 to 4."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _TYPE_OF_CHANNELS[channels], 0, 0, 0)
    packer = zlib.compressobj(4)
    packed: list[bytes] = []
    above = np.zeros((1, width, 2 * channels), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        rows = values[top : top + _BAND_ROWS].astype(">u2").view(np.uint8)
        rows = rows.reshape(-1, width, 2 * channels)
        packed.append(packer.compress(_filtered(rows, above).tobytes()))
        above = rows[-1:]
    packed.append(packer.flush())
    pixels = chunk(b"IDAT", b"".join(packed))
    return SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return bytes `H W B` as differences to the nearest of three neighbours, by row (9.4)."""
    height, width, _ = rows.shape
    up = np.concatenate([above, rows[:-1]]).astype(np.int16)
    left, corner = np.zeros_like(up), np.zeros_like(up)
    left[:, 1:], corner[:, 1:] = rows[:, :-1], up[:, :-1]
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    nearest = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
    made = np.full((height, 1 + width * rows.shape[2]), _PAETH, np.uint8)
    made[:, 1:] = (rows - nearest).astype(np.uint8).reshape(height, -1)
    return made
