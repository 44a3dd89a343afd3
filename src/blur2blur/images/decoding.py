"""One reader for each kind of image file: from its bytes to whole numbers and metadata.

What a library raises on a damaged file passes through; `files` turns it into one line.
"""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from blur2blur.errors import InputError
from blur2blur.images import cameras, colour, deep_png, exif, jpeg, png, tiff
from blur2blur.images.exif import exif_of
from blur2blur.images.kinds import Kind
from blur2blur.images.limits import MODERN_CODEC_BITS, refuse_animation, refuse_size
from blur2blur.images.metadata import Metadata
from blur2blur.images.raster import BAND_ROWS, Compression, Raster, Values

_PILLOW_FORMATS: dict[Kind, str] = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "TIFF": "TIFF",
    "BMP": "BMP",
    "WebP": "WEBP",
    "GIF": "GIF",
    "AVIF": "AVIF",
    "JPEG XL": "JXL",
}
_ANIMATED = frozenset[Kind]({"GIF", "PNG", "WebP", "AVIF"})
_SEPARATED_NOTE = "its CMYK or Lab colours were converted to sRGB"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """What a reader returns.

    Attributes:
        raster: its values as they lie in the file.
        orientation: how they are to be turned, 1 to 8 as in EXIF.
    """

    raster: Raster
    orientation: int


@dataclass(frozen=True, slots=True)
class Header:
    """Size of the photograph, upright, and its EXIF block."""

    height: int
    width: int
    exif: bytes | None


def decode(data: bytes, kind: Kind) -> Decoded:
    """Decode a file of a kind.

    Raises:
        InputError: animated, of too many pixels, of values or of a layout that are not read, or of
            a kind whose library is not installed.
        Exception: whatever the library raises on damage.
    """
    return _READERS.get(kind, _decode_by_pillow)(data, kind)


def read_header(data: Any, kind: Kind) -> Header:  # noqa: ANN401 (bytes or a mapped file)
    """Read size and EXIF block, decoding no pixels. Raises as `decode`.

    Args:
        data: the file: bytes, or the memory that it is mapped to.
        kind: what it is.
    """
    if kind == "TIFF":
        with tiff.opened(data) as page:
            tiff.refuse_size_of(page, len(data))
            height, width = page.imagelength, page.imagewidth
        block = exif.from_tiff(data)
        return _turned_header(height, width, block, exif.orientation_of(data))
    if kind == "RAW":
        return Header(*cameras.raw_header(bytes(data)))
    if kind == "HEIC":
        return Header(*cameras.heic_header(bytes(data)))
    if kind == "JPEG":
        segments = jpeg.read_segments(data, with_pixels=False)
        refuse_size(segments.height, segments.width, data_bytes=len(data))
        return _turned_header(segments.height, segments.width, segments.exif)
    if kind == "PNG":
        chunks = png.read_chunks(data, with_pixels=False)
        if chunks.animated:
            refuse_animation()
        refuse_size(*chunks.size, data_bytes=len(data), bits=1)
        return _turned_header(*chunks.size, chunks.exif)
    with _pillow_image(bytes(data), kind) as image:
        width, height = image.size
        block = exif_of(image.info)
    return _turned_header(height, width, block, 1 if kind == "JPEG XL" else None)


def _turned_header(
    height: int, width: int, block: bytes | None, orientation: int | None = None
) -> Header:
    """Return the header of a photograph that its EXIF block turns, unless otherwise stated."""
    block = exif.strip_prefix(block) if block else None
    if (orientation or exif.orientation_of(block or b"")) >= 5:
        height, width = width, height
    return Header(height, width, block)


@contextmanager
def _pillow_image(data: bytes, kind: Kind) -> Generator[Image.Image]:
    """Open a file and refuse what its header tells."""
    if kind == "JPEG XL":
        cameras.library("pillow_jxl", "pillow-jxl-plugin", kind)
    with Image.open(io.BytesIO(data), formats=(_PILLOW_FORMATS[kind],)) as image:
        width, height = image.size
        refuse_size(height, width, data_bytes=len(data), bits=_bits(image, kind))
        if kind in _ANIMATED and getattr(image, "is_animated", False):
            refuse_animation()
        yield image


def _bits(image: Image.Image, kind: Kind) -> int:
    if kind in ("WebP", "AVIF", "JPEG XL"):
        return MODERN_CODEC_BITS
    return 1 if image.mode == "1" else 8 * len(image.getbands())


def is_animation(data: bytes, kind: Kind) -> bool:
    """Tell whether a file is a GIF, PNG, WebP or AVIF of several frames."""
    if kind == "PNG":
        return png.read_chunks(data).animated
    if kind not in _ANIMATED:
        return False
    with Image.open(io.BytesIO(data), formats=(_PILLOW_FORMATS[kind],)) as image:
        return bool(getattr(image, "is_animated", False))


def _decode_by_pillow(data: bytes, kind: Kind) -> Decoded:
    with _pillow_image(data, kind) as image:
        image.load()
        block = exif_of(image.info)
        profile, xmp = image.info.get("icc_profile"), image.info.get("xmp")
        values, notes = _values_of(image, profile)
        comment = image.info.get("comment", b"")
        dpi = image.info.get("dpi") if kind == "BMP" else None
    metadata = Metadata(
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        comments=(comment if isinstance(comment, bytes) else str(comment).encode(),)
        if comment
        else (),
    )
    raster = Raster(
        values=values,
        exif=block,
        icc_profile=profile or None,
        metadata=metadata,
        compression=Compression(lossless=kind == "WebP" and _is_lossless_webp(data)),
        notes=notes,
    )
    orientation = 1 if kind == "JPEG XL" else exif.orientation_of(block or b"")
    return Decoded(raster=raster, orientation=orientation)


def _is_lossless_webp(data: bytes) -> bool:
    """Tell whether a WebP file's pixels are in a lossless chunk (RFC 9649)."""
    place = 12
    while place + 8 <= len(data):
        if data[place : place + 4] in (b"VP8L", b"VP8 "):
            return data[place : place + 4] == b"VP8L"
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return False


def _decode_jpeg(data: bytes, kind: Kind) -> Decoded:
    segments = jpeg.read_segments(data)
    with _pillow_image(segments.pixels, kind) as image:
        compression = _compression_of_jpeg(image, segments)
        image.load()
        values, notes = _values_of(image, segments.icc_profile)
    raster = Raster(
        values=values,
        exif=segments.exif,
        icc_profile=segments.icc_profile,
        metadata=segments.metadata(),
        compression=compression,
        notes=notes + segments.notes(),
    )
    return Decoded(raster=raster, orientation=exif.orientation_of(segments.exif or b""))


def compression_of_jpeg(data: bytes) -> Compression:
    """Return how a JPEG file was compressed; its pixels are not decoded."""
    with _pillow_image(data, "JPEG") as image:
        return _compression_of_jpeg(image, jpeg.read_segments(data, with_pixels=False))


def _compression_of_jpeg(image: Image.Image, segments: jpeg.Segments) -> Compression:
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    own = image.mode in ("L", "RGB")
    subsampling = JpegImagePlugin.get_sampling(image)
    return Compression(
        quality=segments.quality,
        jpeg_tables=tuple(tuple(table) for _, table in sorted(tables.items())) if own else (),
        jpeg_subsampling=None if subsampling < 0 else subsampling,
    )


def _decode_png(data: bytes, kind: Kind) -> Decoded:
    chunks = png.read_chunks(data)
    if chunks.animated:
        refuse_animation()
    values: Values
    if chunks.bit_depth == 16:
        values = deep_png.decode(chunks.pixels, chunks.key)
    else:
        with _pillow_image(chunks.pixels, kind) as image:
            image.load()
            if image.mode == "L" and "transparency" in image.info:
                # Pillow spreads grey of few bits over 255, but not the one grey that is clear
                image.info["transparency"] *= 255 // ((1 << chunks.bit_depth) - 1)
            values = _values_of(image, None)[0]
    raster = Raster(
        values=values,
        exif=exif.strip_prefix(chunks.exif) if chunks.exif else None,
        icc_profile=chunks.profile(),
        metadata=chunks.metadata(),
        notes=chunks.notes(),
    )
    return Decoded(raster=raster, orientation=exif.orientation_of(raster.exif or b""))


def _decode_tiff(data: bytes, kind: Kind) -> Decoded:
    profile, metadata = tiff.read_metadata(data)
    orientation = exif.orientation_of(data)
    page = _tiff_page(data)
    if page is None:
        with _pillow_image(data, kind) as image:
            image.load()  # which turns it upright
            values, notes = _values_of(image, profile)
        orientation = 1
    else:
        values, notes = page.values, page.notes
        if page.separated:
            values, notes = _from_cmyk(values, profile), (*notes, _SEPARATED_NOTE)
    raster = Raster(
        values=values,
        exif=exif.from_tiff(data),
        icc_profile=profile,
        metadata=metadata,
        notes=(*tiff.page_notes(data), *notes),
    )
    return Decoded(raster=raster, orientation=orientation)


def _tiff_page(data: bytes) -> tiff.Page | None:
    """Return the first page where its layout is not Pillow's."""
    with tiff.opened(data) as page:
        tiff.refuse_size_of(page, len(data))
        if tiff.is_ours(page):
            return tiff.decode(data, page)
        if page.bitspersample > 8:
            layout = f"{page.bitspersample} bits in the layout {page.photometric!r}"
            raise InputError(
                f"it is a TIFF of {layout}, compressed by {page.compression!r}, which is not read; "
                "save it as RGB with 8 or 16 bits per channel"
            )
    return None


def _from_cmyk(values: Values, profile: bytes | None) -> Values:
    """Return sRGB of `H W 4` of inks: by the profile at 8 bits, else by formula at any depth."""
    levels = np.iinfo(values.dtype).max
    if profile and profile[16:20] == b"CMYK":
        rounded = np.rint(values / (levels / 255)).astype(np.uint8)
        return colour.srgb_of(Image.fromarray(rounded, "CMYK"), profile)
    light = (levels - values.astype(np.float32)) / np.float32(levels)
    return np.rint(light[..., :3] * light[..., 3:] * levels).astype(values.dtype)


def _values_of(
    image: Image.Image, profile: bytes | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return `H W C` of a loaded image of 8 bits or less, and what a user should be told."""
    if image.mode in ("CMYK", "LAB"):
        return colour.srgb_of(image, profile), (_SEPARATED_NOTE,)
    if image.mode in ("F", "I"):
        raise InputError("it holds 32-bit values; save it as RGB with 8 or 16 bits per channel")
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")
    if image.mode == "1":
        image = image.convert("L")
    image = image if image.mode == mode else image.convert(mode)
    width, height = image.size
    values = np.empty((height, width, len(mode)), np.uint8)
    for top in range(0, height, BAND_ROWS):  # Pillow copies what it hands over, twice
        band = image.crop((0, top, width, min(top + BAND_ROWS, height)))
        values[top : top + BAND_ROWS] = np.asarray(band).reshape(-1, width, len(mode))
    return values, ()


_READERS: dict[Kind, Callable[[bytes, Kind], Decoded]] = {
    "JPEG": _decode_jpeg,
    "PNG": _decode_png,
    "TIFF": _decode_tiff,
    "HEIC": lambda data, _: Decoded(raster=cameras.decode_heic(data), orientation=1),
    "RAW": lambda data, _: Decoded(raster=cameras.decode_raw(data), orientation=1),
}


def upright(decoded: Decoded) -> Raster:
    """Return what was decoded, turned upright: the one place where orientation is undone."""
    raster = decoded.raster
    values = turn(raster.values, decoded.orientation)
    block = raster.exif
    if block is not None:
        block = exif.upright(block, height=values.shape[0], width=values.shape[1])
    return replace(raster, values=values, exif=block)


def turn(values: Values, orientation: int) -> Values:
    """Undo an EXIF orientation: 2 to 4 are flips, 5 to 8 the same after swapping the axes."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values
