"""Which weights a run folder, or a camera's name, stands for."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from blur2blur.errors import CheckpointError
from blur2blur.training import run_folder
from blur2blur.weights import packing, verdict, zoo
from blur2blur.weights.headers import HEADER_KEY, Header
from blur2blur.weights.verdict import BEST, LAST, Verdict


def make(run: Path, *names: str, kept: str | None = None, shipped: str = "generic") -> Path:
    run.mkdir(parents=True)
    for name in names:
        (run / name).write_text(name)
    if kept is not None:
        scores = {
            f"{whose}_{score}": 1.0
            for whose in ("shipped", "own")
            for score in ("psnr_db", "distance", "blur_px")
        }
        told = Verdict(shipped=shipped, photographs=3, held_out=True, kept=kept, **scores)
        verdict.write(run, told)
    return run


def trained_through(path: Path, deblurrer: object) -> None:
    """Write a converter without numbers, whose header names its deblurrer."""
    header = Header(role="converter", network="mimo_unet", settings={"deblurrer": deblurrer})
    save_file({}, path, {HEADER_KEY: header.model_dump_json()})


@pytest.mark.parametrize(
    ("names", "kept", "expected"),
    [
        ([BEST, LAST], None, BEST),
        ([LAST], None, LAST),
        ([BEST, LAST], LAST, LAST),
        ([BEST, LAST], BEST, BEST),
    ],
)
def test_a_run_folder_stands_for_its_better_weights(names, kept, expected, tmp_path):
    run = make(tmp_path / "run", *names, kept=kept)
    assert zoo.resolve(str(run), role="converter") == run / expected


def test_what_ships_is_used_where_a_camera_did_not_gain(tmp_path):
    run = make(tmp_path / "run", BEST, LAST, kept="generic")
    shipped = zoo.resolve("generic", role="converter")
    assert zoo.resolve(str(run), role="converter") == shipped
    told = verdict.read(run)
    assert told is not None
    assert not told.helped
    assert "shipped is kept" in told.sentences(run)[-1]


def test_a_run_that_did_not_gain_over_no_converter_stands_for_none(tmp_path, other_deblurrer):
    run = make(tmp_path / "run", BEST, LAST, kept="none", shipped="none")
    assert zoo.pair(zoo.DEFAULT, run) == (zoo.DEFAULT_DEBLURRER, None)
    assert zoo.pair(other_deblurrer, str(run)) == (other_deblurrer, None)
    # the deblurrer that the run looked through is used, whether its converter won or not
    trained_through(run / LAST, other_deblurrer)
    assert zoo.pair(zoo.DEFAULT, run) == (other_deblurrer, None)
    gained = make(tmp_path / "gained", LAST, kept=LAST, shipped="none")
    shutil.copy(run / LAST, gained / LAST)
    assert zoo.pair(zoo.DEFAULT, gained) == (other_deblurrer, gained)


def test_a_header_that_names_no_deblurrer_means_the_one_that_ships(tmp_path, other_deblurrer):
    run = make(tmp_path / "run", LAST)
    for named in ([other_deblurrer], "", None):
        trained_through(run / LAST, named)
        assert zoo.pair(zoo.DEFAULT, run) == (zoo.DEFAULT_DEBLURRER, run)


def test_a_deblurrer_of_somebody_else_is_brought_along(tmp_path):
    file = tmp_path / "bought.safetensors"
    run = make(tmp_path / "run", LAST, kept="generic")
    trained_through(run / LAST, str(file))
    with pytest.raises(CheckpointError, match=r"bought\.safetensors, which is not here"):
        zoo.pair(zoo.DEFAULT, run)
    assert zoo.pair("known-blur", run) == ("known-blur", run)
    file.touch()
    # also where the converter that ships won: both were compared through it
    assert zoo.pair(zoo.DEFAULT, run) == (str(file), run)
    assert zoo.pair(zoo.DEFAULT, run / LAST) == (str(file), run / LAST)
    trained_through(run / LAST, "nafnet-gopro-32")
    assert zoo.pair(zoo.DEFAULT, run) == ("nafnet-gopro-32", run)


def test_what_strangers_pack_names_no_file_of_this_machine(tmp_path):
    file = tmp_path / "own.safetensors"
    file.touch()
    run = make(tmp_path / "run", LAST)
    trained_through(run / LAST, str(file))
    packed = tmp_path / "camera.b2b"
    packing.pack(run / LAST, packed, licence="unknown", sample=False)
    with pytest.raises(CheckpointError, match="which is not here"):
        zoo.pair(zoo.DEFAULT, packed)


def test_what_is_shared_of_a_run_is_what_deblur_takes(tmp_path, other_deblurrer):
    run = make(tmp_path / "run", BEST, kept=LAST)
    trained_through(run / LAST, other_deblurrer)
    packing.pack(run, tmp_path / "camera.b2b", licence="unknown", sample=False)
    packed = zoo.resolve(str(tmp_path / "camera.b2b"), role="converter")
    assert packed.read_bytes() == (run / LAST).read_bytes()
    lost = make(tmp_path / "lost", BEST, LAST, kept="generic")
    with pytest.raises(CheckpointError, match="not better than generic"):
        packing.pack(lost, tmp_path / "lost.b2b", licence="unknown", sample=False)
    assert not (tmp_path / "lost.b2b").exists()


def test_a_cameras_name_stands_for_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("BLUR2BLUR_CAMERAS", str(tmp_path))
    run = make(tmp_path / "my phone" / "run", BEST, LAST, kept=LAST)
    assert zoo.resolve("my phone", role="converter") == run / LAST
    with pytest.raises(CheckpointError, match="neither a file"):
        zoo.resolve("my phone", role="deblurrer")


def test_empty_and_damaged_run_folders_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no weights"):
        zoo.resolve(str(make(tmp_path / "empty")), role="converter")
    run = make(tmp_path / "damaged", BEST)
    (run / verdict.VERDICT).write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        zoo.resolve(str(run), role="converter")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "own camera is better and kept"),
        ({"own_psnr_db": 25.04}, "shipped is kept: own camera gains less than 0.05 dB"),
        ({"own_distance": 0.45}, "shipped is kept: own camera blurs otherwise"),
        ({"own_blur_px": 3.2}, "shipped is kept: own camera leaves more blur"),
    ],
)
def test_it_is_told_why(changes, told, tmp_path):
    found = Verdict(
        shipped="generic", shipped_psnr_db=25.0, own_psnr_db=25.1, photographs=9, held_out=True,
        shipped_distance=0.4, own_distance=0.4, shipped_blur_px=3.0, own_blur_px=3.0,
        kept="generic" if changes else LAST,
    ).model_copy(update=changes)  # fmt: skip
    assert found.sentences(tmp_path)[-1].startswith(told)


def test_a_run_that_goes_on_has_no_verdict_yet(tmp_path):
    run = make(tmp_path / "run", BEST, LAST, kept=LAST)
    run_folder.create(run, {"settings": {"run": {"steps": 3}}})
    assert verdict.read(run) is None
