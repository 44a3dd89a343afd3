"""Images as torch's tensors: the way between them and arrays, and light.

Arrays are `H W 3`, tensors `3 H W`; both float32, sRGB in [0, 1].
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blur2blur import images
from blur2blur.statistics import image_quality


def to_tensor(pixels: NDArray[np.float32]) -> Tensor:
    """Return `H W C` as C H W, in memory of its own."""
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))


def to_array(image: Tensor) -> NDArray[np.float32]:
    """Return C H W, on any device, as float32 `H W C` in memory of its own."""
    planes = image.detach().to("cpu", torch.float32)
    return np.array(planes.permute(1, 2, 0).numpy(), order="C")


def read_rgb(path: Path) -> Tensor:
    """Read float32 3 H W, sRGB in [0, 1], upright; alpha ignored. Raises as `images.read`."""
    return to_tensor(images.read_rgb(path))


def write_rgb(path: Path, image: Tensor) -> None:
    """Write 3 H W, sRGB in [0, 1], at 8 bits per channel. Raises as `images.write`."""
    images.write_rgb(path, to_array(image))


def to_linear(srgb: Tensor) -> Tensor:
    """Decode sRGB values to linear light, any shape, differentiable (IEC 61966-2-1)."""
    # where() sends gradients through both branches: the power must stay finite below the knee
    power = ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, power)


def to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light as sRGB values, any shape, differentiable (IEC 61966-2-1)."""
    power = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, power)


def psnr_db(images: Tensor, truth: Tensor) -> float:
    """Return `image_quality.psnr_db` of 3 H W, or of the error of all images of B 3 H W together.

    Images that are nearly equal then count as little as their error, not as much as their decibels.
    """
    one, other = (each.detach().to("cpu", torch.float32).numpy() for each in (images, truth))
    return image_quality.psnr_db(one, other)


def ssim(image: Tensor, truth: Tensor) -> float:
    """Return `image_quality.ssim` of 3 H W."""
    return image_quality.ssim(to_array(image), to_array(truth))
