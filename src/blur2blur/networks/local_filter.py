"""A kernel for each cell of an image: filtering with them, and estimating them from a pair."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Wiener's noise-to-signal ratio: a share of the window's mean power, and 8-bit rounding's power
_NOISE_SHARE = 1e-3
_NOISE_FLOOR = 1e-3
_NEIGHBOURS = 2
"""Cells on each side of a cell whose windows help to estimate its kernel."""


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


def kernels_of_light_one(kernels: Tensor) -> Tensor:
    """Return kernels B K*K h w that keep the light: what is missing of 1 is not blurred."""
    missing = 1 - kernels.sum(dim=1)
    centre = kernels.shape[1] // 2
    identity = torch.zeros(kernels.shape[1], device=kernels.device)
    identity[centre] = 1
    return kernels + identity[:, None, None] * missing[:, None]


def lowest_frequencies(count: int, side: int) -> Tensor:
    """Return the `count` lowest functions of the 2D cosine transform, count x side*side."""
    places, orders = torch.arange(side) + 0.5, torch.arange(side)
    basis = torch.cos(torch.pi * orders[:, None] * places / side) * (2 / side) ** 0.5
    basis[0] /= 2**0.5
    lowest = (orders[:, None].square() + orders.square()).flatten().argsort(stable=True)[:count]
    both = (basis[:, None, :, None] * basis[None, :, None, :]).flatten(2).flatten(0, 1)
    return both[lowest]


@torch.no_grad()
def estimate_kernels(sharp: Tensor, blurry: Tensor, side: int, cell_px: int) -> Tensor:
    """Return, for each cell, the kernel that best turns `sharp` into `blurry` around it.

    Regularised least squares in the Fourier domain (Wiener's filter) over windows of four cells,
    all those around a cell taken together. Where the sharp image shows nothing, it is 0.

    Args:
        sharp: B C H W, linear light, sides multiples of `cell_px` and at least two cells.
        blurry: the same shape.
        side: of the kernels, odd.
        cell_px: side of a cell, even, in pixels.

    Returns:
        B side*side H/cell_px W/cell_px; each sums to 1, or to less where there is little to see.
    """
    window = 4 * cell_px
    margin = (window - cell_px) // 2
    cells = sharp.shape[-2] // cell_px, sharp.shape[-1] // cell_px
    ramp = torch.hann_window(window, periodic=False, device=sharp.device)
    spectra: list[Tensor] = []
    for image in (sharp, blurry):
        grey = F.pad(image.mean(dim=1, keepdim=True), (margin,) * 4, mode="reflect")
        patches = F.unfold(grey, window, stride=cell_px).transpose(1, 2)
        patches = (patches - patches.mean(dim=2, keepdim=True)).unflatten(2, (window, window))
        spectra.append(torch.fft.rfft2(patches * ramp * ramp[:, None]))
    of_sharp, of_blurry = spectra
    product = _around(torch.view_as_real(of_sharp.conj() * of_blurry), cells)
    power = _around(of_sharp.abs().square()[..., None], cells)
    least = _NOISE_SHARE * power.mean(dim=(2, 3, 4), keepdim=True) + _NOISE_FLOOR
    spectrum = torch.view_as_complex((product / (power + least)).contiguous())
    kernels = torch.fft.irfft2(spectrum, s=(window, window))
    reach = side // 2
    kernels = kernels.roll((reach, reach), dims=(-2, -1))[..., :side, :side]
    return kernels.flatten(2).transpose(1, 2).unflatten(2, cells)


def _around(values: Tensor, cells: tuple[int, int]) -> Tensor:
    """Average B L ... of the cells L over each cell and its neighbours."""
    maps = values.flatten(2).transpose(1, 2).unflatten(2, cells)
    side = 2 * _NEIGHBOURS + 1
    pooled = F.avg_pool2d(maps, side, 1, _NEIGHBOURS, count_include_pad=False)
    return pooled.flatten(2).transpose(1, 2).unflatten(2, values.shape[2:])
