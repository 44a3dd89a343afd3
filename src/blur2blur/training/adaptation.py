"""Train a converter by rehearsal alone: a generic one, or one that is adapted to a camera.

A generic converter sees sharp photographs and made-up cameras. A camera's own starts from it
(`init`), and rehearses on the camera's own sharp photographs with those made-up cameras whose
photographs look like its blurry ones.
"""

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import metrics, networks, zoo
from blur2blur.training import sources
from blur2blur.training.practice import only_image, prepare
from blur2blur.training.rehearsal import Rehearsal
from blur2blur.training.settings import ConverterSettings
from blur2blur.training.task import Batch, adam, batch_files, channels_last, update


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
        if self.deblurrer is not None:
            channels_last(self.deblurrer)
        # before cameras are compared, so that wrong weights are told of at once
        torch.manual_seed(settings.run.seed)
        network = (
            zoo.load_own(settings.init, role="converter").train()
            if settings.init
            else networks.build(settings.network.name, **settings.network.options)
        )
        sources.check_crop(settings.data.crop_px, network.size_rule)
        self.rehearsal = Rehearsal(settings.rehearsal, settings.known, self.deblurrer)
        practice = prepare(
            self.rehearsal, roles, settings.data, seed=settings.run.seed, device=fabric.device
        )
        self.dataset, self.held_out = practice.dataset, practice.held_out
        channels_last(network)
        self.networks: dict[str, nn.Module] = {"generator": network}
        optimiser = adam(network, settings.optimiser, settings.optimiser.learning_rate)
        self.network, self.optimiser = fabric.setup(network, optimiser)
        self.optimisers = {"generator": self.optimiser}
        self.schedules = {"generator": settings.optimiser}

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Update the converter once."""
        sharp = only_image(batch)
        losses = self.rehearsal.losses(self.network, sharp, generator, self.fabric.autocast)
        update(
            self.fabric,
            self.network,
            self.optimiser,
            losses,
            clip_norm=self.settings.optimiser.clip_norm,
            files=batch_files(batch),
        )
        return {f"loss/{name}": loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def _results(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the held-out crops converted, and those deblurred (or again, without one)."""
        with self.fabric.autocast():
            converted = network(self.held_out[0])[-1].float().clamp(0, 1)
            if self.deblurrer is None:
                return converted, converted
            return converted, self.deblurrer(converted)[-1].float().clamp(0, 1)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return mean PSNR [dB] of held-out crops.

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
            f"validation/{name}": float(metrics.psnr_db(*images).mean())
            for name, images in pairs.items()
        }

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the first held-out crops: input, converted, known blur, deblurred, sharp."""
        unknown, known, sharp = self.held_out
        converted, deblurred = self._results(network)
        columns = {"input": unknown, "converted": converted, "known blur": known}
        if self.deblurrer is not None:
            columns |= {"deblurred": deblurred, "sharp": sharp}
        return {name: list(images[:4]) for name, images in columns.items()}
