"""Known pairs of a chosen strength of blur: ranked by the PSNR between blurry and sharp.

The published Blur2Blur code ranks pairs by the same measure. It is cheap and needs no network, but
follows contrast as well as blur: a long blur of a clear sky changes little.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blur2blur import images
from blur2blur.data.folders import placing
from blur2blur.data.folders.layout import FOLDERS, Layout
from blur2blur.data.folders.measure import Unreadable, in_threads
from blur2blur.errors import DataError, InputError
from blur2blur.statistics import image_quality

RECORD = "filter.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPair:
    """A pair of trainC and trainD; `psnr_db` is infinite where both are equal."""

    blurry: Path
    sharp: Path
    psnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which pairs are kept: PSNR in dB, or rank from 0 (mildest blur) to 1 (strongest)."""

    measure: Literal["psnr_db", "rank"]
    low: float
    high: float


def measure_pairs(
    layout: Layout, advance: Callable[[], object]
) -> tuple[list[MeasuredPair], list[Unreadable]]:
    """Measure every pair, from the mildest blur to the strongest; `advance` is called after each.

    Raises:
        DataError: trainC or trainD is missing or empty, or a file has no partner.
    """
    measured, unreadable = in_threads(_measure, layout.known_pairs(), advance)
    measured.sort(key=lambda pair: (-pair.psnr_db, pair.blurry))
    return measured, unreadable


def _measure(pair: tuple[Path, Path]) -> MeasuredPair | Unreadable:
    blurry, sharp = pair
    try:
        psnr_db = image_quality.psnr_db(images.read_rgb(blurry), images.read_rgb(sharp))
    except InputError as error:
        return Unreadable(path=blurry, reason=str(error))
    except DataError as error:
        return Unreadable(path=blurry, reason=f"{blurry} and its sharp partner: {error}")
    return MeasuredPair(blurry=blurry, sharp=sharp, psnr_db=float(psnr_db))


def choose(pairs: Sequence[MeasuredPair], kept: Range) -> list[MeasuredPair]:
    """Return the pairs of a range, both ends included.

    Args:
        pairs: as `measure_pairs` returns them, mildest first.
        kept: the range.

    Raises:
        DataError: no pair is in it.
    """
    if kept.measure == "psnr_db":
        chosen = [pair for pair in pairs if kept.low <= pair.psnr_db <= kept.high]
    else:
        first, end = (round(end * len(pairs)) for end in (kept.low, kept.high))
        chosen = list(pairs[first:end])
    if not chosen:
        values = [pair.psnr_db for pair in pairs]
        span = (
            f"PSNR is {min(values):.1f} to {max(values):.1f} dB" if values else "none is readable"
        )
        raise DataError(f"none of {len(pairs)} pairs is in that range; {span}")
    return chosen


def carry_out(
    layout: Layout,
    pairs: Sequence[MeasuredPair],
    chosen: Sequence[MeasuredPair],
    kept: Range,
    out_dir: Path,
    *,
    link: bool,
) -> None:
    """Write a data folder that holds the chosen pairs, and all that is not trainC or trainD.

    `filter.json` has every pair's measure. Nothing is removed from the layout's own folder.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    files = [
        path
        for folder in FOLDERS
        if folder not in ("trainC", "trainD")
        for path in layout.files(folder)
    ]
    files += [path for pair in chosen for path in (pair.blurry, pair.sharp)]
    with placing.whole_folder(out_dir) as made:
        for path in files:
            target = made / path.relative_to(layout.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            placing.place(path, target, link=link)
        (made / RECORD).write_text(_record(layout, pairs, chosen, kept), encoding="utf-8")


def _record(
    layout: Layout, pairs: Sequence[MeasuredPair], chosen: Sequence[MeasuredPair], kept: Range
) -> str:
    kept_paths = {pair.blurry for pair in chosen}
    rows = [
        {
            "blurry": pair.blurry.relative_to(layout.root).as_posix(),
            "sharp": pair.sharp.relative_to(layout.root).as_posix(),
            "psnr_db": round(pair.psnr_db, 3) if math.isfinite(pair.psnr_db) else None,
            "kept": pair.blurry in kept_paths,
        }
        for pair in pairs
    ]
    ends = {
        name: value if math.isfinite(value) else None
        for name, value in (("low", kept.low), ("high", kept.high))
    }
    return json.dumps({"measure": kept.measure, **ends, "pairs": rows}, indent=1) + "\n"
