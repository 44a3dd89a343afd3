"""The U-Net of pix2pix, here added to its input.

Source: Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017,
arXiv 1611.07004, appendix 6.1.1. The output is a change of the image instead of a new one through
tanh, and nothing is dropped.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.blocks import initialise, zero
from blur2blur.settings import Settings

_MOST_WIDENINGS = 8


class UNetOptions(Settings):
    """Options of `unet`."""

    base_channels: int = Field(default=64, ge=1)
    """Channels at 1/2; doubled by each level up to eight times."""
    levels: int = Field(default=8, ge=2, le=8)
    """Halvings on the way down; sides must be multiples of 2 to this number."""
    norm: Literal["none", "instance"] = "none"
    """Instance normalisation makes a tile depend on all of it, so that tiles differ in contrast."""
    identity_start: bool = True
    """Start with a zeroed output convolution, so that an untrained network returns its input."""


class UNet(ImageNetwork):
    """4x4 convolutions of stride 2 down to the bottom, transposed ones back, skips in between."""

    scales = 1

    def __init__(self, options: UNetOptions) -> None:
        super().__init__()
        side = 2**options.levels
        self.size_rule = SizeRule(multiple=side, minimum=side)
        self.instance_norm = options.norm == "instance"
        widths = [options.base_channels * min(2**i, _MOST_WIDENINGS) for i in range(options.levels)]
        last = options.levels - 1
        # the outermost and the innermost level are not normalised, as in the paper
        self.downs = nn.ModuleList(
            nn.Conv2d(
                channels_in,
                channels_out,
                4,
                stride=2,
                padding=1,
                bias=not self._normalised(level, last),
            )
            for level, (channels_in, channels_out) in enumerate(pairwise([3, *widths]))
        )
        # from the bottom up; all but the first take the skip beside their input
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(
                widths[level] * (1 if level == last else 2),
                widths[level - 1],
                4,
                stride=2,
                padding=1,
                bias=not self.instance_norm,
            )
            for level in range(last, 0, -1)
        )
        self.head = nn.ConvTranspose2d(2 * widths[0], 3, 4, stride=2, padding=1)
        initialise(self)
        if options.identity_start:
            zero(self.head)

    def _normalised(self, level: int, last: int) -> bool:
        return self.instance_norm and 0 < level < last

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """B 3 H W to one image of that size."""
        skips: list[Tensor] = []
        features = image
        last = len(self.downs) - 1
        for level, convolution in enumerate(self.downs):
            features = convolution(features)
            if self._normalised(level, last):
                features = F.instance_norm(features)
            features = F.leaky_relu(features, 0.2)
            skips.append(features)
        features = skips.pop()
        for convolution in self.ups:
            features = convolution(F.relu(features))
            if self.instance_norm:
                features = F.instance_norm(features)
            features = torch.cat([skips.pop(), features], dim=1)
        return (image + self.head(F.relu(features)),)
