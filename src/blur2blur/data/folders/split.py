"""One camera's photographs into blurry (trainA) and sharp (trainB), unpaired.

Photographs are told apart by their sharpness, and each moment gives only one kind, so that the two
folders never show the same moment: the converter must not see a blurry photograph's sharp twin. The
result is a pure function of the files, their names and the options.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from blur2blur import images
from blur2blur.data.folders import mixture, moments, placing
from blur2blur.data.folders.measure import Measured, Unreadable, measure_files
from blur2blur.data.folders.mixture import Mixture
from blur2blur.errors import DataError
from blur2blur.images import listing
from blur2blur.images.listing import Listing, Skipped

RECORD = "split.json"

Side = Literal["trainA", "trainB", "left out"]

_SURE = 0.95
_LEAST_KEPT = 0.5  # of either kind: below it, long moments are cut into runs
_RUNS = 10  # so many runs at least, if all photographs are of one moment
_MIN_RUN = 8  # photographs in a run at least
_GUARD = 3  # photographs left out where a blurry run meets a sharp one of the same moment
_SHARP_PERCENT = 30  # `measure.edge_sharpness` that a camera's sharp photographs have at least

_BETWEEN = "neither clearly blurry nor clearly sharp"
_MINORITY = "of the rarer kind of their moment"
_MEETING = "where a blurry and a sharp run of one moment meet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where one photograph goes, under which file name; `moment` counts from 0.

    `sharpness` is `measure.edge_sharpness`; `reason` says why it is left out, else it is empty.
    """

    source: Path
    side: Side
    reason: str
    name: str
    moment: int
    sharpness: float
    probability_sharp: float

    @property
    def sure(self) -> bool:
        """Whether it is clearly blurry or clearly sharp."""
        return not 1 - _SURE < self.probability_sharp < _SURE


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
        kinds: the two kinds that the histogram shows; None where `blurry_share` decided.
        unreadable: files that go nowhere.
        skipped: what else lies in the folder, and why it is passed over.
    """

    source_dir: Path
    blurry_share: float | None
    gap_seconds: float
    files: tuple[Placed, ...]
    moments: int
    cut_moments: int
    kinds: Mixture | None
    unreadable: tuple[Unreadable, ...]
    skipped: tuple[Skipped, ...] = ()

    def on(self, side: Side) -> tuple[Placed, ...]:
        """Return the files of one side."""
        return tuple(file for file in self.files if file.side == side)

    def expected_purity(self, side: Literal["trainA", "trainB"]) -> float:
        """Return which part of a side is expected to be blurry or sharp as it should, in [0, 1]."""
        sharp = float(np.mean([file.probability_sharp for file in self.on(side)]))
        return sharp if side == "trainB" else 1 - sharp


@dataclass(frozen=True, slots=True)
class _Run:
    """Photographs that stay together, in the order taken: a moment, or a stretch of one."""

    members: list[int]
    moment: int


_Fates = dict[int, tuple[Side, str]]


def find_sources(source_dir: Path, out_dir: Path, advance: Callable[[], object]) -> Listing:
    """List the photographs to split, before anything is decoded; `advance` is called for each file.

    Raises:
        DataError: no such folder, or no photographs in it.
        InputError: `out_dir` lies in `source_dir`, holds something, or is below a file.
    """
    found = listing.find(source_dir, advance)
    if not found.photographs:
        known = " ".join(sorted(images.SUFFIXES))
        others = ", ".join(f"{count} {reason}" for reason, count, _ in found.by_reason())
        raise DataError(f"no photographs in {source_dir} ({known}){others and '; ' + others}")
    placing.refuse_used_folder(out_dir, source_dir)
    return found


def plan(
    source_dir: Path,
    sources: Sequence[Path],
    *,
    blurry_share: float | None,
    gap_seconds: float,
    advance: Callable[[], object],
) -> Plan:
    """Measure photographs and decide where each goes.

    Args:
        source_dir: the folder they lie in.
        sources: from `find_sources`.
        blurry_share: part of the photographs that counts as blurry, in (0, 1); None for what the
            histogram of sharpness says.
        gap_seconds: see `moments.group`.
        advance: called after each file.

    Raises:
        DataError: too few readable photographs or moments to fill both sides, or a histogram that
            shows one kind of photographs only.
    """
    measured, unreadable = measure_files(sources, advance)
    if len(measured) < 2:
        raise DataError(f"{source_dir}: {len(measured)} readable photographs; a split needs 2")
    kinds, probability_sharp = _kinds(source_dir, measured, blurry_share)
    groups = moments.group(measured, gap_seconds)
    runs = [_Run(members, moment) for moment, members in enumerate(groups)]
    fates = _deal(runs, probability_sharp)
    if _most_left_out(fates, probability_sharp):
        longest = max(_MIN_RUN, len(measured) // _RUNS)
        runs = [stretch for run in runs for stretch in _cut(run, measured, longest)]
        fates = _deal(runs, probability_sharp)
        _guard(runs, fates)
    if not {"trainA", "trainB"} <= {side for side, _ in fates.values()}:
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
                side=fates[index][0],
                reason=fates[index][1],
                name=names[index],
                moment=moment_of[index],
                sharpness=file.sharpness,
                probability_sharp=probability_sharp[index],
            )
            for index, file in enumerate(measured)
        ),
        moments=len(groups),
        cut_moments=sum(count > 1 for count in runs_of.values()),
        kinds=kinds,
        unreadable=tuple(unreadable),
    )


def _kinds(
    source_dir: Path, files: Sequence[Measured], blurry_share: float | None
) -> tuple[Mixture | None, list[float]]:
    """Return the two kinds, where they are asked, and each photograph's probability to be sharp."""
    sharpness = [file.sharpness for file in files]
    if blurry_share is not None:
        order = sorted(range(len(files)), key=lambda index: (sharpness[index], files[index].path))
        blurry = min(max(round(blurry_share * len(files)), 1), len(files) - 1)
        rank = {index: rank for rank, index in enumerate(order)}
        return None, [float(rank[index] >= blurry) for index in range(len(files))]
    if len(files) < mixture.LEAST:
        raise DataError(
            f"{source_dir}: {len(files)} readable photographs are too few to tell blurry from "
            f"sharp ones by their histogram, which takes {mixture.LEAST}; say how many are blurry, "
            "such as --ratio 6:4"
        )
    kinds = mixture.fit(sharpness)
    if kinds is None:
        median = float(np.median(sharpness))
        kind, other = ("sharp", "blurry") if median >= _SHARP_PERCENT else ("blurry", "sharp")
        raise DataError(
            f"{source_dir}: the sharpness of {len(files)} photographs has no valley between blurry "
            f"and sharp ones; by their median of {median:.0f} % they look {kind}: add {other} "
            "photographs of the same camera, or say how many are blurry, such as --ratio 6:4"
        )
    probability_sharp = kinds.probability_sharp
    # a near subject before a soft ground is not blurry, though most of the photograph is
    if parts := mixture.fit([file.sharpest for file in files]):
        partly_sharp = parts.probability_sharp > 1 - _SURE
        probability_sharp = np.where(
            (probability_sharp < 0.5) & partly_sharp, 0.5, probability_sharp
        )
    return kinds, probability_sharp.tolist()


def _deal(runs: Sequence[_Run], probability_sharp: Sequence[float]) -> _Fates:
    """Give each run to the side that most of its photographs are of; leave the others out."""
    fates: _Fates = {}
    for run in runs:
        mostly_sharp = sum(probability_sharp[index] - 0.5 for index in run.members) > 0
        for index in run.members:
            sharp = probability_sharp[index]
            if 1 - _SURE < sharp < _SURE:
                fates[index] = "left out", _BETWEEN
            elif (sharp > 0.5) != mostly_sharp:
                fates[index] = "left out", _MINORITY
            else:
                fates[index] = ("trainB" if mostly_sharp else "trainA"), ""
    return fates


def _most_left_out(fates: _Fates, probability_sharp: Sequence[float]) -> bool:
    """Return whether most of the blurry or of the sharp ones are left out for their moment."""
    for side, sharp in (("trainA", False), ("trainB", True)):
        ours = [fates[i] for i, value in enumerate(probability_sharp) if (value > 0.5) == sharp]
        lost = sum(reason == _MINORITY for _, reason in ours)
        kept = sum(fate == side for fate, _ in ours)
        if kept < _LEAST_KEPT * (kept + lost):
            return True
    return False


def _cut(run: _Run, files: Sequence[Measured], longest: int) -> list[_Run]:
    """Cut a moment into runs; one that spans folders is copies of pictures, and stays whole."""
    if len({files[index].path.parent for index in run.members}) > 1:
        return [run]
    starts = range(0, len(run.members), longest)
    return [_Run(run.members[start : start + longest], run.moment) for start in starts]


def _guard(runs: Sequence[_Run], fates: _Fates) -> None:
    """Leave out the end of a run that the other side continues, at most a quarter of it."""
    sides = [{fates[index][0] for index in run.members} - {"left out"} for run in runs]
    for (run, side), (following, other) in itertools.pairwise(zip(runs, sides, strict=True)):
        if run.moment == following.moment and side and other and side != other:
            count = min(_GUARD, len(run.members) // 4)
            for index in run.members[len(run.members) - count :]:
                fates[index] = "left out", _MEETING


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
            "reason": file.reason,
            "name": file.name,
            "moment": file.moment,
            "sharpness": round(file.sharpness, 3),
            "probability_sharp": round(file.probability_sharp, 3),
        }
        for file in plan.files
    ]
    options = {"blurry_share": plan.blurry_share, "gap_seconds": plan.gap_seconds}
    return json.dumps({**options, "files": files}, indent=1) + "\n"
