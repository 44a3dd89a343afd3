"""What moves during an exposure, the camera and things before it, as drawn from ranges."""

import math

import pytest
import torch

from blur2blur.blur import Camera, CameraSettings, load_camera, motion, shake
from blur2blur.blur.apply import convolve
from blur2blur.blur.motion import Movement
from blur2blur.blur.objects import Objects, draw_masks
from blur2blur.blur.ranges import either_way, spread, uniform
from conftest import SMALL_CAMERA


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _movement(
    *overrides: str, count: int = 400, side_px: int = 200, of_crops: bool = True
) -> Movement:
    settings = load_camera("known", ["objects.share=0", *overrides])
    return motion.draw(settings, count, _rng(), side_px, side_px, of_crops=of_crops)


def _quantiles(values: torch.Tensor) -> torch.Tensor:
    return values.quantile(torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9]))


def test_ranges_are_drawn_evenly_or_evenly_in_their_logarithm():
    shares = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    drawn = uniform((-2, 6), 4000, _rng())
    assert -2 <= drawn.min() < drawn.max() <= 6
    torch.testing.assert_close(_quantiles(drawn), -2 + 8 * shares, atol=0.25, rtol=0)
    drawn = spread((0.01, 100), 4000, _rng())
    assert 0.01 <= drawn.min() < drawn.max() <= 100.001
    torch.testing.assert_close(_quantiles(drawn.log10()), -2 + 4 * shares, atol=0.13, rtol=0)
    assert torch.equal(spread((0, 5), 20, _rng()), uniform((0, 5), 20, _rng()))
    drawn = either_way((2, 3), 1000, _rng())
    assert ((drawn.abs() >= 2) & (drawn.abs() <= 3)).all()
    assert 400 < (drawn > 0).sum() < 600
    assert uniform((0.5, 0.5), 3, _rng()).tolist() == spread((0.5, 0.5), 3, _rng()).tolist()


@pytest.mark.parametrize("of_crops", [False, True])
@pytest.mark.parametrize("share", [0, 1])
def test_extents_lie_within_their_range_and_are_even_in_their_logarithm(
    of_crops: bool, share: float
):
    movement = _movement("still=0", f"spatial.share={share}", of_crops=of_crops)
    extent = movement.extent_px
    assert 0.98 < extent.min() < 1.2
    assert 20 < extent.max() <= 25.5
    expected = 25 ** torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    torch.testing.assert_close(_quantiles(extent), expected, rtol=0.2, atol=0)
    points = shake.grid_points(3, 200, 200) + movement.place_px[:, None]
    paths = shake.point_paths(movement.motion, points, movement.focal_px)
    assert movement.reach_px == math.ceil(paths.abs().max())
    assert movement.reach_px <= 26


def test_photographs_are_still_and_motion_varies_in_the_shares_that_are_set():
    movement = _movement("still=0.3", "spatial.share=0.25", count=1000)
    still = movement.extent_px == 0
    assert 250 < still.sum() < 350
    assert (movement.motion.path_px[still] == 0).all()
    varies = (movement.motion.zoom != 1).any(dim=1)
    assert not varies[still].any()
    assert 0.2 < varies[~still].float().mean() < 0.3
    assert not _movement("still=1").motion.varies
    as_drawn = load_camera(SMALL_CAMERA, ["still=0.3"])
    movement = motion.draw(as_drawn, 1000, _rng(), 64, 64, of_crops=True)
    assert 250 < (movement.extent_px == 0).sum() < 350
    assert _movement("still=0", "spatial.share=1", count=1).motion.varies


def test_crops_lie_anywhere_in_photographs_of_any_size():
    movement = _movement(count=1000)
    diagonal_px = movement.focal_px / CameraSettings().spatial.focal_length
    assert 600 <= diagonal_px.min() < 700
    assert 1900 < diagonal_px.max() <= 2000
    place = movement.place_px.abs() / diagonal_px[:, None]
    assert (place <= torch.tensor([0.4, 0.3])).all()
    assert (place.amax(dim=0) > torch.tensor([0.38, 0.28])).all()
    whole = _movement(count=2, of_crops=False)
    assert not whole.place_px.any()
    torch.testing.assert_close(whole.focal_px, torch.full((2,), 0.6 * math.hypot(200, 200)))


def test_without_an_extent_motion_is_taken_as_it_is_drawn():
    movement = motion.draw(
        load_camera(SMALL_CAMERA, ["shake.length_px=9"]), 8, _rng(), 64, 64, of_crops=True
    )
    lengths = movement.motion.path_px.diff(dim=1).norm(dim=-1).sum(dim=1)
    torch.testing.assert_close(lengths, torch.full((8,), 9.0), rtol=1e-4, atol=0)


def test_masks_are_shapes_of_many_sizes_with_an_edge_of_a_pixel():
    masks = draw_masks(200, 90, 120, _rng())
    assert masks.shape == (200, 1, 90, 120)
    assert 0 == masks.min() < masks.max() == 1
    areas = masks.mean(dim=(1, 2, 3)) * 90 * 120
    assert areas.min() < math.pi * 9**2
    assert areas.max() > math.pi * 25**2
    edges = ((masks > 0) & (masks < 1)).sum(dim=(1, 2, 3))
    assert (edges < 0.2 * 90 * 120).all()
    assert torch.equal(draw_masks(3, 20, 20, _rng(1)), draw_masks(3, 20, 20, _rng(1)))


def test_things_are_in_the_share_of_photographs_that_is_set_and_at_most_as_many():
    settings = load_camera("known", ["objects.share=0.4", "objects.most=3"])
    movement = motion.draw(settings, 200, _rng(), 60, 60, of_crops=True)
    assert movement.objects is not None
    present = movement.objects.masks.flatten(2).any(dim=2)
    assert present.shape == (200, 3)
    # a shape at the rim may be too small for a pixel of its own
    assert 60 < present.any(dim=1).sum() < 100
    assert not present[:, 1:].all()
    assert movement.objects.paths_px.abs().max() <= 25
    assert movement.reach_px >= movement.objects.paths_px.abs().max()
    assert 0.3 < movement.objects.mirrored.float().mean() < 0.7
    assert motion.draw(settings, 200, _rng(), 60, 60, of_crops=True).reach_px == movement.reach_px
    assert _movement(count=3).objects is None


def test_less_a_margin_things_stay_where_they_are():
    settings = load_camera("known", ["objects.share=1"])
    movement = motion.draw(settings, 2, _rng(), 64, 64, of_crops=True)
    image = torch.rand(2, 3, 64, 64, generator=_rng())
    symmetric = (image + image.flip(-1)) / 2  # so that a mirrored thing is not seen as one
    whole = movement.compose(symmetric)[..., 8:-8, 8:-8]
    inside = movement.inside(8)
    torch.testing.assert_close(inside.compose(symmetric[..., 8:-8, 8:-8]), whole)
    assert movement.inside(0) is movement


def _square(path_px: torch.Tensor, *, mirrored: bool = False) -> Objects:
    mask = torch.zeros(1, 1, 1, 40, 40)
    mask[..., 10:20, 15:25] = 1
    return Objects(masks=mask, paths_px=path_px[None, None], mirrored=torch.tensor([[mirrored]]))


def test_a_thing_hides_what_is_behind_it():
    behind, image = torch.zeros(1, 3, 40, 40), torch.rand(1, 3, 40, 40, generator=_rng())
    for mirrored, colours in ((False, image), (True, image.flip(-1))):
        seen = _square(torch.zeros(3, 2), mirrored=mirrored).compose(behind, image)
        inside = (..., slice(10, 20), slice(15, 25))
        assert torch.equal(seen[inside], colours[inside])
        assert seen.sum() == pytest.approx(float(colours[inside].sum()), rel=1e-5)


def test_a_thing_that_moves_is_a_blurred_layer_over_what_is_behind():
    behind = torch.full((1, 3, 40, 40), 0.5)
    path = torch.stack((torch.linspace(-4, 4, 33), torch.zeros(33)), dim=-1)
    image = torch.full((1, 3, 40, 40), 0.9)
    seen = _square(path).compose_blurred(behind, image, convolve)[0, 0]
    torch.testing.assert_close(seen[15, 19:21], torch.full((2,), 0.9))
    torch.testing.assert_close(seen[5], torch.full((40,), 0.5))
    # it is at a pixel of its rim for half of the time
    torch.testing.assert_close(seen[15, 14:16].mean(), torch.tensor(0.7), atol=0.01, rtol=0)
    assert (seen[15, 11:19].diff() > 0).all()
    still = _square(torch.zeros(3, 2))
    unmoved = still.compose_blurred(behind, image, convolve)
    torch.testing.assert_close(unmoved, still.compose(behind, image))


def test_moving_things_are_blurred_and_the_rest_is_not():
    settings = load_camera("known", ["still=1", "objects.share=1", "extent_px=[10, 25]"])
    camera, sharp = Camera(settings), torch.rand(1, 3, 96, 96, generator=_rng())
    exposure = camera.draw(1, _rng(4), 96, 96)
    objects = exposure.movement.objects
    assert objects is not None
    blurry, steady = camera.photograph_pair(sharp, _rng(), exposure=exposure)
    changed = (blurry - steady).abs().amax(dim=1)[0] > 0.02
    masks = objects.masks.amax(dim=1)[0, 0] > 0
    reached = torch.nn.functional.max_pool2d(masks[None, None].float(), 51, 1, 25)[0, 0] > 0
    assert changed.any()
    assert not (changed & ~reached).any()
    assert not torch.equal(steady, sharp)  # the thing has a place in the sharp photograph, too
    outside = (steady - sharp).abs().amax(dim=1)[0] > 0.003
    assert not (outside & ~masks).any()
