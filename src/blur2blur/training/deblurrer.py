"""Train a deblurrer: a network that undoes the known blur, or what a converter makes of others.

Losses as in MIMO-UNet (Cho et al., ICCV 2021, arXiv 2108.05054, section 3.3): reconstruction and
frequency, at every scale the network returns.
"""

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from blur2blur import networks, tensors
from blur2blur.losses import frequency, reconstruction
from blur2blur.training import sources
from blur2blur.training.settings import DeblurrerSettings
from blur2blur.training.simulation.converted_pairs import ConvertedPairs
from blur2blur.training.task import Batch, adam, as_float, batch_files, channels_last, update
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
        torch.manual_seed(settings.run.seed)
        network = (
            loading.load_own(settings.init, role="deblurrer").train()
            if settings.init
            else networks.build(settings.network.name, **settings.network.options)
        )
        sources.check_crop(settings.data.crop_px, network.size_rule)
        if settings.simulated.takes_place:
            converted = ConvertedPairs(settings, streams, fabric)
            self._pair, self.dataset = converted.pair, converted.dataset
            self.held_out_blurry, self.held_out_sharp = converted.held_out
        else:
            self._learn_known_blur(streams)
        channels_last(network)
        self.networks: dict[str, nn.Module] = {"network": network}
        optimiser = adam(network, settings.optimiser, settings.optimiser.learning_rate)
        self.network, self.optimiser = fabric.setup(network, optimiser)
        self.optimisers = {"network": self.optimiser}
        self.schedules = {"network": settings.optimiser}

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
        streams = {
            stream: as_float(image)
            for stream, image in batch.items()
            if not stream.endswith("_file")
        }
        blurry, sharp = self._pair(streams, rng)
        outputs = self.network(blurry)
        with self.fabric.autocast():
            losses = {
                "reconstruction": reconstruction(outputs, sharp, kind=settings.reconstruction)
            }
            if settings.frequency:
                losses["frequency"] = settings.frequency * frequency(outputs, sharp)
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
