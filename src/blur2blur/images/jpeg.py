"""Segments of JPEG files: metadata, and how strongly the pixels were compressed (ITU-T T.81)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

from blur2blur.images import exif
from blur2blur.images.metadata import CREDENTIALS_LEFT_OUT, Metadata, photoshop_of

XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\x00"
_EXTENDED_XMP_PREFIX = b"http://ns.adobe.com/xmp/extension/\x00"
_PHOTOSHOP_PREFIX = b"Photoshop 3.0\x00"
_ICC_PREFIX = b"ICC_PROFILE\x00"
_PICTURES_PREFIX = b"MPF\x00"
_CREDENTIALS_PREFIX = b"JP"
_GAIN_MAP_WORDS = (b"urn:iso:std:iso:ts:21496", b"hdrgm:Version", b"HDRGainMap")
MOST_SEGMENT_BYTES = 65533
_APP0, _APP1, _APP2, _APP11, _APP13 = 0xE0, 0xE1, 0xE2, 0xEB, 0xED
_COMMENT, _TABLES, _SCAN, _END = 0xFE, 0xDB, 0xDA, 0xD9
_METADATA = frozenset({_APP1, _APP2, _APP11, _APP13, _COMMENT})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # with codes of Huffman
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})

# A marker among compressed pixels: not a stuffed byte, a restart, or a filling byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MOTION = re.compile(rb"(Camera:(?:MotionPhoto|MicroVideo)(?:=[\"']|>)\s*)1")
_NO_TRAILER_BYTES = 64

# Eight bytes of pixels that no code begins with. Behind whole pixels a decoder looks ahead at them;
# where pixels are missing they run out, and it asks for more instead of painting the rest grey.
_INSTEAD_OF_END = b"\xff\x00" * 8

# Luminance table of ITU-T T.81, annex K.1, in zigzag order: its sum is all that is needed.
_STANDARD_LUMINANCE_SUM = 3688


@dataclass(slots=True)
class Segments:
    """What the segments before the first scan hold.

    Attributes:
        pixels: the file without metadata, of which decoders would read what they need not; empty
            where only the header was asked for.
        height, width: size as it lies in the file; 0 where it is not told.
        trailer: what stands behind the pixels.
        lacks_scans: not all that a pixel is made of was there before the end.
    """

    pixels: bytes = b""
    height: int = 0
    width: int = 0
    exif: bytes | None = None
    icc_parts: dict[int, bytes] = field(default_factory=dict[int, bytes])
    xmp: bytes | None = None
    xmp_extended: list[bytes] = field(default_factory=list[bytes])
    photoshop: bytes = b""
    comments: list[bytes] = field(default_factory=list[bytes])
    dpi: tuple[float, float] | None = None
    luminance_sum: int = 0
    more_pictures: bool = False
    gain_map: bool = False
    credentials: bool = False
    trailer: bytes = b""
    lacks_scans: bool = False

    @property
    def icc_profile(self) -> bytes | None:
        """The profile, put together from its parts."""
        return b"".join(part for _, part in sorted(self.icc_parts.items())) or None

    @property
    def quality(self) -> int | None:
        """Quality, 1 to 100, at which libjpeg's tables are as coarse on average."""
        if not self.luminance_sum:
            return None
        scale = 100 * self.luminance_sum / _STANDARD_LUMINANCE_SUM
        quality = 100 - scale / 2 if scale <= 100 else 5000 / scale
        return max(1, min(100, round(quality)))

    def metadata(self) -> Metadata:
        """Return what is neither EXIF nor profile."""
        return Metadata(
            xmp=_MOTION.sub(rb"\g<1>0", self.xmp) if self.xmp else None,
            xmp_extended=tuple(self.xmp_extended),
            photoshop=self.photoshop or None,
            dpi=self.dpi,
            comments=tuple(self.comments),
        )

    def notes(self) -> tuple[str, ...]:
        """Say what is not carried over."""
        notes: list[str] = []
        if self.gain_map:
            notes.append("its gain map (HDR) was left out: the result shows the standard range")
        elif self.more_pictures:
            notes.append("only the first of its pictures was read")
        if b"ftyp" in self.trailer:
            notes.append("its clip (of a motion photo) was left out")
        elif len(self.trailer) > _NO_TRAILER_BYTES and not notes:
            notes.append(f"{len(self.trailer)} bytes behind its pixels were left out")
        if self.credentials:
            notes.append(CREDENTIALS_LEFT_OUT)
        if self.lacks_scans:
            notes.append("its last scans are missing (cut short?): it shows less than it had")
        return tuple(notes)


def read_segments(data: bytes | mmap, *, with_pixels: bool = True) -> Segments:
    """Read the segments before the pixels; what is cut off or unknown is passed over.

    Of pixels that are cut short the end marker, if any, is taken away, so that decoders notice.
    """
    found = Segments()
    kept, place = [data[:2]], 2
    frame_marker, frame = 0, b""
    for marker, content, start in _segments(data):
        if marker in _METADATA:
            kept.append(data[place:start])
            place = start + 4 + len(content)
        _READERS.get(marker, _pass_over)(content, found)
        if marker in _FRAMES and len(content) >= 5:
            found.height, found.width = struct.unpack_from(">HH", content, 1)
            frame_marker, frame = marker, content
    if with_pixels:
        end, scans = _end_of_pixels(data, place)
        found.lacks_scans = _lacks_scans(frame, scans)
        pixels = data[place:end]
        if frame_marker in _SEQUENTIAL and len(scans) == 1 and not found.lacks_scans:
            pixels = pixels.removesuffix(bytes([0xFF, _END])) + _INSTEAD_OF_END
        found.pixels = b"".join([*kept, pixels])
        found.trailer = data[end:].strip(b"\x00")
    return found


def _end_of_pixels(data: bytes | mmap, place: int) -> tuple[int, list[bytes]]:
    """Return where the marker of the end was passed, and the headers of the scans before it.

    Args:
        data: the file.
        place: start of a segment, from which on is searched.
    """
    scans: list[bytes] = []
    while found := _MARKER.search(data, place):
        marker, place = data[found.start() + 1], found.end()
        if marker == _END:
            return place, scans
        if marker not in _WITHOUT_LENGTH and place + 2 <= len(data):
            length = max(2, int.from_bytes(data[place : place + 2], "big"))
            if marker == _SCAN:
                scans.append(data[place + 2 : place + length])
            place += length
    return len(data), scans


def _lacks_scans(frame: bytes, scans: list[bytes]) -> bool:
    """Tell whether some bits of some coefficient are in no scan (ITU-T T.81, B.2.3 and G.1.1.1)."""
    missing = {(channel, at) for channel in frame[6::3] for at in range(64)}
    for scan in scans:
        channels = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
        if len(scan) >= 4 + 2 * len(channels) and scan[-1] & 15 == 0:
            held = range(scan[-3], scan[-2] + 1)
            missing -= {(channel, at) for channel in channels for at in held}
    return bool(missing)


def _pass_over(content: bytes, found: Segments) -> None:
    pass


def _read_app0(content: bytes, found: Segments) -> None:
    if content.startswith(b"JFIF\x00") and len(content) >= 12:
        unit, across, down = struct.unpack_from(">BHH", content, 7)
        per_inch = {1: 1.0, 2: 2.54}.get(unit)
        if per_inch and across and down:
            found.dpi = across * per_inch, down * per_inch


def _read_app1(content: bytes, found: Segments) -> None:
    if content.startswith(exif.PREFIX):
        found.exif = found.exif or exif.strip_prefix(content) or None
    elif content.startswith(XMP_PREFIX):
        found.xmp = found.xmp or content[len(XMP_PREFIX) :]
        found.gain_map |= any(word in content for word in _GAIN_MAP_WORDS)
    elif content.startswith(_EXTENDED_XMP_PREFIX):
        found.xmp_extended.append(content)


def _read_app2(content: bytes, found: Segments) -> None:
    if content.startswith(_ICC_PREFIX) and len(content) > 14:
        found.icc_parts.setdefault(content[12], content[14:])
    found.more_pictures |= content.startswith(_PICTURES_PREFIX)
    found.gain_map |= any(word in content for word in _GAIN_MAP_WORDS)


def _read_app11(content: bytes, found: Segments) -> None:
    found.credentials |= content.startswith(_CREDENTIALS_PREFIX)


def _read_app13(content: bytes, found: Segments) -> None:
    if content.startswith(_PHOTOSHOP_PREFIX):
        found.photoshop += content[len(_PHOTOSHOP_PREFIX) :]


def _read_comment(content: bytes, found: Segments) -> None:
    found.comments.append(content)


def _read_tables(content: bytes, found: Segments) -> None:
    found.luminance_sum = found.luminance_sum or _sum_of_table_0(content)


_READERS = {
    _APP0: _read_app0,
    _APP1: _read_app1,
    _APP2: _read_app2,
    _APP11: _read_app11,
    _APP13: _read_app13,
    _COMMENT: _read_comment,
    _TABLES: _read_tables,
}


def _segments(data: bytes | mmap) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and start of each segment before the first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _SCAN:
            return
        if marker == 0xFF:  # a filling byte
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            (length,) = struct.unpack_from(">H", data, place + 2)
            yield marker, data[place + 4 : place + 2 + length], place
            place += 2 + max(2, length)


def _sum_of_table_0(content: bytes) -> int:
    """Return the sum of the quantisation table of brightness; 0 where it is not in the segment."""
    place = 0
    while place < len(content):
        size = 2 if content[place] >> 4 else 1
        table = content[place + 1 : place + 1 + 64 * size]
        if content[place] & 15 == 0 and len(table) == 64 * size:
            return sum(struct.unpack(f">64{'H' if size == 2 else 'B'}", table))
        place += 1 + 64 * size
    return 0


def metadata_segments(
    exif_block: bytes | None, metadata: Metadata
) -> tuple[bytes, tuple[str, ...]]:
    """Return segments of EXIF, XMP, IPTC and comments to put into a file, and what did not fit."""
    segments, notes = b"", ()
    if exif_block and len(exif_block) + len(exif.PREFIX) > MOST_SEGMENT_BYTES:
        exif_block = exif.without_maker_note(exif_block)
        notes += ("EXIF was written without the maker's note: JPEG holds 64 kB of it",)
    if exif_block and len(exif_block) + len(exif.PREFIX) <= MOST_SEGMENT_BYTES:
        segments += _segment(_APP1, exif.PREFIX + exif_block)
    elif exif_block:
        notes += ("EXIF was left out: JPEG holds 64 kB of it",)
    if metadata.xmp and holds_xmp(metadata.xmp):
        segments += _segment(_APP1, XMP_PREFIX + metadata.xmp)
        segments += b"".join(_segment(_APP1, content) for content in metadata.xmp_extended)
    elif metadata.xmp:
        notes += ("XMP was left out: JPEG holds 64 kB of it",)
    resources = photoshop_of(metadata) or b""
    part_bytes = MOST_SEGMENT_BYTES - len(_PHOTOSHOP_PREFIX)
    for place in range(0, len(resources), part_bytes):
        segments += _segment(_APP13, _PHOTOSHOP_PREFIX + resources[place : place + part_bytes])
    for comment in metadata.comments:
        segments += _segment(_COMMENT, comment[:MOST_SEGMENT_BYTES])
    return segments, notes


def holds_xmp(xmp: bytes) -> bool:
    """Tell whether a packet fits into one segment."""
    return len(xmp) + len(XMP_PREFIX) <= MOST_SEGMENT_BYTES


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
