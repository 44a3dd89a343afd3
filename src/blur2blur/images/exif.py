"""EXIF blocks: what a camera says of a photograph (JEITA CP-3451)."""

import struct
from datetime import datetime
from mmap import mmap
from typing import Any

from blur2blur.images import ifd
from blur2blur.images.ifd import Entry, Header

ORIENTATION = 0x0112
PREFIX = b"Exif\x00\x00"
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY = 0x8769, 0x8825, 0xA005
MAKER_NOTE = 0x927C

_TIMES_TAKEN = (0x9003, 0x9004)
# Tags of a TIFF file that say how its pixels lie in it, or that are carried by other means (XMP,
# IPTC, Photoshop's blocks, ICC profile): wrong or double in another file.
_LAYOUT_TAGS = frozenset(
    {*range(254, 259), 259, 262, 263, 266, 273, 277, 278, 279, *range(280, 282), 284, 292, 293}
    | {297, 317, 318, 319, 320, *range(322, 326), 330, 332, *range(338, 348), *range(512, 522)}
    | {529, 530, 531, 532, 700, 32997, 32998, 33421, 33422, 33723, 34377, 34675, 37724}
)
_FIRST_DNG_TAG = 50700


def strip_prefix(block: bytes) -> bytes:
    """Return the EXIF block without the marker that JPEG puts before it."""
    while block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    return block


def exif_of(info: dict[Any, Any]) -> bytes | None:
    """Return the block in what Pillow, or a library in its manner, tells of an image."""
    block = info.get("exif")
    return strip_prefix(block) or None if isinstance(block, bytes) else None


def main_directory(stream: bytes | mmap) -> tuple[Header, dict[int, Entry]]:
    """Return header and main directory. Raises ValueError where it is no TIFF stream."""
    header = ifd.read_header(stream)
    return header, ifd.read_directory(stream, header, header.first)


def orientation_of(stream: bytes | mmap) -> int:
    """Return the orientation that a block or a TIFF file states, 1 to 8; 1 where it states none."""
    try:
        header, entries = main_directory(stream)
    except ValueError:
        return 1
    value = ifd.integer(entries.get(ORIENTATION), header)
    return value if value is not None and 1 <= value <= 8 else 1


def upright(block: bytes, *, height: int, width: int) -> bytes:
    """Return the block for pixels that have been turned upright.

    Orientation becomes 1, sizes those of the pixels, and the thumbnail is unlinked: it shows the
    photograph before it was changed or turned. The block is patched in place and keeps its length,
    because makers' notes hold absolute offsets. One that is no TIFF stream comes back as it is.
    """
    try:
        header, entries = main_directory(block)
    except ValueError:
        return block
    patched = bytearray(block)
    inner = sub_directory(block, header, entries, EXIF_DIRECTORY)
    changes = [(entries, ORIENTATION, 1), (entries, 0x0100, width), (entries, 0x0101, height)]
    changes += [(inner, 0xA002, width), (inner, 0xA003, height)]
    for directory, tag, value in changes:
        entry = directory.get(tag)
        content = None if entry is None else ifd.with_integer(entry, header, value)
        if entry is not None and content is not None:
            patched[entry.offset : entry.offset + len(content)] = content
    link = ifd.link_offset(block, header, header.first)
    if link is not None:
        patched[link : link + 4] = bytes(4)
    return bytes(patched)


def sub_directory(
    stream: bytes | mmap, header: Header, entries: dict[int, Entry], tag: int
) -> dict[int, Entry]:
    """Return the directory that an entry points to; empty where there is none."""
    offset = ifd.integer(entries.get(tag), header)
    return ifd.read_directory(stream, header, offset) if offset else {}


def from_tiff(stream: bytes | mmap) -> bytes | None:
    """Return an EXIF block of what a TIFF or camera RAW file says of its photograph.

    None where it says nothing, or is no TIFF stream.
    """
    try:
        header, entries = main_directory(stream)
    except ValueError:
        return None
    kept = {
        tag: entry
        for tag, entry in entries.items()
        if tag not in _LAYOUT_TAGS and tag < _FIRST_DNG_TAG and entry.kind <= 13
    }
    inner = {
        tag: sub_directory(stream, header, entries, tag) for tag in (EXIF_DIRECTORY, GPS_DIRECTORY)
    }
    interoperability = sub_directory(
        stream, header, inner[EXIF_DIRECTORY], INTEROPERABILITY_DIRECTORY
    )
    return _written(header, kept, inner, interoperability) if kept else None


def without_maker_note(block: bytes) -> bytes | None:
    """Return the block without its maker's note, often its largest part; None as `from_tiff`."""
    try:
        header, entries = main_directory(block)
    except ValueError:
        return None
    inner = {
        tag: sub_directory(block, header, entries, tag) for tag in (EXIF_DIRECTORY, GPS_DIRECTORY)
    }
    inner[EXIF_DIRECTORY].pop(MAKER_NOTE, None)
    return _written(header, entries, inner, {})


def _written(
    header: Header,
    entries: dict[int, Entry],
    inner: dict[int, dict[int, Entry]],
    interoperability: dict[int, Entry],
) -> bytes:
    classic = Header(header.order, False, 8)
    main = {tag: entry for tag, entry in entries.items() if tag not in inner}
    directories = {tag: dict(content) for tag, content in inner.items() if content}
    body = struct.pack(f"{classic.order}2sHI", b"MM" if classic.order == ">" else b"II", 42, 8)
    pointer = ifd.new_entry(classic, 4, 0)
    size = len(ifd.write_directory(main | dict.fromkeys(directories, pointer), classic, 0))
    offset = len(body) + size
    tail = b""
    if EXIF_DIRECTORY in directories:
        directories[EXIF_DIRECTORY].pop(INTEROPERABILITY_DIRECTORY, None)
    if interoperability and EXIF_DIRECTORY in directories:
        tail = ifd.write_directory(interoperability, classic, offset)
        directories[EXIF_DIRECTORY][INTEROPERABILITY_DIRECTORY] = ifd.new_entry(classic, 4, offset)
    for tag, directory in directories.items():
        place = offset + len(tail)
        main[tag] = ifd.new_entry(classic, 4, place)
        tail += ifd.write_directory(directory, classic, place)
    return body + ifd.write_directory(main, classic, len(body)) + tail


def time_taken(block: bytes | mmap) -> datetime | None:
    """Return DateTimeOriginal, else DateTimeDigitized; None where absent or unset."""
    try:
        header, entries = main_directory(block)
    except ValueError:
        return None
    inner = sub_directory(block, header, entries, EXIF_DIRECTORY)
    for tag in _TIMES_TAKEN:
        try:
            text = inner[tag].content[:19].decode("ascii")
            return datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
        except (KeyError, ValueError):
            continue
    return None
