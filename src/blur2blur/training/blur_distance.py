"""How far apart two sets of unpaired images are in blur: a score to choose converters by.

In natural images the energy of gradients falls from scale to scale in a way that blur changes and
content hardly does. The descriptor of a patch is the logarithm of the ratio of neighbouring
scales' gradient energies, per direction; the distance is the mean one-dimensional Wasserstein
distance between the two sets' descriptors. No network is involved, so it cannot share a
discriminator's blind spots.
"""

import torch
from torch import Tensor

from blur2blur.pyramid import pyramid
from blur2blur.statistics.gradient_energy import log_gradient_energy

MINIMUM_PX = 64
"""Shortest side of an image that can be described."""

_SCALES = 4
_PATCH_PX = 32
_QUANTILES = 33
# Patches of sky and walls hold noise instead of edges: only the busier half speaks of blur.
_BUSY_FRACTION = 0.5
_FLOOR = 1e-6


def blur_descriptors(images: Tensor) -> Tensor:
    """Return patches x features from B 3 H W sRGB images in [0,1], sides at least `MINIMUM_PX`."""
    grey = images.mean(dim=1, keepdim=True)
    grid = (grey.shape[-2] // _PATCH_PX, grey.shape[-1] // _PATCH_PX)
    levels = reversed(pyramid(grey, _SCALES))
    energies = [log_gradient_energy(level, grid, floor=_FLOOR) for level in levels]
    fine_to_coarse = torch.stack(energies, dim=1)
    ratios = fine_to_coarse[:, :-1] - fine_to_coarse[:, 1:]
    features = ratios.flatten(1, 2).flatten(2).transpose(1, 2).flatten(0, 1)
    strength = fine_to_coarse[:, -1].mean(dim=1).flatten()
    busiest = strength.argsort(descending=True)[: max(1, round(len(strength) * _BUSY_FRACTION))]
    return features[busiest]


def blur_distance(first: Tensor, second: Tensor) -> float:
    """Return the distance in blur of two sets of images, 0 for equal sets, in log-energy units.

    Args:
        first: B 3 H W sRGB in [0,1].
        second: B' 3 H W sRGB in [0,1], of other scenes.
    """
    levels = torch.linspace(0, 1, _QUANTILES, device=first.device)
    quantiles = [
        torch.quantile(blur_descriptors(images.float()), levels, dim=0)
        for images in (first, second)
    ]
    return float((quantiles[0] - quantiles[1]).abs().mean())
