"""The mean over eight turns: what it must leave as it is, what it must make symmetric, its cost."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blur2blur.errors import ConfigError
from blur2blur.inference import Pipeline
from blur2blur.inference.ensemble import of_eight
from blur2blur.tiling import Pixels, SizeRule


class Symmetric(nn.Module):
    """A network that turns with its image: equal weights all around."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.9))

    def forward(self, image: Tensor) -> Tensor:
        padded = nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
        return self.gain * nn.functional.avg_pool2d(padded, 3, stride=1)


class Directional(nn.Module):
    """Shifts to the right and down, and sees pixels on a grid of 4: nothing symmetric in it."""

    size_rule = SizeRule(multiple=4, minimum=8)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(3, 3, 4, stride=4)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        assert not any(side % 4 for side in image.shape[-2:])
        self.sizes.append(tuple(image.shape[-2:]))
        coarse = nn.functional.interpolate(self.down(image), scale_factor=4.0)
        return (0.5 * image + 0.3 * image.roll((1, 2), (-2, -1)) + 0.1 * coarse).clamp(0, 1)


def _pipeline(network: nn.Module, ensemble: str, **options: int) -> Pipeline:
    sides = {"tile_px": 64, "overlap_px": 48, **options}
    return Pipeline(network, device="cpu", precision="fp32", ensemble=ensemble, **sides)


def test_a_symmetric_network_is_left_as_it_is() -> None:
    image = torch.rand(2, 3, 90, 71)
    network = Symmetric()
    plain, mean = (_pipeline(network, name)(image) for name in ("none", "x8"))
    torch.testing.assert_close(mean, plain, rtol=0, atol=1e-6)


def test_the_result_turns_and_is_mirrored_with_the_image() -> None:
    network = Directional()
    image = torch.rand(3, 40, 48)
    plain, mean = _pipeline(network, "none"), _pipeline(network, "x8")
    for turn in (
        lambda picture: picture.flip(-1),
        lambda picture: picture.flip(-2),
        lambda picture: picture.transpose(-1, -2),
        lambda picture: picture.rot90(1, (-2, -1)),
    ):
        torch.testing.assert_close(mean(turn(image)), turn(mean(image)), rtol=0, atol=1e-6)
        assert (plain(turn(image)) - turn(plain(image))).abs().max() > 0.01


def test_it_costs_eight_calls_half_of_them_with_sides_swapped() -> None:
    network = Directional()
    _pipeline(network, "x8")(torch.rand(3, 38, 21))
    assert sorted(network.sizes) == [(24, 40)] * 4 + [(40, 24)] * 4


def test_tiled_equals_untiled() -> None:
    """Also where the last tile is no multiple of the rule, which decides where the grid lies."""
    image = torch.rand(3, 149, 131)
    tiled = _pipeline(Directional(), "x8", tile_px=96, overlap_px=64)(image)
    whole = _pipeline(Directional(), "x8", tile_px=512)(image)
    torch.testing.assert_close(tiled[:, 8:-8, 8:-8], whole[:, 8:-8, 8:-8], rtol=0, atol=1e-6)


def test_the_converted_image_is_a_mean_too() -> None:
    image = torch.rand(3, 40, 48)
    network = Directional()
    pipeline = Pipeline(Symmetric(), network, device="cpu", precision="fp32", ensemble="x8")
    converted = pipeline.run(image).converted
    assert converted is not None
    torch.testing.assert_close(converted, _pipeline(network, "x8")(image), rtol=0, atol=1e-6)


def test_the_mean_worked_out_by_hand() -> None:
    """Keep the top left pixel of four: each way puts another corner there, every corner twice."""

    def top_left(tiles: Pixels) -> Pixels:
        kept = np.zeros_like(tiles)
        kept[:, 0, 0] = tiles[:, 0, 0]
        return kept

    tiles = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
    mean = of_eight(top_left, SizeRule(multiple=1, minimum=1))(tiles)
    np.testing.assert_array_equal(mean, tiles / 4)


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="ensemble 'x4': choose none or x8"):
        _pipeline(Symmetric(), "x4")
