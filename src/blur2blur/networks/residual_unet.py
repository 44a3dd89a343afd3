"""A U-Net of dense convolutions on pixels folded into channels: made for processors.

The folding is the pixel unshuffle of Shi et al., CVPR 2016, arXiv 1609.05158, run backwards; the
residual blocks without normalisation are those of Lim et al. (EDSR), CVPRW 2017, arXiv 1707.02921;
the gate is that of Chen et al. (NAFNet), ECCV 2022, arXiv 2204.04676, between dense convolutions.
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.blocks import ResidualBlock, conv, detail, initialise, zero
from blur2blur.settings import Settings

_DETAIL_GAIN = 12


class ResidualUNetOptions(Settings):
    """Options of `residual_unet`."""

    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of each level, finest first; each level has half the sides of the one before."""
    encoder_blocks: tuple[int, ...] = (1, 1, 2)
    """Residual blocks of each level but the coarsest, on the way down."""
    middle_blocks: int = Field(default=4, ge=0)
    """Residual blocks of the coarsest level."""
    decoder_blocks: tuple[int, ...] = (1, 1, 2)
    """Residual blocks of each level but the coarsest, on the way up, finest first."""
    unshuffle: int = Field(default=2, ge=1)
    """The finest level has 1/unshuffle of the image's sides."""
    block: Literal["dense", "gated"] = "dense"
    """dense: two convolutions with a ReLU between; gated: with a product of channel halves."""
    identity_start: bool = True
    """Start with a zeroed output convolution, so that an untrained network returns its input."""

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        levels = len(self.widths)
        if levels < 2 or min(self.widths) < 1:
            raise ValueError(f"widths = {list(self.widths)}: at least two levels of 1 channel")
        for name, blocks in (("encoder", self.encoder_blocks), ("decoder", self.decoder_blocks)):
            if len(blocks) != levels - 1 or min(blocks) < 0:
                raise ValueError(
                    f"{name}_blocks = {list(blocks)} must be {levels - 1} numbers, none negative: "
                    "one for each level of widths but the coarsest"
                )
        return self


class GatedBlock(nn.Module):
    """`x + conv(a * b)`, a and b being the halves of `conv(x)`; dense 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, 2 * channels, 3)
        self.conv2 = conv(channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """B C H W to the same."""
        first, second = self.conv1(features).chunk(2, dim=1)
        return features + self.conv2(first * second)


class ResidualUNet(ImageNetwork):
    """Image to image, one output at full size; see `ResidualUNetOptions`."""

    scales = 1

    def __init__(self, options: ResidualUNetOptions) -> None:
        super().__init__()
        make = ResidualBlock if options.block == "dense" else GatedBlock

        def stage(width: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(*(make(width) for _ in range(blocks)))

        self.unshuffle = options.unshuffle
        folded = 3 * options.unshuffle**2
        *finer, coarsest = options.widths
        self.first = conv(2 * folded, options.widths[0], 3)
        self.encoder = nn.ModuleList(map(stage, finer, options.encoder_blocks))
        self.down = nn.ModuleList(
            nn.Conv2d(width, coarser, 2, stride=2)
            for width, coarser in zip(options.widths, options.widths[1:], strict=False)
        )
        self.middle = stage(coarsest, options.middle_blocks)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarser, width, 2, stride=2)
            for width, coarser in zip(options.widths, options.widths[1:], strict=False)
        )
        self.decoder = nn.ModuleList(map(stage, finer, options.decoder_blocks))
        self.last = conv(options.widths[0], folded, 3)
        multiple = options.unshuffle * 2 ** len(finer)
        self.size_rule = SizeRule(multiple=multiple, minimum=multiple)
        initialise(self)
        for part in self.modules():
            if isinstance(part, GatedBlock):
                # products of features grow from block to block: each starts as the identity
                zero(part.conv2)
        if options.identity_start:
            zero(self.last)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the restored image alone; see `ImageNetwork`."""
        # what tells blur is faint beside light and dark: of one size it is learned sooner
        seen = torch.cat((2 * image - 1, _DETAIL_GAIN * detail(image)), dim=1)
        features = self.first(F.pixel_unshuffle(seen, self.unshuffle))
        skips: list[Tensor] = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            features = stage(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        levels = zip(self.up, self.decoder, skips, strict=True)
        for up, stage, skip in reversed(list(levels)):
            features = stage(up(features) + skip)
        return (image + F.pixel_shuffle(self.last(features), self.unshuffle),)
