"""What a photograph carries beside its pixels, EXIF block and colour profile."""

import re
import struct
from dataclasses import dataclass

CREDENTIALS_LEFT_OUT = (
    "its content credentials (C2PA) were left out: they hold for the pixels that were signed"
)

_PHOTOSHOP_SIGNATURE = b"8BIM"
_IPTC_RESOURCE = 0x0404
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>)\s*)[2-8]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Carriers of metadata, as bytes that are handed on without being understood.

    Attributes:
        xmp: the XMP packet, ISO 16684-1.
        xmp_extended: what did not fit into one segment of a JPEG file: whole segments.
        photoshop: Photoshop's image resources, IPTC among them.
        iptc: IPTC records (IIM 4.2) where they stand by themselves.
        dpi: resolution across and down, in pixels per inch.
        comments: comments of JPEG and GIF.
        png_text: chunks of text of a PNG file: kind and content.
        png_colour: chunks of a PNG file that describe its colours without a profile.
    """

    xmp: bytes | None = None
    xmp_extended: tuple[bytes, ...] = ()
    photoshop: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    png_text: tuple[tuple[bytes, bytes], ...] = ()
    png_colour: tuple[tuple[bytes, bytes], ...] = ()


NONE = Metadata()


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Return an XMP packet of pixels that have been turned upright: its orientation is 1."""
    return None if xmp is None else _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def iptc_of(metadata: Metadata) -> bytes | None:
    """Return the IPTC records, wherever they stand; None where there are none."""
    if metadata.iptc or not metadata.photoshop:
        return metadata.iptc
    block, place = metadata.photoshop, 0
    while place + 12 <= len(block) and block[place : place + 4] == _PHOTOSHOP_SIGNATURE:
        (identity,) = struct.unpack_from(">H", block, place + 4)
        name_bytes = (block[place + 6] + 2) // 2 * 2
        at = place + 6 + name_bytes
        if at + 4 > len(block):
            break
        (length,) = struct.unpack_from(">I", block, at)
        if identity == _IPTC_RESOURCE:
            return block[at + 4 : at + 4 + length]
        place = at + 4 + (length + 1) // 2 * 2
    return None


def photoshop_of(metadata: Metadata) -> bytes | None:
    """Return Photoshop's image resources; made of the IPTC records where there are only those."""
    if metadata.photoshop or not metadata.iptc:
        return metadata.photoshop
    padding = b"\x00" * (len(metadata.iptc) % 2)
    head = _PHOTOSHOP_SIGNATURE + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(metadata.iptc))
    return head + metadata.iptc + padding
