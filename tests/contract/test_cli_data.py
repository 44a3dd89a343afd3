"""What `blur2blur data` prints and returns."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from blur2blur.cli.data import app
from blur2blur.errors import ConfigError, DataError, InputError


def save(path: Path, seed: int, blur_px: float = 0.0) -> None:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (6, 6, 3)).astype(np.float32), (96, 80))
    pixels = np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (0, 0), blur_px) if blur_px else pixels)


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    for number in range(10):
        save(tmp_path / f"camera/{number}.jpg", number, blur_px=2.0 if number < 6 else 0.0)
    return tmp_path / "camera"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_split_then_check(camera: Path, tmp_path: Path):
    out = tmp_path / "data"
    result = run("split", camera, "-o", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (out / "trainA").iterdir()) == [
        f"{number}.jpg" for number in range(6)
    ]
    assert len(list((out / "trainB").iterdir())) == 4
    record = json.loads((out / "split.json").read_text())
    assert {file["side"] for file in record["files"]} == {"trainA", "trainB"}
    result = run("check", out, "--crop", 64)
    assert result.exit_code == 0, result.output
    for text in ("trainA", "unknown blurry", "96x80", "sharpness", "█", "fit for training"):
        assert text in result.output


def test_split_in_another_ratio_linked(camera: Path, tmp_path: Path):
    assert run("split", camera, "-o", tmp_path / "d", "--ratio", "1:1", "--link").exit_code == 0
    links = list((tmp_path / "d/trainA").iterdir())
    assert len(links) == 5
    assert all(path.is_symlink() for path in links)


def test_dry_run_writes_nothing(camera: Path, tmp_path: Path):
    result = run("split", camera, "-o", tmp_path / "data", "--dry-run")
    assert result.exit_code == 0
    assert sum(line.startswith("trainA\t") for line in result.output.splitlines()) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera"]


def test_one_bad_file_is_named_and_the_rest_is_done(camera: Path, tmp_path: Path):
    (camera / "bad.png").write_bytes(b"")
    result = run("split", camera, "-o", tmp_path / "data")
    assert result.exit_code == 1
    assert "bad.png is empty" in result.output
    assert len(list((tmp_path / "data").glob("train?/*.jpg"))) == 10


@pytest.mark.parametrize("ratio", ["6", "6:0", "a:b", "-1:2", "6:4:1", "nan:1", "inf:1"])
def test_ratio_that_is_none(camera: Path, tmp_path: Path, ratio: str):
    result = run("split", camera, "-o", tmp_path / "data", f"--ratio={ratio}")
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "data").exists()


def test_output_in_the_input_is_refused(camera: Path):
    result = run("split", camera, "-o", camera / "data")
    assert isinstance(result.exception, InputError)
    assert not (camera / "data").exists()


def test_check_as_json(camera: Path, tmp_path: Path):
    run("split", camera, "-o", tmp_path / "data")
    result = run("check", tmp_path / "data", "--crop", 64, "--json")
    report = json.loads(result.stdout)
    assert [folder["files"] for folder in report["folders"]] == [6, 4]
    assert report["problems"] == []


def test_check_explains_then_refuses(camera: Path, tmp_path: Path):
    run("split", camera, "-o", tmp_path / "data")
    (tmp_path / "data/trainA/[red]broken.jpg").write_bytes(b"no image")
    result = run("check", tmp_path / "data", "--crop", 90)
    assert isinstance(result.exception, DataError)
    assert "and 2 more" in str(result.exception)
    assert "[red]broken.jpg" in str(result.exception)
    assert "[red]broken.jpg" in result.output
    assert "smaller than the crop of 90 px" in result.output


def test_check_of_nothing(tmp_path: Path):
    assert isinstance(run("check", tmp_path / "none").exception, DataError)
    assert isinstance(run("check", tmp_path).exception, DataError)
