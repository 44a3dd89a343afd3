"""Discriminators: logits for overlapping patches or windows of an image, at several scales.

Source: Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017,
arXiv 1611.07004, section 3.2; several scales: Wang et al., pix2pixHD, CVPR 2018, section 3.2.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from blur2blur.networks.band_energy import MINIMUM_PX, BandEnergyDiscriminator
from blur2blur.networks.base import Network, SizeRule
from blur2blur.settings import Settings

GRADIENT_GAIN = 10.0
"""Brings neighbour differences of photographs (a few hundredths) to the range of their values."""


class PatchGANOptions(Settings):
    """Options of one `PatchGAN`; the defaults see 70x70 pixels."""

    base_channels: int = Field(default=64, ge=1)
    """Channels after the first convolution; doubled by each layer up to eight times."""
    layers: int = Field(default=3, ge=0, le=6)
    """Convolutions of stride 2; 1, 2, 3, 4 layers see patches of 16, 34, 70, 142 pixels. With 0
    every pixel is rated alone (PixelGAN), which tells colours apart but no blur."""
    norm: Literal["none", "instance", "spectral"] = "none"
    """`none`, `instance` or `spectral`. Instance normalisation divides out the strength of high
    frequencies, which is what tells one blur from another: choose it to match published weights
    only."""
    input: Literal["rgb", "gradient", "rgb+gradient"] = "rgb"
    """What is looked at: colours (`rgb`), differences of neighbours (`gradient`: blur with little
    content), or both (`rgb+gradient`)."""


class DiscriminatorOptions(PatchGANOptions):
    """Options of a `MultiScaleDiscriminator`."""

    kind: Literal["patch", "energy", "both"] = "patch"
    """`patch` (PatchGAN), `energy` (logarithms of the energies of frequency bands, which show blur
    and hardly anything else) or `both` side by side."""
    energy_channels: int = Field(default=32, ge=1)
    """Channels of the network of band energies."""
    scales: int = Field(default=3, ge=1, le=5)
    """Sizes at which images are rated: where the converter's network has several, as many."""
    shared: bool = False
    """One network for all scales instead of one each. The same blur is half as wide at half the
    size, so a shared one has to call the same look known at one scale and unknown at another."""


def _minimum_px(options: PatchGANOptions) -> int:
    # a single pixel has nothing to be normalised by
    return 3 * 2**options.layers if options.layers else 2


def spatial_gradient(image: Tensor) -> Tensor:
    """Return differences to the right and lower neighbour (zero at the last), B 2C H W."""
    right = F.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1, 0, 0))
    down = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    return torch.cat([right, down], dim=1)


class PatchGAN(nn.Module):
    """4x4 convolutions (1x1 with 0 layers), leaky ReLU; the last one gives a logit per patch."""

    def __init__(self, options: PatchGANOptions) -> None:
        super().__init__()
        self.input = options.input
        channels = [{"rgb": 3, "gradient": 6, "rgb+gradient": 9}[options.input]]
        widenings = max(2, options.layers + 1)
        channels += [options.base_channels * min(2**i, 8) for i in range(widenings)]
        strides = [2] * options.layers + [1] * (widenings + 1 - options.layers)
        kernel, padding = (4, 1) if options.layers else (1, 0)
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding)
                for channels_in, channels_out, stride in zip(
                    channels, [*channels[1:], 1], strides, strict=True
                )
            ]
        )
        self.instance_norm = options.norm == "instance"
        if options.norm == "spectral":
            for convolution in self.convs:
                spectral_norm(convolution)

    def forward(self, image: Tensor) -> Tensor:
        """B 3 H W, sRGB in [0, 1], to logits B 1 H' W'."""
        features = self._seen(image)
        first, *middle, last = self.convs
        features = F.leaky_relu(first(features), 0.2)
        for convolution in middle:
            features = convolution(features)
            if self.instance_norm:
                features = F.instance_norm(features)
            features = F.leaky_relu(features, 0.2)
        return last(features)

    def _seen(self, image: Tensor) -> Tensor:
        if self.input == "rgb":
            return image
        gradient = GRADIENT_GAIN * spatial_gradient(image)
        return gradient if self.input == "gradient" else torch.cat([image, gradient], dim=1)


class MultiScaleDiscriminator(Network):
    """One or two networks on each image of a pyramid, with weights of their own or shared."""

    def __init__(self, options: DiscriminatorOptions) -> None:
        super().__init__()
        self.name, self.options = "discriminator", options
        self.scales = options.scales
        self.shared = options.shared
        count = 1 if options.shared else options.scales
        least_px = 1
        self.parts = nn.ModuleList()
        if options.kind in ("patch", "both"):
            self.parts.append(nn.ModuleList(PatchGAN(options) for _ in range(count)))
            least_px = _minimum_px(options)
        if options.kind in ("energy", "both"):
            energy = (BandEnergyDiscriminator(options.energy_channels) for _ in range(count))
            self.parts.append(nn.ModuleList(energy))
            least_px = max(least_px, MINIMUM_PX)
        # the smallest side of the full-size image that leaves every scale a logit
        self.size_rule = SizeRule(multiple=1, minimum=least_px * 2 ** (options.scales - 1))

    def forward(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rate images coarse to fine (a network's outputs, or a `pyramid`).

        Returns:
            Logit maps B 1 H' W', one for each network and image.
        """
        logits: list[Tensor] = []
        for kind in self.parts:
            assert isinstance(kind, nn.ModuleList)
            of_scale = [*kind] * (self.scales if self.shared else 1)
            logits += [network(image) for network, image in zip(of_scale, images, strict=True)]
        return tuple(logits)

    if TYPE_CHECKING:

        def __call__(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
            """See `forward`."""
            ...
