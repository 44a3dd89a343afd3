"""Spatially invariant convolution, spatially varying shake."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.ndimage
import torch

from blur2blur.blur import kernels, shake, trajectories
from blur2blur.blur.apply import LARGEST_SPATIAL_KERNEL, convolve, convolve_between
from blur2blur.blur.shake import Motion

SIZES = (LARGEST_SPATIAL_KERNEL - 2, LARGEST_SPATIAL_KERNEL + 2)
"""Of kernels that are laid in space and by FFT."""


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _kernels(count: int, size: int) -> torch.Tensor:
    kernel = torch.rand(count, 1, size, size, generator=_rng(1))
    return kernel / kernel.sum(dim=(-2, -1), keepdim=True)


def _convolve_periodic(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    return convolve_between(image, kernel[:, :, None])


def _px(value: float, count: int = 1) -> torch.Tensor:
    return torch.full((count,), value)


def _motion(count: int = 1, steps: int = 9, **parts: torch.Tensor) -> Motion:
    still = {
        "path_px": torch.zeros(count, steps, 2),
        "roll": torch.zeros(count, steps),
        "zoom": torch.ones(count, steps),
        "pan": torch.zeros(count, steps, 2),
    }
    return Motion(**still | parts)


def test_a_point_becomes_the_kernel_not_its_mirror():
    for size in SIZES:
        kernel, middle = torch.zeros(1, 1, size, size), size // 2
        kernel[0, 0, 0, -1], kernel[0, 0, middle, middle] = 0.25, 0.75  # up and to the right
        image = torch.zeros(1, 1, 25, 25)
        image[0, 0, 12, 12] = 1
        seen = slice(12 - middle, 13 + middle)
        blurred = convolve(image, kernel)[0, 0, seen, seen]
        torch.testing.assert_close(blurred, kernel[0, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("blur", "name"), [(convolve, "mirror"), (_convolve_periodic, "wrap")], ids=["mirror", "wrap"]
)
def test_equals_scipy(size: int, blur: Callable[..., torch.Tensor], name: str):
    image, kernel = torch.rand(2, 3, 23, 31, generator=_rng()), _kernels(2, size)
    ours = blur(image, kernel)
    for blurred, sharp, weights in zip(ours, image, kernel, strict=True):
        for plane, source in zip(blurred, sharp, strict=True):
            theirs = scipy.ndimage.convolve(source.numpy(), weights[0].numpy(), mode=name)
            np.testing.assert_allclose(plane.numpy(), theirs, atol=1e-5)


def test_delta_is_the_identity():
    image = torch.rand(2, 3, 16, 20, generator=_rng())
    for size, atol in ((1, 0), (15, 1e-6)):
        delta = torch.zeros(1, 1, size, size)
        delta[..., size // 2, size // 2] = 1
        torch.testing.assert_close(convolve(image, delta), image, rtol=0, atol=atol)


def test_light_is_kept():
    constant = torch.full((1, 3, 12, 12), 0.37)
    torch.testing.assert_close(convolve(constant, _kernels(1, 13)), constant)
    image = torch.rand(1, 3, 24, 24, generator=_rng())
    mean = _convolve_periodic(image, _kernels(1, 13)).mean()
    torch.testing.assert_close(mean, image.mean())


def test_adjoint_is_blur_by_the_mirrored_kernel():
    x = torch.rand(1, 1, 20, 20, generator=_rng(1))
    y = torch.rand(1, 1, 20, 20, generator=_rng(2))
    kernel = _kernels(1, 7)
    forward = (_convolve_periodic(x, kernel) * y).sum()
    backward = (x * _convolve_periodic(y, kernel.flip(-2, -1))).sum()
    torch.testing.assert_close(forward, backward)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_reach_image_and_kernel(size: int):
    image = torch.rand(1, 1, 7, 7, dtype=torch.float64, generator=_rng(), requires_grad=True)
    kernel = _kernels(1, size).double().requires_grad_()
    assert torch.autograd.gradcheck(convolve, (image, kernel))


def test_images_smaller_than_the_kernel_are_blurred():
    image = torch.full((1, 3, 1, 4), 0.5)
    torch.testing.assert_close(convolve(image, _kernels(1, 21)), image)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="odd"):
        convolve(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 4, 4))


def test_a_kernel_that_would_lose_light_is_refused():
    with pytest.raises(ValueError, match="9 px does not fit into an image of 20x8"):
        _convolve_periodic(torch.zeros(1, 1, 8, 20), _kernels(1, 9))


@pytest.mark.parametrize("grid", [1, 2, 3])
def test_equal_kernels_at_all_corners_are_one_kernel(grid: int):
    image, kernel = torch.rand(2, 3, 20, 27, generator=_rng()), _kernels(2, 7)
    everywhere = kernel[:, :, None].expand(2, grid, grid, 7, 7)
    expected = torch.stack(
        [
            torch.from_numpy(scipy.ndimage.convolve(plane.numpy(), weights[0].numpy(), mode="wrap"))
            for planes, weights in zip(image, kernel, strict=True)
            for plane in planes
        ]
    ).reshape(image.shape)
    torch.testing.assert_close(convolve_between(image, everywhere), expected, atol=1e-5, rtol=0)


def test_between_corners_the_results_are_interpolated():
    image, corners = torch.rand(1, 1, 21, 31, generator=_rng()), _kernels(4, 5)
    seen = convolve_between(image, corners[:, 0].reshape(1, 2, 2, 5, 5))[0, 0]
    alone = torch.cat([_convolve_periodic(image, each[None])[0] for each in corners])
    for (row, column), shares in {
        (0, 0): [1, 0, 0, 0],
        (20, 30): [0, 0, 0, 1],
        (0, 6): [0.8, 0.2, 0, 0],
        (5, 0): [0.75, 0, 0.25, 0],
        (10, 15): [0.25, 0.25, 0.25, 0.25],
    }.items():
        expected = (torch.tensor(shares) * alone[:, row, column]).sum()
        torch.testing.assert_close(seen[row, column], expected, atol=1e-6, rtol=0)


def test_no_motion_is_the_identity():
    image = torch.rand(2, 3, 17, 24, generator=_rng())
    seen = shake.average_frames(image, _motion(2), _px(20, 2))
    torch.testing.assert_close(seen, image, atol=1e-5, rtol=0)
    assert shake.frame_count(_motion(2), 17, 24, _px(20, 2)) == 1
    assert not _motion().varies


def test_pure_translation_equals_the_kernel_of_its_path():
    path = trajectories.shake_paths(
        torch.tensor([9.0]), torch.tensor([2.0]), torch.zeros(1), 0, _rng()
    )
    motion = _motion(path_px=path, steps=path.shape[1], roll=torch.zeros(path.shape[:2]))
    image = torch.rand(1, 3, 40, 44, generator=_rng())
    seen = shake.average_frames(image, motion, _px(40))
    blurred = convolve(image, kernels.rasterise(path))
    torch.testing.assert_close(seen, blurred, atol=1e-4, rtol=0)


def test_quarter_roll_turns_clockwise_on_screen():
    image = torch.rand(1, 1, 9, 9, generator=_rng())
    roll = _motion(steps=1, roll=torch.full((1, 1), math.pi / 2))
    turned = shake.average_frames(image, roll, _px(9))
    torch.testing.assert_close(turned, image.rot90(-1, dims=(-2, -1)), atol=1e-4, rtol=0)


def test_zoom_and_pan_move_points_where_the_geometry_says():
    point = torch.tensor([[10.0, 5.0]])
    zoomed = shake.point_paths(_motion(steps=1, zoom=torch.full((1, 1), 1.1)), point, _px(100))
    torch.testing.assert_close(zoomed[0, 0, 0], torch.tensor([1.0, 0.5]))
    pan = _motion(steps=1, pan=torch.tensor([[[0.02, 0.0]]]))
    centre = shake.point_paths(pan, torch.zeros(1, 2), _px(100))[0, 0, 0]
    torch.testing.assert_close(centre, torch.tensor([100 * math.tan(0.02), 0.0]))
    assert pan.varies


def test_local_kernels_of_a_roll_are_still_in_the_middle_and_long_outside():
    roll = _motion(steps=2, roll=torch.tensor([[-0.05, 0.05]]))
    local = shake.local_kernels(roll, shake.cell_middles(5, 100, 100), _px(100))
    local = local.unflatten(1, (5, 5))
    torch.testing.assert_close(local.sum(dim=(-2, -1)), torch.ones(1, 5, 5))
    middle = local.shape[-1] // 2
    assert local[0, 2, 2, middle, middle] == pytest.approx(1, abs=1e-4)
    # left of the middle the content moves along y, above it along x
    left, above = local[0, 2, 0], local[0, 0, 2]
    assert left.sum(dim=1).max() < 0.3 < 0.9 < left.sum(dim=0).max()
    assert above.sum(dim=0).max() < 0.3 < 0.9 < above.sum(dim=1).max()


def test_local_kernels_describe_the_picture():
    """A point of light in the photograph becomes the kernel of its place."""
    motion = _motion(roll=torch.linspace(-0.06, 0.06, 9)[None]).resampled(64)
    image = torch.zeros(1, 1, 95, 95)
    image[0, 0, 9, 47] = 1  # the middle of the topmost of five cells
    seen = shake.average_frames(image, motion, _px(95))[0, 0]
    kernel = shake.local_kernels(motion, shake.cell_middles(5, 95, 95), _px(95))[0, 2]
    reach = kernel.shape[0] // 2
    window = seen[9 - reach : 10 + reach, 47 - reach : 48 + reach]
    torch.testing.assert_close(window, kernel, atol=0.02, rtol=0)


def test_each_photograph_has_its_own_focal_length_and_points():
    pan = _motion(2, steps=1, pan=torch.tensor([[[0.02, 0.0]], [[0.02, 0.0]]]))
    focal_px = torch.tensor([100.0, 300.0])
    moved = shake.point_paths(pan, torch.zeros(1, 2), focal_px)[:, 0, 0, 0]
    torch.testing.assert_close(moved, focal_px * math.tan(0.02))
    zoom = _motion(2, steps=1, zoom=torch.full((2, 1), 1.1))
    places = torch.tensor([[[10.0, 5.0]], [[-40.0, 20.0]]])
    moved = shake.point_paths(zoom, places, focal_px)[:, :, 0]
    torch.testing.assert_close(moved, places / 10)


def test_places_are_counted_from_the_middle():
    corners = [[-8.0, -6.0], [8.0, -6.0], [-8.0, 6.0], [8.0, 6.0]]
    assert shake.grid_points(2, 12, 16).tolist() == corners
    middles = [[x / 2, y / 2] for x, y in corners]
    assert shake.cell_middles(2, 12, 16).tolist() == middles
    assert (
        shake.grid_points(1, 12, 16).tolist() == shake.cell_middles(1, 12, 16).tolist() == [[0, 0]]
    )


def test_motions_grow_by_factors():
    motion = _motion(
        2, path_px=torch.rand(2, 9, 2, generator=_rng()), zoom=torch.full((2, 9), 1.1),
        roll=torch.full((2, 9), 0.2), pan=torch.full((2, 9, 2), 0.1),
    )  # fmt: skip
    grown = motion.scaled(torch.tensor([0.0, 3.0]))
    assert torch.equal(grown.path_px[1], 3 * motion.path_px[1])
    torch.testing.assert_close(grown.zoom[1], torch.full((9,), 1.3))
    torch.testing.assert_close(grown.roll[1], torch.full((9,), 0.6))
    torch.testing.assert_close(grown.pan[1], torch.full((9, 2), 0.3))
    still = Motion(**{part: getattr(grown, part)[:1] for part in Motion.__dataclass_fields__})
    assert not still.varies
    assert not still.path_px.any()


def test_one_pixel_image_survives_a_roll():
    image = torch.full((1, 3, 1, 1), 0.4)
    seen = shake.average_frames(image, _motion(roll=torch.full((1, 9), 0.1)), _px(5))
    torch.testing.assert_close(seen, image)
