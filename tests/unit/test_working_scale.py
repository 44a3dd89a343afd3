"""Deblurring at a smaller size: geometry, choice of the size, and what is refused."""

import pytest
import torch
from torch import Tensor, nn

from blur2blur.errors import ConfigError, InputError
from blur2blur.inference import Pipeline, blur_extent, working_scale
from blur2blur.inference.video import clips
from blur2blur.networks import BlurExtent, SizeRule
from blur2blur.networks.blur_extent import BlurExtentOptions

RULE = SizeRule(multiple=16, minimum=16)


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
    image = torch.rand(2, 3, *size)
    same = working_scale.at_scale(image, factor, lambda small: small, out=None)
    torch.testing.assert_close(same, image, rtol=0, atol=0)


def test_the_change_alone_is_enlarged_and_lies_where_it_was_made():
    image = torch.rand(1, 3, 60, 90) * 0.5
    x, y = torch.meshgrid(torch.arange(30.0), torch.arange(20.0), indexing="xy")
    slope = (x + y) / 200

    def tilt(small: Tensor) -> Tensor:
        return small + slope

    tilted = working_scale.at_scale(image, 3, tilt, out=None)
    column, row = torch.meshgrid(torch.arange(90.0), torch.arange(60.0), indexing="xy")
    expected = ((column - 1) + (row - 1)) / 3 / 200  # the middle of three pixels is the small one
    inside = (..., slice(9, -9), slice(9, -9))
    # bicubic interpolation nearly keeps slopes; half a pixel of shift would be 1/1200
    torch.testing.assert_close(
        (tilted - image)[inside], expected.expand_as(image)[inside], atol=5e-4, rtol=0
    )


def test_in_bands_as_at_once(monkeypatch: pytest.MonkeyPatch):
    image = torch.rand(1, 3, 70, 41)
    change = torch.rand(1, 6, 35, 21) - 0.5

    def process(small: Tensor) -> Tensor:
        return small.repeat(1, 2, 1, 1) + change

    whole = working_scale.at_scale(image, 2, process, out=None)
    monkeypatch.setattr(working_scale, "_BAND_ROWS", 6)
    torch.testing.assert_close(working_scale.at_scale(image, 2, process, out=None), whole)
    target = image.clone()
    only = working_scale.at_scale(target, 2, lambda small: process(small)[:, :3], out=target)
    assert only is target
    torch.testing.assert_close(target, whole[:, :3])


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
    torch.testing.assert_close(both(image, out=image), image)
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


class Wide(BlurExtent):
    """Finds an extent of 12 px at every size."""

    def __init__(self) -> None:
        super().__init__(BlurExtentOptions(widths=(4, 4, 4, 4), blocks=0))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(tuple(image.shape))
        return torch.tensor([13.0]).log2().expand(len(image), 2)


def test_where_nothing_tells_the_extent_it_is_zero():
    network = Wide()
    for image in (torch.full((3, 300, 300), 0.5), torch.rand(3, 20, 400)):
        assert blur_extent.estimate_px(network, image) == 0
    assert network.seen == []


def test_extents_beyond_what_the_network_knows_are_read_at_a_smaller_size(
    monkeypatch: pytest.MonkeyPatch,
):
    network = Wide()
    image = torch.rand(3, 600, 700)
    assert blur_extent.estimate_px(network, image) == pytest.approx(12, rel=1e-5)
    monkeypatch.setattr(blur_extent, "RELIABLE_PX", 10.0)
    assert blur_extent.estimate_px(network, image) == pytest.approx(48, rel=1e-5)


def test_the_busiest_patches_are_asked():
    image = torch.full((3, 256, 512), 0.5)
    image[:, 128:, 256:384] = torch.rand(3, 128, 128)
    (patch,) = blur_extent.busiest_patches(image)
    torch.testing.assert_close(patch, image[:, 128:, 256:384])


def test_a_scene_keeps_the_scale_of_its_first_frame(monkeypatch: pytest.MonkeyPatch):
    runner = pipeline(Brighten(0.0))
    factors = iter([2, 4])
    monkeypatch.setattr(runner, "choose_factor", lambda _: next(factors))
    scenes = clips.Scenes(runner)
    first, second = torch.rand(3, 64, 64) * 0.3, torch.rand(3, 64, 64) * 0.3 + 0.6
    frames = [first, (first + 0.02).clamp(0, 1), second, second]
    assert [scenes.factor(frame) for frame in frames] == [2, 2, 4, 4]
