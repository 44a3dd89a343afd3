"""Filtering cell by cell: a second implementation, and what it promises."""

import pytest
import torch

from blur2blur.blur import convolve
from blur2blur.networks.local_filter import (
    estimate_kernels,
    filter_cells,
    kernels_of_light_one,
    lowest_frequencies,
)

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


def test_kernels_keep_the_light_and_nothing_is_the_identity():
    flat = torch.full((2, 3, 48, 64), 0.3)
    made = filter_cells(flat, kernels_of_light_one(torch.randn(2, 25, 3, 4)), CELL_PX)
    torch.testing.assert_close(made, flat)
    none = kernels_of_light_one(torch.zeros(2, 25, 3, 4))
    torch.testing.assert_close(filter_cells(image(), none, CELL_PX), image())


def test_estimated_kernels_are_those_the_image_was_blurred_with():
    sharp = image(128, 128)
    kernel = kernels(side=7)
    blurry = convolve(sharp, kernel.reshape(2, 1, 7, 7))
    found = estimate_kernels(sharp, blurry, 9, CELL_PX)
    assert found.shape == (2, 81, 8, 8)
    wanted = torch.nn.functional.pad(kernel.reshape(2, 7, 7), (1, 1, 1, 1)).flatten(1)
    middle = found[:, :, 3, 3]
    assert float((middle - wanted).abs().max()) < 0.15 * float(wanted.max())


def test_where_there_is_nothing_to_see_no_kernel_is_estimated():
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert float(estimate_kernels(flat, flat, 9, CELL_PX).abs().max()) < 1e-3


def test_lowest_frequencies_are_orthonormal_and_begin_with_the_mean():
    basis = lowest_frequencies(30, 9)
    torch.testing.assert_close(basis @ basis.T, torch.eye(30), atol=1e-5, rtol=0)
    torch.testing.assert_close(basis[0], torch.full((81,), 1 / 9))
    assert lowest_frequencies(999, 3).shape == (9, 9)
