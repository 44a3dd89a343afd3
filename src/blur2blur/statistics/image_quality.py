"""How close an image is to the truth: PSNR, SSIM and LPIPS, as torchmetrics computes them.

All take B 3 H W (or 3 H W) in [0, 1] and return one value per image.
"""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from blur2blur.errors import DataError

SSIM_MINIMUM_PX = 11
"""Shortest side on which SSIM is defined: the width of its window."""

LPIPS_MINIMUM_PX = 64
"""Shortest side on which LPIPS is defined: AlexNet's poolings need it."""

_BORDER = SSIM_MINIMUM_PX // 2
_STRIP_ROWS = 512


def psnr_db(image: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB; infinite where they are equal.

    Args:
        image: B 3 H W or 3 H W, sRGB in [0, 1].
        truth: the same shape.

    Raises:
        DataError: the sizes differ.
    """
    image, truth = _batches(image, truth)
    return peak_signal_noise_ratio(image, truth, data_range=1.0, reduction="none", dim=(1, 2, 3))


def pooled_psnr_db(image: Tensor, truth: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of the squared error of all images together.

    Images that are nearly equal count as little as their error, not as much as their decibels.
    Arguments and errors as `psnr_db`.
    """
    image, truth = _batches(image, truth)
    return float(psnr_db(image.transpose(0, 1).flatten(1, 2), truth.transpose(0, 1).flatten(1, 2)))


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of each image, at most 1.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:
    Gaussian window of 11 pixels (sigma 1.5), mean over the windows that lie inside the image and
    over the colour channels. Computed in strips, so that memory does not grow with the image.

    Args:
        image: B 3 H W or 3 H W, sRGB in [0, 1].
        truth: the same shape.

    Raises:
        DataError: the sizes differ, or a side is shorter than `SSIM_MINIMUM_PX`.
    """
    image, truth = _batches(image, truth)
    height, width = image.shape[-2:]
    if min(height, width) < SSIM_MINIMUM_PX:
        raise DataError(
            f"SSIM needs images of at least {SSIM_MINIMUM_PX} x {SSIM_MINIMUM_PX} pixels, "
            f"not {width} x {height}"
        )
    total = torch.zeros(image.shape[0], dtype=torch.float64, device=image.device)
    rows = height - 2 * _BORDER
    for first in range(0, rows, _STRIP_ROWS):
        strip = slice(first, min(first + _STRIP_ROWS, rows) + 2 * _BORDER)
        _, similarity = structural_similarity_index_measure(
            image[..., strip, :], truth[..., strip, :], data_range=1.0, return_full_image=True
        )
        # torchmetrics mirrors the image at its border; those values are no windows of the image
        inside = similarity[..., _BORDER:-_BORDER, _BORDER:-_BORDER]
        total += inside.sum(dim=(1, 2, 3), dtype=torch.float64)
    return (total / (3 * rows * (width - 2 * _BORDER))).to(torch.float32)


def lpips_missing() -> str | None:
    """Say in one line why LPIPS cannot be computed here; None where it can.

    Nothing is downloaded: its AlexNet weights are used where torch has them already.
    """
    path = _alexnet_path()
    if path.is_file():
        return None
    return f"LPIPS is left out: it needs {AlexNet_Weights.DEFAULT.url} saved as {path}"


def lpips(image: Tensor, truth: Tensor) -> Tensor:
    """Return the learned perceptual distance (AlexNet) of each image: 0 is equal, more is worse.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018.

    Args:
        image: B 3 H W or 3 H W, sRGB in [0, 1].
        truth: the same shape.

    Raises:
        DataError: the sizes differ, or the weights are missing (see `lpips_missing`).
    """
    reason = lpips_missing()
    if reason is not None:
        raise DataError(reason)
    image, truth = _batches(image, truth)
    network = _lpips_network().to(image.device)
    return torch.stack(
        [network(one[None], other[None]) for one, other in zip(image, truth, strict=True)]
    )


def _alexnet_path() -> Path:
    name = AlexNet_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    return Path(torch.hub.get_dir()) / "checkpoints" / name


@cache
def _lpips_network() -> LearnedPerceptualImagePatchSimilarity:
    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)


def _batches(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if image.shape != truth.shape:
        raise DataError(
            f"images of {_size(image)} and {_size(truth)} pixels cannot be compared: sizes differ"
        )
    return (image[None], truth[None]) if image.ndim == 3 else (image, truth)


def _size(image: Tensor) -> str:
    return " x ".join(str(side) for side in reversed(image.shape[-2:]))
