"""Blur kernels: defocus disk, Gaussian, and camera paths drawn into kernels.

Legend: `kernel_B1KK` is float32, B x 1 x K x K with K odd, >= 0, each summing to 1. Offsets are in
pixels, x to the right and y downwards; the weight at the centre plus (x, y) says how much light
the motion carried by (x, y).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DISK_SAMPLES = 9
GAUSSIAN_REACH = 3.0


def linear_path(length_px: Tensor, angle_degrees: Tensor, steps: int) -> Tensor:
    """Return straight paths at constant speed, centred on the origin.

    Args:
        length_px: B lengths in pixels.
        angle_degrees: B directions; 0 points right, 90 points up.
        steps: segments per path.

    Returns:
        B x steps+1 x 2 positions (x, y) in pixels, uniform in time.
    """
    time = torch.linspace(-0.5, 0.5, steps + 1, device=length_px.device)
    angle = torch.deg2rad(angle_degrees)
    direction = torch.stack((angle.cos(), -angle.sin()), dim=-1)
    return time[None, :, None] * (length_px[:, None] * direction)[:, None, :]


def disk(radius_px: Tensor, size: int) -> Tensor:
    """Return defocus disks as kernel_B1KK, anti-aliased by sub-pixel coverage; radius 0 is a delta.

    Args:
        radius_px: B radii in pixels, >= 0.
        size: odd K that holds every disk.
    """
    fine = torch.arange(size * DISK_SAMPLES, dtype=torch.float32, device=radius_px.device)
    axis = (fine - (len(fine) - 1) / 2) / DISK_SAMPLES
    distance = torch.hypot(axis[:, None], axis[None, :])
    inside = ((radius_px[:, None, None] - distance) * DISK_SAMPLES + 0.5).clamp(0, 1)
    return _normalised(F.avg_pool2d(inside[:, None], DISK_SAMPLES))


def gaussian(sigma_px: Tensor, size: int) -> Tensor:
    """Return Gaussians sampled at pixel centres as kernel_B1KK; sigma 0 is a delta.

    Args:
        sigma_px: B standard deviations in pixels, >= 0.
        size: odd K, best with `GAUSSIAN_REACH` standard deviations to each side.
    """
    axis = torch.arange(size, dtype=torch.float32, device=sigma_px.device) - size // 2
    profile = torch.exp(-0.5 * (axis / sigma_px.clamp(min=1e-3)[:, None]) ** 2)
    return _normalised(profile[:, None, :, None] * profile[:, None, None, :])


def rasterise(points_px: Tensor, size: int | None = None) -> Tensor:
    """Draw paths into kernels, anti-aliased: every point is shared bilinearly by four pixels.

    Bilinear sharing keeps the centre of mass exactly. Points should lie closer together than half
    a pixel. Written as one matrix product of hat functions, hence the same bytes on every run.

    Args:
        points_px: B x N x 2 positions (x, y) in pixels from the kernel's centre, uniform in time.
        size: odd K; the smallest that holds every path when not given.

    Returns:
        kernel_B1KK.

    Raises:
        ValueError: a point lies outside a kernel of the given size.
    """
    reach = math.ceil(float(points_px.abs().max()) - 1e-4)
    size = size or 2 * reach + 1
    if reach > size // 2:
        raise ValueError(f"a path reaches {reach} px from its centre, a {size}x{size} kernel less")
    grid = torch.arange(size, dtype=torch.float32, device=points_px.device) - size // 2
    hats = (1 - (points_px[..., None] - grid).abs()).clamp(min=0)
    hats_x, hats_y = hats.unbind(dim=2)
    return _normalised((hats_y.transpose(1, 2) @ hats_x)[:, None])


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Return the kernel_B1KK of blurring by `first` and then by `second`; their reaches add up."""
    count, _, size, _ = second.shape
    combined = F.conv2d(
        first.transpose(0, 1), second.flip(-2, -1), padding=size - 1, groups=count
    ).transpose(0, 1)
    return _normalised(combined.clamp(min=0))


def _normalised(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum(dim=(-2, -1), keepdim=True)
