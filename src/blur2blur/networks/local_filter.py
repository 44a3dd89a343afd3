"""Filtering with a kernel that differs from place to place: one for each cell of the image."""

import torch
import torch.nn.functional as F
from torch import Tensor


def filter_cells(image: Tensor, kernels: Tensor, cell_px: int) -> Tensor:
    """Convolve an image with a kernel per cell; between the cells' centres results are blended.

    Where all cells have one kernel it is the convolution with that kernel, mirrored at the borders.

    Args:
        image: B C H W, linear light, sides multiples of `cell_px` and at least two cells.
        kernels: B K*K h w, K odd, h = H / cell_px, w = W / cell_px.
        cell_px: side of a cell, even, in pixels.

    Returns:
        B C H W.
    """
    batch, channels, height, width = image.shape
    side = round(kernels.shape[1] ** 0.5)
    half, reach = cell_px // 2, side // 2
    # a window around each cell, twice as large, and what its kernel sees beyond
    window, seen = 2 * cell_px, 2 * cell_px + side - 1
    padded = F.pad(image, (half + reach,) * 4, mode="reflect")
    patches = F.unfold(padded, seen, stride=cell_px).unflatten(1, (channels, seen, seen))
    patches = patches.permute(0, 4, 1, 2, 3)
    of_cell = kernels.flatten(2).transpose(1, 2).reshape(batch, -1, 1, side, side)
    size = (seen, seen)
    # the wrap-around falls on the part that is not kept
    spectrum = torch.fft.rfft2(patches) * torch.fft.rfft2(of_cell, s=size)
    blurred = torch.fft.irfft2(spectrum, s=size)[..., side - 1 :, side - 1 :]
    ramp = (torch.arange(window, device=image.device) + 0.5) / cell_px
    ramp = torch.minimum(ramp, 2 - ramp)
    weight = ramp[:, None] * ramp
    folded = (height + cell_px, width + cell_px)
    columns = (blurred * weight).permute(0, 2, 3, 4, 1).flatten(1, 3)
    total = F.fold(columns, folded, window, stride=cell_px)
    # at the borders a single window counts for two
    ones = weight.flatten()[None, :, None].expand(1, -1, columns.shape[-1])
    share = F.fold(ones, folded, window, stride=cell_px)
    return (total / share)[..., half : half + height, half : half + width]


def kernels_around_identity(changes: Tensor) -> Tensor:
    """Return kernels B K*K h w that keep the sum of light: the identity where `changes` are 0."""
    identity = torch.zeros_like(changes)
    identity[:, changes.shape[1] // 2] = 1
    return identity + changes - changes.mean(dim=1, keepdim=True)
