"""MIMO-UNet and MIMO-UNet+: three inputs, three outputs, one U-Net.

Written from the paper: Cho et al., Rethinking Coarse-to-Fine Approach in Single Image Deblurring,
ICCV 2021, arXiv 2108.05054, section 3 and figure 3. Parts are called by the paper's names: SCM
(shallow convolutional module), FAM (feature attention module), AFF (asymmetric feature fusion).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.blocks import ResidualBlock, conv, initialise, zero
from blur2blur.pyramid import pyramid
from blur2blur.settings import Settings


class MimoUNetOptions(Settings):
    """Options of `mimo_unet`."""

    base_channels: int = Field(default=32, ge=4, multiple_of=4)
    """Channels at full size; twice that at 1/2, four times at 1/4."""
    blocks: int = Field(default=8, ge=1)
    """Residual blocks in each of the six stages."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of whole channels dropped from the two fused skips in training."""
    downsampling: Literal["area", "nearest"] = "area"
    """How the inputs at 1/2 and 1/4 are made; published weights expect "nearest", which aliases."""
    identity_start: bool = True
    """Start with zeroed output convolutions, so that an untrained network returns its input."""


class MimoUNetPlusOptions(MimoUNetOptions):
    """Options of `mimo_unet_plus`."""

    blocks: int = Field(default=20, ge=1)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)


class ShallowModule(nn.Module):
    """SCM: features of a coarse input image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                conv(3, channels // 4, 3),
                conv(channels // 4, channels // 2, 1),
                conv(channels // 2, channels // 2, 3),
                conv(channels // 2, channels - 3, 1),
            ]
        )
        self.merge = conv(channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """B 3 H W to B C H W."""
        features = image
        for convolution in self.convs:
            features = F.relu(convolution(features), inplace=True)
        return self.merge(torch.cat([image, features], dim=1))


class FeatureAttention(nn.Module):
    """FAM: lets the coarse image's features emphasise or suppress those from the finer scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = conv(channels, channels, 3)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Two of B C H W to one."""
        return features + self.merge(features * coarse)


class FeatureFusion(nn.Module):
    """AFF: the three encoder stages, brought to one size, fused into one skip connection."""

    def __init__(self, channels_in: tuple[int, ...], channels_out: int) -> None:
        super().__init__()
        self.channels_in = channels_in
        self.reduce = conv(sum(channels_in), channels_out, 1)
        self.merge = conv(channels_out, channels_out, 3)

    def forward(self, stages: tuple[Tensor, ...], scales: tuple[float, ...]) -> Tensor:
        """Three of B C_i H_i W_i, to be resized by their scale, to B C H W."""
        # A 1x1 convolution and a resizing by nearest neighbour commute: whichever is done at the
        # smaller size saves the largest tensors of the whole network. From the coarsest on, so
        # that one tensor is enlarged at a time.
        total: Tensor | None = None
        coarse = max(scales)
        weights = self.reduce.weight.split(self.channels_in, dim=1)
        for stage, scale, weight in reversed(list(zip(stages, scales, weights, strict=True))):
            bias = self.reduce.bias if scale == 1 else None
            part = F.conv2d(_resize(stage, scale) if scale < 1 else stage, weight, bias)
            finer = max(scale, 1.0)
            total = part if total is None else _resize(total, coarse / finer) + part
            coarse = finer
        assert total is not None
        return self.merge(F.relu(total, inplace=True))


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)])


def _resize(features: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return features
    return F.interpolate(features, scale_factor=factor, mode="nearest")


class MimoUNet(ImageNetwork):
    """MIMO-UNet; with 20 blocks and dropout MIMO-UNet+. Outputs at 1/4, 1/2 and full size."""

    size_rule = SizeRule(multiple=4, minimum=4)
    scales = 3

    def __init__(self, options: MimoUNetOptions, *, guides: int = 0) -> None:
        """Build it; `guides` more images go into the full-size features, see `restore`."""
        super().__init__()
        full, half, quarter = (options.base_channels * factor for factor in (1, 2, 4))
        self.downsampling = options.downsampling
        self.stem = conv(3 * (1 + guides), full, 3)
        self.downs = nn.ModuleList([conv(full, half, 3, 2), conv(half, quarter, 3, 2)])
        self.encoders = nn.ModuleList(
            [_stage(channels, options.blocks) for channels in (full, half, quarter)]
        )
        self.scm_half, self.scm_quarter = ShallowModule(half), ShallowModule(quarter)
        self.fam_half, self.fam_quarter = FeatureAttention(half), FeatureAttention(quarter)
        self.aff_full = FeatureFusion((full, half, quarter), full)
        self.aff_half = FeatureFusion((full, half, quarter), half)
        self.dropout = nn.Dropout2d(options.dropout)
        self.decoders = nn.ModuleList(
            [_stage(channels, options.blocks) for channels in (quarter, half, full)]
        )
        self.ups = nn.ModuleList(
            [
                nn.ConvTranspose2d(quarter, half, 4, stride=2, padding=1),
                nn.ConvTranspose2d(half, full, 4, stride=2, padding=1),
            ]
        )
        self.merges = nn.ModuleList([conv(quarter, half, 1), conv(half, full, 1)])
        self.head_quarter, self.head_half = conv(quarter, 3, 3), conv(half, 3, 3)
        self.head_full = conv(full, 3, 3)
        initialise(self)
        if options.identity_start:
            zero(self.head_quarter, self.head_half, self.head_full)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """B 3 H W to images at 1/4, 1/2 and full size."""
        image_quarter, image_half, _ = self._inputs(image)
        quarter, half, full = self._decode(image, image_half, image_quarter)
        return (
            image_quarter + self.head_quarter(quarter),
            image_half + self.head_half(half),
            image + self.head_full(full),
        )

    def restore(self, image: Tensor, *guides: Tensor) -> Tensor:
        """B 3 H W, and guides like it, to the image at full size."""
        image_quarter, image_half, _ = self._inputs(image)
        # a cat of one image is an input of its own to OpenVINO
        images = torch.cat([image, *guides], 1) if guides else image
        _, _, full = self._decode(images, image_half, image_quarter)
        return image + self.head_full(full)

    def _inputs(self, image: Tensor) -> tuple[Tensor, ...]:
        if self.downsampling == "area":
            return pyramid(image, 3)
        half = _resize(image, 0.5)
        return _resize(half, 0.5), half, image

    def _decode(
        self, images: Tensor, image_half: Tensor, image_quarter: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        stages = self._encode(images, image_half, image_quarter)
        skip_full = self.dropout(self.aff_full(stages, (1, 2, 4)))
        skip_half = self.dropout(self.aff_half(stages, (0.5, 1, 2)))
        quarter = self.decoders[0](stages[2])
        half = self.decoders[1](self._up(0, quarter, skip_half))
        return quarter, half, self.decoders[2](self._up(1, half, skip_full))

    def _encode(
        self, images: Tensor, image_half: Tensor, image_quarter: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        full = self.encoders[0](F.relu(self.stem(images), inplace=True))
        half = F.relu(self.downs[0](full), inplace=True)
        half = self.encoders[1](self.fam_half(half, self.scm_half(image_half)))
        quarter = F.relu(self.downs[1](half), inplace=True)
        quarter = self.encoders[2](self.fam_quarter(quarter, self.scm_quarter(image_quarter)))
        return full, half, quarter

    def _up(self, level: int, features: Tensor, skip: Tensor) -> Tensor:
        features = F.relu(self.ups[level](features), inplace=True)
        # of the two one after the other: side by side they would be the largest tensor of all
        merge = self.merges[level]
        assert isinstance(merge, nn.Conv2d)
        of_features, of_skip = merge.weight.chunk(2, dim=1)
        merged = F.conv2d(skip, of_skip) + F.conv2d(features, of_features, merge.bias)
        return F.relu(merged, inplace=True)
