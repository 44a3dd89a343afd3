"""The sections of settings that trainings share, and what holds for one section alone."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, PositiveInt, model_validator

from blur2blur import networks
from blur2blur.data.samples.datasets import Augmentation
from blur2blur.settings import Settings, one_is_both

OptionValue = bool | int | float | str | list[int]


class NetworkSettings(Settings):
    """Which network, by registry name, and its constructor options."""

    name: str = "mimo_unet"
    """`coarse_to_fine`, `mimo_unet`, `mimo_unet_plus`, `nafnet`, `residual_unet`, `resnet` or
    `unet`; of the kernel extractor `kernel_wizard`, of the extent estimator `blur_extent`. With
    `init` the network is the file's, and another name is refused."""
    options: dict[str, OptionValue] = Field(default_factory=dict)
    """Options of that network, see [models.md](models.md). With `init` they are the file's, and
    another value is refused."""

    @model_validator(mode="after")
    def _options_are_the_networks(self) -> Self:
        networks.checked_options(self.name, self.options)
        return self


class DataSettings(Settings):
    """How samples are cut from the photographs."""

    crop_px: PositiveInt = 256
    """Side of the square crops, in pixels; what the networks can take, else the nearest is
    named."""
    batch_size: PositiveInt = 8
    """Crops per device and step."""
    workers: int = Field(default=4, ge=0)
    """Processes that decode, and lay simulated blur over crops; 0 does both in the training
    process."""
    cache_gb: float = Field(default=2.0, ge=0)
    """Memory for decoded photographs, in gigabytes, per training process; what does not fit is
    decoded again at every access."""
    shrink: Annotated[
        tuple[Annotated[FiniteFloat, Field(ge=1)], Annotated[FiniteFloat, Field(le=64)]],
        BeforeValidator(one_is_both),
    ] = (1, 1)
    """Photographs are averaged down by this factor before cropping; of two numbers, each crop by
    one between them, drawn uniformly in its logarithm. `deblur` does not do that."""
    rotations: bool = True
    """Turns crops by multiples of 90 degrees; they are mirrored at random in any case."""
    colour_jitter: float = Field(default=0.0, ge=0, lt=1)
    """Brightness, contrast and saturation vary by up to this share."""
    places: PositiveInt = 1
    """Places that are drawn for each crop; the one of most detail is kept."""
    graphics: float = Field(default=0.0, ge=0, le=1)
    """Share of the crops of sharp photographs with text and lines drawn on them before the blur;
    pairs have none."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the photographs that is held out: the last ones by name, at least one."""
    validation_crops: PositiveInt = 16
    """Crops of them that validation looks at, the same throughout the run."""

    @model_validator(mode="after")
    def _shrink_is_in_order(self) -> Self:
        if self.shrink[0] > self.shrink[1]:
            raise ValueError(f"data.shrink = {list(self.shrink)}: the first must not be the larger")
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
    """Where the known blur comes from."""

    source: Literal["pairs", "synthetic", "transfer"] = "synthetic"
    """`synthetic`: the blur of `known.camera` over sharp photographs; `pairs`: `trainC` and
    `trainD` as they are; `transfer`: the blur of `trainC` and `trainD`, laid over sharp photographs
    by `known.extractor`."""
    camera: str = "known"
    """For `synthetic`: a camera that ships, or the path of a TOML file, see [data.md](data.md)."""
    overrides: list[str] = Field(default_factory=list)
    """For `synthetic`: changes to the camera, such as `["shake.length_px=[4, 20]"]`."""
    extractor: str = ""
    """For `transfer`: weight file of a kernel extractor, a name that ships or a published file."""

    @model_validator(mode="after")
    def _all_is_read(self) -> Self:
        if self.source == "transfer" and not self.extractor:
            raise ValueError(
                "known.source = 'transfer' needs known.extractor, a weight file of 'blur2blur "
                "train kernel' or a published one"
            )
        for name, value, source in (
            ("extractor", self.extractor, "transfer"),
            ("overrides", self.overrides, "synthetic"),
        ):
            if value and self.source != source:
                raise ValueError(
                    f"known.{name} is not read with known.source = '{self.source}'; leave it out, "
                    f"or set known.source={source}"
                )
        return self


class OptimiserSettings(Settings):
    """Adam and its learning rate over the run."""

    learning_rate: float = Field(default=2e-4, gt=0)
    """Learning rate of AdamW."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of its mean gradient."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of its mean squared gradient."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Its weight decay; 0 is plain Adam."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises from zero."""
    schedule: Literal["constant", "linear", "cosine", "step", "plateau"] = "cosine"
    """How the rate falls towards zero, which it never reaches: `cosine` or `linear` until the end;
    `step`, to a tenth every `decay_every` steps; `plateau`, to a fifth after 5 validations without
    a gain of 1 % in the score that chooses the best weights; `constant` does not fall."""
    decay_every: PositiveInt = 10_000
    """Steps between the falls of the schedule `step`."""
    constant_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the run before it falls."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Longest gradient; 0 does not clip."""


class RunSettings(Settings):
    """Length, seed, rhythm and machine of a run."""

    steps: PositiveInt = 100_000
    """Length of the run."""
    seed: int = Field(default=0, ge=0)
    """Initial weights, crops, blurs: everything that is random."""
    log_every: PositiveInt = 50
    """Steps between lines of the log, which hold means since the line before."""
    validate_every: PositiveInt = 1000
    """Steps between validations."""
    checkpoint_every: PositiveInt = 1000
    """Steps between checkpoints."""
    samples_every: PositiveInt = 1000
    """Steps between sample sheets."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones that are validated and saved; 0 does not
    average."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """`32-true`, `bf16-mixed` or `16-mixed`."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `mps`."""
    logger: Literal["tensorboard", "wandb", "none"] = "tensorboard"
    """What is told the losses beside `log.jsonl`: `tensorboard` (a folder of the run), `wandb` (as
    its own environment variables say, such as `WANDB_MODE=offline`) or `none`."""


class SimulatedCamerasSettings(Settings):
    """Simulated cameras, whose blur, noise and compression are laid over the sharp photographs."""

    cameras: list[str] = Field(default_factory=lambda: ["any"], min_length=1)
    """Simulated cameras that photograph the sharp photographs, with blur, noise and compression:
    names that ship or TOML files; each crop draws one."""
    overrides: list[str] = Field(default_factory=list)
    """Changes to each of these cameras, such as `["extent_px=[1, 12]"]`."""


class MatchedCamerasSettings(SimulatedCamerasSettings):
    """Simulated cameras, of which those can be chosen that look like the camera's own."""

    compared: int = Field(default=0, ge=0)
    """Cameras drawn from `simulated.cameras`, each with one lens, noise and compression of its
    ranges; the sixteenth of them whose photographs look most like the camera's own is kept; 0 takes
    all, and needs no `trainA`."""
