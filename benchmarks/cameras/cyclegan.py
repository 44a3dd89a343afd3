"""CycleGAN from blurry to sharp, the baseline without a known blur.

J.-Y. Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks",
ICCV 2017: two generators, two discriminators, least-squares losses, weights 10 (cycle), 5.
"""

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset

from blur2blur import networks
from blur2blur.data.samples.datasets import Sample, UnpairedBlur
from blur2blur.losses.adversarial import discriminator_loss, generator_loss
from blur2blur.pyramid import pyramid
from blur2blur.training import blur_distance, sources
from blur2blur.training.settings import AdversarialConverterSettings
from blur2blur.training.task import Batch, Trained, as_float, batch_files, set_up

CYCLE_WEIGHT = 10.0
IDENTITY_WEIGHT = 5.0


class CycleTask:
    """See `blur2blur.training.task.Task`; "network" makes sharp photographs of blurry ones."""

    score = "validation/blur_distance"
    higher_is_better = False

    def __init__(
        self, settings: AdversarialConverterSettings, streams: sources.Streams, fabric: Fabric
    ) -> None:
        """Build the four networks and the data: streams `unknown_blurry` and `unknown_sharp`."""
        self.settings, self.fabric = settings, fabric
        self.run = settings.run
        self.batch_size, self.workers = settings.data.batch_size, settings.data.workers
        fraction = settings.data.validation_fraction
        blurry = sources.split({"unknown_blurry": streams["unknown_blurry"]}, fraction)
        sharp = sources.split({"unknown_sharp": streams["unknown_sharp"]}, fraction)
        self.dataset: Dataset[Sample] = UnpairedBlur(
            unknown_blurry=blurry.train["unknown_blurry"],
            known=sharp.train,
            crop_px=settings.data.crop_px,
            seed=settings.run.seed,
            samples_per_step=settings.data.batch_size,
            cache_gb=settings.data.cache_gb,
        )
        torch.manual_seed(settings.run.seed)
        made: dict[str, nn.Module] = {
            name: networks.build(settings.network.name, **settings.network.options)
            for name in ("network", "blurrer")
        } | {
            name: networks.MultiScaleDiscriminator(settings.discriminator)
            for name in ("discriminator_sharp", "discriminator_blurry")
        }
        self.trained: dict[str, Trained] = {
            name: set_up(fabric, network, settings.optimiser) for name, network in made.items()
        }
        seed = settings.run.seed
        self.held_out = {
            stream: batch[stream]
            for part, stream in ((blurry, "unknown_blurry"), (sharp, "unknown_sharp"))
            for batch in [sources.validation_batch(part.validation, settings.data, seed=seed)]
        }

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is trained."""
        return {"converter": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update both generators, then both discriminators."""
        real = {
            "blurry": as_float(batch["unknown_blurry"]),
            "sharp": as_float(batch["unknown_sharp"]),
        }
        makers = {
            "sharp": self.trained["network"].network,
            "blurry": self.trained["blurrer"].network,
        }
        fake = {"sharp": makers["sharp"](real["blurry"]), "blurry": makers["blurry"](real["sharp"])}
        losses: dict[str, Tensor] = {}
        for kind, other in (("sharp", "blurry"), ("blurry", "sharp")):
            discriminator = self.trained[f"discriminator_{kind}"].bare.requires_grad_(False)
            with self.fabric.autocast():
                losses[f"adversarial_{kind}"] = generator_loss(
                    discriminator(fake[kind]), kind="least_squares"
                )
            back = makers[other](fake[kind][-1])[-1]
            losses[f"cycle_{other}"] = CYCLE_WEIGHT * (back - real[other]).abs().mean()
            same = makers[kind](real[kind])[-1]
            losses[f"identity_{kind}"] = IDENTITY_WEIGHT * (same - real[kind]).abs().mean()
            discriminator.requires_grad_(True)
        self._update_generators(losses)
        for kind, images in fake.items():
            trained = self.trained[f"discriminator_{kind}"]
            discriminator = trained.network
            real_levels = pyramid(real[kind], len(images))
            with self.fabric.autocast():
                loss = discriminator_loss(
                    discriminator(real_levels),
                    discriminator([image.detach() for image in images]),
                    kind="least_squares",
                )
            trained.update({"adversarial": loss}, batch_files(batch))
            losses[f"discriminator_{kind}"] = loss
        return {name: loss.detach() for name, loss in losses.items()}

    def _update_generators(self, losses: dict[str, Tensor]) -> None:
        makers = [self.trained[name].optimiser for name in ("network", "blurrer")]
        for optimiser in makers:
            optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(torch.stack(list(losses.values())).sum())
        for optimiser in makers:
            optimiser.step()

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the distance in blur from the sharp photographs."""
        with self.fabric.autocast():
            made = network(self.held_out["unknown_blurry"])[-1].float().clamp(0, 1)
        sharp = self.held_out["unknown_sharp"]
        return {self.score: blur_distance.blur_distance(made, sharp)}

    @torch.no_grad()
    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the first held-out crops: input and what is made of it."""
        blurry = self.held_out["unknown_blurry"][:4]
        return {"input": list(blurry), "sharpened": list(network(blurry)[-1].clamp(0, 1))}
