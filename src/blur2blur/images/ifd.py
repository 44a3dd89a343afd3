"""Directories of TIFF streams, entry by entry; an EXIF block is such a stream (TIFF 6.0, BigTIFF).

Values stay the bytes they are, in the stream's byte order: what is not understood is not changed.
"""

import struct
from dataclasses import dataclass
from mmap import mmap

ENTRY_BYTES = 12
_MOST_ENTRIES = 4096
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BIG_TYPE_BYTES = _TYPE_BYTES | {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory.

    Attributes:
        kind: the TIFF type of its values: 2 is text, 3 a short, 4 a long...
        count: how many values there are.
        content: their bytes.
        offset: where they lie in the stream.
    """

    kind: int
    count: int
    content: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """Byte order as `struct` writes it, whether offsets have 64 bits, and the main directory."""

    order: str
    big: bool
    first: int


def read_header(stream: bytes | mmap) -> Header:
    """Read a stream's header. Raises ValueError where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(stream[:2]))
    if order is None or len(stream) < 8:
        raise ValueError("not a TIFF stream")
    (version,) = struct.unpack_from(f"{order}H", stream, 2)
    if version == 43 and len(stream) >= 16:
        return Header(order, True, *struct.unpack_from(f"{order}Q", stream, 8))
    if version not in (42, 85) and bytes(stream[:4]) not in (b"IIRO", b"IIRS", b"MMOR"):
        raise ValueError("not a TIFF stream")
    return Header(order, False, *struct.unpack_from(f"{order}I", stream, 4))


def read_directory(stream: bytes | mmap, header: Header, offset: int) -> dict[int, Entry]:
    """Return the entries of a directory by tag; those that do not lie in the stream are left out.

    Of entries of one tag the first counts.
    """
    count_format, entry_format, sizes = ("Q", "HHQ", _BIG_TYPE_BYTES)
    if not header.big:
        count_format, entry_format, sizes = ("H", "HHI", _TYPE_BYTES)
    inline_bytes = 8 if header.big else 4
    start = offset + struct.calcsize("=" + count_format)
    if start > len(stream):
        return {}
    (count,) = struct.unpack_from(header.order + count_format, stream, offset)
    entries: dict[int, Entry] = {}
    step = struct.calcsize("=" + entry_format) + inline_bytes
    for place in range(start, start + min(count, _MOST_ENTRIES) * step, step):
        if place + step > len(stream):
            break
        tag, kind, values = struct.unpack_from(header.order + entry_format, stream, place)
        size = sizes.get(kind, 0) * values
        at = place + step - inline_bytes
        if size > inline_bytes:
            (at,) = struct.unpack_from(header.order + ("Q" if header.big else "I"), stream, at)
        if size and at + size <= len(stream):
            content = bytes(stream[at : at + size])
            entries.setdefault(tag, Entry(kind, values, content, at))
    return entries


def link_offset(stream: bytes, header: Header, offset: int) -> int | None:
    """Return where a classic directory says where the next one lies; None where that is cut off."""
    if header.big or offset + 2 > len(stream):
        return None
    (count,) = struct.unpack_from(f"{header.order}H", stream, offset)
    place = offset + 2 + ENTRY_BYTES * count
    return place if place + 4 <= len(stream) else None


def integer(entry: Entry | None, header: Header) -> int | None:
    """Return an entry's first value where it is a whole number, of whatever length."""
    if entry is None or entry.kind not in _INTEGERS:
        return None
    return struct.unpack_from(header.order + _INTEGERS[entry.kind], entry.content)[0]


def with_integer(entry: Entry, header: Header, value: int) -> bytes | None:
    """Return the bytes of an entry whose first value is another; None where it cannot be that."""
    if entry.kind not in _INTEGERS:
        return None
    try:
        return struct.pack(header.order + _INTEGERS[entry.kind], value)
    except struct.error:
        return None


def new_entry(header: Header, kind: int, *values: int) -> Entry:
    """Return an entry of bytes (1), shorts (3), longs (4) or rationals (5, two numbers each)."""
    letter = _INTEGERS.get(kind, "I")
    content = struct.pack(f"{header.order}{len(values)}{letter}", *values)
    return Entry(kind, len(content) // _TYPE_BYTES[kind], content, 0)


def write_directory(entries: dict[int, Entry], header: Header, offset: int) -> bytes:
    """Return a classic directory that is to stand at `offset`, its values behind it, no link."""
    table = struct.pack(f"{header.order}H", len(entries))
    values = b""
    values_at = offset + 2 + ENTRY_BYTES * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        content = entry.content
        if len(content) > 4:
            place = struct.pack(f"{header.order}I", values_at + len(values))
            values += content + b"\x00" * (len(content) % 2)
        else:
            place = content.ljust(4, b"\x00")
        table += struct.pack(f"{header.order}HHI", tag, entry.kind, entry.count) + place
    return table + bytes(4) + values
