"""Luma and chroma to RGB and back: against values worked out by hand, and nothing lost."""

import numpy as np
import pytest
from numpy.typing import NDArray

from blur2blur.inference.video import colour
from blur2blur.inference.video.colour import LAYOUTS, Matrix

BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)


def _planes(layout: str, luma: int, of_blue: int, of_red: int) -> list[NDArray[np.int32]]:
    made = LAYOUTS[layout]
    chroma = (4 // (1 + made.halved_y), 6 // (1 + made.halved_x))
    sizes = [(4, 6), chroma, chroma]
    values = (luma, of_blue, of_red)
    return [np.full(size, value, np.int32) for size, value in zip(sizes, values, strict=True)]


# pure colours by the formulas of ITU-R BT.601-7 and BT.709-6, rounded to samples
@pytest.mark.parametrize(
    ("layout", "weights", "full", "samples", "pure"),
    [
        ("yuv444p", BT709, False, (63, 102, 240), (1, 0, 0)),
        ("yuv444p", BT709, False, (173, 42, 26), (0, 1, 0)),
        ("yuv420p", BT601, False, (81, 90, 240), (1, 0, 0)),
        ("yuv420p", BT601, False, (41, 240, 110), (0, 0, 1)),
        ("yuv444p", BT601, True, (76, 85, 255), (1, 0, 0)),
        ("yuv422p", BT709, False, (235, 128, 128), (1, 1, 1)),
        ("yuv420p10le", BT709, False, (64, 512, 512), (0, 0, 0)),
        ("yuv420p10le", BT709, False, (250, 409, 960), (1, 0, 0)),
        ("yuv444p", BT709, True, (255, 128, 128), (1, 1, 1)),
    ],
)
def test_pure_colours(layout, weights, full, samples, pure):
    matrix = Matrix(red=weights[0], blue=weights[1], full_range=full)
    pixels = colour.to_rgb(_planes(layout, *samples), LAYOUTS[layout], matrix)
    expected = np.tile(np.array(pure, np.float32), (4, 6, 1))
    np.testing.assert_allclose(pixels, expected, atol=0.6 / 100, rtol=0)
    # black, changed to the colour, has the samples of the colour
    black = _planes(layout, *((0 if full else 16 << (LAYOUTS[layout].bits - 8)),) * 3)
    for plane in black[1:]:
        plane.fill(128 << (LAYOUTS[layout].bits - 8))
    changed = colour.add_change(black, expected, LAYOUTS[layout], matrix)
    assert [np.unique(plane).tolist() for plane in changed] == [[value] for value in samples]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("full", [False, True])
def test_what_is_not_changed_keeps_every_sample(layout: str, full: bool):
    """Also samples outside the nominal range, and sides that are no multiple of 2."""
    made = LAYOUTS[layout]
    chroma = (-(-7 // (1 + made.halved_y)), -(-9 // (1 + made.halved_x)))
    sizes = [(7, 9)] if made.grey else [(7, 9), chroma, chroma]
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 2**made.bits, size, np.int32) for size in sizes]
    matrix = Matrix(red=BT709[0], blue=BT709[1], full_range=full)
    pixels = colour.to_rgb(planes, made, matrix)
    assert pixels.shape == (7, 9, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    kept = colour.add_change(planes, np.zeros_like(pixels), made, matrix)
    assert all(np.array_equal(*pair) for pair in zip(kept, planes, strict=True))


@pytest.mark.parametrize("layout", ["yuv444p", "yuv420p", "yuv422p10le", "gbrp"])
def test_a_changed_colour_is_read_back(layout: str):
    made, matrix = LAYOUTS[layout], Matrix(red=BT601[0], blue=BT601[1], full_range=False)
    middle = 128 << (made.bits - 8)
    planes = [np.full_like(plane, middle) for plane in _planes(layout, 0, 0, 0)]
    before = colour.to_rgb(planes, made, matrix)
    change = np.tile(np.array([0.2, -0.1, 0.05], np.float32), (4, 6, 1))
    after = colour.to_rgb(colour.add_change(planes, change, made, matrix), made, matrix)
    np.testing.assert_allclose(after - before, change, atol=1.6 / 255, rtol=0)
