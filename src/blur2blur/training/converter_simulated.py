"""Train a converter on simulated pairs: a generic one, or one fine-tuned to a camera.

A generic converter sees sharp photographs and simulated cameras. A camera's own starts from it
(`init`), and learns from the camera's own sharp photographs with those simulated cameras whose
photographs look like its blurry ones. What that brings is also looked at on its own blurry
photographs, of which no truth is known.
"""

from collections.abc import Mapping

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import tensors
from blur2blur.errors import ConfigError
from blur2blur.losses.reconstruction import frequency, reconstruction
from blur2blur.networks import ImageNetwork
from blur2blur.training import sources
from blur2blur.training.own_photographs import OwnPhotographs
from blur2blur.training.settings import SimulatedConverterSettings
from blur2blur.training.simulation.prepare import prepare
from blur2blur.training.task import (
    Batch,
    batch_files,
    channels_last,
    check_crop,
    images_of,
    initial_network,
    set_up,
)
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
        self, settings: SimulatedConverterSettings, streams: sources.Streams, fabric: Fabric
    ) -> None:
        """Build converter, optimiser and data.

        Args:
            settings: all settings of the run.
            streams: one stream of sharp photographs; `unknown_blurry`, which simulated
                photographs shall look like; and `test_blurry`, such ones to look at the results.
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
        network = initial_network(
            settings, ImageNetwork, lambda init: loading.load_own(init, role="converter")
        )
        rules = [each.size_rule for each in (network, self.deblurrer) if each is not None]
        check_crop(settings.data.crop_px, *rules)
        learned = {name: paths for name, paths in streams.items() if name != "test_blurry"}
        pairs = prepare(
            settings.simulated, settings.known, learned, settings.data, seed=settings.run.seed
        )
        self.dataset = pairs.dataset
        self.held_out = {name: images.to(fabric.device) for name, images in pairs.held_out.items()}
        self.own = OwnPhotographs.of(streams, settings, fabric.device)
        trained: nn.Module = network
        if settings.simulated.train_deblurrer:
            assert self.deblurrer is not None
            trained = Pair(network, self.deblurrer.train().requires_grad_(True))
        self.trained = {"network": set_up(fabric, trained, settings.optimiser)}
        if self.own is not None:
            bare = self.trained["network"].bare
            self.own_at_first = self._results(bare.eval(), self.own.blurry)[1]
            bare.train()

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return the converter, and the deblurrer where it is trained with it."""
        if isinstance(network, Pair):
            return {"converter": network.converter, "deblurrer": network.deblurrer}
        return {"converter": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the converter once; `rng` is not used: the loader made the pairs."""
        losses = self._losses(images_of(batch))
        logged = self.trained["network"].update(losses, batch_files(batch))
        return {f"loss/{name}": loss for name, loss in logged.items()}

    def _losses(self, pairs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights, network = self.settings.simulated, self.trained["network"].network
        converted, deblurred = self._outputs(
            network, pairs["unknown"], deblur=weights.deblurred > 0
        )
        losses: dict[str, Tensor] = {}
        with self.fabric.autocast():
            if weights.converted:
                losses["converted"] = weights.converted * _distance(converted, pairs["known"])
            if deblurred is not None:
                losses["deblurred"] = weights.deblurred * _distance(deblurred, pairs["sharp"])
        return losses

    def _outputs(
        self, network: nn.Module, unknown: Tensor, *, deblur: bool
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...] | None]:
        """Return what the converter makes, and, if asked for, what the deblurrer makes of that."""
        if self.settings.simulated.train_deblurrer:
            return network(unknown)
        converted = network(unknown)
        if not deblur:
            return converted, None
        assert self.deblurrer is not None
        with self.fabric.autocast():
            return converted, self.deblurrer(converted[-1])

    @torch.no_grad()
    def _results(self, network: nn.Module, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return crops (B 3 H W) converted, and those deblurred (or again, without a deblurrer)."""
        images: list[Tensor] = []
        # in parts: all activations of many crops at once are too many
        for unknown in crops.split(self.batch_size):
            with self.fabric.autocast():
                converted, deblurred = self._outputs(
                    network, unknown, deblur=self.deblurrer is not None
                )
            both = converted[-1], (deblurred or converted)[-1]
            images.append(torch.stack(both).float().clamp(0, 1))
        converted, deblurred = torch.cat(images, dim=1)
        return converted, deblurred

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the PSNR [dB] of all held-out crops together.

        `psnr_db` is that of the deblurred ones to the sharp ones, or, without a deblurrer, of the
        converted ones to the known blur, as `converted_psnr_db` always is. What begins with `own_`
        is of the camera's own blurry photographs, see `OwnPhotographs`.
        """
        unknown, known, sharp = (self.held_out[name] for name in ("unknown", "known", "sharp"))
        converted, deblurred = self._results(network, unknown)
        target = known if self.deblurrer is None else sharp
        pairs = {
            "psnr_db": (deblurred, target),
            "input_psnr_db": (unknown, target),
            "converted_psnr_db": (converted, known),
            "unconverted_psnr_db": (unknown, known),
        }
        values = {name: tensors.psnr_db(*images) for name, images in pairs.items()}
        if self.own is not None:
            values |= self.own.scores(self._results(network, self.own.blurry)[1])
        return {f"validation/{name}": value for name, value in values.items()}

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the first held-out crops: input, converted, known blur, deblurred, sharp.

        Of a camera they are its own blurry photographs: before, deblurred by the converter that the
        run began from, and by this one.
        """
        if self.own is not None:
            deblurred = self._results(network, self.own.blurry[:4])[1]
            columns = {"before": self.own.blurry, "generic": self.own_at_first, "own": deblurred}
            return {name: list(images[:4]) for name, images in columns.items()}
        unknown, known, sharp = (self.held_out[name] for name in ("unknown", "known", "sharp"))
        converted, deblurred = self._results(network, unknown)
        columns = {"input": unknown, "converted": converted, "known blur": known}
        if self.deblurrer is not None:
            columns |= {"deblurred": deblurred, "sharp": sharp}
        return {name: list(images[:4]) for name, images in columns.items()}


def _distance(outputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
    return reconstruction(outputs, target) + _FREQUENCY_WEIGHT * frequency(outputs, target)
