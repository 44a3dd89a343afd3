"""Kernel extractor and kernel adapter: blur read as a code, and a code laid over another image.

Written from the paper: Tran et al., Explore Image Deblurring via Encoded Blur Kernel Space, CVPR
2021, arXiv 2104.00317, section 3 and figure 2. The extractor F reads a code from a blurry image and
its sharp version; the adapter lays the blur of a code over any sharp image. With `vae` the
extractor returns mean and deviation of a Gaussian over codes, so that new blurs can be drawn.

Legend: B batch, C channels, H W image size, h w size of the code map: one code for each square of
`size_rule.multiple` pixels, so that the blur may differ from place to place.
"""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from blur2blur.networks.base import Network, SizeRule
from blur2blur.networks.blocks import ResidualBlock, conv, initialise, mirrored_conv, zero
from blur2blur.networks.local_filter import (
    estimate_kernels,
    filter_cells,
    kernels_of_light_one,
    lowest_frequencies,
)
from blur2blur.settings import Settings
from blur2blur.tensors import to_linear, to_srgb

_SLOPE = 0.1
"""Of the leaky ReLUs outside the adapter's U-Net, whose slope is 0.2."""
_DIFFERENCE_GAIN = 4.0
"""Brings the difference of the features of a pair, a few hundredths, to the range of features."""
_SMALL = 0.01
"""Of what must not disturb at first; zero would be a dead ReLU."""
_FEATURE_STRIDE = 4
"""Extractor and adapter work on features at a quarter of the image's size."""


class KernelWizardOptions(Settings):
    """Options of `kernel_wizard`; the defaults are the published network's."""

    channels: int = Field(default=64, ge=4)
    """Channels of features, which are at a quarter of the image's size."""
    feature_blocks: int = Field(default=10, ge=1)
    """Residual blocks that make features from an image."""
    levels: int = Field(default=5, ge=2, le=5)
    """Halvings from features to code: one code stands for a square of 4 * 2**levels pixels."""
    code_channels: int = Field(default=512, ge=4)
    """Numbers in one code."""
    code_blocks: int = Field(default=4, ge=1)
    """Residual blocks of the extractor at the size of the code map."""
    trunk_blocks: int = Field(default=20, ge=1)
    """Residual blocks from adapted features back to the image."""
    filter_px: int = Field(default=0, ge=0, le=63)
    """Side of the filter that each code becomes, odd; the image is filtered before the residual is
    added, and the extractor is given least-squares estimates of the kernels too. 0 is none, as
    published: the residual then has to take away all detail."""
    vae: bool = False
    """Whether the extractor returns a deviation too, so that new blurs can be drawn."""
    identity_start: bool = True
    """Start with a zeroed output convolution, so that an untrained network adds no blur."""

    @field_validator("filter_px")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value and value % 2 == 0:
            raise ValueError("must be odd, or 0 for none")
        return value


class _Extractor(nn.Module):
    """Features of a sharp and a blurry image, B C H/4 W/4 each, to a map of codes."""

    def __init__(self, options: KernelWizardOptions) -> None:
        super().__init__()
        width, out = options.channels, options.code_channels * (2 if options.vae else 1)
        between = (min(width * 2**level, out) for level in range(1, options.levels))
        widths = [width, *between, out]
        self.stem = mirrored_conv(2 * width, width, 7)
        self.downs = nn.ModuleList(
            nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
            for narrow, wide in itertools.pairwise(widths)
        )
        self.from_kernels: nn.Conv2d | None = None
        if options.filter_px:
            self.from_kernels = nn.Conv2d(options.filter_px**2, out, 1)
        self.blocks = nn.Sequential(
            *[ResidualBlock(out, mirrored=True) for _ in range(options.code_blocks)]
        )

    def forward(self, sharp: Tensor, blurry: Tensor, kernels: Tensor | None) -> Tensor:
        features = F.relu(self.stem(torch.cat([sharp, blurry], dim=1)), inplace=True)
        for down in self.downs:
            features = F.relu(down(features), inplace=True)
        if self.from_kernels is not None:
            features = features + self.from_kernels(kernels)
        return self.blocks(features)


class _Adapter(nn.Module):
    """A U-Net over features, B C H/4 W/4, whose bottom the code joins."""

    def __init__(self, options: KernelWizardOptions) -> None:
        super().__init__()
        width, levels = options.channels, options.levels
        widths = [width, *(width * min(2**level, 8) for level in range(levels))]
        self.downs = nn.ModuleList(
            nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False)
            for narrow, wide in itertools.pairwise(widths)
        )
        inputs = [widths[-1] + options.code_channels, *(2 * wide for wide in widths[-2:0:-1])]
        outputs = widths[-2::-1]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=level == levels)
            for level, (wide, narrow) in enumerate(zip(inputs, outputs, strict=True), start=1)
        )

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        levels = [self.downs[0](features)]
        for down in self.downs[1:]:
            levels.append(down(F.leaky_relu(levels[-1], 0.2)))
        features = levels.pop()
        for up, beside in zip(self.ups, [code, *reversed(levels)], strict=True):
            features = up(F.relu(torch.cat([features, beside], dim=1)))
        return torch.tanh(features)


class KernelWizard(Network):
    """The kernel extractor and the kernel adapter, over features that they share."""

    def __init__(self, options: KernelWizardOptions) -> None:
        super().__init__()
        self.vae, self.code_channels = options.vae, options.code_channels
        self.filter_px = options.filter_px
        width = options.channels
        stride = _FEATURE_STRIDE * 2**options.levels
        # the blocks of the extractor mirror a map of codes at its borders: one code has no mirror
        # and a filter reaches beyond half a code's square
        least = max(2 * stride, stride // 2 + options.filter_px // 2 + 1)
        self.size_rule = SizeRule(multiple=stride, minimum=-(-least // stride) * stride)
        self.stem = nn.ModuleList(
            [conv(3, width, 3), conv(width, width, 3, 2), conv(width, width, 3, 2)]
        )
        self.feature_blocks = nn.Sequential(
            *[ResidualBlock(width) for _ in range(options.feature_blocks)]
        )
        self.extractor = _Extractor(options)
        self.adapter = _Adapter(options)
        self.trunk = nn.Sequential(*[ResidualBlock(width) for _ in range(options.trunk_blocks)])
        self.ups = nn.ModuleList([conv(width, 4 * width, 3), conv(width, 4 * width, 3)])
        self.merge, self.head = conv(width, width, 3), conv(width, 3, 3)
        self.filter: nn.Conv2d | None = None
        if options.filter_px:
            self.filter = nn.Conv2d(options.code_channels, options.filter_px**2, 1, bias=False)
        self._initialise(options)

    def _initialise(self, options: KernelWizardOptions) -> None:
        initialise(self)
        # hardly a sum over skips in these, so that a ReLU halves what is not doubled first (He et
        # al. 2015): with less, codes and what is made of them begin too small to be learned from
        for chain in (self.stem, self.extractor.stem, self.extractor.downs, self.adapter, self.ups):
            for part in chain.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                    part.weight.data.mul_(2**0.5)
        # the extractor begins with the difference of the two images: beside the brightness that
        # both have it is so small that ReLUs without bias pass all of it or nothing, and most die
        stem, width = self.extractor.stem.weight.data, options.channels
        stem[:, :width].mul_(_DIFFERENCE_GAIN)
        stem[:, width:].copy_(-stem[:, :width])
        if self.filter is not None and self.extractor.from_kernels is not None:
            # codes begin as the coarse part of the estimated kernels: from random ones training
            # finds the strength of a blur but not its direction
            coarse = lowest_frequencies(options.code_channels, options.filter_px)
            self.extractor.from_kernels.weight.data[: len(coarse)] = coarse[..., None, None]
            self.filter.weight.data.zero_()[:, : len(coarse)] = coarse.T[..., None, None]
            for parameter in self.extractor.downs[-1].parameters():
                parameter.data.mul_(_SMALL)
            for block in self.extractor.blocks:
                assert isinstance(block, ResidualBlock)
                zero(block.conv2)
        if options.identity_start:
            zero(self.head)

    def extract(self, sharp: Tensor, blurry: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read the code of the blur that turns `sharp` into `blurry`.

        Args:
            sharp: B 3 H W, sRGB in [0, 1], sides as `size_rule` says.
            blurry: the same shape.

        Returns:
            The mean of the code, B C h w, and its deviation (its sign means nothing), None without
            `vae`.
        """
        return self._code(sharp, self._features(sharp), blurry)

    def adapt(self, sharp: Tensor, code: Tensor) -> Tensor:
        """Lay the blur of `code`, B C h w, over `sharp`, B 3 H W: sRGB, not clamped."""
        return self._adapted(sharp, self._features(sharp), code)

    def forward(
        self, sharp: Tensor, blurry: Tensor, choose: Callable[[Tensor, Tensor | None], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Make `blurry` again from `sharp` and a code: `extract` and `adapt` in one pass.

        Args:
            sharp: as `extract` takes it.
            blurry: likewise.
            choose: from mean and deviation to the code that is laid over `sharp`.

        Returns:
            The image as `adapt` returns it, and mean and deviation.
        """
        features = self._features(sharp)
        mean, deviation = self._code(sharp, features, blurry)
        return self._adapted(sharp, features, choose(mean, deviation)), mean, deviation

    def _code(
        self, sharp: Tensor, sharp_features: Tensor, blurry: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        kernels: Tensor | None = None
        if self.filter_px:
            with torch.autocast(sharp.device.type, enabled=False):
                light = to_linear(sharp.float()), to_linear(blurry.float())
                kernels = estimate_kernels(*light, self.filter_px, self.size_rule.multiple)
        code = self.extractor(sharp_features, self._features(blurry), kernels)
        if not self.vae:
            return code, None
        mean, deviation = code.chunk(2, dim=1)
        return mean, deviation

    def _adapted(self, sharp: Tensor, features: Tensor, code: Tensor) -> Tensor:
        features = self.trunk(self.adapter(features, code))
        for up in self.ups:
            features = F.leaky_relu(F.pixel_shuffle(up(features), 2), _SLOPE)
        residual = self.head(F.leaky_relu(self.merge(features), _SLOPE))
        return self._filtered(sharp, code) + residual

    def _filtered(self, sharp: Tensor, code: Tensor) -> Tensor:
        if self.filter is None:
            return sharp
        # full precision: what is filtered is the image itself
        with torch.autocast(sharp.device.type, enabled=False):
            kernels = kernels_of_light_one(self.filter(code.float()))
            light = filter_cells(to_linear(sharp.float()), kernels, self.size_rule.multiple)
            return to_srgb(light.clamp(0, 1))

    def _features(self, image: Tensor) -> Tensor:
        for convolution in self.stem:
            image = F.leaky_relu(convolution(image), _SLOPE)
        return self.feature_blocks(image)
