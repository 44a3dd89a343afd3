"""Photographs before and after as one HTML page that opens from disk: tables, and sliders.

Nothing is loaded from elsewhere. The page of a comparison has its pictures in a folder beside it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import jinja2

from blur2blur import images
from blur2blur.files import explained_writing, write_text
from blur2blur.tiling import Pixels

# Larger pictures are written as JPEG: a lossless page of full photographs would be gigabytes.
_MAX_LOSSLESS_PIXELS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a method reached; None where it was not computed.

    Attributes:
        method: its name.
        psnr_db: against the truth; infinite where they are equal.
        ssim: against the truth.
        lpips: distance to the truth.
        blur_extent_px: how far the blur that is left reaches.
        sharpness: variance of the Laplacian, see `images.sharpness`.
    """

    method: str
    psnr_db: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    blur_extent_px: float | None = None
    sharpness: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """An attribute of what a table's rows are about; of text where it has no digits."""

    key: str
    title: str
    digits: int | None
    less_is_better: bool = False


SCORES = (
    Column(key="psnr_db", title="PSNR, dB", digits=2),
    Column(key="ssim", title="SSIM", digits=4),
    Column(key="lpips", title="LPIPS, less is better", digits=4, less_is_better=True),
    Column(key="blur_extent_px", title="blur, px, less is better", digits=2, less_is_better=True),
    Column(key="sharpness", title="sharpness", digits=1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of names, and of what `columns` say of the object that they are about.

    Attributes:
        heads: what the names are.
        columns: the other columns; those that no row has a value for are not shown.
        rows: names and object.
        mark_best: the best of each column is set bold.
    """

    heads: tuple[str, ...]
    columns: Sequence[Column]
    rows: Sequence[tuple[tuple[str, ...], object]]
    mark_best: bool = False

    def shown(self) -> list[Column]:
        """Return the columns that have a value."""
        return [
            column
            for column in self.columns
            if any(getattr(about, column.key) is not None for _, about in self.rows)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Pictures of one size with a slider between two of them.

    Attributes:
        name: heading.
        urls: label -> address of its picture.
        width: of the pictures, in pixels.
        height: likewise.
        said: label -> what is said of its picture when it is shown.
        caption: what is said of all of them.
    """

    name: str
    urls: Mapping[str, str]
    width: int
    height: int
    said: Mapping[str, str] = field(default_factory=dict[str, str])
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One photograph as several methods left it.

    Attributes:
        name: caption.
        pictures: method -> its picture, a file or H W 3 in [0, 1] sRGB; all of equal size.
        scores: of this photograph, for any of the methods.
    """

    name: str
    pictures: Mapping[str, Pixels | Path]
    scores: Sequence[Score] = field(default_factory=tuple)


def write_report(
    path: Path,
    *,
    title: str,
    scores: Sequence[Score],
    comparisons: Sequence[Comparison],
    shown: tuple[str, str],
    notes: Sequence[str] = (),
    problems: Sequence[str] = (),
) -> None:
    """Write the page to `path` and its pictures to the folder `<name of path>_files` beside it.

    Pictures of an earlier page of that name are removed.

    Args:
        path: the .html file.
        title: heading.
        scores: the table, one row per method; the best of each column is set bold.
        comparisons: the photographs with sliders, in this order.
        shown: the methods first seen on the left and on the right; the reader can choose others.
        notes: paragraphs below the heading (how it was measured).
        problems: what could not be measured, listed.

    Raises:
        InputError: a picture that cannot be read, or a file that cannot be written.
    """
    folder = path.with_name(f"{path.stem}_files")
    with explained_writing(folder):
        for old in folder.glob("[0-9]*-[0-9]*-*.*"):
            old.unlink()
    figures = [
        _write_pictures(comparison, folder, index)
        for index, comparison in enumerate(comparisons, start=1)
    ]
    summary = [((score.method,), score) for score in scores]
    single = [((c.name, score.method), score) for c in comparisons for score in c.scores]
    page = render(
        title=title,
        notes=notes,
        tables=[Table(heads=("method",), columns=SCORES, rows=summary, mark_best=True)],
        details=Table(heads=("photograph", "method"), columns=SCORES, rows=single),
        problems=problems,
        figures=figures,
        shown=shown,
    )
    write_text(path, page)


def render(
    *,
    title: str,
    notes: Sequence[str],
    tables: Sequence[Table],
    details: Table,
    problems: Sequence[str],
    figures: Sequence[Figure],
    shown: tuple[str, str],
) -> str:
    """Return the page.

    Args:
        title: heading.
        notes: paragraphs below it.
        tables: shown above the photographs.
        details: a table below them, unfolded on demand.
        problems: what failed, one line each.
        figures: the photographs.
        shown: labels of the pictures first seen on the left and on the right.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template("report.html").render(
        title=title,
        notes=notes,
        tables=[table for table in tables if table.rows],
        details=details,
        problems=problems,
        figures=figures,
        labels=list(dict.fromkeys(label for figure in figures for label in figure.urls)),
        shown=shown,
        number=number,
    )


def number(value: float | str | None, digits: int | None) -> str:
    """Return a value as a reader sees it; the PSNR of equal images is a word."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:.{digits or 0}f}" if math.isfinite(value) else "equal"


def _write_pictures(comparison: Comparison, folder: Path, index: int) -> Figure:
    urls: dict[str, str] = {}
    width = height = 0
    for at, (label, picture) in enumerate(comparison.pictures.items(), start=1):
        pixels = images.read_rgb(picture) if isinstance(picture, Path) else picture
        height, width = pixels.shape[:2]
        suffix = "png" if height * width <= _MAX_LOSSLESS_PIXELS else "jpg"
        slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        file = folder / f"{index:04d}-{at}-{slug}.{suffix}"
        images.write_rgb(file, pixels)
        urls[label] = quote(f"{folder.name}/{file.name}")
    said = {score.method: _in_words(score) for score in comparison.scores}
    return Figure(name=comparison.name, urls=urls, width=width, height=height, said=said)


def _in_words(score: Score) -> str:
    if score.psnr_db is None:
        return f"blur {number(score.blur_extent_px, 2)} px"
    decibels = "" if math.isinf(score.psnr_db) else " dB"
    return f"{number(score.psnr_db, 2)}{decibels} / {number(score.ssim, 4)}"
