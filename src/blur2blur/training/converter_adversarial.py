"""Train a converter: a network that turns a camera's unknown blur into the known one, unpaired.

Blur2Blur (Pham et al., CVPR 2024, arXiv 2403.16205), section 3: a discriminator tells converted
photographs from the camera's own sharp photographs under the known blur; a content loss keeps the
scene. Both sides come from one camera, so the discriminator can look at little but blur.
"""

from collections.abc import Callable, Sequence

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset

from blur2blur import networks
from blur2blur.data.samples.datasets import Sample, UnpairedBlur
from blur2blur.errors import ConfigError
from blur2blur.losses import (
    discriminator_loss,
    generator_loss,
    interpolation_penalty,
    pyramid_loss,
    vgg_loss,
    zero_centred_penalty,
)
from blur2blur.pyramid import pyramid
from blur2blur.training import blur_distance, sources
from blur2blur.training.settings import ConverterLossSettings, ConverterSettings
from blur2blur.training.task import Batch, adam, as_float, batch_files, channels_last, update
from blur2blur.weights import zoo


def _content_loss(
    settings: ConverterLossSettings, device: torch.device
) -> Callable[[Sequence[Tensor], Tensor], Tensor] | None:
    match settings.content:
        case "none":
            return None
        case "pyramid":
            return pyramid_loss
        case "vgg16":
            return vgg_loss(16).to(device)
        case "vgg19":
            return vgg_loss(19).to(device)


class AdversarialConverterTask:
    """See `task.Task`."""

    score = "validation/blur_distance"
    higher_is_better = False

    def __init__(
        self, settings: ConverterSettings, streams: sources.Streams, fabric: Fabric
    ) -> None:
        """Build converter, discriminator, optimisers and data.

        Args:
            settings: all settings of the run.
            streams: `unknown_blurry`, and what the known blur is made from: `unknown_sharp`,
                `known_blurry` and `known_sharp`, or all three where the blur of the pairs is laid
                over the sharp images.
            fabric: device, precision and processes.

        Raises:
            ConfigError: unknown network, option, camera, or weights that cannot be downloaded.
            CheckpointError: a weight file that the settings name cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        self.settings, self.fabric = settings, fabric
        self.run = settings.run
        self.batch_size, self.workers = settings.data.batch_size, settings.data.workers
        streams, pairs = sources.apart(streams)
        self.known = sources.KnownBlur(
            settings.known, fabric.device, pairs=pairs, shrink=settings.data.shrink
        )
        blurry = sources.split(
            {"unknown_blurry": streams["unknown_blurry"]}, settings.data.validation_fraction
        )
        known = sources.split(
            {stream: paths for stream, paths in streams.items() if stream != "unknown_blurry"},
            settings.data.validation_fraction,
        )
        self.dataset: Dataset[Sample] = UnpairedBlur(
            unknown_blurry=blurry.train["unknown_blurry"],
            known=known.train,
            crop_px=settings.data.crop_px,
            known_margin_px=self.known.margin_px,
            seed=settings.run.seed,
            samples_per_step=settings.data.batch_size * fabric.world_size,
            augmentation=settings.data.augmentation,
            cache_gb=settings.data.cache_gb,
            shrink=settings.data.shrink,
            curriculum_steps=settings.data.curriculum_steps,
        )
        torch.manual_seed(settings.run.seed)
        converter = (
            zoo.load_own(settings.init, role="converter").train()
            if settings.init
            else networks.build(settings.network.name, **settings.network.options)
        )
        discriminator = (
            zoo.load_discriminator(settings.discriminator.init).train()
            if settings.discriminator.init
            else networks.MultiScaleDiscriminator(settings.discriminator)
        )
        if converter.scales not in (1, discriminator.scales):
            raise ConfigError(
                f"network '{converter.name}' returns {converter.scales} scales but "
                f"discriminator.scales = {discriminator.scales}; set them equal"
            )
        sources.check_crop(
            settings.data.crop_px,
            converter.size_rule,
            least_px=max(discriminator.size_rule.minimum, blur_distance.MINIMUM_PX),
        )
        channels_last(converter)
        channels_last(discriminator)
        self.networks: dict[str, nn.Module] = {"network": converter, "discriminator": discriminator}
        self.converter, converter_optimiser = fabric.setup(
            converter, adam(converter, settings.optimiser, settings.optimiser.learning_rate)
        )
        self.discriminator, discriminator_optimiser = fabric.setup(
            discriminator,
            adam(discriminator, settings.optimiser, settings.discriminator.learning_rate),
        )
        self.bare_discriminator = (
            discriminator  # without Fabric's wrapper: the converter's step must not reduce it
        )
        self.optimisers = {
            "network": converter_optimiser,
            "discriminator": discriminator_optimiser,
        }
        self.schedules = dict.fromkeys(self.optimisers, settings.optimiser)
        self.content = _content_loss(settings.loss, fabric.device)
        self.deblurrer = (
            zoo.load_own(settings.deblurrer, role="deblurrer").to(fabric.device)
            if settings.deblurrer
            else None
        )
        if self.deblurrer is not None:
            sources.check_crop(settings.data.crop_px, self.deblurrer.size_rule)
        self._hold_out(blurry.validation, known.validation)

    def _hold_out(self, blurry: sources.Streams, known: sources.Streams) -> None:
        seed, device = self.settings.run.seed, self.fabric.device
        crops = sources.validation_batch(blurry, self.settings.data, seed=seed)
        self.held_out_blurry = crops["unknown_blurry"].to(device)
        self.held_out_known, _ = self.known.held_out(
            known, self.settings.data, seed=seed, device=device
        )

    def weights(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return what is trained."""
        return {"converter": network}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator, then the converter."""
        streams = {
            stream: as_float(image)
            for stream, image in batch.items()
            if not stream.endswith("_file")
        }
        files = batch_files(batch)
        blurry = streams.pop("unknown_blurry")
        known, _ = self.known.pair(streams, rng)
        real = pyramid(known, self.bare_discriminator.scales)
        fake = self.converter(blurry)
        if len(fake) == 1:  # a network of one scale is rated at all sizes nevertheless
            fake = pyramid(fake[0], self.bare_discriminator.scales)

        logged: dict[str, Tensor] = {}
        for _ in range(self.settings.discriminator.updates_per_step):
            losses = self._discriminator_losses([level.detach() for level in fake], real, rng)
            update(
                self.fabric,
                self.discriminator,
                self.optimisers["discriminator"],
                losses,
                clip_norm=self.settings.optimiser.clip_norm,
                files=files,
            )
            logged |= {f"discriminator/{name}": loss.detach() for name, loss in losses.items()}

        losses = self._converter_losses(fake, real, blurry, known)
        update(
            self.fabric,
            self.converter,
            self.optimisers["network"],
            losses,
            clip_norm=self.settings.optimiser.clip_norm,
            files=files,
        )
        return logged | {f"converter/{name}": loss.detach() for name, loss in losses.items()}

    def _discriminator_losses(
        self, fake: Sequence[Tensor], real: Sequence[Tensor], rng: torch.Generator
    ) -> dict[str, Tensor]:
        settings = self.settings.loss
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        with self.fabric.autocast():
            losses = {
                "adversarial": discriminator_loss(
                    real_logits,
                    fake_logits,
                    kind=settings.adversarial,
                    relativistic=settings.relativistic,
                )
            }
        if settings.penalty != "none":
            losses["penalty"] = settings.penalty_weight * self._penalty(fake, real, rng)
        return losses

    def _penalty(
        self, fake: Sequence[Tensor], real: Sequence[Tensor], rng: torch.Generator
    ) -> Tensor:
        # in full precision: squared gradients of gradients underflow in half precision
        kind = self.settings.loss.penalty
        fake = [level.float() for level in fake]
        if kind == "interpolated":
            return interpolation_penalty(self.bare_discriminator, real, fake, rng=rng)
        penalty = zero_centred_penalty(self.bare_discriminator, real)
        if kind == "r1+r2":
            penalty = penalty + zero_centred_penalty(self.bare_discriminator, fake)
        return penalty

    def _converter_losses(
        self, fake: Sequence[Tensor], real: Sequence[Tensor], blurry: Tensor, known: Tensor
    ) -> dict[str, Tensor]:
        settings = self.settings.loss
        self.bare_discriminator.requires_grad_(False)
        with self.fabric.autocast():
            fake_logits = self.bare_discriminator(fake)
            real_logits = self.bare_discriminator(real) if settings.relativistic else None
            losses = {
                "adversarial": settings.adversarial_weight
                * generator_loss(fake_logits, kind=settings.adversarial, relative_to=real_logits)
            }
            if self.content is not None:
                losses["content"] = settings.content_weight * self.content(fake, blurry)
        if settings.identity_weight:
            kept = self.converter(known)[-1]
            losses["identity"] = settings.identity_weight * (kept - known).abs().mean()
        self.bare_discriminator.requires_grad_(True)
        return losses

    @torch.no_grad()
    def _converted(self, network: nn.Module) -> Tensor:
        with self.fabric.autocast():
            return network(self.held_out_blurry)[-1].float().clamp(0, 1)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the distance in blur from the known blur, before and after, and the drift.

        The drift is the mean absolute change of the images at a quarter of their size, where blur
        hardly shows.
        """
        converted = self._converted(network)
        coarse = pyramid(converted, 3)[0] - pyramid(self.held_out_blurry, 3)[0]
        return {
            "validation/blur_distance": blur_distance.blur_distance(converted, self.held_out_known),
            "validation/input_blur_distance": blur_distance.blur_distance(
                self.held_out_blurry, self.held_out_known
            ),
            "validation/content_drift": float(coarse.abs().mean()),
        }

    @torch.no_grad()
    def samples(self, network: nn.Module) -> dict[str, list[Tensor]]:
        """Return the first held-out crops: input, converted, deblurred, and known blur."""
        converted = self._converted(network)[:4]
        columns = {"input": list(self.held_out_blurry[:4]), "converted": list(converted)}
        if self.deblurrer is not None:
            columns["deblurred"] = list(self.deblurrer(converted)[-1])
        return columns | {"known blur": list(self.held_out_known[:4])}
