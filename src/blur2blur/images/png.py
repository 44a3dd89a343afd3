"""Chunks of PNG files: pixels for the decoders, and metadata (PNG, third edition, W3C 2025)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

from blur2blur.images import icc
from blur2blur.images.metadata import CREDENTIALS_LEFT_OUT, Metadata

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp\x00"
_TEXT_KINDS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_COLOUR_KINDS = frozenset({b"gAMA", b"cHRM", b"cICP", b"sRGB", b"mDCV", b"cLLI"})
_PIXEL_KINDS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MOST_UNPACKED_BYTES = 1 << 26
_HEADER_END = 33  # signature 8, then the IHDR chunk: length 4, name 4, content 13, checksum 4
_BIT_DEPTH_AT = 24
_METRES_PER_INCH = 0.0254


@dataclass(slots=True)
class Chunks:
    """What the chunks of a PNG file hold beside the pixels.

    Attributes:
        pixels: the file with the chunks that decoders need for the pixels, and no others; IDAT is
            missing where only the header was asked for.
        key: content of tRNS, None where there is none.
        animated: whether it has several frames (APNG).
    """

    pixels: bytes = SIGNATURE
    key: bytes | None = None
    animated: bool = False
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    credentials: bool = False
    text: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    colour: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as they lie in the file; 0 where it ends before them."""
        if len(self.pixels) < _HEADER_END:
            return 0, 0
        width, height = struct.unpack_from(">II", self.pixels, len(SIGNATURE) + 8)
        return height, width

    @property
    def bit_depth(self) -> int:
        """Bits per channel; 0 where the file ends before them."""
        return int.from_bytes(self.pixels[_BIT_DEPTH_AT : _BIT_DEPTH_AT + 1])

    def metadata(self) -> Metadata:
        """Return what is neither EXIF nor profile."""
        return Metadata(
            xmp=self.xmp,
            dpi=self.dpi,
            png_text=tuple(self.text),
            png_colour=() if self.icc_profile else tuple(self.colour),
        )

    def notes(self) -> tuple[str, ...]:
        """Say what is not carried over."""
        return (CREDENTIALS_LEFT_OUT,) if self.credentials else ()

    def profile(self) -> bytes | None:
        """Return the colour profile, or one of the chunks that describe colours without one."""
        return self.icc_profile or profile_of_chunks(dict(self.colour))


def read_chunks(data: bytes | mmap, *, with_pixels: bool = True) -> Chunks:
    """Sort the chunks of a PNG file; damaged ones without pixels are passed over."""
    found = Chunks()
    parts = [SIGNATURE]
    for kind, content, whole in _chunks(data, with_pixels=with_pixels):
        found.credentials |= kind == b"caBX"
        if kind in _PIXEL_KINDS:
            parts.append(whole)
            found.key = content if kind == b"tRNS" else found.key
        elif kind == b"acTL":
            found.animated = content[:4] not in (bytes(4), b"\x00\x00\x00\x01")
        elif kind == b"eXIf":
            found.exif = content or None
        elif kind == b"iCCP":
            found.icc_profile = _unpacked(content.partition(b"\x00")[2][1:])
        elif kind == b"iTXt" and content.startswith(_XMP_KEYWORD):
            found.xmp = _international_text(content[len(_XMP_KEYWORD) :])
        elif kind == b"pHYs" and len(content) == 9 and content[8] == 1:
            across, down = struct.unpack_from(">II", content)
            found.dpi = (across * _METRES_PER_INCH, down * _METRES_PER_INCH)
        elif kind in _TEXT_KINDS:
            found.text.append((kind, content))
        elif kind in _COLOUR_KINDS:
            found.colour.append((kind, content))
    found.pixels = b"".join(parts)
    return found


def _chunks(data: bytes | mmap, *, with_pixels: bool) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, content and all bytes of each chunk; the last may be cut short."""
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if with_pixels or kind != b"IDAT":
            yield kind, data[place + 8 : place + 8 + length], data[place : place + 12 + length]
        place += 12 + length


def _unpacked(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, _MOST_UNPACKED_BYTES) or None
    except zlib.error:
        return None


def _international_text(content: bytes) -> bytes | None:
    """Return the text of iTXt behind its keyword: compression, language, translated keyword."""
    packed = content[:1] == b"\x01"
    text = content[2:].split(b"\x00", 2)[-1]
    return _unpacked(text) if packed else text or None


def profile_of_chunks(chunks: dict[bytes, bytes]) -> bytes | None:
    """Return an ICC profile of cICP, or of gAMA and cHRM; None for sRGB and what has no profile."""
    code = chunks.get(b"cICP", b"")
    if len(code) == 4:
        return icc.profile_of_code_points(code[0], code[1])
    if b"sRGB" in chunks:
        return None
    gamma_content, primaries_content = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    gamma = None
    if len(gamma_content) == 4 and any(gamma_content):
        gamma = 100_000 / int.from_bytes(gamma_content, "big")
    primaries = None
    if len(primaries_content) == 32:
        values = [value / 100_000 for value in struct.unpack(">8I", primaries_content)]
        primaries = [(values[at], values[at + 1]) for at in range(0, 8, 2)]
    if gamma is None and primaries is None:
        return None
    white, *colours = primaries or [icc.D65, *icc.SRGB_PRIMARIES]
    return icc.matrix_profile(colours, white, icc.power_curve(gamma) if gamma else icc.SRGB_CURVE)


def with_chunks(
    data: bytes, exif_block: bytes | None, icc_profile: bytes | None, metadata: Metadata
) -> bytes:
    """Return an encoded PNG file with metadata put behind its header."""
    chunks: list[tuple[bytes, bytes]] = list(metadata.png_colour)
    if icc_profile and not metadata.png_colour:
        chunks.append((b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc_profile)))
    if metadata.dpi:
        across, down = (round(each / _METRES_PER_INCH) for each in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif_block:
        chunks.append((b"eXIf", exif_block))
    if metadata.xmp:
        chunks.append((b"iTXt", _XMP_KEYWORD + bytes(4) + metadata.xmp))
    chunks += metadata.png_text
    chunks += [(b"tEXt", b"Comment\x00" + _latin_1(comment)) for comment in metadata.comments]
    joined = b"".join(chunk(kind, content) for kind, content in chunks)
    return data[:_HEADER_END] + joined + data[_HEADER_END:]


def _latin_1(comment: bytes) -> bytes:
    return comment.replace(b"\x00", b"").decode("utf-8", "replace").encode("latin-1", "replace")


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk's bytes: length, kind, content, checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
