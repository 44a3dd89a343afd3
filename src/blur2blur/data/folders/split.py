"""One camera's photographs into blurry (trainA) and sharp (trainB), unpaired.

Moments, not photographs, are ranked by sharpness and dealt out, so that the two folders never
show the same moment: the converter must not see a blurry photograph's sharp twin. The result is a
pure function of the files, their names and the options.
"""

import itertools
import json
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blur2blur import images
from blur2blur.data.folders import moments, placing
from blur2blur.data.folders.measure import Measured, Unreadable, measure_files
from blur2blur.errors import DataError

RECORD = "split.json"

Side = Literal["trainA", "trainB", "left out"]

_MAX_MISS = 0.15  # of the asked share of A: beyond it, long moments are cut into runs
_RUNS = 10  # so many runs at least, if all photographs are of one moment
_MIN_RUN = 8  # photographs in a run at least
_GUARD = 3  # photographs left out where a blurry run meets a sharp one of the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where one photograph goes, under which file name; `moment` counts from 0."""

    source: Path
    side: Side
    name: str
    moment: int
    sharpness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A split that has been worked out but not carried out.

    Attributes:
        source_dir: the folder of photographs.
        blurry_share: as asked for, see `plan`.
        gap_seconds: as asked for, see `plan`.
        files: in order of the source paths.
        moments: how many moments the photographs show.
        cut_moments: how many of them had to be cut into runs.
        unreadable: files that go nowhere.
    """

    source_dir: Path
    blurry_share: float
    gap_seconds: float
    files: tuple[Placed, ...]
    moments: int
    cut_moments: int
    unreadable: tuple[Unreadable, ...]

    def on(self, side: Side) -> tuple[Placed, ...]:
        """Return the files of one side."""
        return tuple(file for file in self.files if file.side == side)


@dataclass(frozen=True, slots=True)
class _Run:
    """Photographs that stay together, in the order taken: a moment, or a stretch of one."""

    members: list[int]
    moment: int


def find_sources(source_dir: Path, out_dir: Path) -> list[Path]:
    """Return the photographs to split, before anything is decoded.

    Raises:
        DataError: no such folder, or no photographs in it.
        InputError: `out_dir` lies in `source_dir`, holds something, or is below a file.
    """
    sources = images.find_images(source_dir)
    if not sources:
        known = " ".join(sorted(images.SUFFIXES))
        raise DataError(f"no photographs in {source_dir} ({known})")
    placing.refuse_used_folder(out_dir, source_dir)
    return sources


def plan(
    source_dir: Path,
    sources: Sequence[Path],
    *,
    blurry_share: float,
    gap_seconds: float,
    advance: Callable[[], object],
) -> Plan:
    """Measure photographs and decide where each goes.

    Args:
        source_dir: the folder they lie in.
        sources: from `find_sources`.
        blurry_share: part of the photographs for trainA, in (0, 1).
        gap_seconds: see `moments.group`.
        advance: called after each file.

    Raises:
        DataError: too few readable photographs, or moments, to fill both sides.
    """
    measured, unreadable = measure_files(sources, advance)
    if len(measured) < 2:
        raise DataError(f"{source_dir}: {len(measured)} readable photographs; a split needs 2")
    groups = moments.group(measured, gap_seconds)
    runs = [_Run(members, moment) for moment, members in enumerate(groups)]
    sides, miss = _deal(runs, measured, blurry_share)
    if miss > _MAX_MISS:
        longest = max(_MIN_RUN, len(measured) // _RUNS)
        runs = [stretch for run in runs for stretch in _cut(run, measured, longest)]
        sides, _ = _deal(runs, measured, blurry_share)
        _guard(runs, sides)
    if not {"trainA", "trainB"} <= set(sides.values()):
        raise DataError(f"{source_dir}: all photographs are of one short moment; add others")
    names = _unique_names([file.path for file in measured], source_dir)
    moment_of = {index: run.moment for run in runs for index in run.members}
    runs_of = Counter(run.moment for run in runs)
    return Plan(
        source_dir=source_dir,
        blurry_share=blurry_share,
        gap_seconds=gap_seconds,
        files=tuple(
            Placed(
                source=file.path,
                side=sides[index],
                name=names[index],
                moment=moment_of[index],
                sharpness=file.sharpness,
            )
            for index, file in enumerate(measured)
        ),
        moments=len(groups),
        cut_moments=sum(count > 1 for count in runs_of.values()),
        unreadable=tuple(unreadable),
    )


def _deal(
    runs: Sequence[_Run], files: Sequence[Measured], blurry_share: float
) -> tuple[dict[int, Side], float]:
    """Give the blurriest runs to A; return the sides and by how much A misses its share."""
    ranked = sorted(
        runs,
        key=lambda run: (
            statistics.median(files[index].sharpness for index in run.members),
            files[run.members[0]].path,
        ),
    )
    best_count, best_miss = closest_share([len(run.members) for run in ranked], blurry_share)
    sides: dict[int, Side] = {}
    for rank, run in enumerate(ranked):
        for index in run.members:
            sides[index] = "trainA" if rank < best_count else "trainB"
    return sides, best_miss


def closest_share(sizes: Sequence[int], share: float) -> tuple[int, float]:
    """Return how many of the first groups come closest to `share` of all, and by what they miss it.

    At least one group and not all of them, but 0 of fewer than two.
    """
    total = sum(sizes)
    taken, best_count, best_miss = 0, 0, 1.0
    for count, size in enumerate(sizes[:-1], start=1):
        taken += size
        miss = abs(taken / total - share)
        if miss < best_miss:
            best_count, best_miss = count, miss
    return best_count, best_miss


def _cut(run: _Run, files: Sequence[Measured], longest: int) -> list[_Run]:
    """Cut a moment into runs; one that spans folders is copies of pictures, and stays whole."""
    if len({files[index].path.parent for index in run.members}) > 1:
        return [run]
    starts = range(0, len(run.members), longest)
    return [_Run(run.members[start : start + longest], run.moment) for start in starts]


def _guard(runs: Sequence[_Run], sides: dict[int, Side]) -> None:
    """Leave out the end of a run that the other side continues, at most a quarter of it."""
    for run, following in itertools.pairwise(runs):
        continued = run.moment == following.moment
        if continued and sides[run.members[0]] != sides[following.members[0]]:
            count = min(_GUARD, len(run.members) // 4)
            for index in run.members[len(run.members) - count :]:
                sides[index] = "left out"


def _unique_names(paths: Sequence[Path], source_dir: Path) -> list[str]:
    """Return file names, led by their folders where two would clash, upper and lower case alike."""
    counts = Counter(path.name.casefold() for path in paths)
    used: set[str] = set()
    names: list[str] = []
    for path in paths:
        relative = path.relative_to(source_dir)
        name = path.name if counts[path.name.casefold()] == 1 else "_".join(relative.parts)
        number = 1
        while name.casefold() in used or (number > 1 and name.casefold() in counts):
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        used.add(name.casefold())
        names.append(name)
    return names


def carry_out(plan: Plan, out_dir: Path, *, link: bool, advance: Callable[[], object]) -> None:
    """Copy the files into `out_dir`/trainA and trainB, or link them; all or nothing.

    `split.json` beside them says of each file where it went and why.
    Links are symbolic, or hard where the file system has no symbolic ones.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    with placing.whole_folder(out_dir) as made:
        for side in ("trainA", "trainB"):
            (made / side).mkdir()
            for file in plan.on(side):
                placing.place(file.source, made / side / file.name, link=link)
                advance()
        (made / RECORD).write_text(_record(plan), encoding="utf-8")


def _record(plan: Plan) -> str:
    files = [
        {
            "source": file.source.relative_to(plan.source_dir).as_posix(),
            "side": file.side,
            "name": file.name,
            "moment": file.moment,
            "sharpness": round(file.sharpness, 3),
        }
        for file in plan.files
    ]
    options = {"blurry_share": plan.blurry_share, "gap_seconds": plan.gap_seconds}
    return json.dumps({**options, "files": files}, indent=1) + "\n"
