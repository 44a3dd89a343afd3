"""`blur2blur blur synth`: files, resuming, bad input."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from typer.testing import CliRunner, Result

from blur2blur import images, tensors
from blur2blur.blur import load_camera
from blur2blur.blur.pairs import synth
from blur2blur.blur.pairs.plans import Planned
from blur2blur.cli.blur import app
from blur2blur.errors import ConfigError, DataError, InputError
from conftest import SMALL_CAMERA


def _run(*arguments: object, catch: bool = False) -> Result:
    texts: Sequence[str] = [str(argument) for argument in ("synth", *arguments)]
    return CliRunner().invoke(app, texts, catch_exceptions=catch)


def _contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    picture = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1) / 255
    (folder / "trip").mkdir(parents=True)
    tensors.write_rgb(folder / "a.png", picture[:, 100:140, 200:250])
    tensors.write_rgb(folder / "trip" / "b.jpg", picture[:, 200:237, 200:231])
    return folder


def test_pairs_kernels_and_record(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    result = _run(photos, "-o", out, "--camera", SMALL_CAMERA, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "2 pairs made" in result.stdout
    assert sorted(_contents(out)) == [
        "blurry/a.png",
        "blurry/trip_b.png",
        "kernels/a.npz",
        "kernels/a.png",
        "kernels/trip_b.npz",
        "kernels/trip_b.png",
        "sharp/a.png",
        "sharp/trip_b.png",
        "synth.json",
    ]
    record = json.loads((out / "synth.json").read_text())
    assert record["seed"] == 3
    assert record["camera"] == load_camera(SMALL_CAMERA).model_dump(mode="json")
    assert record["version"]
    sharp, blurry = (tensors.read_rgb(out / f / "a.png") for f in ("sharp", "blurry"))
    torch.testing.assert_close(sharp, tensors.read_rgb(photos / "a.png"))
    kernel = np.load(out / "kernels" / "a.npz")["kernels"]
    assert kernel.shape[:2] == (1, 1)
    blurred = synth.Camera(load_camera(SMALL_CAMERA))
    rng = torch.Generator().manual_seed(_pair(photos, out, "a").seed)
    expected = blurred.blur(sharp[None], rng)[0]
    torch.testing.assert_close(blurry, expected, atol=0.51 / 255, rtol=0)


def _pair(photos: Path, out: Path, name: str) -> Planned:
    pairs = synth.plan(photos, out, load_camera(SMALL_CAMERA), 3, 1)
    return next(pair for pair in pairs if pair.name == name)


def test_same_seed_same_bytes_other_seed_other_bytes(photos: Path, tmp_path: Path):
    for out, seed in (("one", 0), ("two", 0), ("three", 1)):
        _run(photos, "-o", tmp_path / out, "--camera", "dusk", "--seed", seed)
    one, two, three = (_contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert all(one[name] != three[name] for name in one)


def test_count_per_image_and_spatially_varying_kernels(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    result = _run(photos, "-o", out, "--camera", "roll", "--count-per-image", 2)
    assert result.exit_code == 0
    names = sorted(path.name for path in (out / "blurry").iterdir())
    assert names == ["a_0.png", "a_1.png", "trip_b_0.png", "trip_b_1.png"]
    kernels = [np.load(out / "kernels" / f"a_{number}.npz")["kernels"] for number in (0, 1)]
    assert all(kernel.shape[:2] == (5, 5) for kernel in kernels)
    assert not np.array_equal(*kernels)


def test_same_command_resumes_and_is_the_uninterrupted_run(photos: Path, tmp_path: Path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for out in (whole, resumed):
        _run(photos, "-o", out)
    for lost in ("blurry/a.png", "kernels/trip_b.npz"):
        (resumed / lost).unlink()
    kept = (resumed / "sharp" / "a.png").stat().st_mtime_ns
    again = _run(photos, "-o", resumed)
    assert "2 pairs made" in again.stdout
    assert _contents(resumed) == _contents(whole)
    assert (resumed / "sharp" / "a.png").stat().st_mtime_ns > kept
    done = _run(photos, "-o", resumed)
    assert done.exit_code == 0
    assert "0 pairs made, 2 were there" in done.stdout


def test_other_settings_in_the_same_folder_are_refused(photos: Path, tmp_path: Path):
    _run(photos, "-o", tmp_path / "out")
    before = _contents(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"made with seed = 0, now it is 1"):
        _run(photos, "-o", tmp_path / "out", "--seed", 1)
    with pytest.raises(ConfigError, match=r"camera\.lens\.defocus_px"):
        _run(photos, "-o", tmp_path / "out", "--set", "lens.defocus_px=1")
    assert _contents(tmp_path / "out") == before


def test_one_bad_file_is_named_and_the_rest_is_done(photos: Path, tmp_path: Path):
    (photos / "bad.jpg").write_bytes(b"")
    (photos / "worse.png").write_bytes((photos / "a.png").read_bytes()[:900])
    result = _run(photos, "-o", tmp_path / "out", "--count-per-image", 2)
    assert result.exit_code == 1
    assert result.stderr.count("bad.jpg") == 1
    assert result.stderr.count("worse.png") == 1
    assert "4 pairs made" in result.stdout
    assert len(list((tmp_path / "out" / "blurry").iterdir())) == 4


def test_photographs_that_differ_in_the_suffix_alone_keep_both(photos: Path, tmp_path: Path):
    tensors.write_rgb(photos / "a.jpg", tensors.read_rgb(photos / "a.png"))
    _run(photos, "-o", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "sharp").iterdir())
    assert names == ["a_jpg.png", "a_png.png", "trip_b.png"]
    tensors.write_rgb(photos / "trip_b.jpg", tensors.read_rgb(photos / "a.png"))
    with pytest.raises(DataError, match="rename one"):
        _run(photos, "-o", tmp_path / "other")


@pytest.mark.parametrize("name", ["known", "phone", "dashcam"])
def test_one_pixel_is_a_photograph(name: str, tmp_path: Path):
    tensors.write_rgb(tmp_path / "dot" / "dot.png", torch.full((3, 1, 1), 0.5))
    result = _run(tmp_path / "dot", "-o", tmp_path / "out", "--camera", name)
    assert result.exit_code == 0
    assert images.read_size(tmp_path / "out" / "blurry" / "dot.png") == (1, 1)


def test_wrong_folders_are_refused(photos: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no folder"):
        _run(tmp_path / "nowhere", "-o", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photographs"):
        _run(tmp_path / "empty", "-o", tmp_path / "out")
    for inside in (photos, photos / "out"):
        with pytest.raises(InputError, match="become its photographs"):
            _run(photos, "-o", inside)
    photos.rename(tmp_path / "sharp")
    with pytest.raises(InputError, match="results would go into"):
        _run(tmp_path / "sharp", "-o", tmp_path)
    assert not (tmp_path / "out").exists()


def test_foreign_files_and_a_damaged_record_are_not_overwritten(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    tensors.write_rgb(out / "sharp" / "mine.png", torch.zeros(3, 2, 2))
    with pytest.raises(ConfigError, match=r"has no synth\.json"):
        _run(photos, "-o", out)
    (out / "synth.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        _run(photos, "-o", out)


def test_a_full_disk_leaves_nothing_half_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    _run(photos, "-o", out)
    (out / "kernels" / "a.npz").unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match="disk is full"):
        _run(photos, "-o", out)
    assert not list((out / "kernels").glob("*a*.npz"))
    assert not list((out / "kernels").glob(".*"))
