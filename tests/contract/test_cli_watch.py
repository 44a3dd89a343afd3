"""`blur2blur deblur --watch`: what comes is deblurred once, whatever happens around it."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from blur2blur import networks, tensors
from blur2blur.cli import main
from blur2blur.errors import ConfigError
from blur2blur.inference import watching
from blur2blur.inference.planning import Wanted
from blur2blur.weights import checkpoints, headers, tracing
from conftest import crops

PATIENCE_SECONDS = 120


@pytest.fixture
def place(tmp_path: Path) -> Path:
    network = networks.build("resnet", base_channels=4, blocks=1)
    header = headers.Header(
        role="deblurrer", network="resnet", options=network.options.model_dump()
    )
    checkpoints.save_network(tmp_path / "tiny.safetensors", network, header)
    tracing.attach_graph(tmp_path / "tiny.safetensors")
    for index, crop in enumerate(crops("coffee", 4, 48)):
        tensors.write_rgb(tmp_path / f"{index}.png", crop)
    (tmp_path / "in/deep").mkdir(parents=True)
    return tmp_path


class Watching:
    """The command in a process of its own."""

    def __init__(self, place: Path) -> None:
        words = [
            sys.executable, "-c", "from blur2blur.cli.main import main; main()", "deblur",
            str(place / "in"), "-o", str(place / "in/out"), "--watch", "--deblurrer",
            str(place / "tiny.safetensors"),
        ]  # fmt: skip
        self.log = (place / "log").open("a+")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT)

    def told(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def until(self, there: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not there():
            assert time.monotonic() < end, self.told()
            assert self.process.poll() is None, self.told()
            time.sleep(0.1)

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_SECONDS)
        self.log.close()
        return code


def test_what_comes_is_deblurred_once_and_a_restart_goes_on(place: Path):
    incoming, out = place / "in", place / "in/out"
    shutil.copy(place / "0.png", incoming / "before.png")
    watching = Watching(place)
    watching.until((out / "before.png").is_file)
    with (incoming / "slow.png").open("wb") as file:  # written in two parts
        content = (place / "1.png").read_bytes()
        file.write(content[:500])
        file.flush()
        shutil.copy(place / "2.png", incoming / "deep/.hidden.png")
        (incoming / "deep/.hidden.png").rename(incoming / "deep/renamed.png")
        (incoming / "bad.png").write_bytes(b"no image")
        shutil.copy(place / "2.png", incoming / "gone.png")
        (incoming / "gone.png").unlink()
        file.write(content[500:])
    watching.until(lambda: "bad.png" in watching.told())
    watching.until((out / "slow.png").is_file)
    watching.until((out / "deep/renamed.png").is_file)
    assert watching.stop(signal.SIGTERM) == 0
    shutil.copy(place / "3.png", incoming / "meanwhile.png")
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    watching = Watching(place)
    watching.until((out / "meanwhile.png").is_file)
    assert watching.stop(signal.SIGKILL) == -signal.SIGKILL
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert {path.name for path in out.rglob("*.png")} == {
        "before.png", "slow.png", "renamed.png", "meanwhile.png"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["photo.png", "missing", "out"])
def test_only_folders_are_watched(tmp_path: Path, name: str):
    (tmp_path / "photo.png").touch()
    (tmp_path / "out").mkdir()
    words = ["deblur", str(tmp_path / name), "-o", str(tmp_path / "out"), "--watch"]
    result = CliRunner().invoke(main.app, words)
    assert isinstance(result.exception, ConfigError)
    assert "--watch takes folders" in str(result.exception)


@pytest.mark.parametrize("everything", [[], ["--all"]])
def test_all_takes_results_of_earlier_runs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everything: list[str]
):
    asked = list[Wanted]()
    monkeypatch.setattr(watching, "deblur", lambda *words, tell: asked.append(words[3]))
    words = ["deblur", str(tmp_path), "-o", str(tmp_path / "out"), "--watch", *everything]
    assert CliRunner().invoke(main.app, words).exit_code == 0
    (wanted,) = asked
    assert (wanted.results, wanted.leave_sharp) == (bool(everything), not everything)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "one.png", "--skip-existing"], "--skip-existing needs an output folder"),
        (["-o", "out", "--ray", "local", "--skip-existing"], "leave out --skip-existing"),
        (["-o", "out", "--ray", "local", "--live-photo-clips"], "--live-photo-clips"),
        (["-o", "out", "--ray", "local", "--crf", "20"], "--codec and --crf"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 40)).save("photo.png")
    result = CliRunner().invoke(main.app, ["deblur", "photo.png", *options])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert [each.name for each in tmp_path.iterdir()] == ["photo.png"]
