"""Files of telephones and cameras, each by a library of its own: HEIC and RAW."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import InputError
from blur2blur.images import exif, jpeg
from blur2blur.images.kinds import Kind
from blur2blur.images.limits import MODERN_CODEC_BITS, refuse_size
from blur2blur.images.metadata import Metadata
from blur2blur.images.raster import Raster

# Highlights that may be clipped where LibRaw makes a photograph brighter, as a part of its pixels.
_RAW_CLIPPED_PART = 0.0001
_SRGB_GAMMA = (2.4, 12.92)
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def decode_heic(data: bytes) -> Raster:
    """Decode the main picture, which libheif turns upright."""
    file = _opened_heif(data)
    image = file[file.primary_index]
    width, height = image.size
    refuse_size(height, width, data_bytes=len(data), bits=MODERN_CODEC_BITS)
    values = np.asarray(image)
    deep = image.mode.endswith(";16")
    values = values.astype(np.uint16 if deep else np.uint8).reshape(height, width, -1)
    info = image.info
    notes: list[str] = []
    if any(info.get(name) for name in ("depth_images", "aux")):
        notes.append("its depth or gain map was left out")
    if len(file) > 1:
        notes.append(f"only the main one of its {len(file)} pictures was read")
    return Raster(
        values=values,
        exif=exif.exif_of(info),
        icc_profile=info.get("icc_profile"),
        metadata=Metadata(xmp=info.get("xmp") or None),
        notes=tuple(notes),
    )


def writes_heic() -> bool:
    """Tell whether libheif is installed, with an encoder for HEIC."""
    try:
        told: dict[str, object] = library("pillow_heif", "pillow-heif", "HEIC").libheif_info()
    except InputError:
        return False
    return bool(told.get("HEIF"))


def encode_heic(raster: Raster, quality: int) -> bytes:
    """Return a HEIC file, of 10 bits where values have 16. Raises InputError without libheif."""
    values = raster.values
    height, width, channels = values.shape
    mode = _MODES[channels] + (";16" if values.dtype == np.uint16 else "")
    heif: Any = library("pillow_heif", "pillow-heif", "HEIC")
    options: dict[str, Any] = {"exif": raster.exif or None, "xmp": raster.metadata.xmp}
    if raster.icc_profile:
        options |= {"icc_profile": raster.icc_profile, "icc_profile_type": "prof"}
    file = io.BytesIO()
    image = heif.from_bytes(mode, (width, height), np.ascontiguousarray(values).tobytes())
    image.save(file, quality=quality, **options)
    return file.getvalue()


def heic_header(data: bytes) -> tuple[int, int, bytes | None]:
    """Return height, width and EXIF block, decoding no pixels."""
    file = _opened_heif(data)
    image = file[file.primary_index]
    width, height = image.size
    return height, width, exif.exif_of(image.info)


def _opened_heif(data: bytes) -> Any:  # noqa: ANN401 (the library is optional)
    return library("pillow_heif", "pillow-heif", "HEIC").open_heif(
        io.BytesIO(data), convert_hdr_to_8bit=False
    )


def decode_raw(data: bytes) -> Raster:
    """Develop sensor values to 16 bits, which LibRaw turns upright."""
    with _opened_raw(data) as raw:
        sizes = raw.sizes
        refuse_size(sizes.raw_height, sizes.raw_width, data_bytes=len(data), bits=8)
        refuse_size(sizes.height, sizes.width)
        values: NDArray[np.uint16] = raw.postprocess(
            use_camera_wb=True,
            output_bps=16,
            gamma=_SRGB_GAMMA,
            auto_bright_thr=_RAW_CLIPPED_PART,
        )
        block = _raw_exif(raw, data)
    return Raster(values=values, exif=block, notes=("it was developed by LibRaw",))


def raw_header(data: bytes) -> tuple[int, int, bytes | None]:
    """Return height, width and EXIF block, developing nothing."""
    with _opened_raw(data) as raw:
        sizes = raw.sizes
        turned = sizes.flip in (5, 6)  # LibRaw's numbers for a quarter turn
        height, width = (sizes.width, sizes.height) if turned else (sizes.height, sizes.width)
        return height, width, _raw_exif(raw, data)


@contextmanager
def _opened_raw(data: bytes) -> Generator[Any]:
    with library("rawpy", "rawpy", "RAW").imread(io.BytesIO(data)) as raw:
        yield raw


def _raw_exif(raw: Any, data: bytes) -> bytes | None:  # noqa: ANN401 (the library is optional)
    """Return the EXIF block of a file that is built like TIFF, else that of its preview."""
    if block := exif.from_tiff(data):
        return block
    try:
        preview = raw.extract_thumb()
    except Exception:  # noqa: BLE001 (no photograph is lost for its metadata)
        return None
    is_jpeg = isinstance(preview.data, bytes) and preview.data.startswith(b"\xff\xd8")
    return jpeg.read_segments(preview.data).exif if is_jpeg else None


def library(module: str, package: str, kind: Kind) -> ModuleType:
    """Import the library of a kind. Raises InputError that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"it is a {kind} file, which needs {package}: pip install {package}"
        ) from error
