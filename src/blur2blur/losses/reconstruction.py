"""Losses against a known target, averaged over the scales of a coarse-to-fine network.

All take `outputs` (B 3 H W each, coarse to fine, the last at the target's size, as networks return
them) and the full-size target, and make the coarse targets themselves, by 2x2 averaging.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from blur2blur.pyramid import pyramid

_EPSILON = 1e-3
"""Where Charbonnier's loss turns from square to absolute, in pixel values."""


def reconstruction(
    outputs: Sequence[Tensor],
    target: Tensor,
    *,
    kind: Literal["l1", "charbonnier"] = "l1",
) -> Tensor:
    """Return the mean difference of pixel values.

    Args:
        outputs: images, coarse to fine.
        target: B 3 H W.
        kind: absolute difference, or sqrt(difference² + 0.001²) - 0.001, which is smooth at zero
            (Charbonnier et al., ICIP 1994).
    """
    terms: list[Tensor] = []
    for output, scaled in zip(outputs, pyramid(target, len(outputs)), strict=True):
        difference = output - scaled
        if kind == "l1":
            terms.append(difference.abs().mean())
        else:
            terms.append((difference.square() + _EPSILON**2).sqrt().mean() - _EPSILON)
    return torch.stack(terms).mean()


def frequency(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Return the mean absolute difference of the real and imaginary parts of the 2D DFT.

    Not normalised, as the source has it (Cho et al., ICCV 2021, arXiv 2108.05054, eq. 8), so that
    its weight of 0.1 beside an L1 loss holds at crops of 256 px; the value grows with the crop's
    side.

    Args:
        outputs: images, coarse to fine.
        target: B 3 H W.
    """
    terms: list[Tensor] = []
    for output, scaled in zip(outputs, pyramid(target, len(outputs)), strict=True):
        # float32: no half-precision FFT exists on CPUs
        spectrum = torch.fft.fft2((output - scaled).float())
        terms.append(torch.view_as_real(spectrum).abs().mean())
    return torch.stack(terms).mean()


def gaussian_divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of Gaussians from the normal one, per dimension.

    Source: Kingma & Welling, ICLR 2014, arXiv 1312.6114, appendix B.

    Args:
        mean: of any shape.
        deviation: the same shape; its sign means nothing.
    """
    # float32: the logarithm of a small square underflows in half precision
    mean, variance = mean.float(), deviation.float().square()
    return 0.5 * (mean.square() + variance - (variance + 1e-8).log() - 1).mean()
