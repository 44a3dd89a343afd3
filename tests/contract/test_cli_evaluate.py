"""`blur2blur evaluate`: what it prints, what it writes, how it exits."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from blur2blur import tensors
from blur2blur.cli import main
from blur2blur.errors import Blur2BlurError

RUNNER = CliRunner()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with out/, truth/ and blurry/ of two images each."""
    torch.manual_seed(0)
    for name in ("a.png", "b.png"):
        truth = torch.rand(3, 20, 24)
        tensors.write_rgb(tmp_path / "truth" / name, truth)
        tensors.write_rgb(tmp_path / "out" / name, 0.9 * truth)
        tensors.write_rgb(tmp_path / "blurry" / name, 0.7 * truth)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prints_the_means_and_writes_the_report_beside_the_outputs(place: Path) -> None:
    result = RUNNER.invoke(main.app, ["evaluate", "out", "--truth", "truth", "--inputs", "blurry"])
    assert result.exit_code == 0, result.output
    content = json.loads((place / "out-report" / "scores.json").read_text())
    for mean in content["mean"]:
        assert f"{mean['psnr_db']:.2f}" in result.stdout
        assert f"{mean['ssim']:.4f}" in result.stdout
    assert "2 images" in result.stdout
    names = {path.name for path in (place / "out-report").iterdir()}
    assert names == {"scores.json", "scores.csv", "report.html", "report_files"}


def test_without_a_truth_it_says_how_blurry_they_are(place: Path) -> None:
    result = RUNNER.invoke(main.app, ["evaluate", "out"])
    assert result.exit_code == 0, result.output
    assert "sharpness" in result.stdout
    assert "PSNR" not in result.stdout
    assert (place / "out-report" / "report.html").is_file()


def test_report_goes_where_it_is_asked(place: Path) -> None:
    arguments = ["evaluate", "out", "--truth", "truth", "-o", "elsewhere/report"]
    assert RUNNER.invoke(main.app, arguments).exit_code == 0
    assert (place / "elsewhere" / "report" / "report.html").is_file()
    assert not (place / "out-report").exists()


def test_images_that_cannot_be_compared_are_listed(place: Path) -> None:
    (place / "out" / "a.png").write_bytes(b"")
    tensors.write_rgb(place / "out" / "c.png", torch.rand(3, 20, 20))
    result = RUNNER.invoke(main.app, ["evaluate", "out", "--truth", "truth"])
    assert result.exit_code == 1
    assert "1 image" in result.stdout
    assert "a.png is empty" in result.stderr
    assert "1 image in out but not in truth: c" in result.stderr
    assert len(json.loads((place / "out-report" / "scores.json").read_text())["problems"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing", "--truth", "truth"], "no folder missing"),
        (["out", "--truth", "missing"], "no folder missing"),
        (["out", "--truth", "truth", "--inputs", "missing"], "no folder missing"),
        (["out", "--truth", "truth", "-o", "out"], "choose one outside"),
        (["out", "--truth", "truth", "-o", "truth/report"], "choose one outside"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    place: Path, arguments: list[str], message: str
) -> None:
    before = sorted(place.rglob("*"))
    result = RUNNER.invoke(main.app, ["evaluate", *arguments])
    assert isinstance(result.exception, Blur2BlurError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert sorted(place.rglob("*")) == before
