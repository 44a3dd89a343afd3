"""The page of one's own photographs: one file, largest changes first, everything accounted for."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blur2blur import images
from blur2blur.evaluation import before_after
from blur2blur.evaluation.before_after import Others
from blur2blur.inference.folder import Change
from blur2blur.tiling import Pixels

SCENE = np.random.default_rng(0).random((60, 80, 3), np.float32) / 2


def _entry(folder: Path, name: str, before: Pixels, after: Pixels, **values: float) -> Change:
    source, output = folder / "in" / name, folder / "out" / name
    images.write_rgb(source, before)
    images.write_rgb(output, after)
    change = float(np.abs(after - before).mean())
    told = {"blur_extent_px": 6.25, "factor": 1, "seconds": 1.5} | values
    return Change(source=source, output=output, mean_change=change, **told)  # type: ignore[arg-type]


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.pictures, self.tags = "", list[tuple[str, Pixels]](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {key: value or "" for key, value in attrs}
        if tag == "img":
            data = base64.b64decode(found["src"].removeprefix("data:image/jpeg;base64,"))
            self.pictures.append((found["alt"], np.asarray(Image.open(io.BytesIO(data))) / 255))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_one_file_with_the_largest_change_first(tmp_path: Path) -> None:
    entries = [
        _entry(tmp_path, "little.png", SCENE, SCENE + 0.02, factor=2),
        _entry(tmp_path, "sub/much.png", SCENE, SCENE + 0.2),
    ]
    before_after.write(tmp_path / "page" / "report.html", entries)
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["report.html"]
    page = _Page(tmp_path / "page" / "report.html")
    assert [alt for alt, _ in page.pictures] == [
        "sub/much.png: before",
        "sub/much.png: after",
        "little.png: before",
        "little.png: after",
    ]
    change = (page.pictures[1][1] - page.pictures[0][1]).mean()
    assert change == pytest.approx(0.2, abs=0.02)
    for text in ("6.2 px of blur, deblurred at 1/2, mean change", "of 255, 1.5 s", "in 3 s"):
        assert text in page.text
    content = (tmp_path / "page" / "report.html").read_text()
    assert "://" not in content
    assert not {"link", "iframe"} & set(page.tags)
    assert not re.search(r"<script[^>]+src|@import|url\(", content)


def test_large_photographs_show_where_they_changed_most_at_full_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before_after, "WHOLE_PX", 200)
    monkeypatch.setattr(before_after, "CROP_HEIGHT_PX", 64)
    monkeypatch.setattr(before_after, "CROP_WIDTH_PX", 96)
    before = np.full((301, 403, 3), 0.5, np.float32)
    after = before.copy()
    after[250:300, 300:400] = 0.9
    entries = [_entry(tmp_path, "one.png", before, after)]
    before_after.write(tmp_path / "report.html", entries)
    whole, _, crop_before, crop_after = (picture for _, picture in _pictures(tmp_path))
    assert whole.shape == (101, 135, 3)
    assert crop_before.shape == crop_after.shape == (64, 96, 3)
    assert (crop_after - crop_before > 0.3).mean() > 0.7


def _pictures(folder: Path) -> list[tuple[str, Pixels]]:
    return _Page(folder / "report.html").pictures


def test_files_that_were_not_deblurred_are_told(tmp_path: Path) -> None:
    entries = [
        _entry(tmp_path, "<b>&'\"\u202egpj.png", SCENE, SCENE + 0.1),
        _entry(tmp_path, "gone.png", SCENE, SCENE),
    ]
    entries[1].output.unlink()
    others = [Others(outcome="skipped", reason=".xmp is not read", count=3, first=Path("a.xmp"))]
    before_after.write(tmp_path / "report.html", entries, others, problems=["b.jpg is <empty>"])
    page = _Page(tmp_path / "report.html")
    assert "b" not in page.tags[: page.tags.index("figure")]  # names are text
    for text in ("<b>&'\"\u202egpj.png", ".xmp is not read", "a.xmp", "b.jpg is <empty>"):
        assert text in page.text
    assert re.search(r"gone.png is not shown: no file .*gone.png", page.text)
    assert len(page.pictures) == 2


def test_of_many_photographs_the_most_changed_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before_after, "MAX_SHOWN", 1)
    entries = [_entry(tmp_path, f"{step}.png", SCENE, SCENE + step / 10) for step in range(3)]
    before_after.write(tmp_path / "report.html", entries)
    page = _Page(tmp_path / "report.html")
    assert {alt for alt, _ in page.pictures} == {"2.png: before", "2.png: after"}
    assert "The 1 of the largest change are shown" in page.text
    assert all(f"{step}.png" in page.text for step in range(3))


def test_a_run_without_photographs_has_a_page(tmp_path: Path) -> None:
    before_after.write(tmp_path / "report.html", [])
    assert "0 photographs deblurred" in _Page(tmp_path / "report.html").text
