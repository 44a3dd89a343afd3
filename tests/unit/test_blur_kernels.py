"""Kernels and camera-shake trajectories."""

import math

import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from blur2blur.blur import kernels, shake, trajectories
from blur2blur.blur.apply import convolve, convolve_between


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _shakes(count: int = 16, seed: int = 0) -> torch.Tensor:
    return trajectories.shake_paths(
        torch.linspace(1, 40, count),
        torch.linspace(0, 6, count),
        torch.linspace(0, 60, count),
        2.0,
        _rng(seed),
    )


def _linear(
    length_px: torch.Tensor, angle_degrees: torch.Tensor, size: int | None = None
) -> torch.Tensor:
    return shake.path_kernels(kernels.linear_path(length_px, angle_degrees, 400), size)


def _convolve_periodic(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    return convolve_between(image, kernel[:, :, None])


def _all_kinds() -> dict[str, torch.Tensor]:
    return {
        "linear": _linear(torch.tensor([0.0, 3.3, 17.0]), torch.tensor([0.0, 33.0, 90.0])),
        "disk": kernels.disk(torch.tensor([0.0, 0.4, 0.9, 3.7]), 9),
        "gaussian": kernels.gaussian(torch.tensor([0.0, 0.5, 2.0]), 13),
        "shake": kernels.rasterise(trajectories.resample(_shakes(), 300)),
        "composed": kernels.compose(
            kernels.rasterise(trajectories.resample(_shakes(3), 300)),
            kernels.disk(torch.tensor([0.5, 1.0, 2.0]), 5),
        ),
    }


@pytest.mark.parametrize("kind", _all_kinds())
def test_kernels_hold_all_light_and_none_is_negative_and_are_centred(kind: str):
    kernel = _all_kinds()[kind]
    assert kernel.shape[1] == 1
    assert kernel.shape[2] == kernel.shape[3]
    assert kernel.shape[-1] % 2 == 1
    assert kernel.min() >= 0
    torch.testing.assert_close(kernel.sum(dim=(1, 2, 3)), torch.ones(len(kernel)))
    # blurry and sharp photograph must stay aligned
    places = torch.arange(kernel.shape[-1]) - kernel.shape[-1] // 2.0
    for dim in (2, 3):
        assert (kernel.sum(dim=(1, dim)) @ places).abs().max() < 1e-3


def test_zero_extent_is_a_delta():
    zero = torch.zeros(1)
    for kernel in (
        _linear(zero, zero, 5),
        kernels.disk(zero, 5),
        kernels.gaussian(zero, 5),
        kernels.rasterise(torch.zeros(1, 7, 2), 5),
    ):
        assert kernel[0, 0, 2, 2] == pytest.approx(1, abs=1e-6)


def test_linear_motion_is_even_along_its_direction():
    kernel = _linear(torch.tensor([8.0]), torch.tensor([0.0]))[0, 0]
    middle = kernel.shape[0] // 2
    assert kernel[middle].sum() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(kernel[middle, middle - 3 : middle + 4], torch.full((7,), 1 / 8))
    up_right = _linear(torch.tensor([8.0]), torch.tensor([45.0]), 9)[0, 0]
    # y points down
    assert up_right[:middle, middle + 1 :].sum() > 5 * up_right[:middle, :middle].sum()


def test_disk_area_and_second_moment():
    radius = 4.3
    kernel = kernels.disk(torch.tensor([radius]), 11)[0, 0]
    assert 1 / kernel.max() == pytest.approx(math.pi * radius**2, rel=0.01)
    axis = torch.arange(kernel.shape[0]) - kernel.shape[0] // 2
    # variance along one axis: r^2 / 4 of the disk and 1 / 12 of the pixel
    assert (kernel * axis**2).sum() == pytest.approx(radius**2 / 4 + 1 / 12, rel=0.01)


def test_gaussian_equals_torchvision():
    image = torch.rand(1, 1, 24, 24, generator=_rng())
    ours = convolve(image, kernels.gaussian(torch.tensor([1.5]), 9))
    torch.testing.assert_close(ours, gaussian_blur(image, [9, 9], [1.5, 1.5]))


def test_rasterising_shares_a_point_bilinearly():
    kernel = kernels.rasterise(torch.tensor([[[0.25, -0.5]]]), 3)[0, 0]
    expected = torch.tensor([[0, 0.375, 0.125], [0, 0.375, 0.125], [0, 0, 0]])
    torch.testing.assert_close(kernel, expected)


def test_rasterising_refuses_to_lose_light():
    with pytest.raises(ValueError, match="reaches 4 px"):
        kernels.rasterise(torch.tensor([[[3.5, 0.0]]]), 5)


def test_compose_equals_blurring_twice():
    motion = kernels.rasterise(trajectories.resample(_shakes(2) / 8, 100))
    disk = kernels.disk(torch.tensor([1.2, 2.0]), 5)
    image = torch.rand(2, 3, 40, 40, generator=_rng())
    twice = _convolve_periodic(_convolve_periodic(image, motion), disk)
    once = _convolve_periodic(image, kernels.compose(motion, disk))
    torch.testing.assert_close(once, twice, atol=1e-5, rtol=1e-4)


def test_paths_have_the_wanted_length_constant_speed_and_mean_zero():
    path = _shakes()
    step = path.diff(dim=1).norm(dim=-1)
    torch.testing.assert_close(step.sum(dim=1), torch.linspace(1, 40, 16), rtol=1e-4, atol=1e-4)
    assert (step.std(dim=1) / step.mean(dim=1)).max() < 1e-3
    midpoints = (path[:, 1:] + path[:, :-1]) / 2
    assert midpoints.mean(dim=1).abs().max() < 1e-4
    # what the size of a camera's kernels rests on
    assert (path.norm(dim=-1).amax(dim=1) <= torch.linspace(1, 40, 16) / 2 + 1e-3).all()


def test_without_perturbation_the_path_is_straight_and_a_pull_keeps_it_near_its_start():
    one, zero = torch.ones(1), torch.zeros(1)
    straight = trajectories.shake_paths(one, zero, zero, 0, _rng())[0]
    assert (straight[-1] - straight[0]).norm() == pytest.approx(1, abs=1e-5)
    few = torch.ones(32)
    free, held = (
        trajectories.shake_paths(few, 0.5 * few, pull * few, 0, _rng()) for pull in (0, 200)
    )
    reach = [path.norm(dim=-1).amax(dim=1).mean() for path in (free, held)]
    assert reach[1] < 0.6 * reach[0]


def test_wander_and_jerks_make_paths_jagged():
    count = 64
    ones, zeros = torch.ones(count), torch.zeros(count)

    def extent(wander: float, jerks: float) -> float:
        path = trajectories.shake_paths(ones, wander * ones, zeros, jerks, _rng())
        return float((path[:, -1] - path[:, 0]).norm(dim=-1).mean())

    assert extent(0, 0) > extent(1.5, 0) > extent(5, 0)
    assert extent(1.5, 0) > extent(1.5, 3)


def test_same_seed_same_path_other_seed_other_path():
    assert torch.equal(_shakes(seed=1), _shakes(seed=1))
    assert not torch.equal(_shakes(seed=1), _shakes(seed=2))


def test_resample_takes_the_middles_of_equal_spans():
    path = torch.tensor([[0.0, 2.0, 4.0]])[..., None]
    expected = torch.tensor([0.5, 1.5, 2.5, 3.5])
    torch.testing.assert_close(trajectories.resample(path, 4)[0, :, 0], expected)


def test_the_extent_is_the_width_of_nearly_all_the_time():
    time = torch.linspace(-0.5, 0.5, 201)
    turn = 2 * math.pi * time
    along = torch.stack((time, 0.4 * time), dim=-1)
    paths = {
        "straight": 20 * torch.stack((time, 0 * time), dim=-1),
        "slanting": 20 * along / along[-1].norm() / 2,
        "circle": 7 * torch.stack((turn.cos(), turn.sin()), dim=-1),
        "still": torch.zeros(201, 2),
        "a short trip": torch.where((time > 0.49)[:, None], 9.0, torch.zeros(201, 2)),
    }
    extents = trajectories.extents(torch.stack(list(paths.values()))).tolist()
    # directions are 22.5 degrees apart: at most 2 % are missed
    assert extents[0] == pytest.approx(0.95 * 20, rel=1e-3)
    assert 0.95 * 20 * 0.98 < extents[1] < 0.95 * 20
    assert extents[2] == pytest.approx(14, rel=0.01)
    assert extents[3:] == [0, 0]
    shakes = _shakes()
    torch.testing.assert_close(trajectories.extents(3 * shakes), 3 * trajectories.extents(shakes))
