"""What describes a camera; the values live in TOML, `presets/cameras/` or a user's own file."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, model_validator

from blur2blur.blur.isp import Demosaic, Subsampling
from blur2blur.settings import Settings, load, one_is_both


def _in_order(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"the lower end {value[0]} is above the upper end {value[1]}")
    return value


def _not_negative(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] < 0:
        raise ValueError("must not be negative")
    return value


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0:
        raise ValueError("must be above 0")
    return value


# lower and upper end of what is drawn for every photograph, uniformly unless it says otherwise; one
# number is both
SignedRange = Annotated[
    tuple[FiniteFloat, FiniteFloat],
    BeforeValidator(one_is_both),
    AfterValidator(_in_order),
]
Range = Annotated[SignedRange, AfterValidator(_not_negative)]
PositiveRange = Annotated[SignedRange, AfterValidator(_positive)]


class ShakeSettings(Settings):
    """The shake of a hand (see `trajectories.shake_paths`)."""

    length_px: Range = (0, 0)
    wander: Range = (0, 0)
    pull: Range = (0, 0)
    jerks: Annotated[FiniteFloat, Field(ge=0)] = 0


class LinearSettings(Settings):
    """Steady motion in a straight line, added to the shake."""

    length_px: Range = (0, 0)
    angle_degrees: SignedRange = (0, 180)


class SpatialSettings(Settings):
    """Motion whose blur differs from place to place; it scales with the size of the photograph."""

    share: Annotated[FiniteFloat, Field(ge=0, le=1)] = 1
    """Of the photographs that have it."""
    roll_degrees: Range = (0, 0)
    """Rotation about the optical axis during the exposure, to either side."""
    zoom_percent: SignedRange = (0, 0)
    """Growth of the image during the exposure, as of a camera that drives forward."""
    pan_degrees: Range = (0, 0)
    """Rotation to the left or right during the exposure."""
    focal_length: Annotated[FiniteFloat, Field(gt=0)] = 0.6
    """In diagonals of the photograph: 0.6 is the wide main camera of a phone."""

    @property
    def varies(self) -> bool:
        """Whether there is any such motion."""
        return any((*self.roll_degrees, *self.zoom_percent, *self.pan_degrees))


class ObjectSettings(Settings):
    """Things that move by themselves in front of what stands still (see `objects`)."""

    share: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0
    """Of the photographs, with one to `most` of them; the others have none."""
    most: Annotated[int, Field(ge=1)] = 5


class LensSettings(Settings):
    """Blur of the lens: defocus disk and Gaussian softness."""

    defocus_px: Range = (0, 0)
    softness_px: Range = (0, 0)

    @property
    def sharp(self) -> bool:
        """Whether the lens does not blur at all."""
        return not any((*self.defocus_px, *self.softness_px))


class HighlightSettings(Settings):
    """Light above the clipping point (see `isp.brighten_highlights`)."""

    threshold: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.8
    gain: Range = (1, 1)
    lamps: Range = (0, 0)
    """How many small lights are added to a million pixels."""


class NoiseSettings(Settings):
    """Noise in linear light of variance `shot * light + read ** 2`, white being 1.

    Drawn uniformly in their logarithm, where the lower end is above 0. Saturated pixels have none.
    """

    shot: Range = (0, 0)
    read: Range = (0, 0)
    smoothing: Range = (0, 0)
    """Strength of the camera's own noise removal, in sRGB values (see `isp.smooth`)."""

    @property
    def none(self) -> bool:
        """Whether there is no noise."""
        return not any((*self.shot, *self.read))


class ToneSettings(Settings):
    """The camera's own tone curve on top of sRGB (see `isp.tone_curve`)."""

    gamma: PositiveRange = (1, 1)
    contrast: Range = (0, 0)

    @model_validator(mode="after")
    def _contrast_is_a_share(self) -> Self:
        if self.contrast[1] > 1:
            raise ValueError("contrast goes from 0 to 1")
        return self


class JpegSettings(Settings):
    """JPEG compression; no `quality` is none."""

    quality: Range | None = None
    subsampling: Subsampling = "4:2:0"

    @model_validator(mode="after")
    def _quality_is_jpegs(self) -> Self:
        if self.quality and not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError("quality goes from 1 to 100")
        return self


class CameraSettings(Settings):
    """A camera: how it moves, its lens, its sensor and what it does to the picture."""

    description: str = ""
    shake: ShakeSettings = ShakeSettings()
    linear: LinearSettings = LinearSettings()
    spatial: SpatialSettings = SpatialSettings()
    extent_px: PositiveRange | None = None
    """Extent of the blur (see `trajectories.extents`), drawn uniformly in its logarithm: shake,
    straight and spatial motion are drawn, then made larger or smaller together until the widest
    place in the image has it. Without it they are taken as they are drawn."""
    still: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0
    """Share of the photographs without any motion."""
    objects: ObjectSettings = ObjectSettings()
    lens: LensSettings = LensSettings()
    exposure_stops: SignedRange = (0, 0)
    """Light of blurry and sharp photograph alike: +1 is twice as much, -1 half."""
    highlights: HighlightSettings = HighlightSettings()
    response: PositiveRange = (1, 1)
    """The light that the blur averages is the picture's, as sRGB tells it, to this power: 1 for a
    picture that follows sRGB, 2 to 3 for one whose curve lifts what lies between black and white,
    as that of many cameras does. Bright details then outshine dark ones where they mix. 0.45
    averages stored values, as is done where blur is made of the frames of a video."""
    noise: NoiseSettings = NoiseSettings()
    demosaic: Demosaic = "none"
    tone: ToneSettings = ToneSettings()
    jpeg: JpegSettings = JpegSettings()


def load_camera(name_or_toml_path: str, overrides: Sequence[str] = ()) -> CameraSettings:
    """Read a camera that ships (by name) or a TOML file (by path), then apply "key=value"s.

    Raises:
        ConfigError: no such camera or file, an unknown setting (the nearest is named), or a value
            that does not fit.
    """
    return load(CameraSettings, name_or_toml_path, overrides, folder="cameras")
