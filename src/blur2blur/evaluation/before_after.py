"""What a run did to one's own photographs: one HTML file, pictures and all; no truth needed."""

import base64
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blur2blur import images
from blur2blur.errors import Blur2BlurError, InputError
from blur2blur.evaluation.report import Column, Figure, Table, render
from blur2blur.files import write_text
from blur2blur.inference.folder import Change
from blur2blur.inference.working_scale import reduce
from blur2blur.tiling import Pixels

MAX_SHOWN = 40
"""Photographs with pictures on the page; those of the largest change are chosen."""

WHOLE_PX = 1000
"""Longest side of the view of a whole photograph."""

CROP_HEIGHT_PX, CROP_WIDTH_PX = 420, 560

_BEFORE, _AFTER = "before", "after"
_QUALITY = 85
_CELL_PX = 16

_OF_CHANGES = (
    Column(key="blur_extent_px", title="blur, px", digits=1),
    Column(key="working_scale", title="deblurred at", digits=None),
    Column(key="change_of_255", title="mean change, of 255", digits=2),
    Column(key="seconds", title="seconds", digits=1),
)
_OF_OTHERS = (Column(key="count", title="files", digits=0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Files that were not deblurred, for one reason.

    Attributes:
        outcome: what became of them: "skipped", "failed", "left as it is".
        reason: why, in a few words.
        count: how many.
        first: the first of them.
    """

    outcome: str
    reason: str
    count: int
    first: Path


def write(
    path: Path,
    changes: Sequence[Change],
    others: Sequence[Others] = (),
    *,
    problems: Sequence[str] = (),
    title: str = "Before and after",
) -> None:
    """Write the page whole or not at all, the largest changes first.

    Args:
        path: the .html file.
        changes: the photographs, in any order. Source and output are read again; one that cannot
            be is listed.
        others: the files that were not deblurred.
        problems: what else a reader should know, one line each.
        title: heading.

    Raises:
        InputError: the page cannot be written.
    """
    largest_first = sorted(changes, key=lambda change: -change.mean_change)
    names = _names([change.source for change in largest_first])
    figures: list[Figure] = []
    unread: list[str] = []
    for change, name in zip(largest_first[:MAX_SHOWN], names, strict=False):
        try:
            figures += _figures(change, name)
        except Blur2BlurError as error:
            unread.append(f"{name} is not shown: {error}")
    note = f"{len(changes)} photographs deblurred in {sum(e.seconds for e in changes):.0f} s."
    if len(changes) > MAX_SHOWN:
        note += f" The {MAX_SHOWN} of the largest change are shown."
    page = render(
        title=title,
        notes=[note],
        tables=[
            Table(
                heads=("not deblurred", "reason", "the first"),
                columns=_OF_OTHERS,
                rows=[((each.outcome, each.reason, str(each.first)), each) for each in others],
            )
        ],
        details=Table(
            heads=("photograph",),
            columns=_OF_CHANGES,
            rows=[((name,), change) for name, change in zip(names, largest_first, strict=True)],
        ),
        problems=[*problems, *unread],
        figures=figures,
        shown=(_BEFORE, _AFTER),
    )
    write_text(path, page)


def _names(sources: Sequence[Path]) -> list[str]:
    """Return the paths below the folder that all lie in."""
    places = [source.absolute() for source in sources]
    if not places:
        return []
    common = os.path.commonpath([place.parent for place in places])
    return [place.relative_to(common).as_posix() for place in places]


def _figures(change: Change, name: str) -> list[Figure]:
    """Return the whole photograph, and at full size the part that changed most."""
    before, after = images.read_rgb(change.source), images.read_rgb(change.output)
    if before.shape != after.shape:
        raise InputError(f"{change.output} has another size than {change.source}")
    height, width = before.shape[:2]
    factor = math.ceil(max(height, width) / WHOLE_PX)
    extent_px = change.blur_extent_px
    said = "" if extent_px is None else f"{extent_px:.1f} px of blur, "
    said += f"deblurred at {change.working_scale}, mean change {change.change_of_255:.2f} of 255, "
    said += f"{change.seconds:.1f} s"
    if factor == 1:
        return [_figure(name, said, before, after)]
    top, left = _largest_change(before, after)
    part = slice(top, top + CROP_HEIGHT_PX), slice(left, left + CROP_WIDTH_PX)
    whole = reduce(before, factor), reduce(after, factor)
    return [
        _figure(name, f"shown at 1/{factor}; {said}", *whole),
        _figure(f"{name}, where it changed most", "at 100 %", before[part], after[part]),
    ]


def _figure(name: str, caption: str, before: Pixels, after: Pixels) -> Figure:
    height, width = before.shape[:2]
    urls = {_BEFORE: _data_url(before), _AFTER: _data_url(after)}
    return Figure(name=name, urls=urls, width=width, height=height, caption=caption)


def _data_url(pixels: Pixels) -> str:
    data = images.jpeg_of_rgb(pixels, quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def _largest_change(before: Pixels, after: Pixels) -> tuple[int, int]:
    """Return top and left of the crop, inside the image, whose change is the largest."""
    height, width = before.shape[:2]
    cells = reduce(np.abs(after - before).mean(axis=2, keepdims=True), _CELL_PX)[..., 0]
    rows, columns = (
        min(length // _CELL_PX, cells_of)
        for length, cells_of in zip((CROP_HEIGHT_PX, CROP_WIDTH_PX), cells.shape, strict=True)
    )
    sums = np.pad(cells, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    windows = sums[rows:, columns:] - sums[:-rows, columns:]
    windows -= sums[rows:, :-columns] - sums[:-rows, :-columns]
    at = np.unravel_index(windows.argmax(), windows.shape)
    return (
        max(0, min(int(at[0]) * _CELL_PX, height - CROP_HEIGHT_PX)),
        max(0, min(int(at[1]) * _CELL_PX, width - CROP_WIDTH_PX)),
    )
