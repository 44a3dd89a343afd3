"""A comparison of methods as one HTML page that opens from disk: table, and before/after sliders.

The pictures lie in a folder beside the page; nothing is loaded from elsewhere.
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
    """What a method reached; `lpips` is None where it was not computed."""

    method: str
    psnr_db: float
    ssim: float
    lpips: float | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    comparison: Comparison
    urls: dict[str, str]
    said: dict[str, str]
    width: int
    height: int


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
    page = _template().render(
        title=title,
        summary=[((score.method,), score) for score in scores],
        rows=[((c.name, score.method), score) for c in comparisons for score in c.scores],
        figures=figures,
        methods=list(dict.fromkeys(label for c in comparisons for label in c.pictures)),
        shown=shown,
        notes=notes,
        problems=problems,
        number=_number,
    )
    write_text(path, page)


def _write_pictures(comparison: Comparison, folder: Path, index: int) -> _Figure:
    urls: dict[str, str] = {}
    width = height = 0
    for number, (label, picture) in enumerate(comparison.pictures.items(), start=1):
        pixels = images.read_rgb(picture) if isinstance(picture, Path) else picture
        height, width = pixels.shape[:2]
        suffix = "png" if height * width <= _MAX_LOSSLESS_PIXELS else "jpg"
        slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        file = folder / f"{index:04d}-{number}-{slug}.{suffix}"
        images.write_rgb(file, pixels)
        urls[label] = quote(f"{folder.name}/{file.name}")
    said = {
        score.method: f"{_number(score.psnr_db, 2)} dB / {_number(score.ssim, 4)}"
        for score in comparison.scores
    }
    return _Figure(comparison=comparison, urls=urls, said=said, width=width, height=height)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template("report.html")


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if math.isfinite(value) else "∞"
