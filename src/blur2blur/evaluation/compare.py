"""How good are these outputs: folders of equal names -> numbers, files, an HTML page.

Without a truth, by what an image says of itself: how far its blur reaches, and how sharp it is.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import TypeAlias

import numpy as np

from blur2blur import images
from blur2blur.errors import Blur2BlurError, DataError, InputError, listed
from blur2blur.evaluation.report import SCORES, Comparison, Score, write_report
from blur2blur.files import refuse_file_in_the_way, write_text
from blur2blur.inference.blur_extent import estimate_px, load_estimator
from blur2blur.showing import printable
from blur2blur.statistics import image_quality
from blur2blur.tiling import Pixels

INPUT, OUTPUT, TRUTH, CONVERTED = "input", "output", "truth", "converted"

_Measure: TypeAlias = Callable[[Mapping[str, Path]], tuple[Score, ...]]

MAX_COMPARISONS = 60
"""Photographs with pictures on the page; of more, as many are chosen at even distances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One photograph: its files (method -> file) and its scores."""

    name: str
    files: dict[str, Path]
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured.

    Attributes:
        rows: photographs that could be measured, by name.
        means: one per method, over the photographs that have it; of PSNR, over those that no
            method made equal to their truth, infinite where there are no others.
        problems: what could not be measured, one line each.
        notes: what a reader should know.
    """

    rows: list[Row]
    means: list[Score]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def evaluate(
    outputs: Path,
    truth: Path | None = None,
    inputs: Path | None = None,
    *,
    on_image: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare the images of `outputs` (and of `inputs`) with those of equal name in `truth`.

    Names are paths below the folder without suffix. Images of `outputs`/converted, which
    `deblur --save-converted` writes, are shown but not measured.

    Args:
        outputs: folder of results.
        truth: folder of sharp images; None measures how far blur reaches, and how sharp they are.
        inputs: folder of what the results were made from, measured likewise.
        on_image: told (images done, images in all).

    Raises:
        DataError: a folder is missing or empty, two files of a folder share a name, or no output
            has a truth. What concerns single photographs is listed in `Report.problems`.
    """
    truths = by_name(truth) if truth is not None else None
    results = by_name(outputs)
    befores = by_name(inputs) if inputs is not None else {}
    converted = {
        name.removeprefix(f"{CONVERTED}/"): path
        for name, path in results.items()
        if name.startswith(f"{CONVERTED}/") and name not in (truths or befores)
    }
    results = {name: path for name, path in results.items() if path not in converted.values()}
    names = sorted(results if truths is None else results.keys() & truths.keys())
    if not names:
        raise DataError(
            f"no image of {outputs} has the name of one in {truth} (such as "
            f"{listed(results)} and {listed(truths or {})})"
        )
    problems: list[str] = []
    if truths is not None:
        problems += _partnerless(results.keys() - truths.keys(), f"in {outputs} but not in {truth}")
        problems += _partnerless(truths.keys() - results.keys(), f"in {truth} but not in {outputs}")
    if inputs is not None:
        problems += _partnerless(set(names) - befores.keys(), f"not in {inputs}")
    files: dict[str, dict[str, Path]] = {}
    for name in names:
        candidates = {
            INPUT: befores.get(name),
            OUTPUT: results[name],
            CONVERTED: converted.get(name),
            TRUTH: (truths or {}).get(name),
        }
        files[name] = {method: path for method, path in candidates.items() if path is not None}
    of_photograph = _against_truth if truths is not None else _without_truth()
    report = measure(files, of_photograph, on_image=on_image)
    return replace(report, problems=problems + report.problems)


def _against_truth(files: Mapping[str, Path]) -> tuple[Score, ...]:
    if TRUTH not in files:
        return ()
    truth = images.read_rgb(files[TRUTH])
    return tuple(
        _score(method, images.read_rgb(path), truth)
        for method, path in files.items()
        if method in (INPUT, OUTPUT)
    )


def measure(
    files: Mapping[str, dict[str, Path]],
    of_photograph: _Measure = _against_truth,
    *,
    on_image: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare files of photographs with their truth, where there is one.

    Args:
        files: of each photograph, method -> file; "input" and "output" are measured where "truth"
            is among them.
        of_photograph: what measures them instead.
        on_image: told (images done, images in all).
    """
    rows: list[Row] = []
    problems: list[str] = []
    for done, (name, methods) in enumerate(files.items(), start=1):
        try:
            scores = of_photograph(methods)
        except Blur2BlurError as error:
            problems.append(f"{name}: {error}")
        else:
            rows.append(Row(name=name, files=methods, scores=scores))
        if on_image is not None:
            on_image(done, len(files))
    return Report(rows=rows, means=_means(rows), problems=problems, notes=_notes(rows))


def _cell(text: str) -> str:
    """Return text that a spreadsheet takes for text, not for a formula, and a terminal too."""
    text = printable(text)
    return f"'{text}" if text[:1] in tuple("=+-@") else text


def write(
    report: Report, folder: Path, *, page: str = "report.html", title: str = "Evaluation"
) -> None:
    """Write scores.json, scores.csv and a page (pictures beside it) into `folder`.

    Args:
        report: what was measured.
        folder: where to.
        page: the page's file name.
        title: its heading.

    Raises:
        InputError: a file cannot be written, or a picture no longer be read.
    """
    content = {
        "mean": [_finite(score) for score in report.means],
        "images": [
            {"name": row.name, "scores": [_finite(score) for score in row.scores]}
            for row in report.rows
        ],
        "problems": report.problems,
        "notes": report.notes,
    }
    write_text(folder / "scores.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    keys = [column.key for column in SCORES]
    writer.writerow(["name", "method", *keys])
    for row in report.rows:
        for score in row.scores:
            values = (getattr(score, key) for key in keys)
            writer.writerow([_cell(row.name), score.method, *values])
    write_text(folder / "scores.csv", table.getvalue())
    chosen = _spread(report.rows, MAX_COMPARISONS)
    against_truth = sum(any(one.psnr_db is not None for one in row.scores) for row in report.rows)
    measured = f"{against_truth} photographs measured against the truth; higher is better."
    if not against_truth:
        measured = "There is no truth that these photographs could be measured against."
    if len(chosen) < len(report.rows):
        measured += f" {len(chosen)} of {len(report.rows)} photographs are shown."
    shown = (OUTPUT, TRUTH if against_truth else OUTPUT)
    if any(INPUT in row.files for row in report.rows):
        shown = (INPUT, OUTPUT)
    write_report(
        folder / page,
        title=title,
        scores=report.means,
        comparisons=[
            Comparison(name=row.name, pictures=row.files, scores=row.scores) for row in chosen
        ],
        shown=shown,
        notes=[measured, *report.notes],
        problems=report.problems,
    )


def refuse_report_inside(folder: Path, read: Sequence[Path]) -> None:
    """Refuse a report folder that cannot be, or whose pictures would be taken for photographs.

    Raises:
        InputError: `folder` is one of the folders that are read, or lies inside one, or a file is
            where it should be.
    """
    refuse_file_in_the_way(folder)
    place = folder.resolve()
    for other in read:
        if other.resolve() in (place, *place.parents):
            raise InputError(f"the report folder {folder} lies in {other}; choose one outside")


def by_name(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by name: the path below the folder without suffix.

    Raises:
        DataError: no folder, no images in it, or two of one name.
    """
    found: dict[str, Path] = {}
    for path in images.find_images(folder):
        name = PurePath(path.relative_to(folder)).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{found[name]} and {path} share a name; only one can be compared")
        found[name] = path
    if not found:
        raise DataError(f"no images in {folder}")
    return found


def _without_truth() -> _Measure:
    estimate = load_estimator()

    def measured(files: Mapping[str, Path]) -> tuple[Score, ...]:
        pixels = {
            method: images.read_rgb(path)
            for method, path in files.items()
            if method in (INPUT, OUTPUT)
        }
        return tuple(
            Score(
                method=method,
                blur_extent_px=estimate_px(estimate, image),
                sharpness=images.sharpness(np.rint(image * 255).astype(np.uint8)),
            )
            for method, image in pixels.items()
        )

    return measured


def _score(method: str, image: Pixels, reference: Pixels) -> Score:
    try:
        psnr_db = image_quality.psnr_db(image, reference)
    except DataError as error:
        raise DataError(f"{method} and truth: {error}") from error
    has_lpips = (
        min(image.shape[:2]) >= image_quality.LPIPS_MINIMUM_PX and not image_quality.lpips_missing()
    )
    return Score(
        method=method,
        psnr_db=psnr_db,
        ssim=image_quality.ssim(image, reference),
        lpips=image_quality.lpips(image, reference) if has_lpips else None,
    )


def _equals_truth(row: Row) -> bool:
    return any(score.psnr_db == math.inf for score in row.scores)


def _means(rows: Sequence[Row]) -> list[Score]:
    means: list[Score] = []
    for method in (INPUT, OUTPUT):
        scores = {row.name: score for row in rows for score in row.scores if score.method == method}
        if not scores:
            continue
        values: dict[str, float | None] = {}
        for column in SCORES:
            found = [getattr(score, column.key) for score in scores.values()]
            numbers: list[float] = [value for value in found if value is not None]
            values[column.key] = sum(numbers) / len(numbers) if numbers else None
        different = [
            score.psnr_db
            for row in rows
            if not _equals_truth(row)
            for score in row.scores
            if score.method == method and score.psnr_db is not None
        ]
        if different:
            values["psnr_db"] = sum(different) / len(different)
        means.append(Score(method=method, **values))
    return means


def _notes(rows: Sequence[Row]) -> list[str]:
    notes: list[str] = []
    if any(score.psnr_db is not None for row in rows for score in row.scores):
        missing = image_quality.lpips_missing()
        notes += [missing] if missing else []
    elif any(row.scores for row in rows):
        notes.append(
            "Without a truth: how far blur reaches is an estimate by a network; sharpness, the "
            "variance of the Laplacian, rises with noise and ringing, too."
        )
    equal = [row.name for row in rows if _equals_truth(row)]
    if equal:
        notes.append(
            f"{len(equal)} of {len(rows)} photographs equal their truth in the input or the output "
            f"({listed(equal)}): PSNR is infinite there, and its mean is over the others."
        )
    return notes


def _partnerless(names: set[str], where: str) -> list[str]:
    if not names:
        return []
    plural = "s" if len(names) > 1 else ""
    return [f"{len(names)} image{plural} {where}: {listed(sorted(names))}"]


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    if len(rows) <= count:
        return list(rows)
    return [rows[index * len(rows) // count] for index in range(count)]


def _finite(score: Score) -> dict[str, str | float | None]:
    """Return the score for JSON, which has no infinity (equal images): null."""
    values: dict[str, str | float | None] = asdict(score)
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
