"""What the verbs do, as functions: what they return and tell while they work."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import blur2blur
from blur2blur import Pipeline, api, showing
from blur2blur.errors import ConfigError
from blur2blur.weights import zoo
from conftest import SMALL_CAMERA


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sharp photographs of 128 px, and a file that is none."""
    folder = tmp_path_factory.mktemp("photographs")
    whole = Image.fromarray(skimage.data.astronaut())
    for index in range(4):
        whole.crop((100 * index, 0, 100 * index + 128, 128)).save(folder / f"{index}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def test_a_folder_is_deblurred_as_the_command_does_it(photographs: Path, tmp_path: Path):
    told: list[tuple[str, int, int | None]] = []
    done = blur2blur.deblur_folder(
        photographs,
        tmp_path / "out",
        everything=True,
        on_progress=lambda *each: told.append(each),
    )
    assert [path.name for path in done.photographs] == ["0.png", "1.png", "2.png", "3.png"]
    assert [type(error).__name__ for error in done.failures] == ["InputError"]
    assert ("photographs", 0, 5) in told
    assert any(what == "0.png" for what, _, _ in told)
    alone = np.asarray(Pipeline()(photographs / "0.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(done.photographs[0])), alone)


def test_what_was_learned_is_tried_on_some_of_the_own_photographs(tmp_path: Path):
    """At most eight, here of those that have names of their own, with the weights of the run."""
    shutil.copy(zoo.resolve("generic", role="converter"), tmp_path / "best.safetensors")
    whole = Image.fromarray(skimage.data.astronaut())
    for index in range(18):
        path = tmp_path / "data" / "trainA" / str(index % 2) / f"{index // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.crop((20 * index, 0, 20 * index + 64, 64)).save(path)
    page = api.try_on_own_photographs(tmp_path / "data", tmp_path)
    assert page == tmp_path / "own_photographs" / "report.html"
    assert len(list(page.parent.rglob("*.png"))) == 5  # every second of nine
    assert page.read_text(encoding="utf-8").count("<figure") == 5


def test_bars_take_what_functions_tell(photographs: Path, tmp_path: Path):
    with blur2blur.progress_bars("photographs") as on_progress:
        done = blur2blur.deblur_folder(
            photographs / "0.png", tmp_path / "out", everything=True, on_progress=on_progress
        )
    assert len(done.photographs) == 1


def test_networks_are_loaded_when_the_inputs_have_been_found(tmp_path: Path):
    def never() -> Pipeline:
        raise AssertionError("loaded")

    with pytest.raises(blur2blur.InputError, match="no file or folder"):
        blur2blur.deblur_folder(tmp_path / "nothing", tmp_path / "out", pipeline=never)


def test_photographs_are_dealt_out(photographs: Path, tmp_path: Path):
    dealt = blur2blur.split(photographs, tmp_path / "camera", blurry_share=0.5)
    assert len(dealt.on("trainA")) == len(dealt.on("trainB")) == 2
    assert len(list((tmp_path / "camera/trainA").iterdir())) == 2


def test_pairs_are_simulated_and_what_is_no_photograph_is_told(photographs: Path, tmp_path: Path):
    done = blur2blur.simulate(photographs, tmp_path / "pairs", camera=SMALL_CAMERA)
    assert (done.made, done.there) == (4, 0)
    assert ["broken.png" in str(error) for error in done.failures] == [True]
    names = {path.stem for path in (tmp_path / "pairs/blurry").iterdir()}
    assert names == {path.stem for path in (tmp_path / "pairs/sharp").iterdir()}
    assert len(names) == 4


def test_a_task_that_there_is_not_is_one_line(tmp_path: Path):
    with pytest.raises(ConfigError, match="no training 'convertor'; did you mean 'converter'"):
        blur2blur.train("convertor", tmp_path, tmp_path / "run")


def test_without_a_terminal_lines_tell_how_many_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(showing, "LINE_EVERY_S", 0)
    with blur2blur.progress_bars("photographs") as on_progress:
        on_progress("photographs", 3, 15)
        on_progress("a.jpg", 1, 4)
    assert capsys.readouterr().err.splitlines() == [
        "photographs: 3 of 15", "photographs: 3 of 15, a.jpg: 1 of 4"
    ]  # fmt: skip
