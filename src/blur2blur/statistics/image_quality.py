"""How close an image is to the truth: PSNR, SSIM and LPIPS.

All take `H W 3`, float32 sRGB in [0, 1], of image and truth.
"""

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blur2blur import extras
from blur2blur.errors import DataError
from blur2blur.tiling import Pixels

SSIM_MINIMUM_PX = 11
"""Shortest side on which SSIM is defined: the width of its window."""

LPIPS_MINIMUM_PX = 64
"""Shortest side on which LPIPS is defined: AlexNet's poolings need it."""

_SIGMA_PX = 1.5
_STABILISERS = (0.01**2, 0.03**2)
_BORDER = SSIM_MINIMUM_PX // 2
_STRIP_ROWS = 512


def psnr_db(image: Pixels, truth: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB, of any shape; infinite where they are equal.

    Raises:
        DataError: the sizes differ.
    """
    _check_sizes(image, truth)
    error = sum(
        float(np.square(one.astype(np.float64) - other).sum())
        for one, other in zip(image, truth, strict=True)  # by rows: no copy of the whole
    )
    return -10 * math.log10(error / image.size) if error else math.inf


def ssim(image: Pixels, truth: Pixels) -> float:
    """Return the structural similarity, at most 1.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:
    Gaussian window of 11 pixels (sigma 1.5), mean over the windows that lie inside the image and
    over the colour channels. Computed in strips, so that memory does not grow with the image.

    Raises:
        DataError: the sizes differ, or a side is shorter than `SSIM_MINIMUM_PX`.
    """
    _check_sizes(image, truth)
    height, width = image.shape[:2]
    if min(height, width) < SSIM_MINIMUM_PX:
        raise DataError(
            f"SSIM needs images of at least {SSIM_MINIMUM_PX} x {SSIM_MINIMUM_PX} pixels, "
            f"not {width} x {height}"
        )
    total, rows = 0.0, height - 2 * _BORDER
    for first in range(0, rows, _STRIP_ROWS):
        strip = slice(first, min(first + _STRIP_ROWS, rows) + 2 * _BORDER)
        total += float(_similarity(image[strip], truth[strip]).sum(dtype=np.float64))
    return total / (3 * rows * (width - 2 * _BORDER))


def _similarity(image: Pixels, truth: Pixels) -> NDArray[np.float64]:
    """Return the similarity of every window inside, of each channel."""
    one, other = image.astype(np.float64), truth.astype(np.float64)
    mean, other_mean = _windowed(one), _windowed(other)
    variance = _windowed(one * one) - mean * mean
    other_variance = _windowed(other * other) - other_mean * other_mean
    covariance = _windowed(one * other) - mean * other_mean
    of_means, of_variances = _STABILISERS
    numerator = (2 * mean * other_mean + of_means) * (2 * covariance + of_variances)
    denominator = (mean * mean + other_mean * other_mean + of_means) * (
        variance + other_variance + of_variances
    )
    return numerator / denominator


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gaussian means of the windows that lie inside H W C."""
    weights = np.exp(-0.5 * (np.arange(-_BORDER, _BORDER + 1) / _SIGMA_PX) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        count = values.shape[axis] - 2 * _BORDER
        windows = (values.take(range(at, at + count), axis) for at in range(len(weights)))
        values = sum(
            (weight * part for weight, part in zip(weights, windows, strict=True)),
            start=np.zeros((), np.float64),
        )
    return values


def lpips_missing() -> str | None:
    """Say in one line why LPIPS cannot be computed here; None where it can.

    Nothing is downloaded: its AlexNet weights are used where torch has them already.
    """
    if find_spec("torchmetrics") is None:
        return f"LPIPS is left out: it needs torch: {extras.install('train')}"
    return _module().missing()


def lpips(image: Pixels, truth: Pixels) -> float:
    """Return the learned perceptual distance (AlexNet): 0 is equal, more is worse.

    Raises:
        DataError: the sizes differ, or it cannot be computed (see `lpips_missing`).
    """
    reason = lpips_missing()
    if reason is not None:
        raise DataError(reason)
    _check_sizes(image, truth)
    return _module().distance(image, truth)


def _module() -> Any:  # noqa: ANN401 (a module)
    return extras.load("blur2blur.statistics.lpips", purpose="LPIPS")


def _check_sizes(image: Pixels, truth: Pixels) -> None:
    if image.shape != truth.shape:
        raise DataError(
            f"images of {_size(image)} and {_size(truth)} pixels cannot be compared: sizes differ"
        )


def _size(image: Pixels) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
