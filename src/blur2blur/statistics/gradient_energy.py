"""How much detail an image has from place to place: the energy of its gradients.

In natural images it falls from scale to scale in a way that blur and noise change and content
hardly does.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def log_gradient_energy(
    image: Tensor,
    windows: tuple[int, int],
    *,
    floor: float,
    neighbours: Literal["before", "after"] = "before",
) -> Tensor:
    """Return the logarithm of the mean squared differences of neighbouring pixels.

    Args:
        image: B 1 H W, sides at least 2.
        windows: rows and columns of the grid of windows that means are taken over.
        floor: added to the energy, so that flat windows have a logarithm.
        neighbours: each pixel is compared with those to the left and above, or to the right and
            below; pixels that lack one of the two are left out.

    Returns:
        B 2 rows columns: across, then down.
    """
    if neighbours == "before":
        pixel, beside, above = image[..., 1:, 1:], image[..., 1:, :-1], image[..., :-1, 1:]
    else:
        pixel, beside, above = image[..., :-1, :-1], image[..., :-1, 1:], image[..., 1:, :-1]
    squared = torch.cat([pixel - beside, pixel - above], dim=1).square()
    return (F.adaptive_avg_pool2d(squared, windows) + floor).log()
