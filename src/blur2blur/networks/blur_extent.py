"""How far blur reaches, read off an image."""

import torch
from pydantic import Field
from torch import Tensor, nn

from blur2blur.networks.base import Network, SizeRule
from blur2blur.networks.blocks import ResidualBlock, conv, detail, initialise
from blur2blur.settings import Settings

_LUMA = (0.299, 0.587, 0.114)
_LEAST_CONTRAST = 0.01
_DETAIL_GAIN = 4


class BlurExtentOptions(Settings):
    """Options of `blur_extent`."""

    widths: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of each level; each has half the sides of the one before, the first the image's."""
    blocks: int = Field(default=1, ge=0)
    """Residual blocks of each level."""


class BlurExtent(Network):
    """The extent of the blur of image patches, as `trajectories.extents` defines it.

    Calling it takes B 3 H W, sRGB in [0, 1], sides as `size_rule` says, and returns B x 2: the
    base-2 logarithm of 1 + the extent in pixels, and that of its expected error, both of a Laplace
    distribution (A. Kendall and Y. Gal, NeurIPS 2017, arXiv 1703.04977, section 2.2).
    """

    def __init__(self, options: BlurExtentOptions) -> None:
        super().__init__()
        first, *coarser = options.widths
        layers: list[nn.Module] = [conv(2, first, 3)]
        for width, following in zip(options.widths, [*coarser, None], strict=True):
            layers += [ResidualBlock(width) for _ in range(options.blocks)]
            if following is not None:
                layers += [nn.Conv2d(width, following, 2, stride=2), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(2 * options.widths[-1], options.widths[-1]),
            nn.ReLU(inplace=True),
            nn.Linear(options.widths[-1], 2),
        )
        multiple = 2 ** len(coarser)
        self.size_rule = SizeRule(multiple=multiple, minimum=4 * multiple)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        red, green, blue = image.split(1, dim=1)
        luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
        deviation, mean = torch.std_mean(luma, dim=(-2, -1), keepdim=True)
        # contrast tells nothing of the blur
        luma = (luma - mean) / (deviation + _LEAST_CONTRAST)
        features = self.body(torch.cat((luma, _DETAIL_GAIN * detail(luma)), dim=1))
        spread, level = torch.std_mean(features.float(), dim=(-2, -1))
        return self.head(torch.cat((level, spread), dim=1))
