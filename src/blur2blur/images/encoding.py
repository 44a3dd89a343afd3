"""One writer for each kind of image file: from whole numbers and metadata to its bytes."""

import io
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
from PIL import Image

from blur2blur.images import cameras, deep_png, jpeg, png, tiff
from blur2blur.images.colour import fitting_profile
from blur2blur.images.history import Tag, with_event
from blur2blur.images.kinds import KIND_OF, SUFFIXES_OF, Kind
from blur2blur.images.metadata import iptc_of
from blur2blur.images.raster import WRITTEN_SUFFIXES, Raster, Values

Format = Literal["keep", "jpeg", "png", "tiff", "webp", "avif"]

DEFAULT_QUALITY = 95

_SUFFIX_OF: dict[Format, str] = {
    "jpeg": ".jpg",
    "png": ".png",
    "tiff": ".tif",
    "webp": ".webp",
    "avif": ".avif",
}
# kinds with a place for EXIF, XMP and a colour profile
_MODERN = frozenset[Kind]({"JPEG", "PNG", "TIFF", "WebP", "AVIF", "HEIC"})


def output_name(source: PurePath, wanted: Format) -> PurePath:
    """Return the name of a result: that of its source where its kind is wanted and can be written.

    Others get the suffix of the format behind their name, which collides with no other source:
    IMG_1.CR3 becomes IMG_1.CR3.jpg, and a GIF a PNG.
    """
    suffix = source.suffix.lower()
    if wanted == "keep":
        kept = suffix in WRITTEN_SUFFIXES
        if kept and (suffix not in SUFFIXES_OF["HEIC"] or cameras.writes_heic()):
            return source
        return source.with_name(source.name + (".png" if suffix == ".gif" else ".jpg"))
    made = _SUFFIX_OF[wanted]
    if KIND_OF.get(suffix) == KIND_OF[made]:
        return source
    return source.with_name(source.name + made)


def encode(
    suffix: str, raster: Raster, *, quality: int | None, tag: Tag | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """Return a file's bytes, and what the format could not hold, one line each.

    Args:
        suffix: one of WRITTEN_SUFFIXES.
        raster: as `raster.to_raster` returns it for that suffix.
        quality: as in `files.encode`.
        tag: likewise.

    Raises:
        Exception: whatever a library raises on what it cannot encode.
    """
    grey = raster.values.shape[2] < 3
    raster = replace(raster, icc_profile=fitting_profile(raster.icc_profile, grey=grey))
    kind = KIND_OF[suffix]
    notes = raster.notes + _left_out(kind, raster)
    if tag is not None and kind in _MODERN:
        raster, more = _tagged(kind, raster, tag)
        notes += more
    if kind == "TIFF":
        data = tiff.encode(
            raster.values,
            exif_block=raster.exif,
            icc_profile=raster.icc_profile,
            metadata=raster.metadata,
        )
    elif kind == "PNG":
        data = png.with_chunks(
            _png(raster.values), raster.exif, raster.icc_profile, raster.metadata
        )
    elif kind == "JPEG":
        data, more = _jpeg(raster, quality)
        notes += more
    elif kind == "HEIC":
        data = cameras.encode_heic(raster, quality or DEFAULT_QUALITY)
    else:
        data = _by_pillow(kind, raster, quality)
    return data, notes


def _tagged(kind: Kind, raster: Raster, tag: Tag) -> tuple[Raster, tuple[str, ...]]:
    """Add the tag to the history in XMP, where that loses nothing."""
    xmp = with_event(raster.metadata.xmp, tag)
    if xmp is None:
        return raster, ("its XMP is damaged or not in UTF-8: what was done is not noted in it",)
    if kind == "JPEG" and not jpeg.holds_xmp(xmp):
        return raster, ("what was done is not noted: JPEG holds 64 kB of XMP",)
    return replace(raster, metadata=replace(raster.metadata, xmp=xmp)), ()


def _left_out(kind: Kind, raster: Raster) -> tuple[str, ...]:
    """Say which carriers a format has no place for."""
    metadata = raster.metadata
    places: dict[str, frozenset[Kind]] = {
        "EXIF": _MODERN,
        "the colour profile": _MODERN,
        "XMP": _MODERN,
        "IPTC": frozenset({"JPEG", "TIFF"}),
        "extended XMP": frozenset({"JPEG"}),
        "text of PNG": frozenset({"PNG"}),
        "comments": frozenset({"JPEG", "PNG"}),
    }
    held = {
        "EXIF": raster.exif,
        "the colour profile": raster.icc_profile,
        "XMP": metadata.xmp,
        "IPTC": iptc_of(metadata),
        "extended XMP": metadata.xmp_extended,
        "text of PNG": metadata.png_text,
        "comments": metadata.comments,
    }
    names = [name for name, content in held.items() if content and kind not in places[name]]
    return (f"{kind} has no place for {', '.join(names)}: left out",) if names else ()


def _jpeg(raster: Raster, quality: int | None) -> tuple[bytes, tuple[str, ...]]:
    values, compression = raster.values, raster.compression
    options: dict[str, Any] = {"subsampling": compression.jpeg_subsampling or 0}
    tables = compression.jpeg_tables[:1] if values.shape[2] == 1 else compression.jpeg_tables
    if quality is None and tables:
        options["qtables"] = [list(table) for table in tables]
    else:
        options["quality"] = quality or compression.quality or DEFAULT_QUALITY
    if raster.metadata.dpi:
        across, down = raster.metadata.dpi
        options["dpi"] = (round(across), round(down))
    segments, notes = jpeg.metadata_segments(raster.exif, raster.metadata)
    file = io.BytesIO()
    _image(values).save(file, "JPEG", extra=segments, icc_profile=raster.icc_profile, **options)
    return file.getvalue(), notes


def _png(values: Values) -> bytes:
    if values.dtype == np.uint16:
        return deep_png.encode(values.astype(np.uint16, copy=False))
    file = io.BytesIO()
    _image(values).save(file, "PNG", compress_level=4)
    return file.getvalue()


def _by_pillow(kind: Kind, raster: Raster, quality: int | None) -> bytes:
    options: dict[str, Any] = {"exif": raster.exif or b"", "icc_profile": raster.icc_profile or b""}
    if raster.metadata.xmp:
        options["xmp"] = raster.metadata.xmp
    options["quality"] = quality or raster.compression.quality or DEFAULT_QUALITY
    if kind == "WebP":
        options["lossless"] = quality is None and raster.compression.lossless
        options["exact"] = True  # the colour of transparent ground is not ours to change
    if kind == "BMP":
        options = {"dpi": raster.metadata.dpi} if raster.metadata.dpi else {}
    file = io.BytesIO()
    _image(raster.values).save(file, {"WebP": "WEBP"}.get(kind, kind), **options)
    return file.getvalue()


def _image(values: Values) -> Image.Image:
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
