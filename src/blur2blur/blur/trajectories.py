"""Camera-shake trajectories: a hand with inertia, tremor and impulsive jerks.

The model of G. Boracchi and A. Foi, "Modeling the performance of image restoration from motion
blur", IEEE Trans. Image Processing 21(8), 2012: a particle moves at constant speed; at every step
its velocity receives a Gaussian perturbation, a pull back to where it started, and now and then an
impulse that reverses it. As the speed is constant, the state is written here as a heading and a
position, and the strengths are stated per exposure, so that they do not depend on the step count.
"""

import math

import numpy as np
import torch
from torch import Tensor

STEPS = 96
JERK_SPREAD = 0.5

_EXTENT_SHARE = 0.95
_EXTENT_DIRECTIONS = 8


def shake_paths(
    length_px: Tensor, wander: Tensor, pull: Tensor, jerks: float, rng: torch.Generator
) -> Tensor:
    """Draw one random path per image, all of them at once.

    Args:
        length_px: B path lengths in pixels.
        wander: B root-mean-square changes of heading over the exposure, in radians.
        pull: B stiffnesses of the spring towards the start; undisturbed, the camera goes round its
            start once in 2 pi / sqrt(pull) exposures.
        jerks: expected number of impulsive reversals per exposure.
        rng: gives the randomness; the work is done on its device.

    Returns:
        B x STEPS+1 x 2 positions (x, y) in pixels, uniform in time, with their mean at the origin.
    """
    count, device = len(length_px), rng.device
    noise = torch.randn(STEPS, count, generator=rng, device=device)
    jerk = torch.rand(STEPS, count, generator=rng, device=device) < jerks / STEPS
    spread = torch.rand(STEPS, count, generator=rng, device=device) - 0.5
    heading = 2 * math.pi * torch.rand(count, generator=rng, device=device)

    turns = noise * wander / math.sqrt(STEPS)
    turns = turns + jerk * (math.pi + 2 * JERK_SPREAD * spread)
    # NumPy: a step is a dozen operations on a few numbers, which torch is slow to call
    stiffness, angle = (each.double().cpu().numpy() for each in (pull / STEPS, heading))
    here = np.zeros(count, np.complex128)
    positions = [here]
    for turn in turns.double().cpu().numpy():
        ahead = np.exp(1j * angle)
        # only the part of the pull across the motion turns it: the speed is constant
        angle = angle + turn - stiffness * (here * ahead.conj()).imag
        here = here + np.exp(1j * angle) / STEPS
        positions.append(here)
    steps = np.stack(positions, axis=1)
    path = torch.from_numpy(np.stack((steps.real, steps.imag), axis=-1)).float().to(device)
    return centred(path * length_px[:, None, None])


def extents(path_px: Tensor) -> Tensor:
    """Return the widths in pixels of the paths (B x T x 2, uniform in time): B.

    The width is what holds 95 % of the time, in the direction in which that is widest.
    """
    angle = torch.arange(_EXTENT_DIRECTIONS, device=path_px.device) * math.pi / _EXTENT_DIRECTIONS
    seen = path_px @ torch.stack((angle.cos(), angle.sin())).to(path_px)
    outside = (1 - _EXTENT_SHARE) / 2
    ends = torch.tensor([outside, 1 - outside]).to(path_px)
    low, high = torch.quantile(seen, ends, dim=1)
    return (high - low).amax(dim=-1)


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
