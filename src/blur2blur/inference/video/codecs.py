"""Which codec, pixel format and options a clip is encoded with."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur.errors import ConfigError
from blur2blur.inference.video.colour import LAYOUTS, Layout

if TYPE_CHECKING:
    from av import VideoFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A codec that can be written.

    Attributes:
        encoders: FFmpeg's encoders of it, the best first.
        crf: the quality it is written with unless told otherwise; None where it takes none.
        worst_crf: the largest value of it.
        odd_sides: halved chroma is possible with odd sides.
        options: FFmpeg's options that are always given.
    """

    encoders: tuple[str, ...]
    crf: int | None = None
    worst_crf: int = 0
    odd_sides: bool = False
    options: dict[str, str] = field(default_factory=dict[str, str])


CODECS = {
    "h264": Encoder(encoders=("libx264",), crf=18, worst_crf=51),
    "hevc": Encoder(
        encoders=("libx265",), crf=20, worst_crf=51, options={"x265-params": "log-level=error"}
    ),
    "av1": Encoder(encoders=("libsvtav1", "libaom-av1"), crf=25, worst_crf=63),
    "vp9": Encoder(encoders=("libvpx-vp9",), crf=25, worst_crf=63, odd_sides=True),
    "prores": Encoder(encoders=("prores_ks",), odd_sides=True),
    "ffv1": Encoder(encoders=("ffv1",), odd_sides=True, options={"level": "3"}),
}
AUTO = "auto"

# Suffix -> FFmpeg's container, and the codecs that it holds; the first where the clip's is not one.
_CONTAINERS = {
    ".mp4": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".m4v": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".mov": ("mov", ("h264", "hevc", "prores")),
    ".mkv": ("matroska", ("h264", "hevc", "av1", "vp9", "prores", "ffv1")),
    ".webm": ("webm", ("vp9", "av1")),
}
WRITTEN_SUFFIXES = frozenset(_CONTAINERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a user may ask of the encoder: a name of CODECS or "auto", and its crf."""

    codec: str = AUTO
    crf: int | None = None

    def check(self) -> None:
        """Refuse what no clip could be written with.

        Raises:
            ConfigError: an unknown codec, a crf it does not take, or one without a codec's name.
        """
        if self.codec != AUTO and self.codec not in CODECS:
            raise ConfigError(f"there is no codec '{self.codec}'; known: {', '.join(CODECS)}")
        if self.crf is not None and self.codec != AUTO:
            _check_crf(self.codec, self.crf)

    def check_container(self, output: Path) -> tuple[str, tuple[str, ...]]:
        """Return FFmpeg's name of an output's container and the codecs it holds.

        Raises:
            ConfigError: an unknown suffix, or a codec that the container does not hold.
        """
        suffix = output.suffix.lower()
        if suffix not in _CONTAINERS:
            known = " ".join(sorted(_CONTAINERS))
            raise ConfigError(f"clips cannot be written as {output}; choose one of {known}")
        container, held = _CONTAINERS[suffix]
        if self.codec not in (AUTO, *held):
            raise ConfigError(
                f"{suffix} does not hold {self.codec} ({output}); use {', '.join(held)}, or .mkv"
            )
        return container, held


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How one clip is encoded: names of FFmpeg, and the layout of its frames."""

    container: str
    codec: str
    encoder: str
    layout: Layout
    options: dict[str, str]


def choose(
    quality: Quality, output: Path, *, codec: str, pixels: "VideoFormat", width: int, height: int
) -> Encoding:
    """Choose how a clip is encoded: as it was, where that can be done.

    Args:
        quality: what the user asked for.
        output: its suffix chooses the container.
        codec: FFmpeg's name of the clip's own codec.
        pixels: its pixel format.
        width: in pixels.
        height: in pixels.

    Raises:
        ConfigError: an unknown suffix, a codec that the container cannot hold or that the
            installed av cannot encode, a crf that the codec does not take.
    """
    quality.check()
    container, held = quality.check_container(output)
    name = quality.codec
    if name == AUTO:
        possible = [own for own in (codec, *held) if own in held and _encoder(own) is not None]
        if not possible:
            raise ConfigError(f"the installed av encodes none of {', '.join(held)}")
        name = possible[0]
    encoder = _encoder(name)
    if encoder is None:
        raise ConfigError(f"the installed av cannot encode {name}; use another codec")
    options = dict(CODECS[name].options)
    crf = CODECS[name].crf if quality.crf is None else _check_crf(name, quality.crf)
    if crf is not None:
        options["crf"] = str(crf)
    return Encoding(
        container=container,
        codec=name,
        encoder=encoder,
        layout=_choose_layout(name, encoder, pixels, width=width, height=height),
        options=options,
    )


def _check_crf(codec: str, crf: int) -> int:
    known = CODECS[codec]
    if known.crf is None:
        raise ConfigError(f"{codec} takes no crf; leave --crf out, or choose another codec")
    if not 0 <= crf <= known.worst_crf:
        raise ConfigError(f"crf {crf}: {codec} takes 0 (best) to {known.worst_crf}")
    return crf


def _encoder(codec: str) -> str | None:
    from av import Codec
    from av.codec.codec import UnknownCodecError

    for name in CODECS[codec].encoders:
        try:
            Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    return None


def _choose_layout(
    codec: str, encoder: str, pixels: "VideoFormat", *, width: int, height: int
) -> Layout:
    """Return the clip's own layout, or the nearest that the encoder takes: first no less of it."""
    from av import Codec

    taken = {pixels.name for pixels in Codec(encoder, "w").video_formats or []}
    wanted = layout_of(pixels)
    possible = [
        layout
        for layout in LAYOUTS.values()
        if layout.name in taken and (wanted.rgb or not layout.rgb)
        if CODECS[codec].odd_sides or not _splits_a_pixel(layout, width=width, height=height)
    ]
    if not possible:
        raise ConfigError(
            f"{codec} cannot encode {width}x{height}, whose sides are odd; use h264 or hevc"
        )

    def distance(layout: Layout) -> tuple[bool, bool, int, bool, int]:
        return (
            layout.rgb != wanted.rgb,
            layout.bits < wanted.bits,
            abs(layout.bits - wanted.bits),
            _loses_colour(layout, wanted),
            -_samples(layout) if _loses_colour(layout, wanted) else _samples(layout),
        )

    return min(possible, key=distance)


def layout_of(pixels: "VideoFormat") -> Layout:
    """Return the layout that holds all samples of a pixel format, alpha left out.

    Raises:
        ConfigError: floating-point or Bayer samples, or more than 12 bits of them.
    """
    bits = max(8, *(component.bits for component in pixels.components))
    deep = "" if bits == 8 else f"{10 if bits <= 10 else 12}le"
    if bits > 12 or pixels.is_bayer:
        raise ConfigError(f"frames of {pixels.name} are not handled; convert the clip first")
    if pixels.is_rgb or pixels.has_palette:
        return LAYOUTS[f"gbrp{deep}"]
    if sum(not component.is_alpha for component in pixels.components) == 1:
        return LAYOUTS[f"gray{deep}"]
    if pixels.chroma_width(64) == 64:
        return LAYOUTS[f"yuv444p{deep}"]
    halved_y = pixels.chroma_height(64) < 64
    return LAYOUTS[f"yuv420p{deep}" if halved_y else f"yuv422p{deep}"]


def _splits_a_pixel(layout: Layout, *, width: int, height: int) -> bool:
    return (layout.halved_x and width % 2 == 1) or (layout.halved_y and height % 2 == 1)


def _loses_colour(layout: Layout, wanted: Layout) -> bool:
    return (
        (layout.grey and not wanted.grey)
        or (layout.halved_x and not wanted.halved_x)
        or (layout.halved_y and not wanted.halved_y)
    )


def _samples(layout: Layout) -> int:
    """Return samples per four pixels."""
    if layout.grey:
        return 4
    return 4 + 8 // ((1 + layout.halved_x) * (1 + layout.halved_y))
