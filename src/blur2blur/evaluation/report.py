"""A comparison of methods as one HTML page that opens from disk: table, and before/after sliders.

The pictures lie in a folder beside the page; nothing is loaded from elsewhere.
"""

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from urllib.parse import quote

from blur2blur import images
from blur2blur.files import write_text
from blur2blur.tiling import Pixels

_TEMPLATE = Path(__file__).with_name("report.html")
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
    figures = [
        _figure(comparison, _write_pictures(comparison, folder, index), shown)
        for index, comparison in enumerate(comparisons, start=1)
    ]
    methods = list(dict.fromkeys(label for c in comparisons for label in c.pictures))
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        notes="\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        summary=_table(["method"], [((score.method,), score) for score in scores], bold_best=True),
        problems=_problems(problems),
        left_options=_options(methods, shown[0]),
        right_options=_options(methods, shown[1]),
        figures="\n".join(figures),
        details=_details(comparisons),
    )
    write_text(path, page)


def _write_pictures(comparison: Comparison, folder: Path, index: int) -> "_Pictures":
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
    return _Pictures(urls=urls, width=width, height=height)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pictures:
    urls: dict[str, str]
    width: int
    height: int


def _figure(comparison: Comparison, pictures: _Pictures, shown: tuple[str, str]) -> str:
    scores = {
        score.method: f"{_number(score.psnr_db, 2)} dB / {_number(score.ssim, 4)}"
        for score in comparison.scores
    }
    size = f'width="{pictures.width}" height="{pictures.height}" loading="lazy"'
    sides = [
        f'<img class="{side}" src="{html.escape(pictures.urls.get(label, ""))}" alt="" {size}>'
        f'<span class="tag {side}">{html.escape(label)}</span>'
        for side, label in (("right", shown[1]), ("left", shown[0]))
    ]
    return (
        f'<figure data-pictures="{html.escape(json.dumps(pictures.urls))}" '
        f'data-scores="{html.escape(json.dumps(scores))}">'
        f'<div class="window"><div class="stage" style="--width:{pictures.width}">'
        f'{"".join(sides)}<div class="handle"></div>'
        '<input type="range" min="0" max="100" step="1" value="50" '
        f'aria-label="Passage from left to right picture of {html.escape(comparison.name)}">'
        f"</div></div><figcaption><b>{html.escape(comparison.name)}</b><span></span>"
        "</figcaption></figure>"
    )


def _table(
    heads: Sequence[str],
    rows: Sequence[tuple[tuple[str, ...], Score]],
    *,
    bold_best: bool,
) -> str:
    if not rows:
        return ""
    has_lpips = any(score.lpips is not None for _, score in rows)
    titles = [*heads, "PSNR, dB", "SSIM", *(["LPIPS (less is better)"] if has_lpips else [])]
    best = (
        max(score.psnr_db for _, score in rows),
        max(score.ssim for _, score in rows),
        min((score.lpips for _, score in rows if score.lpips is not None), default=None),
    )
    lines: list[str] = []
    for names, score in rows:
        cells = [f"<td>{html.escape(name)}</td>" for name in names]
        values = (score.psnr_db, score.ssim, score.lpips)[: 3 if has_lpips else 2]
        for value, top, digits in zip(values, best, (2, 4, 4), strict=False):
            is_best = bold_best and len(rows) > 1 and value is not None and value == top
            mark = ' class="best"' if is_best else ""
            cells.append(f"<td{mark}>{_number(value, digits)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in titles)
    body = "\n".join(lines)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def _details(comparisons: Sequence[Comparison]) -> str:
    rows = [((c.name, score.method), score) for c in comparisons for score in c.scores]
    if not rows:
        return ""
    table = _table(["photograph", "method"], rows, bold_best=False)
    return f"<details><summary>Numbers of these photographs</summary>{table}</details>"


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    return f'<div class="problems"><p>Not measured:</p><ul>{items}</ul></div>'


def _options(methods: Sequence[str], selected: str) -> str:
    return "".join(
        f"<option{' selected' if method == selected else ''}>{html.escape(method)}</option>"
        for method in methods
    )


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if math.isfinite(value) else "∞"
