"""Train a converter on simulated pairs: a generic one, or one fine-tuned to a camera.

A generic converter sees sharp photographs and simulated cameras. A camera's own starts from it
(`init`), and learns from the camera's own sharp photographs with those simulated cameras whose
photographs look like its blurry ones.
"""

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import networks, tensors
from blur2blur.errors import ConfigError
from blur2blur.losses import frequency, reconstruction
from blur2blur.networks import ImageNetwork
from blur2blur.training import sources
from blur2blur.training.settings import ConverterSettings
from blur2blur.training.simulation.prepare import STREAMS, prepare
from blur2blur.training.task import Batch, adam, as_float, batch_files, channels_last, update
from blur2blur.weights import loading

_FREQUENCY_WEIGHT = 0.1


class Pair(nn.Module):
    """Converter and deblurrer, trained together."""

    def __init__(self, converter: ImageNetwork, deblurrer: ImageNetwork) -> None:
        super().__init__()
        self.converter, self.deblurrer = converter, deblurrer

    def forward(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return what both make of B 3 H W."""
        converted = self.converter(image)
        return converted, self.deblurrer(converted[-1])


class SimulatedConverterTask:
    """See `task.Task`."""

    score = "validation/psnr_db"
    higher_is_better = True

    def __init__(
        self, settings: ConverterSettings, streams: sources.Streams, fabric: Fabric
    ) -> None:
        """Build converter, optimiser and data.

        Args:
            settings: all settings of the run; those of discriminator and content are not used.
            streams: one stream of sharp photographs; and `unknown_blurry`, which simulated
                photographs shall look like.
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
            loading.load_own(settings.deblurrer, role="deblurrer").to(fabric.device)
            if settings.deblurrer
            else None
        )
        if settings.simulated.deblurred and self.deblurrer is None:
            raise ConfigError(
                "simulated.deblurred looks through a deblurrer: set deblurrer=FILE, weights that "
                "undo the known blur, or simulated.deblurred=0"
            )
        if self.deblurrer is not None:
            self.deblurrer.eval().requires_grad_(False)
            channels_last(self.deblurrer)
        # before cameras are compared, so that wrong weights are told of at once
        torch.manual_seed(settings.run.seed)
        network = (
            loading.load_own(settings.init, role="converter").train()
            if settings.init
            else networks.build(settings.network.name, **settings.network.options)
        )
        sources.check_crop(settings.data.crop_px, network.size_rule)
        pairs = prepare(
            settings.simulated, settings.known, streams, settings.data, seed=settings.run.seed
        )
        self.dataset = pairs.dataset
        unknown, known, sharp = (images.to(fabric.device) for images in pairs.held_out)
        self.held_out = unknown, known, sharp
        channels_last(network)
        trained: nn.Module = network
        if settings.simulated.train_deblurrer:
            assert self.deblurrer is not None
            trained = Pair(network, self.deblurrer.train().requires_grad_(True))
        self.networks: dict[str, nn.Module] = {"network": trained}
        optimiser = adam(trained, settings.optimiser, settings.optimiser.learning_rate)
        self.network, self.optimiser = fabric.setup(trained, optimiser)
        self.optimisers = {"network": self.optimiser}
        self.schedules = {"network": settings.optimiser}

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return the converter, and the deblurrer where it is trained with it."""
        if isinstance(network, Pair):
            return {"converter": network.converter, "deblurrer": network.deblurrer}
        return {"converter": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the converter once; `generator` is not used: the loader made the pairs."""
        unknown, known, sharp = (as_float(batch[stream]) for stream in STREAMS)
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
        weights = self.settings.simulated
        converted, deblurred = self._outputs(self.network, unknown)
        losses: dict[str, Tensor] = {}
        with self.fabric.autocast():
            if weights.converted:
                losses["converted"] = weights.converted * _distance(converted, known)
            if weights.deblurred:
                assert deblurred is not None
                losses["deblurred"] = weights.deblurred * _distance(deblurred, sharp)
        return losses

    def _outputs(
        self, network: nn.Module, unknown: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...] | None]:
        """Return what the converter makes, and what becomes of that, where there is a deblurrer."""
        if self.settings.simulated.train_deblurrer:
            return network(unknown)
        converted = network(unknown)
        if self.deblurrer is None:
            return converted, None
        with self.fabric.autocast():
            return converted, self.deblurrer(converted[-1])

    @torch.no_grad()
    def _results(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the held-out crops converted, and those deblurred (or again, without one)."""
        images: list[Tensor] = []
        # in parts: all activations of many crops at once are too many
        for unknown in self.held_out[0].split(self.batch_size):
            with self.fabric.autocast():
                converted, deblurred = self._outputs(network, unknown)
            both = converted[-1], (deblurred or converted)[-1]
            images.append(torch.stack(both).float().clamp(0, 1))
        converted, deblurred = torch.cat(images, dim=1)
        return converted, deblurred

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
        return {f"validation/{name}": tensors.psnr_db(*images) for name, images in pairs.items()}

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
