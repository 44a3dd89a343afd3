"""Spatially invariant blur of a batch: true convolution, one kernel per image."""

import torch
import torch.nn.functional as F
from torch import Tensor

# measured on one CPU thread, 8 x 3 x 128 x 128 and 1 x 3 x 512 x 512: FFT wins above this size
LARGEST_SPATIAL_KERNEL = 9


def convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve every image, extended as `pad` does, with its own kernel; differentiable in both.

    In space or by FFT, whichever is quicker.

    Args:
        image: B x C x H x W; blur adds light, hence give linear light.
        kernel: B x 1 x K x K or 1 x 1 x K x K, K odd.

    Returns:
        B x C x H x W.
    """
    size = kernel.shape[-1]
    if kernel.shape[-2] != size or size % 2 == 0:
        raise ValueError(f"kernels must be square with an odd size, not {tuple(kernel.shape)}")
    kernel = kernel.to(image).expand(image.shape[0], -1, -1, -1)
    padded = pad(image, size // 2)
    if size <= LARGEST_SPATIAL_KERNEL:
        return _convolve_in_space(padded, kernel)
    return _convolve_by_fft(padded, kernel)


def convolve_between(image: Tensor, kernels: Tensor) -> Tensor:
    """Convolve with kernels that change from place to place.

    By FFT: what leaves on one side comes in on the other.

    Args:
        image: B x C x H x W, linear light.
        kernels: B x G x G x K x K, K odd and at most H and W: those of the corners of G x G - 1
            equal cells, row by row from the top left. Between the corners the results are
            interpolated bilinearly. With G = 1 there is one kernel for the whole image.

    Returns:
        B x C x H x W.

    Raises:
        ValueError: kernels that are larger than the image.
    """
    height, width = image.shape[-2:]
    rows, columns, size = kernels.shape[1], kernels.shape[2], kernels.shape[-1]
    if size > min(height, width):
        raise ValueError(f"a kernel of {size} px does not fit into an image of {width}x{height}")
    spectrum = torch.fft.rfft2(image)
    total: Tensor | None = None
    for row, down in enumerate(_hats(rows, height).to(image)):
        for column, right in enumerate(_hats(columns, width).to(image)):
            response = torch.fft.rfft2(kernels[:, None, row, column].to(image), s=(height, width))
            seen = torch.fft.irfft2(spectrum * response, s=(height, width))
            seen = seen.roll((-(size // 2), -(size // 2)), dims=(-2, -1))
            if rows == columns == 1:
                return seen
            seen = seen * (down[:, None] * right)
            total = seen if total is None else total + seen
    assert total is not None
    return total


def _hats(count: int, length: int) -> Tensor:
    """Return count x length weights of linear interpolation between `count` places."""
    if count == 1:
        return torch.ones(1, length)
    places = torch.linspace(0, count - 1, length)
    return (1 - (places - torch.arange(count)[:, None]).abs()).clamp(min=0)


def pad(image: Tensor, margin: int) -> Tensor:
    """Return B x C x H x W extended by `margin` pixels on every side.

    Mirrors the image where it is large enough to be mirrored, else repeats its border.
    """
    if margin == 0:
        return image
    reflects = margin < min(image.shape[-2:])
    return F.pad(image, (margin,) * 4, mode="reflect" if reflects else "replicate")


def _convolve_in_space(padded: Tensor, kernel: Tensor) -> Tensor:
    count, channels, height, width = padded.shape
    planes = padded.reshape(1, count * channels, height, width)
    # conv2d correlates: flipping the kernel makes it a convolution
    weights = kernel.flip(-2, -1).repeat_interleave(channels, dim=0)
    blurred = F.conv2d(planes, weights, groups=count * channels)
    return blurred.reshape(count, channels, *blurred.shape[-2:])


def _convolve_by_fft(padded: Tensor, kernel: Tensor) -> Tensor:
    height, width = padded.shape[-2:]
    size = kernel.shape[-1]
    # the wrap-around falls on the padding, which is cut away
    shape = (quick_length(height), quick_length(width))
    spectrum = torch.fft.rfft2(padded, s=shape) * torch.fft.rfft2(kernel, s=shape)
    return torch.fft.irfft2(spectrum, s=shape)[..., size - 1 : height, size - 1 : width]


def quick_length(length: int) -> int:
    """Return the smallest length >= `length` without prime factors above 5, quick to transform."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
