"""Filtering cell by cell: a second implementation, and what it promises."""

import pytest
import torch

from blur2blur.blur import convolve
from blur2blur.networks.local_filter import filter_cells, kernels_around_identity

CELL_PX = 16


def kernels(seed: int = 0, side: int = 5) -> torch.Tensor:
    drawn = torch.rand(2, side**2, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.sum(dim=1, keepdim=True)


def image(height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("side", [1, 5, 21])
def test_one_kernel_everywhere_is_the_convolution_with_it(side: int):
    kernel = kernels(side=side)
    everywhere = kernel[:, :, None, None].expand(-1, -1, 3, 4)
    wanted = convolve(image(), kernel.reshape(2, 1, side, side))
    torch.testing.assert_close(
        filter_cells(image(), everywhere, CELL_PX), wanted, atol=1e-6, rtol=0
    )


def test_at_a_cells_centre_its_kernel_counts_and_between_two_their_blend():
    first, second = kernels(0)[:, :, None, None], kernels(1)[:, :, None, None]
    mixed = torch.cat([first.expand(-1, -1, 3, 2), second.expand(-1, -1, 3, 2)], dim=3)
    made = filter_cells(image(), mixed, CELL_PX)
    left, right = (
        filter_cells(image(), each.expand(-1, -1, 3, 4), CELL_PX) for each in (first, second)
    )
    edge = 2 * CELL_PX  # columns edge - 8 to edge + 7 lie between the two centres
    torch.testing.assert_close(made[..., : edge - 8], left[..., : edge - 8])
    torch.testing.assert_close(made[..., edge + 8 :], right[..., edge + 8 :])
    share = (torch.arange(16) + 0.5) / 16
    between = slice(edge - 8, edge + 8)
    blend = left[..., between] * (1 - share) + right[..., between] * share
    torch.testing.assert_close(made[..., between], blend)


def test_kernels_keep_the_light_and_begin_with_the_identity():
    changes = torch.randn(2, 25, 3, 4)
    flat = torch.full((2, 3, 48, 64), 0.3)
    made = filter_cells(flat, kernels_around_identity(changes), CELL_PX)
    torch.testing.assert_close(made, flat)
    none = kernels_around_identity(torch.zeros(2, 25, 3, 4))
    torch.testing.assert_close(filter_cells(image(), none, CELL_PX), image())
