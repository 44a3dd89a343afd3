"""Tiling: exact for functions that fit into the overlap, seamless for those that do not."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from blur2blur import tiling
from blur2blur.errors import ConfigError
from blur2blur.tiling import Pixels, SizeRule

AWKWARD = [
    (1, 1),
    (1, 97),
    (37, 31),
    (64, 64),
    (65, 64),  # one pixel above the tile
    (64, 113),  # one pixel above two tiles less their overlap
    (200, 49),  # just above tile minus overlap
]


def _noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).random(shape, np.float32)


def _identity(tiles: Pixels) -> Pixels:
    return tiles


@pytest.mark.parametrize(("height", "width"), AWKWARD)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_identity_returns_the_image_exactly(height: int, width: int, batch_size: int) -> None:
    image = _noise(height, width, 3)
    result = tiling.process_tiles(
        image, _identity, tile_px=64, overlap_px=16, align=8, batch_size=batch_size
    )
    assert np.array_equal(result, image)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 40),
    overlap=st.integers(0, 39),
    align=st.sampled_from([1, 2, 4, 8]),
)
def test_identity_for_any_geometry(
    height: int, width: int, tile: int, overlap: int, align: int
) -> None:
    image = _noise(height, width, 2)
    options = {"tile_px": tile, "overlap_px": overlap, "align": align}
    try:
        result = tiling.process_tiles(image, _identity, **options)
    except ConfigError:
        assert tile // align * align - -(-overlap // align) * align < align
    else:
        assert np.array_equal(result, image)


@pytest.mark.parametrize(("height", "width"), AWKWARD)
def test_the_result_may_be_written_over_the_image(height: int, width: int) -> None:
    image = _noise(height, width, 3)
    options = {"tile_px": 64, "overlap_px": 16, "align": 8}
    expected = tiling.process_tiles(image, np.negative, **options)
    assert tiling.process_tiles(image, np.negative, out=image, **options) is image
    assert np.array_equal(image, expected)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 5000),
    tile=st.integers(16, 600),
    overlap=st.integers(0, 300),
    align=st.sampled_from([1, 4, 16]),
)
def test_plan_covers_the_axis_on_the_grid(length: int, tile: int, overlap: int, align: int) -> None:
    try:
        spans = tiling.plan_axis(length, tile_px=tile, overlap_px=overlap, align=align)
    except ConfigError:
        return
    assert spans[0].start == 0
    assert spans[-1].stop == spans[-1].keep_stop == length
    for span in spans:
        assert span.start % align == 0
        assert span.size <= tile
        assert span.start <= span.blend_start <= span.blend_stop < span.keep_stop <= span.stop
    assert len({-(-span.size // align) for span in spans}) == 1
    for before, after in itertools.pairwise(spans):
        assert before.stop - after.start >= overlap
        assert before.keep_stop == after.blend_stop
        assert before.size % align == 0


def test_weights_sum_to_one() -> None:
    """Each tile in turn answers 1 where all others answer 0: the merged images are the weights."""
    image = np.zeros((75, 120, 1), np.float32)
    options = {"tile_px": 40, "overlap_px": 20}
    count = len(tiling.plan_axis(75, **options)) * len(tiling.plan_axis(120, **options))
    total = np.zeros_like(image)
    for chosen in range(count):
        calls = iter(range(count))
        weight = tiling.process_tiles(
            image,
            lambda tiles, calls=calls, chosen=chosen: tiles + (next(calls) == chosen),
            **options,
        )
        assert weight.min() >= 0
        total += weight
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


def _of_tiles(network: nn.Module) -> Callable[[Pixels], Pixels]:
    """Return a network as a function of tiles N h w C."""

    @torch.inference_mode()
    def run(tiles: Pixels) -> Pixels:
        images = torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2)))
        return network(images).numpy().transpose(0, 2, 3, 1)

    return run


def _network() -> Callable[[Pixels], Pixels]:
    """Stride 4 inside, receptive field radius below 24 pixels, zero padding at its borders."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(8, 8, 4, stride=4),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ConvTranspose2d(8, 4, 4, stride=4),
        nn.Conv2d(4, 5, 3, padding=1),
    )
    return _of_tiles(network)


def test_tiled_equals_untiled_where_the_overlap_exceeds_the_receptive_field() -> None:
    network = _network()
    image = _noise(180, 132, 3)
    tiled = tiling.process_tiles(image, network, tile_px=96, overlap_px=64, align=4, batch_size=4)
    np.testing.assert_allclose(tiled, network(image[None])[0], rtol=0, atol=1e-5)


def test_a_grid_that_is_not_aligned_would_differ() -> None:
    """Guards the test above: without `align` the stride falls on other pixels."""
    network = _network()
    image = _noise(88, 132, 3)
    tiled = tiling.process_tiles(image, network, tile_px=94, overlap_px=66, align=2)
    assert np.abs(tiled - network(image[None])[0]).max() > 1e-3


def test_too_narrow_an_overlap_leaves_no_seam() -> None:
    """The error at a passage between tiles changes slowly from pixel to pixel."""
    reach = 20
    shift_blur = nn.Conv2d(1, 1, 2 * reach + 1, padding=reach, bias=False)
    nn.init.zeros_(shift_blur.weight)
    # one-sided: the right border of a tile is dark where the left border of the next is not
    nn.init.constant_(shift_blur.weight[..., reach, reach:], 1 / (reach + 1))
    blur = _of_tiles(shift_blur)
    image = 0.5 + 0.5 * _noise(40, 150, 1)
    whole = blur(image[None])[0]

    def steepest(overlap: int) -> float:
        tiled = tiling.process_tiles(image, blur, tile_px=80, overlap_px=overlap)
        error = (tiled - whole)[:, :-reach]
        assert np.abs(error).max() > 0.1  # the overlap is indeed too narrow
        return float(np.abs(np.diff(error, axis=1)).max())

    assert steepest(overlap=0) > 0.5
    assert steepest(overlap=24) < 0.1


def test_memory_is_bounded_by_the_tile() -> None:
    sizes: list[tuple[int, ...]] = []

    def function(tiles: Pixels) -> Pixels:
        sizes.append(tuple(tiles.shape))
        return tiles

    told: list[tuple[int, int]] = []
    tiling.process_tiles(
        _noise(300, 500, 3),
        function,
        tile_px=64,
        overlap_px=8,
        batch_size=2,
        on_tile=lambda done, total: told.append((done, total)),
    )
    assert all(n <= 2 and max(h, w) <= 64 for n, h, w, _ in sizes)
    assert told[-1][0] == told[-1][1] == sum(size[0] for size in sizes)


@pytest.mark.parametrize(("tile", "overlap"), [(16, 16), (16, 32), (0, 0), (16, -1)])
def test_impossible_geometry_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match=r"tile .* overlap"):
        tiling.plan_axis(100, tile_px=tile, overlap_px=overlap)


def test_a_guide_is_cut_into_the_cells_of_each_tile() -> None:
    """Each cell of the guide says where it lies; each tile must be given its own."""
    height, width, align = 90, 70, 4
    rows, columns = np.arange(-(-height // align)), np.arange(-(-width // align))
    guide = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=2).astype(np.float32)
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=2)

    def of_cells(tiles: Pixels, cells: Pixels) -> Pixels:
        spread = cells.repeat(align, axis=1).repeat(align, axis=2)
        return spread[:, : tiles.shape[1], : tiles.shape[2]]

    options = {"tile_px": 32, "overlap_px": 8, "align": align, "batch_size": 2}
    result = tiling.process_tiles(_noise(height, width, 3), of_cells, guide=guide, **options)
    np.testing.assert_array_equal(result, places // align)


@pytest.mark.parametrize(("height", "width"), [(0, 8), (8, 0)])
def test_an_image_without_pixels_is_refused(height: int, width: int) -> None:
    with pytest.raises(ConfigError, match=f"{width} x {height} pixels"):
        tiling.process_tiles(_noise(height, width, 3), _identity, tile_px=16, overlap_px=4)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    multiple=st.sampled_from([1, 4, 16]),
    minimum=st.sampled_from([1, 8, 32]),
)
def test_padding_meets_the_rule_and_keeps_what_was_there(
    height: int, width: int, multiple: int, minimum: int
) -> None:
    rule = SizeRule(multiple=multiple, minimum=minimum)
    tiles = _noise(2, height, width, 3)
    padded = tiling.pad_to_rule(tiles, rule)
    for side, before in zip(padded.shape[1:3], (height, width), strict=True):
        assert side % multiple == 0
        assert minimum <= side
        assert before <= side < max(before, minimum) + multiple
    assert np.array_equal(padded[:, :height, :width], tiles)


def test_padding_mirrors_what_is_there() -> None:
    tiles = _noise(1, 30, 20, 3)
    padded = tiling.pad_to_rule(tiles, SizeRule(multiple=16, minimum=16))
    assert np.array_equal(padded[:, 30:, :20], tiles[:, [28, 27]])
    assert np.array_equal(padded[:, :30, 20:], tiles[:, :, range(18, 6, -1)])
