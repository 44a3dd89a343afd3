"""Adversarial losses over logit maps of several scales, and gradient penalties.

Every scale counts alike, whatever the size of its map; within a scale, every logit does.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

AdversarialKind = Literal["hinge", "least_squares", "logistic", "wasserstein"]
Discriminator = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""From images (coarse to fine) to logit maps B 1 H' W': one for each image, or several rounds."""


def discriminator_loss(
    real: Sequence[Tensor],
    fake: Sequence[Tensor],
    *,
    kind: AdversarialKind = "hinge",
    relativistic: bool = False,
) -> Tensor:
    """Return what the discriminator minimises: high logits for real, low for fake.

    Args:
        real: logits of real images, one map per scale.
        fake: logits of generated images (detached from the generator), one map per scale.
        kind: hinge (Lim & Ye 2017), least squares (Mao et al. 2017, targets 1 and 0), logistic
            (Goodfellow et al. 2014) or wasserstein (Arjovsky et al. 2017, which needs a penalty).
        relativistic: rate each side relative to the other side's mean
            (Jolicoeur-Martineau 2018, relativistic average).
    """
    terms: list[Tensor] = []
    for scale_real, scale_fake in zip(real, fake, strict=True):
        if relativistic:
            scale_real, scale_fake = (
                scale_real - scale_fake.mean(),
                scale_fake - scale_real.mean(),
            )
        terms.append(_wants_high(scale_real, kind) + _wants_low(scale_fake, kind))
    return torch.stack(terms).mean()


def generator_loss(
    fake: Sequence[Tensor],
    *,
    kind: AdversarialKind = "hinge",
    relative_to: Sequence[Tensor] | None = None,
) -> Tensor:
    """Return what the generator minimises (the non-saturating form for `logistic`).

    Args:
        fake: logits of generated images, one map per scale.
        kind: as the discriminator's.
        relative_to: logits of real images for the relativistic form, else None.
    """
    if relative_to is not None:
        return discriminator_loss(fake, relative_to, kind=kind, relativistic=True)
    if kind == "hinge":
        return -torch.stack([logits.mean() for logits in fake]).mean()
    return torch.stack([_wants_high(logits, kind) for logits in fake]).mean()


def _wants_high(logits: Tensor, kind: AdversarialKind) -> Tensor:
    match kind:
        case "hinge":
            return F.relu(1 - logits).mean()
        case "least_squares":
            return (logits - 1).square().mean()
        case "logistic":
            return F.softplus(-logits).mean()
        case "wasserstein":
            return -logits.mean()


def _wants_low(logits: Tensor, kind: AdversarialKind) -> Tensor:
    match kind:
        case "hinge":
            return F.relu(1 + logits).mean()
        case "least_squares":
            return logits.square().mean()
        case "logistic":
            return F.softplus(logits).mean()
        case "wasserstein":
            return logits.mean()


def zero_centred_penalty(discriminator: Discriminator, images: Sequence[Tensor]) -> Tensor:
    """Return the squared gradient of the logits: R1 on real images, R2 on generated ones.

    Source: Mescheder et al., ICML 2018, arXiv 1801.04406, section 4.1. See `_squared_gradients` for
    the normalisation. Differentiable with respect to the discriminator's parameters.

    Args:
        discriminator: from images to logit maps.
        images: B 3 H W each, coarse to fine; gradients do not flow beyond them.
    """
    return torch.stack([g.mean() for g in _squared_gradients(discriminator, images)]).mean()


def interpolation_penalty(
    discriminator: Discriminator,
    real: Sequence[Tensor],
    fake: Sequence[Tensor],
    *,
    rng: torch.Generator,
) -> Tensor:
    """Return how far the gradient's norm is from 1 between real and generated images, squared.

    Source: Gulrajani et al., NeurIPS 2017, arXiv 1704.00028, eq. 3. One random mixing share per
    item of the batch, the same at all scales.

    Args:
        discriminator: from images to logit maps.
        real: B 3 H W each, coarse to fine.
        fake: the same shapes.
        rng: draws the mixing shares.
    """
    share = torch.rand(len(real[0]), 1, 1, 1, generator=rng, device=rng.device).to(real[0])
    mixed = [torch.lerp(f.detach(), r.detach(), share) for r, f in zip(real, fake, strict=True)]
    norms = [(g + 1e-12).sqrt() for g in _squared_gradients(discriminator, mixed)]
    return torch.stack([(norm - 1).square().mean() for norm in norms]).mean()


def _squared_gradients(discriminator: Discriminator, images: Sequence[Tensor]) -> list[Tensor]:
    """Return, per image, |d(sum of an item's logits) / d(item)|² / number of logits, shape B.

    An item's logits are its own, so nothing depends on the batch. The sum over N overlapping
    patches has a squared gradient that grows as N: divided by N it does not depend on the crop
    size, and for a single logit it is the published penalty.
    """
    images = [image.detach().requires_grad_() for image in images]
    logits = discriminator(images)
    gradients = torch.autograd.grad([scale.sum() for scale in logits], images, create_graph=True)
    rounds = [logits[image :: len(images)] for image in range(len(images))]
    return [
        gradient.float().square().sum((1, 2, 3)) / sum(scale[0].numel() for scale in of_image)
        for gradient, of_image in zip(gradients, rounds, strict=True)
    ]
