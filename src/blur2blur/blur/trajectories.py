"""Camera-shake trajectories: a hand with inertia, tremor and impulsive jerks.

The model of G. Boracchi and A. Foi, "Modeling the performance of image restoration from motion
blur", IEEE Trans. Image Processing 21(8), 2012: a particle moves at constant speed; at every step
its velocity receives a Gaussian perturbation, a pull back to where it started, and now and then an
impulse that reverses it. As the speed is constant, the state is written here as a heading and a
position, and the strengths are stated per exposure, so that they do not depend on the step count.
"""

import math

import torch
from torch import Tensor

STEPS = 96
JERK_SPREAD = 0.5


def shake_paths(
    length_px: Tensor, wander: Tensor, pull: Tensor, jerks: float, generator: torch.Generator
) -> Tensor:
    """Draw one random path per image, all of them at once.

    Args:
        length_px: B path lengths in pixels.
        wander: B root-mean-square changes of heading over the exposure, in radians.
        pull: B stiffnesses of the spring towards the start; undisturbed, the camera goes round its
            start once in 2 pi / sqrt(pull) exposures.
        jerks: expected number of impulsive reversals per exposure.
        generator: gives the randomness; the work is done on its device.

    Returns:
        B x STEPS+1 x 2 positions (x, y) in pixels, uniform in time, with their mean at the origin.
    """
    count, device = len(length_px), generator.device
    noise = torch.randn(STEPS, count, generator=generator, device=device)
    jerk = torch.rand(STEPS, count, generator=generator, device=device) < jerks / STEPS
    spread = torch.rand(STEPS, count, generator=generator, device=device) - 0.5
    heading = 2 * math.pi * torch.rand(count, generator=generator, device=device)

    turns = noise * wander / math.sqrt(STEPS)
    turns = turns + jerk * (math.pi + 2 * JERK_SPREAD * spread)
    stiffness = pull / STEPS
    x = torch.zeros(count, device=device)
    y = torch.zeros(count, device=device)
    positions = [torch.stack((x, y), dim=-1)]
    for turn in turns.unbind():
        cos, sin = heading.cos(), heading.sin()
        # only the part of the pull across the motion turns it: the speed is constant
        heading = heading + turn - stiffness * (y * cos - x * sin)
        x = x + heading.cos() / STEPS
        y = y + heading.sin() / STEPS
        positions.append(torch.stack((x, y), dim=-1))
    path = torch.stack(positions, dim=1) * length_px[:, None, None]
    return centred(path)


def centred(path_px: Tensor) -> Tensor:
    """Return the paths (B x T x 2) shifted so that their mean over time is the origin."""
    return path_px - ((path_px[:, :-1] + path_px[:, 1:]) / 2).mean(dim=1, keepdim=True)


def resample(path: Tensor, count: int) -> Tensor:
    """Return `count` values of a path at the middles of equal spans of time, interpolated linearly.

    Args:
        path: B x T x ... values, uniform in time, the ends being the ends of the exposure.
        count: how many values are wanted.

    Returns:
        B x count x ... values.
    """
    last = path.shape[1] - 1
    time = (torch.arange(count, device=path.device) + 0.5) / count * last
    before = time.floor().long().clamp(max=last - 1)
    share = (time - before).reshape(1, count, *[1] * (path.dim() - 2))
    return torch.lerp(path[:, before], path[:, before + 1], share)


def longest(path_px: Tensor) -> float:
    """Return the length in pixels of the longest of the paths (B x T x 2)."""
    return float(path_px.diff(dim=1).norm(dim=-1).sum(dim=-1).max())
