"""Train a converter: a network that turns a camera's unknown blur into the known one, unpaired.

Blur2Blur (Pham et al., CVPR 2024, arXiv 2403.16205), section 3: a discriminator tells converted
photographs from the camera's own sharp photographs under the known blur; a content loss keeps the
scene. Both sides come from one camera, so the discriminator can look at little but blur.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset

from blur2blur import networks
from blur2blur.data.samples.datasets import Sample, UnpairedBlur
from blur2blur.errors import ConfigError
from blur2blur.losses.adversarial import (
    discriminator_loss,
    generator_loss,
    interpolation_penalty,
    zero_centred_penalty,
)
from blur2blur.losses.content import pyramid_loss, vgg_loss
from blur2blur.networks import ImageNetwork
from blur2blur.pyramid import pyramid
from blur2blur.training import blur_distance, sources
from blur2blur.training.settings import AdversarialConverterSettings, AdversarialLossSettings
from blur2blur.training.task import (
    Batch,
    batch_files,
    check_crop,
    images_of,
    initial_network,
    set_up,
)
from blur2blur.weights import loading


def _content_loss(
    settings: AdversarialLossSettings, device: torch.device
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


class _Shown(NamedTuple):
    """What the discriminator and the losses look at; pyramids coarse to fine."""

    blurry: Tensor
    known: Tensor
    real: Sequence[Tensor]
    fake: Sequence[Tensor]


def _parts(images: Mapping[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """Return a batch in `count` batches."""
    parts = zip(*(image.chunk(count) for image in images.values()), strict=True)
    return [dict(zip(images, part, strict=True)) for part in parts]


class AdversarialConverterTask:
    """See `task.Task`."""

    score = "validation/blur_distance"
    higher_is_better = False

    def __init__(
        self, settings: AdversarialConverterSettings, streams: sources.Streams, fabric: Fabric
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
        self.updates = settings.discriminator.updates_per_step
        # each of the discriminator's updates has a batch of its own
        self.batch_size = settings.data.batch_size * self.updates
        self.workers = settings.data.workers
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
            samples_per_step=self.batch_size * fabric.world_size,
            augmentation=settings.data.augmentation,
            cache_gb=settings.data.cache_gb,
            shrink=settings.data.shrink,
            curriculum_steps=settings.data.curriculum_steps,
        )
        converter = initial_network(
            settings, ImageNetwork, lambda init: loading.load_own(init, role="converter")
        )
        discriminator = (
            loading.load_discriminator(settings.discriminator.init).train()
            if settings.discriminator.init
            else networks.MultiScaleDiscriminator(settings.discriminator)
        )
        if converter.scales not in (1, discriminator.scales):
            raise ConfigError(
                f"network '{converter.name}' returns {converter.scales} scales but "
                f"discriminator.scales = {discriminator.scales}; set them equal"
            )
        rate = settings.discriminator.learning_rate
        self.trained = {
            "network": set_up(fabric, converter, settings.optimiser),
            "discriminator": set_up(fabric, discriminator, settings.optimiser, learning_rate=rate),
        }
        # without Fabric's wrapper: the converter's step must not reduce it
        self.bare_discriminator = discriminator
        self.content = _content_loss(settings.loss, fabric.device)
        self.deblurrer = (
            loading.load_own(settings.deblurrer, role="deblurrer").to(fabric.device)
            if settings.deblurrer
            else None
        )
        rules = [each.size_rule for each in (converter, self.deblurrer) if each is not None]
        least_px = max(discriminator.size_rule.minimum, blur_distance.MINIMUM_PX)
        check_crop(settings.data.crop_px, *rules, least_px=least_px)
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
        """Update the discriminator, each time with samples of its own, then the converter."""
        files = batch_files(batch)
        *others, last = _parts(images_of(batch), self.updates)
        for images in others:
            with torch.no_grad():
                shown = self._show(images, rng)
            self._update_discriminator(shown, rng, files)
        shown = self._show(last, rng)
        logged = self._update_discriminator(shown, rng, files)
        converted = self.trained["network"].update(self._converter_losses(shown), files)
        return logged | {f"converter/{name}": loss for name, loss in converted.items()}

    def _show(self, images: dict[str, Tensor], rng: torch.Generator) -> _Shown:
        """Convert the blurry images and lay the known blur over the others."""
        others = {stream: image for stream, image in images.items() if stream != "unknown_blurry"}
        blurry, (known, _) = images["unknown_blurry"], self.known.pair(others, rng)
        real = pyramid(known, self.bare_discriminator.scales)
        fake = self.trained["network"].network(blurry)
        if len(fake) == 1:  # a network of one scale is rated at all sizes nevertheless
            fake = pyramid(fake[0], self.bare_discriminator.scales)
        return _Shown(blurry, known, real, fake)

    def _update_discriminator(
        self, shown: _Shown, rng: torch.Generator, files: Sequence[str]
    ) -> dict[str, Tensor]:
        fake = [level.detach() for level in shown.fake]
        losses = self._discriminator_losses(fake, shown.real, rng)
        losses = self.trained["discriminator"].update(losses, files)
        return {f"discriminator/{name}": loss for name, loss in losses.items()}

    def _discriminator_losses(
        self, fake: Sequence[Tensor], real: Sequence[Tensor], rng: torch.Generator
    ) -> dict[str, Tensor]:
        settings, discriminator = self.settings.loss, self.trained["discriminator"].network
        real_logits, fake_logits = discriminator(real), discriminator(fake)
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

    def _converter_losses(self, shown: _Shown) -> dict[str, Tensor]:
        settings = self.settings.loss
        self.bare_discriminator.requires_grad_(False)
        with self.fabric.autocast():
            fake_logits = self.bare_discriminator(shown.fake)
            real_logits = self.bare_discriminator(shown.real) if settings.relativistic else None
            losses = {
                "adversarial": settings.adversarial_weight
                * generator_loss(fake_logits, kind=settings.adversarial, relative_to=real_logits)
            }
            if self.content is not None:
                losses["content"] = settings.content_weight * self.content(shown.fake, shown.blurry)
        if settings.identity_weight:
            kept = self.trained["network"].network(shown.known)[-1]
            losses["identity"] = settings.identity_weight * (kept - shown.known).abs().mean()
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
