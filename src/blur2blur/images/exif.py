"""EXIF blocks and ICC profiles: what a photograph carries beside its pixels.

An EXIF block is a small TIFF file: an 8-byte header, then directories of 12-byte entries
(JEITA CP-3451, TIFF 6.0).
"""

import struct
from datetime import datetime
from typing import Any, BinaryIO

from PIL import Image
from PIL.ExifTags import IFD

ORIENTATION = 0x0112
EXIF_PREFIX = b"Exif\x00\x00"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_DAMAGED = (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, struct.error)

# Tags of a TIFF file's main directory that describe the photograph; all others describe how its
# pixels lie in that one file and would be wrong in another.
_DESCRIPTIVE_TAGS = (
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x011A,  # XResolution
    0x011B,  # YResolution
    0x0128,  # ResolutionUnit
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x013C,  # HostComputer
    0x4746,  # Rating
    0x8298,  # Copyright
)


def strip_prefix(exif: bytes) -> bytes:
    """Return the EXIF block without the marker that JPEG puts before it."""
    while exif.startswith(EXIF_PREFIX):
        exif = exif[len(EXIF_PREFIX) :]
    return exif


def orientation_of(exif: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or the block is damaged."""
    place = _find_orientation(exif)
    if place is None:
        return 1
    (value,) = struct.unpack_from(">H" if exif.startswith(b"MM") else "<H", exif, place)
    return value if 1 <= value <= 8 else 1


def upright(exif: bytes) -> bytes:
    """Return the block for pixels that have been turned upright: orientation 1, no thumbnail.

    The block is patched in place and keeps its length, because makers' notes hold absolute
    offsets. The thumbnail is unlinked: it shows the photograph before it was changed or turned.
    """
    place = _find_orientation(exif)
    patched = bytearray(exif)
    try:
        order, first, entries = _main_directory(exif)
        if place is not None:
            struct.pack_into(f"{order}H", patched, place, 1)
        struct.pack_into(f"{order}I", patched, first + 2 + 12 * entries, 0)
    except struct.error:
        return exif
    return bytes(patched)


def _main_directory(exif: bytes) -> tuple[str, int, int]:
    """Return byte order, offset and number of entries; struct.error where there is none."""
    order = ">" if exif.startswith(b"MM") else "<"
    version, first = struct.unpack_from(f"{order}HI", exif, 2)
    if version != 42:
        raise struct.error("not a classic TIFF stream")
    (entries,) = struct.unpack_from(f"{order}H", exif, first)
    return order, first, entries


def _find_orientation(exif: bytes) -> int | None:
    """Return the offset of the orientation's value in the block."""
    try:
        order, first, entries = _main_directory(exif)
        for index in range(entries):
            entry = first + 2 + 12 * index
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == ORIENTATION and kind == 3:
                struct.unpack_from(f"{order}H", exif, entry + 8)
                return entry + 8
    except struct.error:
        return None
    return None


def description(exif: bytes) -> dict[int, Any]:
    """Return the block's descriptive tags, its sub-directories as nested dictionaries.

    Empty where the block is damaged: no photograph is lost for its metadata.
    """
    block = Image.Exif()
    try:
        block.load(exif)
        tags = _descriptive(block)
        _serialised(tags)
    except _DAMAGED:
        return {}
    return tags


def time_taken(exif: bytes) -> datetime | None:
    """Return DateTimeOriginal, else DateTimeDigitized; None where absent or unset."""
    inner = description(exif).get(IFD.Exif, {})
    for tag in (0x9003, 0x9004):
        try:
            return datetime.strptime(str(inner[tag])[:19], "%Y:%m:%d %H:%M:%S")
        except (KeyError, ValueError):
            continue
    return None


def from_tiff(block: Image.Exif) -> bytes | None:
    """Return an EXIF block of a TIFF file's descriptive tags, None where it has none.

    `block` is what Pillow read from the file's main directory.
    """
    try:
        tags = _descriptive(block)
        if ORIENTATION in block:
            tags[ORIENTATION] = block[ORIENTATION]
        return _serialised(tags) if tags else None
    except _DAMAGED:
        return None


def _serialised(tags: dict[int, Any]) -> bytes:
    block = Image.Exif()
    for tag, value in tags.items():
        block[tag] = value
    return strip_prefix(block.tobytes())


def _descriptive(block: Image.Exif) -> dict[int, Any]:
    tags: dict[int, Any] = {tag: block[tag] for tag in _DESCRIPTIVE_TAGS if tag in block}
    for directory in (IFD.Exif, IFD.GPSInfo):
        if directory in block:
            inner: dict[int, Any] = dict(block.get_ifd(directory))
            if IFD.Interop in inner:
                inner[IFD.Interop] = dict(block.get_ifd(IFD.Interop))
            if inner:
                tags[directory] = inner
    return tags


def fitting_profile(icc_profile: bytes | None, *, grey: bool) -> bytes | None:
    """Return the ICC profile unless it is made for other channels (CMYK, or grey for colour)."""
    if not icc_profile:
        return None
    space = icc_profile[16:20]
    wanted = b"GRAY" if grey else b"RGB "
    return None if space in {b"CMYK", b"GRAY", b"RGB "} - {wanted} else icc_profile


def exif_after_pixels(file: BinaryIO) -> bytes | None:
    """Return the EXIF chunk of a PNG file wherever it stands, reading chunk headers only."""
    file.seek(len(PNG_SIGNATURE))
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"eXIf":
            return file.read(length)
        file.seek(length + 4, 1)
    return None
