"""The residual generator of style transfer and CycleGAN, here added to its input.

Sources: Johnson et al., Perceptual Losses for Real-Time Style Transfer, ECCV 2016, arXiv
1603.08155, supplement; Zhu et al., CycleGAN, ICCV 2017, arXiv 1703.10593, appendix 7.2. The output
is a change of the image instead of a new one through tanh.
"""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.blocks import initialise, zero
from blur2blur.settings import Settings


class ResnetOptions(Settings):
    """Options of `resnet`."""

    base_channels: int = Field(default=64, ge=1)
    """Channels at full size; twice that at 1/2, four times at 1/4."""
    blocks: int = Field(default=9, ge=1)
    """Residual blocks at 1/4."""
    norm: Literal["none", "instance"] = "none"
    """Instance normalisation makes a tile depend on all of it, so that tiles differ in contrast."""
    identity_start: bool = True
    """Start with a zeroed output convolution, so that an untrained network returns its input."""


class NormalisedBlock(nn.Module):
    """`x + norm(conv(relu(norm(conv(x)))))`, 3x3, mirrored borders."""

    def __init__(self, channels: int, *, instance_norm: bool) -> None:
        super().__init__()
        self.instance_norm = instance_norm
        self.conv1 = _conv(channels, channels, 3, bias=not instance_norm)
        self.conv2 = _conv(channels, channels, 3, bias=not instance_norm)

    def forward(self, features: Tensor) -> Tensor:
        """B C H W to the same."""
        inner = F.relu(_norm(self.conv1(features), self.instance_norm), inplace=True)
        return features + _norm(self.conv2(inner), self.instance_norm)


class Resnet(ImageNetwork):
    """Two convolutions of stride 2, residual blocks, two transposed convolutions back."""

    size_rule = SizeRule(multiple=4, minimum=8)
    scales = 1

    def __init__(self, options: ResnetOptions) -> None:
        super().__init__()
        full, half, quarter = (options.base_channels * factor for factor in (1, 2, 4))
        self.instance_norm = options.norm == "instance"
        bias = not self.instance_norm
        self.stem = _conv(3, full, 7, bias=bias)
        self.downs = nn.ModuleList(
            nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=bias)
            for channels_in, channels_out in ((full, half), (half, quarter))
        )
        self.blocks = nn.Sequential(
            *[
                NormalisedBlock(quarter, instance_norm=self.instance_norm)
                for _ in range(options.blocks)
            ]
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(
                channels_in, channels_out, 3, stride=2, padding=1, output_padding=1, bias=bias
            )
            for channels_in, channels_out in ((quarter, half), (half, full))
        )
        self.head = _conv(full, 3, 7, bias=True)
        initialise(self)
        for block in self.blocks:
            assert isinstance(block, NormalisedBlock)
            # so that the sum over the blocks does not grow with their number
            block.conv2.weight.data.div_(options.blocks**0.5)
        if options.identity_start:
            zero(self.head)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """B 3 H W to one image of that size."""
        features = image
        for convolution in (self.stem, *self.downs):
            features = F.relu(_norm(convolution(features), self.instance_norm), inplace=True)
        features = self.blocks(features)
        for convolution in self.ups:
            features = F.relu(_norm(convolution(features), self.instance_norm), inplace=True)
        return (image + self.head(features),)


def _conv(channels_in: int, channels_out: int, kernel: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(
        channels_in, channels_out, kernel, padding=kernel // 2, padding_mode="reflect", bias=bias
    )


def _norm(features: Tensor, instance_norm: bool) -> Tensor:
    return F.instance_norm(features) if instance_norm else features
