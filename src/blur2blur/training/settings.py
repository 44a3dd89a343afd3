"""Every setting of a training run; presets in `presets/*.toml` hold the values."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, PositiveInt, model_validator

from blur2blur.data.samples.datasets import Augmentation
from blur2blur.networks import DiscriminatorOptions
from blur2blur.settings import Settings, one_is_both

OptionValue = bool | int | float | str | list[int]


class NetworkSettings(Settings):
    """Which network, by registry name, and its constructor options."""

    name: str = "mimo_unet"
    options: dict[str, OptionValue] = Field(default_factory=dict)


class DataSettings(Settings):
    """How samples are cut from the photographs."""

    crop_px: PositiveInt = 256
    batch_size: PositiveInt = 8  # per device
    workers: int = Field(default=4, ge=0)  # decoding processes; 0 decodes in the training process
    cache_gb: float = Field(default=2.0, ge=0)  # decoded photographs kept in memory
    # photographs are averaged down by this factor before cropping; of two numbers, each crop by
    # one between them
    shrink: Annotated[
        tuple[Annotated[FiniteFloat, Field(ge=1)], FiniteFloat], BeforeValidator(one_is_both)
    ] = (1, 1)
    rotations: bool = True  # by multiples of 90°; flips always happen
    colour_jitter: float = Field(default=0.0, ge=0, lt=1)
    places: PositiveInt = 1  # drawn for each crop; the one of most detail is kept
    graphics: float = Field(default=0.0, ge=0, le=1)  # share of crops with text and lines on them
    validation_fraction: float = Field(
        default=0.1, gt=0, lt=1
    )  # of the photographs, never trained on
    validation_crops: PositiveInt = 16

    @model_validator(mode="after")
    def _shrink_is_in_order(self) -> Self:
        if self.shrink[0] > self.shrink[1]:
            raise ValueError(f"shrink = {list(self.shrink)}: the first must not be the larger")
        return self

    @property
    def augmentation(self) -> Augmentation:
        """How samples are varied."""
        return Augmentation(
            rotations=self.rotations,
            colour_jitter=self.colour_jitter,
            places=self.places,
            graphics=self.graphics,
        )


class KnownBlurSettings(Settings):
    """Where the known blur comes from.

    "pairs": trainC/trainD as they are. "synthetic": the blur of `camera` laid over the sharp
    photographs. "transfer": the blur of trainC/trainD laid over the sharp photographs by
    `extractor`.
    """

    source: Literal["pairs", "synthetic", "transfer"] = "synthetic"
    camera: str = "known"
    overrides: list[str] = Field(default_factory=list)
    extractor: str = ""  # weight file of a kernel extractor

    @model_validator(mode="after")
    def _extractor_is_named(self) -> Self:
        if self.source == "transfer" and not self.extractor:
            raise ValueError(
                "source = 'transfer' needs known.extractor, a weight file of 'blur2blur train "
                "kernel' or a published one"
            )
        return self


class OptimiserSettings(Settings):
    """Adam and its learning rate over the run."""

    learning_rate: float = Field(default=2e-4, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "linear", "cosine", "step", "plateau"] = "cosine"
    decay_every: PositiveInt = 10_000  # steps, of the schedule "step"
    constant_fraction: float = Field(default=0.0, ge=0, lt=1)  # of the run, before the decay
    clip_norm: float = Field(default=0.0, ge=0)  # 0 does not clip


class RunSettings(Settings):
    """Length, seed, rhythm and machine of a run."""

    steps: PositiveInt = 100_000
    seed: int = Field(default=0, ge=0)
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 1000
    checkpoint_every: PositiveInt = 1000
    samples_every: PositiveInt = 1000
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class DeblurrerLossSettings(Settings):
    """Weights of the deblurrer's losses: multi-scale reconstruction and frequency (MIMO-UNet)."""

    reconstruction: Literal["l1", "charbonnier"] = "l1"
    frequency: float = Field(default=0.1, ge=0)


class SimulatedCamerasSettings(Settings):
    """Simulated cameras, whose blur, noise and compression are laid over the sharp photographs."""

    cameras: list[str] = Field(default_factory=lambda: ["any"], min_length=1)
    compared: int = Field(default=0, ge=0)  # cameras drawn of `cameras`; the nearest eighth stays


class FinishingSettings(SimulatedCamerasSettings):
    """Pairs of simulated cameras instead of the known blur; none without cameras."""

    cameras: list[str] = Field(default_factory=list)

    @property
    def takes_place(self) -> bool:
        """Whether there is any."""
        return bool(self.cameras)


class DeblurrerSettings(Settings):
    """`train deblurrer`: learn to undo the known blur, or what a converter makes of others."""

    task: Literal["deblurrer"] = "deblurrer"
    init: str = ""  # a deblurrer to start from: a name of the zoo or a weight file
    converter: str = ""  # what it makes of simulated cameras' photographs is deblurred; or "none"
    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    known: KnownBlurSettings = KnownBlurSettings()
    simulated: FinishingSettings = FinishingSettings()
    loss: DeblurrerLossSettings = DeblurrerLossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _simulation_is_possible(self) -> Self:
        if self.converter and not self.simulated.takes_place:
            raise ValueError(
                "converter is read with simulated cameras alone: set simulated.cameras, as the "
                "preset finish does"
            )
        if self.simulated.takes_place and self.known.source != "synthetic":
            raise ValueError(
                f"known.source = '{self.known.source}' leaves nothing to simulate: set "
                "simulated.cameras=[], or known.source=synthetic"
            )
        return self


class KernelLossSettings(Settings):
    """Weights of the kernel extractor's losses (Tran et al., CVPR 2021, section 3.2)."""

    reconstruction: Literal["l1", "charbonnier"] = "charbonnier"
    kl: float = Field(default=0.0, ge=0)  # pulls codes to the normal distribution; needs vae
    # Share of crops whose codes are laid half a crop away from where they were read: what they
    # hold of the scene is then of no use, what they hold of the blur still is.
    moved_codes: float = Field(default=0.5, ge=0, le=1)


class KernelSettings(Settings):
    """`train kernel`: learn to read the blur of pairs and to lay it over other images."""

    task: Literal["kernel"] = "kernel"
    init: str = ""  # a kernel extractor to start from: a weight file, ours or published
    network: NetworkSettings = NetworkSettings(name="kernel_wizard")
    data: DataSettings = DataSettings()
    known: KnownBlurSettings = KnownBlurSettings(source="pairs")
    loss: KernelLossSettings = KernelLossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.known.source == "transfer":
            raise ValueError("known.source = 'transfer' needs what is trained here; use 'pairs'")
        return self


class ExtentSettings(Settings):
    """`train extent`: learn to tell how far the blur of simulated cameras reaches."""

    task: Literal["extent"] = "extent"
    init: str = ""  # an estimator to start from: a weight file
    network: NetworkSettings = NetworkSettings(name="blur_extent")
    data: DataSettings = DataSettings(crop_px=128)
    simulated: SimulatedCamerasSettings = SimulatedCamerasSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()


class ConverterDataSettings(DataSettings):
    """Samples of the converter: blurry and sharp are drawn independently."""

    curriculum_steps: int = Field(default=0, ge=0)  # sharper half of the blurry ones until then


class DiscriminatorSettings(DiscriminatorOptions):
    """The discriminator of blur: its network's options and its optimiser's rate."""

    init: str = ""  # a discriminator to start from: a weight file, whose options then hold
    learning_rate: float = Field(default=2e-4, gt=0)
    updates_per_step: PositiveInt = 1


class ConverterLossSettings(Settings):
    """Weights of the converter's losses."""

    adversarial: Literal["hinge", "least_squares", "logistic", "wasserstein"] = "hinge"
    relativistic: bool = False
    adversarial_weight: float = Field(default=1.0, ge=0)
    penalty: Literal["none", "r1", "r1+r2", "interpolated"] = "r1"
    penalty_weight: float = Field(default=1.0, ge=0)
    content: Literal["vgg16", "vgg19", "pyramid", "none"] = "pyramid"
    content_weight: float = Field(default=1.0, ge=0)
    identity_weight: float = Field(default=0.0, ge=0)  # the known blur must pass unchanged


class SimulatedPairsSettings(SimulatedCamerasSettings):
    """SimulatedPairs on pairs: the blur of simulated cameras, laid over the sharp photographs.

    The converter is shown what becomes of the same photograph under the known blur (`converted`),
    and what the frozen deblurrer should make of the converted image (`deblurred`). With either,
    there is no discriminator and no content loss.
    """

    converted: float = Field(default=0.0, ge=0)  # weight of the loss before the deblurrer
    deblurred: float = Field(default=0.0, ge=0)  # and after it, which needs `deblurrer`
    train_deblurrer: bool = False  # together with the converter, instead of leaving it frozen

    @property
    def takes_place(self) -> bool:
        """Whether there is any."""
        return self.converted > 0 or self.deblurred > 0


class ConverterSettings(Settings):
    """`train converter`: learn to turn the camera's unknown blur into the known one."""

    task: Literal["converter"] = "converter"
    init: str = ""  # a converter to start from: a name of the zoo or a weight file
    deblurrer: str = ""  # shown on sample sheets
    network: NetworkSettings = NetworkSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    data: ConverterDataSettings = ConverterDataSettings()
    known: KnownBlurSettings = KnownBlurSettings()
    loss: ConverterLossSettings = ConverterLossSettings()
    simulated: SimulatedPairsSettings = SimulatedPairsSettings()
    optimiser: OptimiserSettings = OptimiserSettings(beta1=0.5)
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _simulation_is_possible(self) -> Self:
        if self.simulated.train_deblurrer and not self.simulated.deblurred:
            raise ValueError(
                "simulated.train_deblurrer trains by what is deblurred: set simulated.deblurred=1"
            )
        if self.simulated.takes_place and self.known.source != "synthetic":
            raise ValueError(
                f"known.source = '{self.known.source}' leaves nothing to simulate: use the preset "
                "converter-pairs, or known.source=synthetic"
            )
        return self


TaskSettings = DeblurrerSettings | ConverterSettings | KernelSettings | ExtentSettings
