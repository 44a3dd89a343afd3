"""Evaluation: the numbers of the metrics, every image accounted for, files that others can read."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import skimage.data

from blur2blur import evaluation, images
from blur2blur.errors import DataError, InputError
from blur2blur.evaluation import compare, report
from blur2blur.evaluation.report import Comparison, Score, write_report
from blur2blur.statistics import image_quality
from blur2blur.tiling import Pixels

LARGE = skimage.data.chelsea().astype(np.float32) / np.float32(255)
TRUTH = LARGE[100:140, 120:180]


def _noisy(sigma: float, truth: Pixels = TRUTH) -> Pixels:
    noise = np.random.default_rng(0).standard_normal(truth.shape, np.float32)
    noisy = np.clip(truth + np.float32(sigma) * noise, 0, 1)
    return np.rint(noisy * 255) / np.float32(255)  # what a file can hold


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Outputs, truth and inputs of two photographs; the outputs of another suffix."""
    outputs, truth, inputs = (tmp_path / name for name in ("outputs", "truth", "inputs"))
    for name in ("one", "sub/two"):
        images.write_rgb(outputs / f"{name}.tif", _noisy(0.05))
        images.write_rgb(truth / f"{name}.png", TRUTH)
        images.write_rgb(inputs / f"{name}.png", _noisy(0.1))
    return outputs, truth, inputs


def test_numbers_are_those_of_the_metrics(folders: tuple[Path, Path, Path]) -> None:
    measured = evaluation.evaluate(*folders)
    assert [row.name for row in measured.rows] == ["one", "sub/two"]
    assert measured.problems == []
    for score, sigma in zip(measured.means, (0.1, 0.05), strict=True):
        truth = np.rint(TRUTH * 255) / np.float32(255)
        assert score.psnr_db == pytest.approx(image_quality.psnr_db(_noisy(sigma), truth))
        assert score.ssim == pytest.approx(image_quality.ssim(_noisy(sigma), truth))
    assert [score.method for score in measured.means] == ["input", "output"]


def test_means_are_over_images(folders: tuple[Path, Path, Path]) -> None:
    outputs, truth, _ = folders
    images.write_rgb(outputs / "one.tif", _noisy(0.2))
    measured = evaluation.evaluate(outputs, truth)
    values = [row.scores[0].psnr_db for row in measured.rows]
    assert values[0] < values[1] - 5
    assert measured.means[0].psnr_db == pytest.approx(sum(values) / 2)


def test_equal_images_leave_the_mean_a_number(folders: tuple[Path, Path, Path]) -> None:
    outputs, truth, inputs = folders
    images.write_rgb(outputs / "one.tif", TRUTH)
    measured = evaluation.evaluate(outputs, truth, inputs)
    for mean, score in zip(measured.means, measured.rows[1].scores, strict=True):
        assert mean.psnr_db == score.psnr_db  # of the same photographs for both methods
    assert measured.means[1].ssim == pytest.approx((1 + (measured.rows[1].scores[1].ssim or 0)) / 2)
    assert "1 of 2 photographs equal their truth" in measured.notes[-1]
    images.write_rgb(outputs / "sub" / "two.tif", TRUTH)
    assert evaluation.evaluate(outputs, truth).means[0].psnr_db == float("inf")


def test_without_a_truth_blur_and_sharpness_are_measured(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    outputs, _, inputs = folders
    for name in ("one", "sub/two"):
        images.write_rgb(outputs / f"{name}.tif", LARGE[:128, :128])
        images.write_rgb(inputs / f"{name}.png", _box_blurred(LARGE[:128, :128], 9))
    images.write_rgb(outputs / "alone.png", TRUTH)
    measured = evaluation.evaluate(outputs, inputs=inputs)
    before, after = measured.means
    assert (before.method, after.method) == ("input", "output")
    assert before.psnr_db is None
    assert (before.blur_extent_px or 0) > (after.blur_extent_px or 0) + 1
    assert (before.sharpness or 0) < (after.sharpness or 0) / 4
    assert measured.problems == [f"1 image not in {inputs}: alone"]
    evaluation.write(measured, tmp_path / "report")
    page = _Page(tmp_path / "report" / "report.html")
    assert "There is no truth" in page.text
    assert "PSNR" not in page.text
    assert f"{after.sharpness:.1f}" in page.text
    content = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert content["mean"][1]["blur_extent_px"] == after.blur_extent_px


def _box_blurred(image: Pixels, side: int) -> Pixels:
    rows = np.stack([np.roll(image, shift, axis=1) for shift in range(side)])
    return rows.mean(axis=0, dtype=np.float32)


def test_what_cannot_be_measured_is_listed(folders: tuple[Path, Path, Path]) -> None:
    outputs, truth, inputs = folders
    (inputs / "one.png").unlink()
    for name in ("larger", "broken", "tiny", "alone"):
        images.write_rgb(outputs / f"{name}.png", TRUTH[:10] if name == "tiny" else TRUTH)
        if name != "alone":
            images.write_rgb(inputs / f"{name}.png", TRUTH)
            images.write_rgb(truth / f"{name}.png", TRUTH[:10] if name == "tiny" else TRUTH)
    images.write_rgb(truth / "larger.png", LARGE)
    images.write_rgb(truth / "unmade.png", TRUTH)
    (truth / "broken.png").write_bytes(b"no image")
    measured = evaluation.evaluate(outputs, truth, inputs)
    assert [row.name for row in measured.rows] == ["one", "sub/two"]
    expected = [
        rf"1 image in {outputs} but not in {truth}: alone",
        rf"1 image in {truth} but not in {outputs}: unmade",
        rf"1 image not in {inputs}: one",
        r"broken: .*broken.png cannot be read: it is not an image",
        r"larger: input and truth: images of 60 x 40 and 451 x 300 pixels",
        r"tiny: .*",
    ]
    assert len(measured.problems) == len(expected)
    for problem, pattern in zip(measured.problems, expected, strict=True):
        assert re.match(pattern, problem), problem


def test_converted_images_are_shown_not_measured(folders: tuple[Path, Path, Path]) -> None:
    outputs, truth, inputs = folders
    images.write_rgb(outputs / "converted" / "one.tif", TRUTH)
    measured = evaluation.evaluate(outputs, truth, inputs)
    assert measured.problems == []
    assert list(measured.rows[0].files) == ["input", "output", "converted", "truth"]
    assert [score.method for score in measured.rows[0].scores] == ["input", "output"]


def test_folders_that_cannot_be_compared_are_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    outputs, truth, _ = folders
    with pytest.raises(DataError, match="no folder"):
        evaluation.evaluate(outputs, tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in"):
        evaluation.evaluate(outputs, tmp_path / "empty")
    images.write_rgb(tmp_path / "other" / "three.png", TRUTH)
    with pytest.raises(DataError, match=r"such as one, sub/two and three"):
        evaluation.evaluate(outputs, tmp_path / "other")
    images.write_rgb(truth / "one.bmp", TRUTH)
    with pytest.raises(DataError, match="share a name"):
        evaluation.evaluate(outputs, truth)


def test_report_folder_inside_a_folder_that_is_read_is_refused(tmp_path: Path) -> None:
    for place in ("out", "out/report", "out/../out/a/b"):
        with pytest.raises(InputError, match="choose one outside"):
            evaluation.refuse_report_inside(tmp_path / place, [tmp_path / "out"])
    evaluation.refuse_report_inside(tmp_path / "out-report", [tmp_path / "out"])


def test_files_hold_the_numbers(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    outputs, truth, inputs = folders
    images.write_rgb(outputs / "one.tif", TRUTH)  # equal to the truth: infinite PSNR
    measured = evaluation.evaluate(outputs, truth, inputs)
    evaluation.write(measured, tmp_path / "report")
    content = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert [mean["method"] for mean in content["mean"]] == ["input", "output"]
    assert content["mean"][0]["psnr_db"] == measured.means[0].psnr_db
    assert content["images"][0]["scores"][1]["psnr_db"] is None
    with (tmp_path / "report" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["method"]) for row in rows] == [
        ("one", "input"),
        ("one", "output"),
        ("sub/two", "input"),
        ("sub/two", "output"),
    ]
    assert float(rows[3]["ssim"]) == measured.rows[1].scores[1].ssim
    assert float(rows[1]["psnr_db"]) == float("inf")


def test_names_in_the_table_are_neither_formulas_nor_commands(tmp_path: Path) -> None:
    for folder in ("outputs", "truth"):
        for name in ("=1+1", "-2", "\x1b[2J", "a\nb"):
            images.write_rgb(tmp_path / folder / f"{name}.png", TRUTH)
    measured = evaluation.evaluate(tmp_path / "outputs", tmp_path / "truth")
    evaluation.write(measured, tmp_path / "report")
    with (tmp_path / "report" / "scores.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert names == {"'=1+1", "'-2", "\\x1b[2J", "a\\nb"}


class _Page(HTMLParser):
    """Collects what a browser would show or load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _write(path: Path) -> _Page:
    names = ["plain", "50% <b>\"dark\" & 'grim'</b> #1"]
    scores = [
        Score(method="known-only", psnr_db=20.123, ssim=0.5),
        Score(method="blur2blur", psnr_db=float("inf"), ssim=0.75),
    ]
    pictures = {"input": _noisy(0.1), "known-only": _noisy(0.05), "blur2blur": TRUTH}
    write_report(
        path,
        title="A & B",
        scores=scores,
        comparisons=[Comparison(name=n, pictures=pictures, scores=scores) for n in names],
        shown=("known-only", "blur2blur"),
        notes=["seed < 3"],
        problems=["x.png: gone"],
    )
    return _Page(path)


def test_page_loads_nothing_but_its_pictures(tmp_path: Path) -> None:
    page = _write(tmp_path / "a report #1" / "re port.html")
    folder = tmp_path / "a report #1"
    assert len(page.all("figure")) == 2
    labels = [image["data-label"] for image in page.all("img")]
    assert labels == ["input", "known-only", "blur2blur"] * 2
    assert [image["class"] for image in page.all("img")] == ["", "left", "right"] * 2
    sources = [image["src"] or "" for image in page.all("img")]
    loaded = images.read_rgb(folder / unquote(sources[0]))
    np.testing.assert_allclose(loaded, _noisy(0.1), atol=1e-6)
    assert all((folder / unquote(source)).is_file() for source in sources)
    assert "://" not in (folder / "re port.html").read_text()
    assert page.all("link") == []
    assert all("src" not in script for script in page.all("script"))


def test_page_shows_names_and_numbers_as_they_are(tmp_path: Path) -> None:
    page = _write(tmp_path / "report.html")
    for text in (
        "A & B",
        "50% <b>\"dark\" & 'grim'</b> #1",
        "seed < 3",
        "20.12",
        "equal",
        "x.png: gone",
    ):
        assert text in page.text
    best = [a for name, a in page.tags if name == "td" and a.get("class") == "best"]
    assert len(best) == 2


def test_page_can_be_used_by_keyboard(tmp_path: Path) -> None:
    page = _write(tmp_path / "report.html")
    sliders = [a for a in page.all("input") if a["type"] == "range"]
    assert len(sliders) == 2
    assert all(slider["aria-label"] for slider in sliders)
    chosen = [a for a in page.all("option") if "selected" in a]
    assert len(chosen) == 2  # one for each side


def test_large_pictures_are_written_as_jpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_MAX_LOSSLESS_PIXELS", 1000)
    page = _write(tmp_path / "report.html")
    assert all((image["src"] or "").endswith(".jpg") for image in page.all("img"))


def test_page_of_many_images_shows_some(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MAX_COMPARISONS", 1)
    evaluation.write(evaluation.evaluate(*folders), tmp_path / "report")
    page = _Page(tmp_path / "report" / "report.html")
    assert len(page.all("figure")) == 1
    assert "1 of 2 photographs are shown" in page.text


def test_those_that_are_shown_are_spread_over_all() -> None:
    assert compare._spread(list(range(10)), 4) == [0, 2, 5, 7]  # type: ignore[arg-type]
    assert compare._spread([1, 2], 4) == [1, 2]  # type: ignore[arg-type]
