"""TIFF files: read by tifffile, whatever their layout; written as strips of deflated rows.

TIFF 6.0, BigTIFF, Adobe's technical notes 1 and 3 (deflate, predictors of floating-point values).
"""

import io
import logging
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blur2blur.errors import InputError
from blur2blur.images import exif, ifd
from blur2blur.images.ifd import Entry, Header
from blur2blur.images.limits import refuse_size
from blur2blur.images.metadata import Metadata, iptc_of, photoshop_of
from blur2blur.images.raster import Values

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATED = 0, 1, 2, 5
_DEFLATES, _FLOAT_PREDICTOR = (8, 32946), 3
_OF_LIBTIFF = (5, 34925, 50000)  # LZW, LZMA, Zstandard
# what tifffile and this file decode; the rest (JPEG, fax...) is Pillow's
_COMPRESSIONS = frozenset({1, 32773, *_DEFLATES, *_OF_LIBTIFF})
_PREMULTIPLIED, _ALPHA = 1, 2
_LAYERS = 37724
_FLOAT_RANGE = (-0.1, 1.1)
_MOST_CHANNELS = 32
_NUMBERS = (
    *("imagelength", "imagewidth", "bitspersample", "samplesperpixel", "rowsperstrip", "tilewidth"),
    *("tilelength", "photometric", "compression", "predictor", "planarconfig"),
)
_MOST_TILE_SIDE = 1 << 15
_MOST_SEGMENTS = 1 << 18
_MOST_COUNTED_PAGES = 1000
_STRIP_BYTES = 1 << 18
_MOST_FILE_BYTES = (1 << 32) - 1
_EMPTY = b"II\x2a\x00\x08\x00\x00\x00" + bytes(6)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """The first page of a file.

    Attributes:
        values: `H W C` as they lie in the file, black at zero; C = 1 to 4, of CMYK 4.
        separated: they are CMYK, ink at the top of the range.
        notes: what a user should be told.
    """

    values: Values
    separated: bool
    notes: tuple[str, ...]


@contextmanager
def opened(data: bytes) -> "Generator[TiffPage]":
    """Open a file and return its first page. Raises ValueError where there is none."""
    with _file(data) as file:
        if len(file.pages) == 0:
            raise ValueError("it has no page")
        page: Any = file.pages[0]
        whole = all(isinstance(getattr(page, name), int) for name in _NUMBERS)
        if not whole or not (page.is_tiled or page.rowsperstrip):
            raise ValueError("its tags are damaged, or its channels differ in size")
        yield page


@contextmanager
def _file(data: bytes) -> "Generator[TiffFile]":
    import tifffile

    # what it says of damage is told in one line of ours
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        yield file


def refuse_size_of(page: "TiffPage", data_bytes: int) -> None:
    """Raise InputError for sizes of the page, its channels or tiles that a file cannot mean."""
    bits = page.samplesperpixel * page.bitspersample
    if page.samplesperpixel > _MOST_CHANNELS:
        raise InputError(f"it has {page.samplesperpixel} channels; the limit is {_MOST_CHANNELS}")
    refuse_size(page.imagelength, page.imagewidth, data_bytes=data_bytes, bits=bits)
    if page.is_tiled:
        # the last tiles reach beyond the picture
        down, across = min(page.tilelength, _MOST_TILE_SIDE), min(page.tilewidth, _MOST_TILE_SIDE)
        if (down, across) != (page.tilelength, page.tilewidth) or down * across == 0:
            raise InputError(f"it says its tiles are {page.tilewidth}x{page.tilelength}")
        refuse_size(down, across, data_bytes=data_bytes, bits=bits)
    if len(page.dataoffsets) > _MOST_SEGMENTS:
        raise InputError(f"it is cut into more than {_MOST_SEGMENTS} pieces")


def is_ours(page: "TiffPage") -> bool:
    """Tell whether `decode` reads a page's layout; Pillow reads the others, of 8 bits and less."""
    return (
        page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATED)
        and page.compression in _COMPRESSIONS
        and page.bitspersample in (8, 16, 32, 64)
    )


def page_notes(data: bytes) -> tuple[str, ...]:
    """Say how many pages are left out, and layers; reduced copies of a page are none."""
    with _file(data) as file:
        pages = [file.pages[at] for at in range(min(len(file.pages), _MOST_COUNTED_PAGES))]
        full = sum(1 for page in pages if not getattr(page, "is_reduced", False))
        layered = len(pages) > 0 and _LAYERS in getattr(pages[0], "tags", ())
    notes = (f"only the first of its {full} pages was read",) if full > 1 else ()
    return (*notes, "its layers (Photoshop) were left out") if layered else notes


def decode(data: bytes, page: "TiffPage") -> Page:
    """Decode a page that `is_ours`.

    Floating-point values count from 0 (black) to 1 (white) and become 16 bits.

    Raises:
        InputError: integers of 32 bits, or floating-point values far outside [0, 1].
        Exception: whatever tifffile raises on damage.
    """
    values = _array(data, page)
    if values.shape[2] != page.samplesperpixel:
        raise ValueError(f"its layout {page.axes} is not that of a picture")
    if values.dtype.kind == "f":
        values = _from_floats(values)
    if values.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise InputError(
            f"it holds channels of {values.dtype}; save it with 8 or 16 bits per channel"
        )
    if page.photometric == WHITE_IS_ZERO:
        values[..., 0] = np.iinfo(values.dtype).max - values[..., 0]
    return _sorted_channels(values, page)


def _sorted_channels(values: Values, page: "TiffPage") -> Page:
    """Keep the colours and the first alpha; other channels are left out and told."""
    colours = {RGB: 3, SEPARATED: 4}.get(int(page.photometric), 1)
    if values.shape[2] < colours:
        raise ValueError(f"it has {values.shape[2]} channels, and {colours} are needed")
    extras = [int(kind) for kind in page.extrasamples][: values.shape[2] - colours]
    separated = page.photometric == SEPARATED
    found = next((at for at, kind in enumerate(extras) if kind in (_PREMULTIPLIED, _ALPHA)), None)
    left_out = values.shape[2] - colours - (0 if found is None or separated else 1)
    notes = ()
    if left_out:
        notes = (f"{left_out} of its channels beside the colours (masks) were left out",)
    colour = values[..., :colours]
    if separated or found is None:
        return Page(values=np.ascontiguousarray(colour), separated=separated, notes=notes)
    alpha = values[..., colours + found : colours + found + 1]
    if extras[found] == _PREMULTIPLIED:
        colour = _divided(colour, alpha)
    return Page(values=np.concatenate([colour, alpha], axis=2), separated=False, notes=notes)


def _divided(colour: Values, alpha: Values) -> Values:
    """Undo the multiplication of colour by alpha."""
    levels = np.iinfo(colour.dtype).max
    ratio = colour / np.maximum(alpha, 1).astype(np.float32)
    return np.rint(np.minimum(ratio, 1) * levels).astype(colour.dtype)


def _from_floats(values: NDArray[Any]) -> NDArray[np.uint16]:
    values = values.astype(np.float32)  # half precision ends at 65504
    least, most = float(values.min()), float(values.max())
    if not (least >= _FLOAT_RANGE[0] and most <= _FLOAT_RANGE[1]):
        raise InputError(
            f"it holds floating-point values from {least:g} to {most:g}; they are read where 0 is "
            "black and 1 is white: develop it to that range, or save it with 16 bits"
        )
    return np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16)


def _array(data: bytes, page: "TiffPage") -> NDArray[Any]:
    """Return all channels, `H W C`, in memory of their own."""
    if page.compression in _OF_LIBTIFF or page.predictor == _FLOAT_PREDICTOR:
        values = _decoded_segments(data, page)
    else:
        values = page.asarray()
    values = values.reshape(page.shape)
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, 2)
    elif page.axes == "YX":
        values = values[..., None]
    elif page.axes != "YXS":
        raise ValueError(f"its layout {page.axes} is not that of a picture")
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def _decoded_segments(data: bytes, page: "TiffPage") -> NDArray[Any]:
    """Decode strips or tiles that tifffile cannot without further packages."""
    across, down = page.tilewidth or page.imagewidth, page.tilelength or page.rowsperstrip
    together = page.planarconfig == 1
    depth = page.samplesperpixel if together else 1
    columns = -(-page.imagewidth // across)
    rows = -(-page.imagelength // down)
    kind = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    planes = 1 if together else page.samplesperpixel
    whole = np.zeros((planes, page.imagelength, page.imagewidth, depth), kind.newbyteorder("="))
    if len(page.dataoffsets) != planes * rows * columns:
        raise ValueError("it has too few strips")
    for index, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        plane, place = divmod(index, rows * columns)
        top, left = place // columns * down, place % columns * across
        height = down if page.is_tiled else min(down, page.imagelength - top)
        row_bytes = across * depth * kind.itemsize
        plain = _plain(data[offset : offset + size], page, row_bytes=row_bytes, rows=height)
        part = _unpredicted(plain.reshape(height, across, depth * kind.itemsize), page, kind)
        target = whole[plane, top : top + height, left : left + across]
        target[...] = part[: target.shape[0], : target.shape[1]]
    return whole[0] if together else whole[..., 0]


def _plain(segment: bytes, page: "TiffPage", *, row_bytes: int, rows: int) -> NDArray[np.uint8]:
    """Decompress one strip or tile."""
    size = row_bytes * rows
    if page.compression in _OF_LIBTIFF:
        plain = _by_libtiff(segment, page.compression, row_bytes=row_bytes, rows=rows)
    elif page.compression in _DEFLATES:
        plain = zlib.decompressobj().decompress(segment, size)
    else:
        plain = segment[:size]
    if len(plain) < size:
        raise ValueError("it is cut short")
    return np.frombuffer(plain, np.uint8)


def _by_libtiff(segment: bytes, compression: int, *, row_bytes: int, rows: int) -> bytes:
    """Decompress bytes: Pillow is given them as the one strip of a grey picture."""
    header = Header("<", False, 8)
    tags = {256: row_bytes, 257: rows, 258: 8, 259: compression, 262: 1, 277: 1, 278: rows}
    entries = {tag: ifd.new_entry(header, 4, value) for tag, value in tags.items()}
    entries[279] = ifd.new_entry(header, 4, len(segment))
    entries[273] = ifd.new_entry(header, 4, 0)
    place = 8 + len(ifd.write_directory(entries, header, 8))
    entries[273] = ifd.new_entry(header, 4, place)
    stream = _EMPTY[:8] + ifd.write_directory(entries, header, 8) + segment
    with Image.open(io.BytesIO(stream), formats=("TIFF",)) as image:
        return image.tobytes()


def _unpredicted(plain: NDArray[np.uint8], page: "TiffPage", kind: np.dtype[Any]) -> NDArray[Any]:
    """Return `H W C` of a segment's bytes, `H W (C item)`, its predictor undone."""
    height, width, pixel_bytes = plain.shape
    channels = pixel_bytes // kind.itemsize
    if page.predictor == _FLOAT_PREDICTOR:
        # bytes of equal weight lie together, the highest first, as differences
        summed = np.cumsum(plain.reshape(height, -1, channels), axis=1, dtype=np.uint8)
        planes = summed.reshape(height, kind.itemsize, width * channels)
        floats = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(kind.newbyteorder(">"))
        return floats.reshape(height, width, channels).astype(kind.newbyteorder("="))
    values = plain.reshape(-1).view(kind).astype(kind.newbyteorder("=")).reshape(height, width, -1)
    if page.predictor == 2:
        return np.cumsum(values, axis=1, dtype=values.dtype)
    return values


def read_metadata(data: bytes) -> tuple[bytes | None, Metadata]:
    """Return ICC profile and metadata of the first page; entries of other types are left out."""
    header, entries = exif.main_directory(data)

    def content(tag: int) -> bytes | None:
        entry = entries.get(tag)
        return entry.content if entry is not None and entry.kind in (1, 2, 6, 7) else None

    iptc = entries.get(33723)
    across, down = (_ratio(entries.get(tag), header) for tag in (282, 283))
    per_inch = {1: 0.0, 3: 2.54}.get(ifd.integer(entries.get(296), header) or 2, 1.0)
    return content(34675), Metadata(
        xmp=content(700),
        photoshop=content(34377),
        iptc=iptc.content.rstrip(b"\x00") or None if iptc is not None else None,
        dpi=(across * per_inch, down * per_inch) if across * down * per_inch else None,
    )


def _ratio(entry: Entry | None, header: Header) -> float:
    if entry is None or entry.kind != 5:
        return 0.0
    above, below = struct.unpack_from(f"{header.order}II", entry.content)
    return above / below if below else 0.0


def encode(
    values: Values,
    *,
    exif_block: bytes | None,
    icc_profile: bytes | None,
    metadata: Metadata,
) -> bytes:
    """Return a TIFF file of `H W C` values, C = 1 (grey), 2 (grey, alpha), 3 or 4.

    It starts with the EXIF block, whose directories so keep their places, makers' notes too.
    """
    height, width, channels = values.shape
    start, header, entries = _start(exif_block)
    rows = max(1, _STRIP_BYTES // (width * channels * values.itemsize))
    strips = [_deflate(values[top : top + rows], header) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    offsets = [len(start) + int(offset) for offset in np.cumsum([0, *sizes[:-1]])]
    end = offsets[-1] + sizes[-1]
    if end > _MOST_FILE_BYTES:
        raise ValueError("TIFF holds 4 GB")
    shorts, longs = 3, 4
    tags: dict[int, tuple[int, ...]] = {
        258: (8 * values.itemsize,) * channels,
        259: (8,),  # compression: Adobe deflate
        262: (BLACK_IS_ZERO if channels < 3 else RGB,),
        277: (channels,),
        284: (1,),  # channels side by side
        317: (2,),  # predictor: difference to the pixel on the left
        exif.ORIENTATION: (1,),
    }
    if channels in (2, 4):
        tags[338] = (_ALPHA,)
    entries |= {tag: ifd.new_entry(header, shorts, *numbers) for tag, numbers in tags.items()}
    tags = {256: (width,), 257: (height,), 273: tuple(offsets), 278: (rows,), 279: tuple(sizes)}
    entries |= {tag: ifd.new_entry(header, longs, *numbers) for tag, numbers in tags.items()}
    entries |= _metadata_entries(header, entries, icc_profile, metadata)
    directory_at = end + end % 2
    padding = bytes(end % 2)
    first = struct.pack(f"{header.order}I", directory_at)
    directory = ifd.write_directory(entries, header, directory_at)
    return b"".join([start[:4], first, start[8:], *strips, padding, directory])


def _start(exif_block: bytes | None) -> tuple[bytes, Header, dict[int, Entry]]:
    """Return the bytes that the file starts with, and what its directory starts with."""
    try:
        block = exif_block or _EMPTY
        header, entries = exif.main_directory(block)
    except ValueError:
        block = _EMPTY
        header, entries = exif.main_directory(block)
    return block + bytes(len(block) % 2), header, entries


def _metadata_entries(
    header: Header, entries: dict[int, Entry], icc_profile: bytes | None, metadata: Metadata
) -> dict[int, Entry]:
    contents = {
        700: metadata.xmp,
        33723: iptc_of(metadata),
        34377: photoshop_of(metadata) if metadata.photoshop else None,
        34675: icc_profile,
    }
    made = {
        tag: Entry(7 if tag != 700 else 1, len(content), content, 0)
        for tag, content in contents.items()
        if content
    }
    if metadata.dpi and 282 not in entries:
        across, down = (round(each * 1000) for each in metadata.dpi)
        made[282] = ifd.new_entry(header, 5, across, 1000)
        made[283] = ifd.new_entry(header, 5, down, 1000)
        made[296] = ifd.new_entry(header, 3, 2)
    return made


def _deflate(rows: Values, header: Header) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(f"{header.order}u{rows.itemsize}").tobytes(), 6)
