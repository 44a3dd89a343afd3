"""Cut an image into overlapping tiles, process them, blend them back: geometry only.

Neighbouring tiles share `overlap_px` pixels. Of those, each tile's outer part is thrown away (there
the tile's own border shows) and only a narrow zone in the middle is blended, from one tile to the
next. A function whose receptive field fits into what is thrown away therefore gives the same
result tiled and untiled; one that sees further gives a smooth passage instead of a seam.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import ConfigError

Pixels = NDArray[np.floating[Any]]
"""An image of the core: float32 `H W C`, sRGB in [0, 1] unless a name says otherwise."""

MAX_BLEND_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """The image sides a network accepts: multiples of `multiple`, at least `minimum` pixels."""

    multiple: int
    minimum: int

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the smallest allowed (height, width) that holds the given one."""
        return self._padded_side(height), self._padded_side(width)

    def _padded_side(self, side: int) -> int:
        return -(-max(side, self.minimum) // self.multiple) * self.multiple


def pad_to_rule(tiles: Pixels, rule: SizeRule) -> Pixels:
    """Extend N H W C at the bottom and right to an allowed size; crop back by slicing.

    Mirrors the image where it is large enough to be mirrored, else repeats its last row or column.
    """
    height, width = tiles.shape[1:3]
    padded_height, padded_width = rule.padded(height, width)
    for axis, side, padded in ((1, height, padded_height), (2, width, padded_width)):
        if padded > side:
            widths = [(0, 0)] * 4
            widths[axis] = (0, padded - side)
            tiles = np.pad(tiles, widths, mode="reflect" if padded < 2 * side else "edge")
    return tiles


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis, in pixels of the whole image; stops are exclusive.

    `[start, stop)` is what is processed. Of the result `[blend_start, blend_stop)` is faded in over
    the tile before (empty for the first tile) and `[blend_stop, keep_stop)` is written as it is.
    """

    start: int
    stop: int
    blend_start: int
    blend_stop: int
    keep_stop: int

    @property
    def pixels(self) -> slice:
        """What is processed."""
        return slice(self.start, self.stop)

    def cells(self, side: int) -> slice:
        """Return what is processed in cells of `side` pixels, which `start` is a multiple of."""
        return slice(self.start // side, -(-self.stop // side))

    @property
    def size(self) -> int:
        """Number of pixels that are processed."""
        return self.stop - self.start


def plan_axis(length: int, *, tile_px: int, overlap_px: int, align: int = 1) -> list[Span]:
    """Divide an axis of `length` pixels into the fewest tiles, all of one size.

    Tiles start on multiples of `align`, so that a network with strides sees the same pixel grid
    in every tile as in the whole image; all are a multiple of `align` long, but that the last may
    lack what the image lacks of one. `tile_px` is rounded down and `overlap_px` up to it.

    One size, because what runs the network prepares itself for each; the smallest with which the
    fewest tiles suffice, because every pixel that is processed twice takes its time.

    Raises:
        ConfigError: a tile that is not larger than the overlap, or sizes below zero.
    """
    tile = tile_px // align * align
    overlap = _round_up(overlap_px, align)
    if overlap_px < 0 or tile - overlap < align:
        raise ConfigError(
            f"tile {tile_px} and overlap {overlap_px} do not fit: the tile must be at least "
            f"{max(overlap, 0) + align} (overlap + {align}) and the overlap not negative"
        )
    if length <= tile:
        return [Span(start=0, stop=length, blend_start=0, blend_stop=0, keep_stop=length)]
    count = -(-(length - overlap) // (tile - overlap))
    size = _round_up(-(-(length - overlap) // count), align) + overlap
    # spread evenly over the grid: rounding down makes no step longer than size - overlap
    last = _round_up(length - size, align)
    starts = [last * index // (count - 1) // align * align for index in range(count)]
    blend = min(overlap // 4, MAX_BLEND_PX)
    # blending happens in the middle of what two tiles share
    blends = [(after + before + size - blend) // 2 for before, after in itertools.pairwise(starts)]
    spans: list[Span] = []
    for index, start in enumerate(starts):
        is_first, is_last = index == 0, index == count - 1
        spans.append(
            Span(
                start=start,
                stop=length if is_last else start + size,
                blend_start=0 if is_first else blends[index - 1],
                blend_stop=0 if is_first else blends[index - 1] + blend,
                keep_stop=length if is_last else blends[index] + blend,
            )
        )
    return spans


def process_tiles(
    image: Pixels,
    function: Callable[..., Pixels],
    *,
    guide: Pixels | None = None,
    tile_px: int,
    overlap_px: int,
    align: int = 1,
    batch_size: int = 1,
    out: Pixels | None = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> Pixels:
    """Apply `function` tile by tile and return the blended whole.

    Besides `image` and the result, one row of tiles is held in memory.

    Args:
        image: H W C, any range.
        function: maps N h w C to N h w C', N being at most `batch_size`.
        guide: H/align W/align G, where given: what `function` is given of it with each tile.
        tile_px: longest side of a tile in pixels.
        overlap_px: pixels that neighbours share. Tiled equals untiled (to float rounding) from
            2 r + `MAX_BLEND_PX` on, where r is the receptive field's radius in pixels.
        align: tiles start on multiples of this, the function's total stride.
        batch_size: how many tiles of equal size are processed at once.
        out: H W C', where to write the result; may be `image` itself. None for a new array.
        on_tile: told (tiles done, tiles in all) after each batch.

    Returns:
        float32 H W C'.

    Raises:
        ConfigError: a tile that is not larger than the overlap, or an image without pixels.
    """
    height, width, _ = image.shape
    if height * width == 0:
        raise ConfigError(f"an image of {width} x {height} pixels has nothing to process")
    rows = plan_axis(height, tile_px=tile_px, overlap_px=overlap_px, align=align)
    columns = plan_axis(width, tile_px=tile_px, overlap_px=overlap_px, align=align)
    done, total = 0, len(rows) * len(columns)
    output, strip = out, None
    # rows that the row of tiles above has too, kept apart: the result is perhaps written over them
    shared = image[:0]
    for row, row_below in itertools.zip_longest(rows, rows[1:]):
        fresh = image[row.start + len(shared) : row.stop]
        for group in _equal_batches(columns, batch_size):
            arguments = [_cut((shared, fresh), group)]
            if guide is not None:
                cells = [guide[row.cells(align), column.cells(align)] for column in group]
                arguments.append(np.stack(cells))
            results = function(*arguments)
            channels = results.shape[-1]
            if output is None:
                output = np.empty((height, width, channels), np.float32)
            if strip is None or len(strip) != row.size:
                # one row of tiles is the result itself, unless that is perhaps written over it
                alone = len(rows) == 1 and out is None
                strip = output if alone else np.empty((row.size, width, channels), np.float32)
            for column, result in zip(group, results, strict=True):
                _paste(strip, result, column, axis=1)
            done += len(group)
            if on_tile is not None:
                on_tile(done, total)
        if row_below is not None:
            first = row_below.start - row.start
            first_fresh = max(0, first - len(shared))
            shared = np.concatenate([shared[first:], fresh[first_fresh:]])
        assert output is not None
        assert strip is not None
        _paste(output, strip, row, axis=0)
    assert output is not None
    return output


def _cut(parts: Sequence[Pixels], spans: Sequence[Span]) -> Pixels:
    """Return one tile for each span, of parts that lie one below the other, as one batch."""
    return np.stack([np.concatenate([part[:, span.pixels] for part in parts]) for span in spans])


def _paste(target: Pixels, tile: Pixels, span: Span, *, axis: int) -> None:
    """Fade `tile` in over what `target` already holds along `axis`, then write the rest of it."""

    def part(image: Pixels, start: int, stop: int) -> Pixels:
        return image[start:stop] if axis == 0 else image[:, start:stop]

    blend = span.blend_stop - span.blend_start
    if blend > 0:
        weight = ((np.arange(blend, dtype=np.float32) + 0.5) / blend)[:, None]
        under = part(target, span.blend_start, span.blend_stop)
        over = part(tile, span.blend_start - span.start, span.blend_stop - span.start)
        # by the difference: where both tiles agree the value stays exactly what it was
        under += (weight[..., None] if axis == 0 else weight) * (over - under)
    kept = part(tile, span.blend_stop - span.start, span.keep_stop - span.start)
    part(target, span.blend_stop, span.keep_stop)[...] = kept


def _equal_batches(spans: Sequence[Span], batch_size: int) -> Iterator[list[Span]]:
    for _, equal in itertools.groupby(spans, key=lambda span: span.size):
        group = list(equal)
        for first in range(0, len(group), batch_size):
            yield group[first : first + batch_size]


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
