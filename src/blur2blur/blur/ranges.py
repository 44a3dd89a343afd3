"""Numbers drawn from the ranges of a camera's settings."""

import torch
from torch import Tensor

from blur2blur.blur.camera_settings import SignedRange


def uniform(limits: SignedRange, count: int, rng: torch.Generator) -> Tensor:
    """Return `count` numbers between the limits."""
    low, high = limits
    drawn = torch.rand(count, generator=rng, device=rng.device)
    return low + (high - low) * drawn


def spread(limits: SignedRange, count: int, rng: torch.Generator) -> Tensor:
    """Return `count` numbers, uniform in their logarithm if the lower limit is above 0."""
    low, high = limits
    if low <= 0:
        return uniform(limits, count, rng)
    return low * (high / low) ** uniform((0, 1), count, rng)


def either_way(limits: SignedRange, count: int, rng: torch.Generator) -> Tensor:
    """Return `count` numbers between the limits, half of them with their sign turned."""
    side = torch.randint(0, 2, (count,), generator=rng, device=rng.device)
    return uniform(limits, count, rng) * (2 * side - 1)
