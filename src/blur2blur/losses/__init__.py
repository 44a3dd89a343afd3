"""Losses: against a target, against a discriminator, against what an image shows."""

from blur2blur.losses.adversarial import (
    AdversarialKind,
    discriminator_loss,
    generator_loss,
    interpolation_penalty,
    zero_centred_penalty,
)
from blur2blur.losses.content import VggLoss, pyramid_loss, vgg_loss
from blur2blur.losses.reconstruction import frequency, gaussian_divergence, reconstruction

__all__ = [
    "AdversarialKind",
    "VggLoss",
    "discriminator_loss",
    "frequency",
    "gaussian_divergence",
    "generator_loss",
    "interpolation_penalty",
    "pyramid_loss",
    "reconstruction",
    "vgg_loss",
    "zero_centred_penalty",
]
