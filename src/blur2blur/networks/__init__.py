"""Networks by name: `build("mimo_unet", base_channels=16)`; discriminators in `patchgan`."""

from blur2blur.networks.base import ImageNetwork, SizeRule, pad_to_rule
from blur2blur.networks.patchgan import (
    DiscriminatorOptions,
    MultiScaleDiscriminator,
    build_discriminator,
)
from blur2blur.networks.registry import build, names

__all__ = [
    "DiscriminatorOptions",
    "ImageNetwork",
    "MultiScaleDiscriminator",
    "SizeRule",
    "build",
    "build_discriminator",
    "names",
    "pad_to_rule",
]
