"""What the training loop asks of a task, and the one way its networks are started and updated."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from blur2blur import networks
from blur2blur.data.samples.datasets import Sample
from blur2blur.errors import ConfigError, DataError
from blur2blur.networks import Network, SizeRule
from blur2blur.training.sections import NetworkSettings, OptimiserSettings, RunSettings
from blur2blur.training.settings import TaskSettings

Batch = Mapping[str, Any]
NetworkT = TypeVar("NetworkT", bound=Network)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network in training.

    Attributes:
        bare: the network itself, whose weights are averaged and saved.
        network: the same as Fabric runs it, on its device and in its precision.
        optimiser: of its parameters; `initial_lr` of a group is what schedules start from.
        settings: of the optimiser, and of its rate over the run.
        fabric: device, precision and processes.
    """

    bare: nn.Module
    network: nn.Module
    optimiser: Optimizer
    settings: OptimiserSettings
    fabric: Fabric

    def update(self, losses: Mapping[str, Tensor], files: Sequence[str]) -> dict[str, Tensor]:
        """Back-propagate the sum of `losses` and step, unless one is not finite.

        Returns:
            The losses, detached.

        Raises:
            DataError: a loss, or the gradient where it is clipped, is NaN or infinite; the network
                was not updated. Names the loss and the files.
        """
        for name, loss in losses.items():
            if not torch.isfinite(loss):
                raise DataError(
                    f"loss '{name}' is {float(loss.detach())}; the weights were left as they were"
                    f"{_remedy(files)}"
                )
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(torch.stack(list(losses.values())).sum())
        if self.settings.clip_norm:
            norm = self.fabric.clip_gradients(
                self.network,
                self.optimiser,
                max_norm=self.settings.clip_norm,
                error_if_nonfinite=False,
            )
            # fp16 gradients overflow now and then: their scaler skips the step and scales less
            scaled = self.fabric.strategy.precision.precision == "16-mixed"
            if norm is not None and not scaled and not torch.isfinite(norm):
                raise DataError(
                    f"the gradient of {' + '.join(losses)} is not finite; the weights were left as "
                    f"they were{_remedy(files)}"
                )
        self.optimiser.step()
        return {name: loss.detach() for name, loss in losses.items()}


def _remedy(files: Sequence[str]) -> str:
    return (
        f". Files of this batch: {', '.join(sorted(set(files)))}. Remove a broken file, set "
        "optimiser.learning_rate lower, or set run.precision=32-true"
    )


class Task(Protocol):
    """One kind of training; the loop owns order, logging, averaging and files."""

    run: RunSettings
    batch_size: int
    workers: int
    dataset: Dataset[Sample]
    trained: dict[str, Trained]  # "network" is averaged and exported
    score: str  # the validation metric that chooses the best weights
    higher_is_better: bool

    @property
    def settings(self) -> TaskSettings:
        """All settings of the run."""
        ...

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is exported of `network` (the averaged one), by role; its own first."""
        ...

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the networks once; return named scalar losses. May raise DataError."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return named metrics of `network` (the averaged one) on held-out photographs."""
        ...

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return named columns of 3 H W sRGB images for the sample sheet."""
        ...


def initial_network(
    settings: TaskSettings, kind: type[NetworkT], load: Callable[[str], NetworkT]
) -> NetworkT:
    """Return the network that a run starts from, in training mode, on CPU.

    Args:
        settings: of the run, whose seed initialises a new network.
        kind: what it must be.
        load: loads what `init` names; the network is then the file's.

    Raises:
        CheckpointError: as `load`.
        ConfigError: `network` says what the file's network is not.
    """
    torch.manual_seed(settings.run.seed)
    if settings.init:
        network = load(settings.init).train()
        _refuse_contradiction(settings.init, settings.network, network)
    else:
        built = networks.build_any(settings.network.name, **settings.network.options)
        assert isinstance(built, kind)
        network = built
    return network


def _refuse_contradiction(init: str, said: NetworkSettings, network: Network) -> None:
    if "name" in said.model_fields_set and said.name != network.name:
        raise ConfigError(
            f"network.name = '{said.name}', but init = '{init}' is a {network.name}; set "
            f"network.name={network.name} and network.options={{}}, or another init"
        )
    wanted = networks.checked_options(network.name, said.options)
    for name in said.options:
        value, found = getattr(wanted, name), getattr(network.options, name)
        if value != found:
            raise ConfigError(
                f"network.options.{name} = {value!r}, but init = '{init}' has {found!r}; set "
                "network.options={}, or another init"
            )


def set_up(
    fabric: Fabric,
    network: nn.Module,
    settings: OptimiserSettings,
    *,
    learning_rate: float | None = None,
) -> Trained:
    """Return a network ready to be trained by AdamW, at a rate of its own where one is given."""
    channels_last(network)
    rate = settings.learning_rate if learning_rate is None else learning_rate
    optimiser = torch.optim.AdamW(
        [{"params": network.parameters(), "initial_lr": rate}],
        lr=rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
    wrapped, optimiser = fabric.setup(network, optimiser)
    return Trained(network, wrapped, optimiser, settings, fabric)


def check_crop(crop_px: int, *rules: SizeRule, least_px: int = 0) -> None:
    """Refuse crops that the networks cannot take. Raises ConfigError with the nearest that fits."""
    rule = SizeRule(
        multiple=math.lcm(*(rule.multiple for rule in rules)),
        minimum=max(least_px, *(rule.minimum for rule in rules)),
    )
    fitting = rule.padded(crop_px, 1)[0]
    if fitting != crop_px:
        raise ConfigError(
            f"data.crop_px = {crop_px} does not fit the networks, which need multiples of "
            f"{rule.multiple}, at least {rule.minimum}; set data.crop_px={fitting}"
        )


def images_of(batch: Batch) -> dict[str, Tensor]:
    """Return the images of a batch, stream -> float32 B 3 H W in [0,1], without its file names."""
    return {
        stream: as_float(image) for stream, image in batch.items() if not stream.endswith("_file")
    }


def batch_files(batch: Batch) -> list[str]:
    """Return the names of the files a batch was cut from."""
    return [name for key, names in batch.items() if key.endswith("_file") for name in names]


def channels_last(network: nn.Module) -> None:
    """Lay the weights out as CPU and GPU convolutions are fastest on."""
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] torch's stub lacks it


def as_float(image_uint8: Tensor) -> Tensor:
    """Return float32 B 3 H W in [0,1], channels last, from uint8."""
    return (image_uint8.float() / 255).contiguous(memory_format=torch.channels_last)
