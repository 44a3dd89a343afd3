"""Blur undone at 1/4, 1/2 and full size in turn: large blur is small where the image is small.

The order is that of Nah et al., Deep Multi-scale Convolutional Neural Network for Dynamic Scene
Deblurring, CVPR 2017, arXiv 1612.02177, and Tao et al., Scale-recurrent Network, CVPR 2018, arXiv
1802.01770; each size has a MIMO-UNet of its own.
"""

from typing import cast

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.mimo_unet import MimoUNet, MimoUNetOptions
from blur2blur.pyramid import pyramid
from blur2blur.settings import Settings


class CoarseToFineOptions(Settings):
    """Options of `coarse_to_fine`."""

    base_channels: int = Field(default=16, ge=4, multiple_of=4)
    """Channels of each size's MIMO-UNet at that size."""
    blocks: int = Field(default=4, ge=1)
    """Residual blocks in each of its six stages."""
    levels: int = Field(default=3, ge=1, le=5)
    """Sizes, each half of the next one."""
    identity_start: bool = True
    """Start with zeroed output convolutions, so that an untrained network returns its input."""


class CoarseToFine(ImageNetwork):
    """MIMO-UNets from the smallest size on; each begins with the change of the one before.

    Outputs at every size.
    """

    def __init__(self, options: CoarseToFineOptions) -> None:
        super().__init__()
        self.scales = options.levels
        side_px = 4 * 2 ** (options.levels - 1)
        self.size_rule = SizeRule(multiple=side_px, minimum=side_px)
        each = MimoUNetOptions(
            base_channels=options.base_channels,
            blocks=options.blocks,
            identity_start=options.identity_start,
        )
        self.levels = nn.ModuleList([MimoUNet(each, guides=1) for _ in range(options.levels)])
        for level in self.levels:
            del level.head_quarter, level.head_half  # each size is an output of its own level

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """B 3 H W to images at each size, the full one last."""
        outputs: list[Tensor] = []
        change: Tensor | None = None
        for level, blurry in zip(self.levels, pyramid(image, self.scales), strict=True):
            begun = blurry if change is None else blurry + _twice(change)
            restored = cast(MimoUNet, level).restore(begun, blurry)
            change = restored - blurry
            outputs.append(restored)
        return tuple(outputs)


def _twice(change: Tensor) -> Tensor:
    return F.interpolate(change, scale_factor=2, mode="bilinear", align_corners=False)
