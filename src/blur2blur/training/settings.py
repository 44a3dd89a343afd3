"""Every setting of each training; presets in `presets/*.toml` hold the values."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from blur2blur import networks, settings
from blur2blur.errors import ConfigError
from blur2blur.networks import DiscriminatorOptions
from blur2blur.settings import Settings
from blur2blur.training.sections import (
    DataSettings,
    KnownBlurSettings,
    MatchedCamerasSettings,
    NetworkSettings,
    OptimiserSettings,
    RunSettings,
    SimulatedCamerasSettings,
)

FORMER_NAMES = {
    "rehearsal.candidates": "",
    "rehearsal.draws": "",
    "rehearsal": "simulated",
    "discriminator.judge": "discriminator.kind",
    "loss.content_weights_file": "",
}
"""What settings were called in older versions, and are called now; "" where they are gone."""


def _makes_images(network: NetworkSettings) -> NetworkSettings:
    if network.name not in networks.names():
        hint = settings.nearest(network.name, networks.names())
        raise ConfigError(
            f"network.name = '{network.name}' makes no image of an image, set another{hint}"
        )
    return network


ImageNetworkSettings = Annotated[NetworkSettings, AfterValidator(_makes_images)]


class TaskSettings(Settings):
    """What every training has."""

    former_names: ClassVar[Mapping[str, str]] = FORMER_NAMES

    init: str = ""
    """Weights to start from: a name that ships, a file of this project or a published one of a
    network it has."""
    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()


class DeblurrerLossSettings(Settings):
    """Weights of the deblurrer's losses: multi-scale reconstruction and frequency (MIMO-UNet)."""

    reconstruction: Literal["l1", "charbonnier"] = "l1"
    """`l1` or `charbonnier`, at every scale."""
    frequency: float = Field(default=0.1, ge=0)
    """Weight of the difference of spectra."""


class DeblurrerSettings(TaskSettings):
    """`train deblurrer`: learn to undo the known blur, or what a converter makes of others."""

    task: Literal["deblurrer"] = "deblurrer"
    """Which training the file is for."""
    converter: str = ""
    """With simulated cameras: the frozen converter whose results are deblurred; `none` deblurs the
    simulated cameras' photographs as they are."""
    network: ImageNetworkSettings = NetworkSettings()
    known: KnownBlurSettings = KnownBlurSettings()
    simulated: MatchedCamerasSettings | None = None
    """With this section the deblurrer is finished: it learns what `converter` makes of simulated
    cameras, and `known` only tells in the weights which blur the converter makes."""
    loss: DeblurrerLossSettings = DeblurrerLossSettings()

    @model_validator(mode="after")
    def _converter_is_read(self) -> Self:
        if self.converter and self.simulated is None:
            raise ValueError(
                "converter is read with simulated cameras alone: set simulated.cameras, as the "
                "preset finish does"
            )
        return self


class KernelLossSettings(Settings):
    """Weights of the kernel extractor's losses (Tran et al., CVPR 2021, section 3.2)."""

    reconstruction: Literal["l1", "charbonnier"] = "charbonnier"
    """`l1` or `charbonnier`, at every scale."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the divergence of codes from the normal distribution; needs the network's option
    `vae`."""
    # what codes hold of the scene is then of no use, what they hold of the blur still is
    moved_codes: float = Field(default=0.5, ge=0, le=1)
    """Share of crops whose codes are laid half a crop away from where they were read."""


class KernelSettings(TaskSettings):
    """`train kernel`: learn to read the blur of pairs and to lay it over other images."""

    task: Literal["kernel"] = "kernel"
    """Which training the file is for."""
    network: NetworkSettings = NetworkSettings(name="kernel_wizard")
    known: KnownBlurSettings = KnownBlurSettings(source="pairs")
    loss: KernelLossSettings = KernelLossSettings()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.network.name != "kernel_wizard":
            raise ValueError(
                f"network.name = '{self.network.name}' reads no blur from pairs; set it to "
                "kernel_wizard"
            )
        if self.known.source == "transfer":
            raise ValueError("known.source = 'transfer' needs what is trained here; use 'pairs'")
        return self


class ExtentSettings(TaskSettings):
    """`train extent`: learn to tell how far the blur of simulated cameras reaches."""

    former_names: ClassVar[Mapping[str, str]] = {**FORMER_NAMES, "simulated.compared": ""}

    task: Literal["extent"] = "extent"
    """Which training the file is for."""
    network: NetworkSettings = NetworkSettings(name="blur_extent")
    data: DataSettings = DataSettings(crop_px=128)
    simulated: SimulatedCamerasSettings = SimulatedCamerasSettings()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.network.name != "blur_extent":
            raise ValueError(
                f"network.name = '{self.network.name}' reads no extent; set it to blur_extent"
            )
        return self


class ConverterSettings(TaskSettings):
    """`train converter`: learn to turn the camera's unknown blur into the known one.

    It has two kinds, by the key `method`. Values without it are those of a simulated one where
    they weigh `simulated.converted` or `simulated.deblurred`, else those of an adversarial one.
    """

    task: Literal["converter"] = "converter"
    """Which training the file is for."""
    deblurrer: str = ""
    """A deblurrer whose results are shown on the sample sheets, and which `simulated.deblurred`
    looks through."""
    network: ImageNetworkSettings = NetworkSettings()
    known: KnownBlurSettings = KnownBlurSettings()
    optimiser: OptimiserSettings = OptimiserSettings(beta1=0.5)

    @classmethod
    def class_for(cls, values: Mapping[str, Any]) -> "type[ConverterSettings]":
        """Return the settings of the method; raises ValueError for what it does not read."""
        method = converter_method(values)
        if method not in METHODS:
            raise ValueError(
                f"method = {method!r}: it must be {' or '.join(repr(name) for name in METHODS)}"
            )
        known = values.get("known")
        source = known.get("source", "synthetic") if isinstance(known, Mapping) else "synthetic"
        if method == "simulated" and source in ("pairs", "transfer"):
            raise ValueError(
                f"known.source = '{source}' leaves nothing to simulate: use the preset "
                "converter-pairs, or known.source=synthetic"
            )
        (other,) = METHODS.keys() - {method}
        given = sorted(_given_names(values) & unread_names(method))
        if given:
            raise ValueError(
                f"method = '{method}' does not read '{given[0]}'; leave it out, or begin with a "
                f"preset of the method '{other}', such as {_PRESET_OF[other]}"
            )
        return METHODS[method]


def converter_method(values: Mapping[str, Any]) -> object:
    """Return the method of a converter's settings, also of such as do not name it."""
    simulated = values.get("simulated")
    weighed = isinstance(simulated, Mapping) and any(
        simulated.get(weight) for weight in ("converted", "deblurred")
    )
    return values.get("method", "simulated" if weighed else "adversarial")


def unread_names(method: object) -> set[str]:
    """Return the dotted names of what the other method reads and this one does not."""
    every = {name for model in METHODS.values() for name in settings.dotted_names(model)}
    return every - settings.dotted_names(METHODS[method])


def _given_names(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in values.items():
        dotted = f"{prefix}{name}"
        found |= _given_names(value, f"{dotted}.") if isinstance(value, Mapping) else {dotted}
    return found


class SimulatedPairsSettings(MatchedCamerasSettings):
    """Pairs to learn from: the blur of simulated cameras, laid over the sharp photographs."""

    converted: float = Field(default=0.5, ge=0)
    """Weight of the difference between the converted image and the same photograph under the known
    blur."""
    deblurred: float = Field(default=1.0, ge=0)
    """Weight of the difference between what `deblurrer` makes of the converted image and the sharp
    photograph."""
    train_deblurrer: bool = False
    """Trains `deblurrer` on together with the converter, instead of leaving it frozen; its weights
    are written beside the converter's."""

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if not (self.converted or self.deblurred):
            raise ValueError(
                "simulated.converted and simulated.deblurred are both 0, and nothing is learned; "
                "set one of them, or method=adversarial"
            )
        if self.train_deblurrer and not self.deblurred:
            raise ValueError(
                "simulated.train_deblurrer trains by what is deblurred: set simulated.deblurred=1"
            )
        return self


class SimulatedConverterSettings(ConverterSettings):
    """Learn from simulated pairs alone."""

    method: Literal["simulated"] = "simulated"
    """`simulated`: learns from pairs of simulated cameras; `adversarial`: from a discriminator and
    a content loss, as published. What the other one reads is refused."""
    simulated: SimulatedPairsSettings = SimulatedPairsSettings()


class AdversarialDataSettings(DataSettings):
    """Samples of the adversarial converter: blurry and sharp are drawn independently."""

    curriculum_steps: int = Field(default=0, ge=0)
    """Until this step only the sharper half of `trainA` is drawn, then ever more; all from twice
    this step on."""


class DiscriminatorSettings(DiscriminatorOptions):
    """The discriminator of blur: its network's options and its optimiser's rate."""

    init: str = ""
    """A discriminator to start from: a weight file, ours or a published one; its options are then
    the file's."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """Its learning rate; the schedule is the one of `optimiser`."""
    updates_per_step: PositiveInt = 1
    """Its updates for each update of the converter, each with a batch of its own."""


class AdversarialLossSettings(Settings):
    """Weights of the adversarial converter's losses."""

    adversarial: Literal["hinge", "least_squares", "logistic", "wasserstein"] = "hinge"
    """`hinge`, `least_squares`, `logistic` or `wasserstein` (which needs a penalty)."""
    relativistic: bool = False
    """Rates each image relative to the mean of the other side."""
    adversarial_weight: float = Field(default=1.0, ge=0)
    """Weight of the adversarial loss in the converter's update."""
    penalty: Literal["none", "r1", "r1+r2", "interpolated"] = "r1"
    """Gradient penalty of the discriminator: `none`, `r1` (known images), `r1+r2` (converted ones
    too), `interpolated`."""
    penalty_weight: float = Field(default=1.0, ge=0)
    """Its weight."""
    content: Literal["vgg16", "vgg19", "pyramid", "none"] = "pyramid"
    """What keeps the scene: `pyramid` (averages over 4 to 32 pixels, needs no weights), `vgg16`,
    `vgg19` (downloaded once), `none`."""
    content_weight: float = Field(default=1.0, ge=0)
    """Its weight."""
    identity_weight: float = Field(default=0.0, ge=0)
    """Weight of the demand that photographs with the known blur pass unchanged."""


class AdversarialConverterSettings(ConverterSettings):
    """Learn from a discriminator (Blur2Blur, Pham et al., CVPR 2024, arXiv 2403.16205)."""

    method: Literal["adversarial"] = "adversarial"
    """`simulated`: learns from pairs of simulated cameras; `adversarial`: from a discriminator and
    a content loss, as published. What the other one reads is refused."""
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    data: AdversarialDataSettings = AdversarialDataSettings()  # pyright: ignore[reportIncompatibleVariableOverride] settings are frozen
    loss: AdversarialLossSettings = AdversarialLossSettings()


METHODS: dict[object, type[ConverterSettings]] = {
    "simulated": SimulatedConverterSettings,
    "adversarial": AdversarialConverterSettings,
}
_PRESET_OF: dict[object, str] = {"simulated": "converter", "adversarial": "converter-pairs"}


def settings_of_run(told: Mapping[str, Any], like: TaskSettings) -> dict[str, Any]:
    """Return the settings that a run folder tells, as this version writes them.

    Those of another task or method than `like` are returned as they are told.

    Raises:
        ConfigError: they are no settings of a run.
    """
    values = settings.renamed(told, like.former_names)
    if isinstance(like, ConverterSettings) and "method" not in values:
        values = _with_method(values)
    # a deblurrer that was not finished was told to have no simulated cameras
    if isinstance(like, DeblurrerSettings) and not (values.get("simulated") or {}).get("cameras"):
        values["simulated"] = None
    wanted = like.model_dump(mode="json", include={"task", "method"})
    if any(values.get(key) != value for key, value in wanted.items()):
        return {key: values.get(key) for key in wanted} | values  # the first difference is told
    return settings.build(type(like), values, source="settings.json").model_dump(mode="json")


def _with_method(values: Mapping[str, Any]) -> dict[str, Any]:
    """Name a converter's method; what older versions wrote down though it was not read is left."""
    method = converter_method(values)
    unread = unread_names(method)

    def read(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        return {
            key: read(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
            for key, value in section.items()
            if f"{prefix}{key}" not in unread
        }

    kept = {key: value for key, value in read(values).items() if value != {} or not values[key]}
    return {**kept, "method": method}
