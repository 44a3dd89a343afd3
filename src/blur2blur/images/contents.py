"""What a file shows, by its first bytes: a picture, an animation, or a clip."""

import os
import struct
from io import FileIO
from pathlib import Path
from typing import Literal

from blur2blur.images import decoding
from blur2blur.images.kinds import Kind, kind_of
from blur2blur.images.png import SIGNATURE

Contents = Literal["picture", "animation", "clip"]

_CLIP_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"FLV\x01",
)
_QUICKTIME_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide"})
_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
# of transport streams, without and with the time stamps of camcorders: size, place of the mark
_PACKETS = ((188, 0), (192, 4))
_START_BYTES = 3 * 192


def contents_of(path: Path) -> Contents | None:
    """Return what a file shows; None where it is empty, of no known kind or cannot be read.

    Little more than its header is read, so that many files can be asked.
    """
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(_START_BYTES) or b""
            if start.startswith(_TIFF_STARTS):
                return "picture"
            kind = kind_of(start)
            if kind is None:
                return "clip" if _is_clip(start) else None
            return "animation" if _is_animation(file, start, kind) else "picture"
    except Exception:  # noqa: BLE001 (what is wrong with a file is told when it is decoded)
        return None


def _is_animation(file: FileIO, start: bytes, kind: Kind) -> bool:
    if kind == "PNG":
        return _is_animated_png(file)
    if kind == "WebP":
        return start[12:16] == b"VP8X" and bool(start[20] & 2)
    if kind == "AVIF":
        return start[8:12] == b"avis"
    return kind == "GIF" and decoding.is_animation(start + file.read(), kind)


def _is_animated_png(file: FileIO) -> bool:
    """Tell whether there is more than one frame; that stands before the pixels."""
    file.seek(len(SIGNATURE))
    while len(header := file.read(12)) == 12:
        length, kind = struct.unpack_from(">I4s", header)
        if kind == b"acTL":
            return header[8:] not in (bytes(4), b"\x00\x00\x00\x01")
        if kind == b"IDAT":
            return False
        file.seek(length, os.SEEK_CUR)
    return False


def _is_clip(start: bytes) -> bool:
    if start.startswith(_CLIP_STARTS) or start[4:8] in _QUICKTIME_BOXES:
        return True
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return True
    return any(start[place::size][:3] == b"GGG" for size, place in _PACKETS)
