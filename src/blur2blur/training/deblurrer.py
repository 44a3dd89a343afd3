"""Train a deblurrer: a network that undoes the known blur, or what a converter makes of others.

Losses as in MIMO-UNet (Cho et al., ICCV 2021, arXiv 2108.05054, section 3.3): reconstruction and
frequency, at every scale the network returns.
"""

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import tensors
from blur2blur.losses.reconstruction import frequency, reconstruction
from blur2blur.networks import ImageNetwork
from blur2blur.training import sources
from blur2blur.training.settings import DeblurrerSettings
from blur2blur.training.simulation.converted_pairs import ConvertedPairs
from blur2blur.training.task import (
    Batch,
    batch_files,
    check_crop,
    images_of,
    initial_network,
    set_up,
)
from blur2blur.weights import loading


class DeblurrerTask:
    """See `task.Task`."""

    score = "validation/psnr_db"
    higher_is_better = True

    def __init__(
        self, settings: DeblurrerSettings, streams: sources.Streams, fabric: Fabric
    ) -> None:
        """Build network, optimiser and data.

        Args:
            settings: all settings of the run.
            streams: `known_blurry` and `known_sharp` (pairs); or `known_sharp` alone, over which
                the known camera's blur is laid; or the pairs and `unknown_sharp`, over which the
                blur of the pairs is laid. With simulated cameras as `prepare.prepare` takes them.
            fabric: device, precision and processes.

        Raises:
            ConfigError: unknown network, option or camera.
            CheckpointError: `settings.init` cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        self.settings, self.fabric = settings, fabric
        self.run = settings.run
        self.batch_size, self.workers = settings.data.batch_size, settings.data.workers
        # before cameras are compared, so that wrong weights are told of at once
        network = initial_network(
            settings, ImageNetwork, lambda init: loading.load_own(init, role="deblurrer")
        )
        check_crop(settings.data.crop_px, network.size_rule)
        if settings.simulated is not None:
            converted = ConvertedPairs(settings, settings.simulated, streams, fabric)
            self._pair, self.dataset = converted.pair, converted.dataset
            self.held_out_blurry, self.held_out_sharp = converted.held_out
        else:
            self._learn_known_blur(streams)
        self.trained = {"network": set_up(fabric, network, settings.optimiser)}

    def _learn_known_blur(self, streams: sources.Streams) -> None:
        settings, device = self.settings, self.fabric.device
        streams, pairs = sources.apart(streams)
        known = sources.KnownBlur(settings.known, device, pairs=pairs, shrink=settings.data.shrink)
        self._pair = known.pair
        split = sources.split(streams, settings.data.validation_fraction)
        self.dataset = known.dataset(split.train, settings.data, seed=settings.run.seed)
        self.held_out_blurry, self.held_out_sharp = known.held_out(
            split.validation, settings.data, seed=settings.run.seed, device=device
        )

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is trained."""
        return {"deblurrer": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the network once."""
        settings = self.settings.loss
        blurry, sharp = self._pair(images_of(batch), rng)
        outputs = self.trained["network"].network(blurry)
        with self.fabric.autocast():
            losses = {
                "reconstruction": reconstruction(outputs, sharp, kind=settings.reconstruction)
            }
            if settings.frequency:
                losses["frequency"] = settings.frequency * frequency(outputs, sharp)
        logged = self.trained["network"].update(losses, batch_files(batch))
        return {f"loss/{name}": loss for name, loss in logged.items()}

    @torch.no_grad()
    def _deblurred(self, network: nn.Module) -> Tensor:
        with self.fabric.autocast():
            return network(self.held_out_blurry)[-1].float().clamp(0, 1)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the PSNR [dB] of all held-out crops together before and after."""
        images = {"psnr_db": self._deblurred(network), "input_psnr_db": self.held_out_blurry}
        return {
            f"validation/{name}": tensors.psnr_db(each, self.held_out_sharp)
            for name, each in images.items()
        }

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the first held-out crops: input, deblurred, sharp."""
        return {
            "input": list(self.held_out_blurry[:4]),
            "deblurred": list(self._deblurred(network)[:4]),
            "sharp": list(self.held_out_sharp[:4]),
        }
