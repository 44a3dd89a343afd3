"""NAFNet: a U-Net without non-linear activations.

Written from the paper: Chen et al., Simple Baselines for Image Restoration, ECCV 2022, arXiv
2204.04676, section 3 and figure 3. The local window is that of Chu et al., Improving Image
Restoration by Revisiting Global Information Aggregation, ECCV 2022, arXiv 2112.04491. Parameters
are named and shaped as in the authors' published weights, which therefore load as they are.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.blocks import conv, zero
from blur2blur.pyramid import pyramid
from blur2blur.settings import Settings


class NAFNetOptions(Settings):
    """Options of `nafnet`; the defaults are the published GoPro network of width 32."""

    width: int = Field(default=32, ge=2, multiple_of=2)
    """Channels at full size; doubled by each down-sampling."""
    encoder_blocks: tuple[int, ...] = (1, 1, 1, 28)
    middle_blocks: int = Field(default=1, ge=0)
    decoder_blocks: tuple[int, ...] = (1, 1, 1, 1)
    scales: Literal[1, 3] = 1
    """3 adds outputs at 1/4 and 1/2, as a converter needs."""
    local_window_px: int | None = Field(default=None, ge=1)
    """Side in image pixels of the window the channel attention averages over, so that an image
    larger than the training crops, or a tile of it, meets the statistics of training; none = the
    whole image."""
    identity_start: bool = True
    """Start with zeroed output convolutions, so that an untrained network returns its input."""

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        levels = len(self.encoder_blocks)
        if levels != len(self.decoder_blocks):
            raise ValueError(
                f"encoder_blocks has {levels} levels, decoder_blocks {len(self.decoder_blocks)}; "
                "both need the same number"
            )
        if self.scales == 3 and levels < 2:
            raise ValueError(f"3 scales need at least 2 levels, not {levels}")
        if min(self.encoder_blocks + self.decoder_blocks) < 0:
            raise ValueError("a number of blocks is negative")
        return self


class LayerNorm2d(nn.LayerNorm):
    """Normalise each pixel over its channels, then scale and shift."""

    def forward(self, input: Tensor) -> Tensor:
        """B C H W to the same; views, not copies, where the memory is channels-last."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _moving_mean(features: Tensor, dim: int, window: int) -> Tensor:
    """Return the mean over `window` entries of `dim` around each, the window kept inside."""
    length = features.shape[dim]
    # an exported network takes images of any size: there the window is cut to them
    if not torch.compiler.is_exporting() and window >= length:
        return features.mean(dim, keepdim=True)
    # float32: a running sum over thousands of pixels has no digits to spare
    sums = features.float().cumsum(dim)
    sums = torch.cat([torch.zeros_like(sums.narrow(dim, 0, 1)), sums], dim)
    places = torch.arange(length, device=features.device)
    end = places.max() + 1
    starts = (places - window // 2).clamp(min=0).minimum((end - window).clamp(min=0))
    ends = (starts + window).minimum(end)
    sums = sums.index_select(dim, ends) - sums.index_select(dim, starts)
    return (sums / end.clamp(max=window)).to(features.dtype)


class LocalMean(nn.Module):
    """The mean of each channel over the whole image or over a window around each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.window: int | None = None

    def forward(self, features: Tensor) -> Tensor:
        """B C H W to B C 1 1, or to B C H W where the window is smaller than the image."""
        if self.window is None:
            return features.mean((2, 3), keepdim=True)
        return _moving_mean(_moving_mean(features, 2, self.window), 3, self.window)


class NAFBlock(nn.Module):
    """Depth-wise convolution with simplified channel attention, then a gated 1x1 pair."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels, eps=1e-6)
        self.conv1 = conv(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.sca = nn.Sequential(LocalMean(), conv(channels, channels, 1))
        self.conv3 = conv(channels, channels, 1)
        self.norm2 = LayerNorm2d(channels, eps=1e-6)
        self.conv4 = conv(channels, 2 * channels, 1)
        self.conv5 = conv(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """B C H W to the same."""
        gated = _gate(self.conv2(self.conv1(self.norm1(features))))
        features = features + self.beta * self.conv3(gated * self.sca(gated))
        return features + self.gamma * self.conv5(_gate(self.conv4(self.norm2(features))))


def _gate(features: Tensor) -> Tensor:
    first, second = features.chunk(2, dim=1)
    return first * second


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*[NAFBlock(channels) for _ in range(blocks)])


class NAFNet(ImageNetwork):
    """NAFNet, with one output or with additional ones at 1/4 and 1/2."""

    def __init__(self, options: NAFNetOptions) -> None:
        super().__init__()
        levels = len(options.encoder_blocks)
        channels = [options.width << level for level in range(levels + 1)]
        self.scales = options.scales
        self.size_rule = SizeRule(multiple=2**levels, minimum=2**levels)
        self.intro = conv(3, options.width, 3)
        self.encoders = nn.ModuleList(
            [_stage(c, blocks) for c, blocks in zip(channels, options.encoder_blocks, strict=False)]
        )
        self.downs = nn.ModuleList([nn.Conv2d(c, 2 * c, 2, stride=2) for c in channels[:-1]])
        self.middle_blks = _stage(channels[-1], options.middle_blocks)
        self.ups = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(c, 2 * c, 1, bias=False), nn.PixelShuffle(2))
                for c in reversed(channels[1:])
            ]
        )
        self.decoders = nn.ModuleList(
            [
                _stage(c, blocks)
                for c, blocks in zip(reversed(channels[:-1]), options.decoder_blocks, strict=True)
            ]
        )
        self.ending = conv(options.width, 3, 3)
        coarse = (channels[2], channels[1]) if options.scales == 3 else ()
        self.coarse_heads = nn.ModuleList([conv(c, 3, 3) for c in coarse])
        if options.identity_start:
            zero(self.ending, *[head for head in self.coarse_heads if isinstance(head, nn.Conv2d)])
        self.set_local_window(options.local_window_px)

    def set_local_window(self, window_px: int | None) -> None:
        """Average channel attention over a window of this side in image pixels; None = all."""
        stages = [(level, stage) for level, stage in enumerate(self.encoders)]
        stages += [(len(self.encoders), self.middle_blks)]
        stages += [(level, stage) for level, stage in enumerate(reversed(list(self.decoders)))]
        for level, stage in stages:
            for part in stage.modules():
                if isinstance(part, LocalMean):
                    part.window = max(1, window_px >> level) if window_px else None

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """B 3 H W to one image, or to images at 1/4, 1/2 and full size."""
        features = self.intro(image)
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        stages = [self.middle_blks(features)]
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            stages.append(decoder(up(stages[-1]) + skips.pop()))
        heads = [*self.coarse_heads, self.ending]
        return tuple(
            level + head(features)
            for level, head, features in zip(
                pyramid(image, self.scales), heads, stages[-self.scales :], strict=True
            )
        )
