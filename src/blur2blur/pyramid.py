"""The project's one way to make an image smaller, used by networks, losses and training alike."""

import torch.nn.functional as F
from torch import Tensor


def pyramid(image: Tensor, scales: int) -> tuple[Tensor, ...]:
    """Return the image at `scales` sizes, coarse to fine, each half the next; the last is `image`.

    Halving is a 2x2 average: unlike nearest-neighbour picking it does not alias, so a coarse
    network output and a coarse target differ by blur alone.

    Args:
        image: B C H W, any range; odd sides lose their last row or column on the way down.
        scales: number of sizes, at least 1.
    """
    levels = [image]
    for _ in range(scales - 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return tuple(reversed(levels))
