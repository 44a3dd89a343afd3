"""Deblurring at a smaller size: geometry, choice of the size, and what is refused."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blur2blur.errors import ConfigError, InputError
from blur2blur.inference import Pipeline, blur_extent, working_scale
from blur2blur.inference.video.scenes import Scenes
from blur2blur.tiling import Pixels, SizeRule
from blur2blur.weights import zoo
from blur2blur.weights.loading import load_blur_extent

RULE = SizeRule(multiple=16, minimum=16)


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).random(shape, np.float32)


class Brighten(nn.Module):
    """Adds a constant; remembers the sizes it saw."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))
        self.size_rule = RULE
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(tuple(image.shape[-2:]))
        return image + self.by


def pipeline(*modules: nn.Module, **options: object) -> Pipeline:
    exact = {"device": "cpu", "backend": "eager", "precision": "fp32"}
    return Pipeline(*modules, **{**exact, "tile_px": 256, "overlap_px": 32, **options})


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(64, 96), (61, 83)])
def test_what_is_not_changed_is_returned_exactly(size: tuple[int, int], factor: int):
    image = noise(*size, 3)
    same = working_scale.at_scale(image, factor, lambda small: small, out=None)
    np.testing.assert_array_equal(same, image)


def test_the_change_alone_is_enlarged_and_lies_where_it_was_made():
    image = noise(60, 90, 3) * np.float32(0.5)
    row, column = np.mgrid[:20, :30]
    slope = ((row + column) / 200).astype(np.float32)[..., None]

    def tilt(small: Pixels) -> Pixels:
        return small + slope

    tilted = working_scale.at_scale(image, 3, tilt, out=None)
    row, column = np.mgrid[:60, :90]
    # the middle of three pixels is the small one
    expected = np.tile((((column - 1) + (row - 1)) / 3 / 200)[..., None], (1, 1, 3))
    inside = (slice(9, -9), slice(9, -9))
    # bicubic interpolation nearly keeps slopes; half a pixel of shift would be 1/1200
    np.testing.assert_allclose((tilted - image)[inside], expected[inside], atol=5e-4, rtol=0)


def test_in_bands_as_at_once(monkeypatch: pytest.MonkeyPatch):
    image = noise(70, 41, 3)
    change = noise(35, 21, 6) - np.float32(0.5)

    def process(small: Pixels) -> Pixels:
        return np.tile(small, 2) + change

    whole = working_scale.at_scale(image, 2, process, out=None)
    monkeypatch.setattr(working_scale, "_BAND_ROWS", 6)
    in_bands = working_scale.at_scale(image, 2, process, out=None)
    np.testing.assert_allclose(in_bands, whole, rtol=0, atol=1e-6)
    target = image.copy()
    only = working_scale.at_scale(target, 2, lambda small: process(small)[..., :3], out=target)
    assert only is target
    np.testing.assert_allclose(target, whole[..., :3], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("scale", "seen"), [("1", (64, 96)), ("1/2", (32, 48)), ("1/4", (16, 32))])
def test_the_networks_see_the_smaller_image(scale: str, seen: tuple[int, int]):
    network = Brighten(0.1)
    image = torch.rand(3, 64, 96) * 0.8
    result = pipeline(network, Brighten(0.05), scale=scale).run(image)
    assert network.seen == [seen]
    torch.testing.assert_close(result.deblurred, image + 0.15)
    assert result.converted is not None
    torch.testing.assert_close(result.converted, image + 0.05)


def test_images_of_one_batch_may_have_scales_of_their_own(monkeypatch: pytest.MonkeyPatch):
    network = Brighten(0.1)
    both = pipeline(network)
    factors = iter([1, 2])
    monkeypatch.setattr(both, "choose_factor", lambda _: next(factors))
    image = torch.rand(2, 3, 64, 64) * 0.8
    torch.testing.assert_close(both(image), image + 0.1)
    assert network.seen == [(64, 64), (32, 32)]


@pytest.mark.parametrize(
    ("extent_px", "size", "factor"),
    [
        (0.0, (400, 400), 1),
        (working_scale.LARGEST_EXTENT_PX, (400, 400), 1),
        (1.5 * working_scale.LARGEST_EXTENT_PX, (400, 400), 2),
        (2.5 * working_scale.LARGEST_EXTENT_PX, (400, 400), 3),
        (100.0, (400, 400), 4),
        (100.0, (400, 40), 2),
        (100.0, (10, 10), 1),
    ],
)
def test_the_scale_follows_the_extent_as_far_as_the_image_allows(
    extent_px: float, size: tuple[int, int], factor: int
):
    assert working_scale.choose(extent_px, *size, RULE) == factor


def test_an_image_too_small_for_the_scale_is_refused_in_one_line():
    with pytest.raises(InputError) as caught:
        pipeline(Brighten(0.1), scale="1/4")(torch.rand(3, 50, 300))
    assert str(caught.value) == (
        "an image of 300x50 is 75x12 at scale 1/4, below the 16 pixels that the networks need; use "
        "scale 1/3 or auto"
    )
    with pytest.raises(ConfigError, match="scale '1/5': choose auto, 1, 1/2, 1/3, 1/4"):
        pipeline(Brighten(0.1), scale="1/5")


class Wide:
    """Finds an extent of 12 px at every size."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Pixels) -> Pixels:
        self.seen.append(images.shape)
        return np.full((len(images), 2), np.log2(13), np.float32)


def test_where_nothing_tells_the_extent_it_is_zero():
    network = Wide()
    for image in (np.full((300, 300, 3), 0.5, np.float32), noise(20, 400, 3)):
        assert blur_extent.estimate_px(network, image) == 0
    assert network.seen == []


def test_extents_beyond_what_the_network_knows_are_read_at_a_smaller_size(
    monkeypatch: pytest.MonkeyPatch,
):
    network = Wide()
    image = noise(600, 700, 3)
    monkeypatch.setattr(blur_extent, "RELIABLE_PX", 14.0)
    assert blur_extent.estimate_px(network, image) == pytest.approx(12, rel=1e-5)
    monkeypatch.setattr(blur_extent, "RELIABLE_PX", 10.0)
    assert blur_extent.estimate_px(network, image) == pytest.approx(48, rel=1e-5)


@pytest.mark.parametrize(
    ("extents_px", "sharp"),
    [
        ([1.0] * 16, True),
        ([1.0] * 12 + [1.9] + [9.0] * 3, True),  # a soft background
        ([1.0] * 12 + [9.0] * 4, False),  # blurred in a part of it
        ([1.5] * 16, False),
    ],
)
def test_a_photograph_is_sharp_where_most_of_it_is(extents_px: list[float], sharp: bool):
    def estimate(patches: Pixels) -> Pixels:
        octaves = np.log2(1 + np.array(extents_px, np.float32))[: len(patches)]
        return np.stack([octaves, np.zeros_like(octaves)], axis=1)

    assert blur_extent.is_sharp(estimate, noise(512, 512, 3)) is sharp
    assert not blur_extent.is_sharp(estimate, noise(127, 512, 3))  # too small to tell
    assert not blur_extent.is_sharp(estimate, np.full((300, 300, 3), 0.5, np.float32))


def test_the_busiest_patches_are_asked():
    image = np.full((256, 512, 3), 0.5, np.float32)
    image[128:, 256:384] = noise(128, 128, 3)
    (patch,) = blur_extent.busiest_patches(image)
    np.testing.assert_array_equal(patch, image[128:, 256:384])


def test_a_scene_keeps_the_scale_of_its_first_frame(monkeypatch: pytest.MonkeyPatch):
    runner = pipeline(Brighten(0.0))
    factors = iter([2, 4])
    monkeypatch.setattr(runner, "choose_factor", lambda _: next(factors))
    scenes = Scenes(runner)
    first = noise(64, 64, 3) * np.float32(0.3)
    second = first + np.float32(0.6)
    frames = [first, first + np.float32(0.02), second, second]
    assert [scenes.factor(frame) for frame in frames] == [2, 2, 4, 4]


def test_the_estimator_that_ships_gives_what_its_network_gives():
    """Its graph is another writing of the network's, in the same file."""
    patches = noise(3, 3, 64, 64)
    with torch.inference_mode():
        expected = load_blur_extent(zoo.DEFAULT_BLUR_EXTENT)(torch.from_numpy(patches))
    np.testing.assert_allclose(blur_extent.load_estimator()(patches), expected, atol=1e-4)
