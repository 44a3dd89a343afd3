"""A discriminator that sees blur and hardly anything else: the energies of frequency bands.

In natural images the energy of gradients falls from scale to scale in a way that blur and noise
change and content hardly does. Told to separate photographs of two blurs, a PatchGAN needs
hundreds of steps to see more than content; logarithms of band energies separate them in tens.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blur2blur.statistics.gradient_energy import log_gradient_energy

LEVELS = 3
"""Gradients are measured in the image, at half and at a quarter of its size."""
WINDOW_PX = 8
"""Energies are averaged over windows of this side."""
MINIMUM_PX = 8
"""Shortest side of an image that can be rated: one window, two pixels at the coarsest level."""

# About the gradient energy that 8-bit rounding makes: darker or flatter windows look alike.
_FLOOR = 1e-5
# Brings logarithms of energies of photographs, about -4 to -11, to the range of a network's input.
_CENTRE, _SCALE = -6.0, 2.0


def band_energies(image: Tensor) -> Tensor:
    """Return log gradient energies per window, direction and level: B 2*LEVELS H/8 W/8.

    The finer levels are relative to the next coarser one, so that contrast cancels out.

    Args:
        image: B 3 H W, sRGB in [0, 1], sides at least `MINIMUM_PX`.
    """
    weights = torch.tensor([0.299, 0.587, 0.114], device=image.device)
    grey = (image.float() * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    windows = (image.shape[-2] // WINDOW_PX, image.shape[-1] // WINDOW_PX)
    energies: list[Tensor] = []
    for _ in range(LEVELS):
        energies.append(log_gradient_energy(grey, windows, floor=_FLOOR, neighbours="after"))
        grey = F.avg_pool2d(grey, 2)
    ratios = [fine - coarse for fine, coarse in pairwise(energies)]
    return torch.cat([*ratios, energies[-1] - _CENTRE], dim=1) / _SCALE


class BandEnergyDiscriminator(nn.Module):
    """Logits from the band energies of each window and its neighbours."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2 * LEVELS, channels, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """B 3 H W, sRGB in [0, 1], to logits B 1 H/8 W/8."""
        return self.layers(band_energies(image))
