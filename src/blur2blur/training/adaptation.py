"""Train a converter by rehearsal alone: a generic one, or one that is adapted to a camera.

A generic converter sees sharp photographs and made-up cameras. A camera's own starts from it
(`init`), and rehearses on the camera's own sharp photographs with those made-up cameras whose
photographs look like its blurry ones.
"""

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import metrics, networks, zoo
from blur2blur.errors import ConfigError
from blur2blur.losses import frequency, reconstruction
from blur2blur.training import sources
from blur2blur.training.practice import ROLES, prepare
from blur2blur.training.settings import ConverterSettings
from blur2blur.training.task import Batch, adam, as_float, batch_files, channels_last, update

_FREQUENCY_WEIGHT = 0.1


class RehearsalTask:
    """See `task.Task`."""

    score = "validation/psnr_db"
    higher_is_better = True

    def __init__(self, settings: ConverterSettings, roles: sources.Roles, fabric: Fabric) -> None:
        """Build converter, optimiser and data.

        Args:
            settings: all settings of the run; those of discriminator and content are not used.
            roles: one role of sharp photographs; and `unknown_blurry`, where simulated photographs
                shall look like those.
            fabric: device, precision and processes.

        Raises:
            ConfigError: unknown network, option or camera.
            CheckpointError: a weight file that the settings name cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        self.settings, self.fabric = settings, fabric
        self.run = settings.run
        self.batch_size, self.workers = settings.data.batch_size, settings.data.workers
        self.deblurrer = (
            zoo.load_own(settings.deblurrer, role="deblurrer").to(fabric.device)
            if settings.deblurrer
            else None
        )
        if settings.rehearsal.deblurred and self.deblurrer is None:
            raise ConfigError(
                "rehearsal.deblurred looks through a deblurrer: set deblurrer=FILE, weights that "
                "undo the known blur, or rehearsal.deblurred=0"
            )
        if self.deblurrer is not None:
            self.deblurrer.eval().requires_grad_(False)
            channels_last(self.deblurrer)
        # before cameras are compared, so that wrong weights are told of at once
        torch.manual_seed(settings.run.seed)
        network = (
            zoo.load_own(settings.init, role="converter").train()
            if settings.init
            else networks.build(settings.network.name, **settings.network.options)
        )
        sources.check_crop(settings.data.crop_px, network.size_rule)
        practice = prepare(
            settings.rehearsal, settings.known, roles, settings.data, seed=settings.run.seed
        )
        self.dataset = practice.dataset
        unknown, known, sharp = (images.to(fabric.device) for images in practice.held_out)
        self.held_out = unknown, known, sharp
        channels_last(network)
        self.networks: dict[str, nn.Module] = {"generator": network}
        optimiser = adam(network, settings.optimiser, settings.optimiser.learning_rate)
        self.network, self.optimiser = fabric.setup(network, optimiser)
        self.optimisers = {"generator": self.optimiser}
        self.schedules = {"generator": settings.optimiser}

    def step(self, batch: Batch, _generator: torch.Generator) -> dict[str, Tensor]:
        """Update the converter once."""
        unknown, known, sharp = (as_float(batch[role]) for role in ROLES)
        losses = self._losses(unknown, known, sharp)
        update(
            self.fabric,
            self.network,
            self.optimiser,
            losses,
            clip_norm=self.settings.optimiser.clip_norm,
            files=batch_files(batch),
        )
        return {f"loss/{name}": loss.detach() for name, loss in losses.items()}

    def _losses(self, unknown: Tensor, known: Tensor, sharp: Tensor) -> dict[str, Tensor]:
        weights = self.settings.rehearsal
        converted = self.network(unknown)
        losses: dict[str, Tensor] = {}
        with self.fabric.autocast():
            if weights.converted:
                losses["rehearsal_converted"] = weights.converted * _distance(converted, known)
            if weights.deblurred:
                assert self.deblurrer is not None
                deblurred = self.deblurrer(converted[-1])
                losses["rehearsal_deblurred"] = weights.deblurred * _distance(deblurred, sharp)
        return losses

    @torch.no_grad()
    def _results(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the held-out crops converted, and those deblurred (or again, without one)."""
        with self.fabric.autocast():
            converted = network(self.held_out[0])[-1].float().clamp(0, 1)
            if self.deblurrer is None:
                return converted, converted
            return converted, self.deblurrer(converted)[-1].float().clamp(0, 1)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the PSNR [dB] of all held-out crops together.

        `psnr_db` is that of the deblurred ones to the sharp ones, or, without a deblurrer, of the
        converted ones to the known blur, as `converted_psnr_db` always is.
        """
        unknown, known, sharp = self.held_out
        converted, deblurred = self._results(network)
        target = known if self.deblurrer is None else sharp
        pairs = {
            "psnr_db": (deblurred, target),
            "input_psnr_db": (unknown, target),
            "converted_psnr_db": (converted, known),
            "unconverted_psnr_db": (unknown, known),
        }
        return {
            f"validation/{name}": metrics.pooled_psnr_db(*images) for name, images in pairs.items()
        }

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the first held-out crops: input, converted, known blur, deblurred, sharp."""
        unknown, known, sharp = self.held_out
        converted, deblurred = self._results(network)
        columns = {"input": unknown, "converted": converted, "known blur": known}
        if self.deblurrer is not None:
            columns |= {"deblurred": deblurred, "sharp": sharp}
        return {name: list(images[:4]) for name, images in columns.items()}


def _distance(outputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
    return reconstruction(outputs, target) + _FREQUENCY_WEIGHT * frequency(outputs, target)
