"""What the training loop asks of a task, and the one way a task updates weights."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from blur2blur.data.samples.datasets import Sample
from blur2blur.errors import DataError
from blur2blur.training.settings import OptimiserSettings, RunSettings, TaskSettings

Batch = Mapping[str, Any]


class Task(Protocol):
    """One kind of training; the loop owns order, logging, averaging and files."""

    run: RunSettings
    batch_size: int
    workers: int
    dataset: Dataset[Sample]
    networks: dict[str, nn.Module]  # all that is trained; "network" is averaged and exported
    optimisers: dict[str, Optimizer]
    schedules: dict[str, OptimiserSettings]
    score: str  # the validation metric that chooses the best weights
    higher_is_better: bool

    @property
    def settings(self) -> TaskSettings:
        """All settings of the run."""
        ...

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is exported of `network` (the averaged generator), by role; its own first."""
        ...

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the networks once; return named scalar losses. May raise DataError."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return named metrics of `network` (the averaged generator) on held-out photographs."""
        ...

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return named columns of 3 H W sRGB images for the sample sheet."""
        ...


def adam(network: nn.Module, settings: OptimiserSettings, learning_rate: float) -> Optimizer:
    """Return Adam over a network's parameters; `initial_lr` is what schedules start from."""
    return torch.optim.AdamW(
        [{"params": network.parameters(), "initial_lr": learning_rate}],
        lr=learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )


def update(
    fabric: Fabric,
    network: nn.Module,
    optimiser: Optimizer,
    losses: Mapping[str, Tensor],
    *,
    clip_norm: float,
    files: Sequence[str],
) -> None:
    """Back-propagate the sum of `losses` and step, unless one is not finite.

    Raises:
        DataError: a loss, or the gradient where it is clipped, is NaN or infinite; `network` was
            not updated. Names the loss and the files.
    """
    for name, loss in losses.items():
        if not torch.isfinite(loss):
            raise DataError(
                f"loss '{name}' is {float(loss.detach())}; the weights were left as they were"
                f"{_remedy(files)}"
            )
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(torch.stack(list(losses.values())).sum())
    if clip_norm:
        norm = fabric.clip_gradients(
            network, optimiser, max_norm=clip_norm, error_if_nonfinite=False
        )
        # fp16 gradients overflow now and then: their scaler skips the step and scales less
        scaled = fabric.strategy.precision.precision == "16-mixed"
        if norm is not None and not scaled and not torch.isfinite(norm):
            raise DataError(
                f"the gradient of {' + '.join(losses)} is not finite; the weights were left as "
                f"they were{_remedy(files)}"
            )
    optimiser.step()


def _remedy(files: Sequence[str]) -> str:
    return (
        f". Files of this batch: {', '.join(sorted(set(files)))}. Remove a broken file, set "
        "optimiser.learning_rate lower, or set run.precision=32-true"
    )


def batch_files(batch: Batch) -> list[str]:
    """Return the names of the files a batch was cut from."""
    return [name for key, names in batch.items() if key.endswith("_file") for name in names]


def channels_last(network: nn.Module) -> None:
    """Lay the weights out as CPU and GPU convolutions are fastest on."""
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] torch's stub lacks it


def as_float(image_uint8: Tensor) -> Tensor:
    """Return float32 B 3 H W in [0,1], channels last, from uint8."""
    return (image_uint8.float() / 255).contiguous(memory_format=torch.channels_last)
