"""What `blur2blur data` prints and returns."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from blur2blur import showing
from blur2blur.cli import data
from blur2blur.cli.data import app
from blur2blur.errors import ConfigError, DataError, InputError


def save(path: Path, seed: int, blur_px: float = 0.4) -> None:
    blocks = np.random.default_rng(seed).integers(0, 256, (10, 12, 3)).astype(np.float32)
    pixels = np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (0, 0), blur_px))


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    for number in range(16):
        save(tmp_path / f"camera/{number}.jpg", number, blur_px=2.0 if number < 6 else 0.4)
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
    assert len(list((out / "trainB").iterdir())) == 10
    assert "done: 16 photographs, 6 to trainA and 10 to trainB" in result.output
    assert "16 photographs are few to tell that by" in result.output
    record = json.loads((out / "split.json").read_text())
    assert {file["side"] for file in record["files"]} == {"trainA", "trainB"}
    result = run("check", out, "--crop", 64)
    assert result.exit_code == 0, result.output
    for text in ("trainA", "unknown blurry", "96x80", "sharpness", "█", "fit for training"):
        assert text in result.output


def test_split_in_another_ratio_linked(camera: Path, tmp_path: Path):
    assert run("split", camera, "-o", tmp_path / "d", "--ratio", "1:1", "--link").exit_code == 0
    links = list((tmp_path / "d/trainA").iterdir())
    assert len(links) == 8
    assert all(path.is_symlink() for path in links)


def test_dry_run_writes_nothing(camera: Path, tmp_path: Path):
    result = run("split", camera, "-o", tmp_path / "data", "--dry-run")
    assert result.exit_code == 0
    assert sum(line.startswith("trainA\t") for line in result.output.splitlines()) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera"]


def test_of_many_photographs_the_share_of_each_kind_is_told(
    camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(data, "_TOLD_IN_PERCENT", 16)
    result = run("split", camera, "-o", tmp_path / "data", "--dry-run")
    assert "over 99% of trainA is blurry" in result.output


def test_one_bad_file_is_named_and_the_rest_is_done(camera: Path, tmp_path: Path):
    (camera / "bad.png").write_bytes(b"")
    result = run("split", camera, "-o", tmp_path / "data")
    assert result.exit_code == 1
    assert "bad.png is empty" in result.output
    assert len(list((tmp_path / "data").glob("train?/*.jpg"))) == 16


def test_every_file_is_accounted_for(camera: Path, tmp_path: Path):
    for name in ("a.PSD", "b.psd", ".hidden"):
        (camera / name).touch()
    (camera / "bad.png").touch()
    (camera / "loop").symlink_to(camera)
    result = run("split", camera, "-o", tmp_path / "data")
    lines = result.output.splitlines()[-5:]
    assert lines == [
        "done: 16 photographs, 6 to trainA and 10 to trainB",
        f"skipped: 2 .psd is not read, first {camera / 'a.PSD'}",
        f"skipped: 1 hidden, first {camera / '.hidden'}",
        f"skipped: 1 link to a folder that is searched already, first {camera / 'loop'}",
        f"failed: 1 cannot be read, first {camera / 'bad.png'}",
    ]
    (tmp_path / "data/trainA/bad.jpg").touch()
    result = run("check", tmp_path / "data", "--crop", 64)
    assert result.output.splitlines()[-3:] == [
        "done: 16 photographs read",
        f"skipped: 1 beside trainA to testB, first {tmp_path / 'data/split.json'}",
        f"failed: 1 cannot be read, first {tmp_path / 'data/trainA/bad.jpg'}",
    ]


def test_one_kind_alone_is_refused(tmp_path: Path):
    for number in range(16):
        save(tmp_path / f"camera/{number}.jpg", number)
    result = run("split", tmp_path / "camera", "-o", tmp_path / "data")
    assert isinstance(result.exception, DataError)
    assert "look sharp: add blurry photographs" in str(result.exception)
    assert not (tmp_path / "data").exists()


def test_names_do_not_steer_the_terminal(camera: Path, tmp_path: Path):
    (camera / "\x1b[31mred\n.jpg").touch()
    (camera / "\x1b[31mred.txt").touch()
    for arguments in (["-o", tmp_path / "data"], ["-o", tmp_path / "other", "--dry-run"]):
        result = run("split", camera, *arguments)
        assert "\x1b" not in result.output
        assert "\\x1b[31mred\\n.jpg" in result.output
        assert "\\x1b[31mred.txt" in result.output


def test_progress_in_lines_where_there_is_no_terminal(
    camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(showing, "LINE_EVERY_S", 0.0)
    result = run("split", camera, "-o", tmp_path / "data")
    assert {"listing: 16", "measuring: 1 of 16", "copying: 16 of 16"} <= set(
        result.stderr.splitlines()
    )


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
    assert [folder["files"] for folder in report["folders"]] == [6, 10]
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
