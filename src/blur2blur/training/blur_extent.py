"""Train the estimator that tells how far the blur of a photograph reaches."""

import math

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from blur2blur.data.samples.datasets import Processed, Sample
from blur2blur.networks import BlurExtent
from blur2blur.training import sources
from blur2blur.training.sections import KnownBlurSettings
from blur2blur.training.settings import ExtentSettings
from blur2blur.training.simulation.pairs import Simulation
from blur2blur.training.task import (
    Batch,
    as_float,
    batch_files,
    check_crop,
    initial_network,
    set_up,
)
from blur2blur.weights import loading


class BlurExtentTask:
    """See `task.Task`."""

    score = "validation/error_octaves"
    higher_is_better = False

    def __init__(self, settings: ExtentSettings, streams: sources.Streams, fabric: Fabric) -> None:
        """Build network, optimiser and data.

        Args:
            settings: all settings of the run.
            streams: one stream of sharp photographs.
            fabric: device, precision and processes.

        Raises:
            ConfigError: unknown option or camera, another network.
            CheckpointError: `settings.init` cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        self.settings, self.fabric = settings, fabric
        self.run, data = settings.run, settings.data
        self.batch_size, self.workers = data.batch_size, data.workers
        network = initial_network(settings, BlurExtent, loading.load_blur_extent)
        check_crop(data.crop_px, network.size_rule)
        simulation = Simulation(settings.simulated, KnownBlurSettings())
        split = sources.split(streams, data.validation_fraction)
        seed, margin_px = settings.run.seed, simulation.margin_px

        def process(images: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
            (sharp,) = images.values()
            blurry, extent_px = simulation.photograph(sharp, rng)
            return {"blurry": blurry, "extent_px": extent_px}

        crops = sources.pair_crops(split.train, data, seed=seed, margin_px=margin_px)
        self.dataset: Dataset[Sample] = Processed(crops, process, seed=seed)
        held_out = Processed(
            sources.validation_crops(split.validation, data, seed=seed, margin_px=margin_px),
            process,
            seed=seed + sources.VALIDATION_SEED_OFFSET,
        )
        batch = default_collate([held_out[number] for number in range(data.validation_crops)])
        self.held_out = as_float(batch["blurry"]).to(fabric.device)
        self.held_out_extent_px: Tensor = batch["extent_px"].to(fabric.device)
        self.trained = {"network": set_up(fabric, network, settings.optimiser)}

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is trained."""
        return {"extent": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the network once; `rng` is not used: the loader made the photographs."""
        predicted = self.trained["network"].network(as_float(batch["blurry"])).float()
        octaves, log_scale = predicted.unbind(dim=1)
        error = (octaves - (1 + batch["extent_px"]).log2()).abs()
        losses = {"likelihood": (error * (-log_scale).exp() + log_scale).mean()}
        logged = self.trained["network"].update(losses, batch_files(batch))
        return {f"loss/{name}": loss for name, loss in logged.items()}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the mean error in octaves of 1 + extent, and the median one in pixels."""
        with self.fabric.autocast():
            octaves = network(self.held_out)[:, 0].float()
        wanted = (1 + self.held_out_extent_px).log2()
        off_px = (octaves.exp2() - 1 - self.held_out_extent_px).abs()
        return {
            "validation/error_octaves": float((octaves - wanted).abs().mean()),
            "validation/median_error_px": float(off_px.median()),
        }

    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the held-out crops with a bar below: the extent, and what is read of it."""
        with torch.no_grad(), self.fabric.autocast():
            read_px = network(self.held_out)[:, 0].float().exp2() - 1
        columns = {"true extent": self.held_out_extent_px, "estimate": read_px}
        return {
            name: [
                _with_bar(image, float(px))
                for image, px in zip(self.held_out[:8], extents, strict=False)
            ]
            for name, extents in columns.items()
        }


def _with_bar(image: Tensor, length_px: float) -> Tensor:
    marked = image.clone()
    marked[:, -4:, : max(1, math.ceil(length_px))] = torch.tensor([1.0, 0, 0])[:, None, None]
    return marked
