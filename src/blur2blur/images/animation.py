"""Animated GIF, WebP and PNG: every frame whole, and written as the same kind."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from blur2blur.errors import InputError
from blur2blur.images import png
from blur2blur.images.exif import exif_of
from blur2blur.images.kinds import SUFFIXES_OF, Kind
from blur2blur.images.limits import MAX_PIXELS, NoPillowLimit, refuse_size
from blur2blur.images.metadata import Metadata
from blur2blur.images.raster import Compression, Raster

SUFFIXES = SUFFIXES_OF["GIF"] | SUFFIXES_OF["WebP"] | SUFFIXES_OF["PNG"]
"""Suffixes of the kinds that are written."""

DEFAULT_QUALITY = 95

_FORMATS: dict[Kind, str] = {"GIF": "GIF", "WebP": "WEBP", "PNG": "PNG"}
_CLEAR = 255  # the palette's last colour, where a GIF has clear ground
_GIF_END = b";"
_RESTORE_BACKGROUND = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Animation:
    """An animation, its frames as they are seen: laid over the ones before.

    Attributes:
        frames: of 8 bits and one size; the metadata of the file are those of the first.
        durations_ms: how long each is seen.
        plays: how often it is shown, 0 for ever.
        has_still: the first frame is seen only where animations are not (PNG).
    """

    frames: Sequence[Raster]
    durations_ms: Sequence[int]
    plays: int
    has_still: bool = False


def decode(data: bytes, kind: Kind) -> Animation:
    """Decode a file of several frames.

    Raises:
        InputError: another kind, or more than `MAX_PIXELS` pixels in all frames.
        Exception: whatever Pillow raises on damage.
    """
    if kind not in _FORMATS:
        raise InputError(f"animations of {kind} stay none; name a clip as the output (-o NAME.mp4)")
    if kind == "GIF" and not data.rstrip(b"\x00\r\n").endswith(_GIF_END):
        raise ValueError("it is cut short")  # Pillow leaves out the frames that are missing
    with NoPillowLimit(), Image.open(io.BytesIO(data), formats=(_FORMATS[kind],)) as image:
        count = getattr(image, "n_frames", 1)
        width, height = image.size
        refuse_size(height, width)
        if count * height * width > MAX_PIXELS:
            raise InputError(
                f"its {count} frames of {width}x{height} are more than {MAX_PIXELS} pixels; name a "
                "clip as the output (-o NAME.mp4)"
            )
        durations: list[int] = []
        values: list[NDArray[np.uint8]] = []
        for frame in ImageSequence.Iterator(image):
            values.append(np.asarray(frame.convert("RGBA")))
            durations.append(round(float(frame.info.get("duration") or 0)))
        loop: int | None = image.info.get("loop")
        # a GIF tells how often it is shown again, and nothing where it is not
        plays = loop or 0 if kind != "GIF" else 1 if loop is None else loop and loop + 1
        has_still = bool(image.info.get("default_image"))
        grey = kind == "PNG" and image.mode in ("1", "L", "LA")
        first = _metadata(image, data, kind)
    opaque = all((each[..., 3] == 255).all() for each in values)
    colours = slice(0, 1) if grey else slice(0, 3)
    for at, each in enumerate(values):
        parts = [each[..., colours], each[..., 3:]]
        values[at] = np.ascontiguousarray(np.concatenate(parts[: 1 if opaque else 2], axis=2))
    return Animation(
        frames=[replace(first, values=each) for each in values],
        durations_ms=durations,
        plays=plays,
        has_still=has_still,
    )


def _metadata(image: Image.Image, data: bytes, kind: Kind) -> Raster:
    """Return what the file carries, with no pixels."""
    none = np.empty((0, 0, 3), np.uint8)
    if kind == "PNG":
        chunks = png.read_chunks(data)
        return Raster(
            values=none,
            exif=chunks.exif,
            icc_profile=chunks.profile(),
            metadata=chunks.metadata(),
            notes=chunks.notes(),
        )
    comment, xmp = image.info.get("comment", b""), image.info.get("xmp")
    return Raster(
        values=none,
        exif=exif_of(image.info),
        icc_profile=image.info.get("icc_profile") or None,
        metadata=Metadata(
            xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
            comments=(comment if isinstance(comment, bytes) else str(comment).encode(),)
            if comment
            else (),
        ),
        compression=Compression(lossless=kind == "WebP" and b"VP8 " not in data),
    )


def encode(kind: Kind, animation: Animation) -> tuple[bytes, tuple[str, ...]]:
    """Return a file's bytes, and what of its metadata the kind could not hold.

    Frames of a GIF get a palette each. Equal frames one after another become one, seen as long.
    """
    first = animation.frames[0]
    clear = first.values.shape[2] in (2, 4)
    durations = animation.durations_ms[1 if animation.has_still else 0 :]
    options: dict[str, Any] = {"save_all": True, "duration": list(durations)}
    if kind != "GIF":
        options["loop"] = animation.plays
    elif animation.plays != 1:
        options["loop"] = max(0, animation.plays - 1)
    seen = animation.frames[1 if animation.has_still and kind != "PNG" else 0 :]
    notes: tuple[str, ...] = ()
    if kind == "GIF":
        frames = [_with_palette(frame.values) for frame in seen]
        options |= {"disposal": _RESTORE_BACKGROUND, "transparency": _CLEAR} if clear else {}
        options |= {"comment": first.metadata.comments[0]} if first.metadata.comments else {}
        notes = ("GIF has no place for XMP: left out",) if first.metadata.xmp else ()
    else:
        frames = [_image(frame.values) for frame in seen]
    if kind == "WebP":
        options |= {"lossless": first.compression.lossless, "quality": DEFAULT_QUALITY}
        options |= {"exact": True, "exif": first.exif or b"", "xmp": first.metadata.xmp or b""}
        options |= {"icc_profile": first.icc_profile or b""}
    if kind == "PNG":
        options["default_image"] = animation.has_still
    file = io.BytesIO()
    frames[0].save(file, _FORMATS[kind], append_images=frames[1:], **options)
    data = file.getvalue()
    if kind == "PNG":
        data = png.with_chunks(data, first.exif, first.icc_profile, first.metadata)
    return data, notes


def _image(values: NDArray[Any]) -> Image.Image:
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _with_palette(values: NDArray[Any]) -> Image.Image:
    """Return `H W 1` to `H W 4` with the 256 colours that suit it, or 255 and clear ground."""
    clear = values.shape[2] in (2, 4)
    colour = _image(values[..., :-1] if clear else values).convert("RGB")
    method, dither = Image.Quantize.MEDIANCUT, Image.Dither.NONE
    image = colour.quantize(_CLEAR if clear else 256, method, dither=dither)
    if not clear:
        return image
    indices = np.array(image)
    indices[values[..., -1] < 128] = _CLEAR
    palette = (image.getpalette() or [])[: 3 * _CLEAR]
    image = Image.fromarray(indices, "P")
    image.putpalette(palette + [0] * (768 - len(palette)))
    image.info["transparency"] = _CLEAR
    return image
