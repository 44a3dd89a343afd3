"""`blur2blur deblur` of a photographer's folder: every file told, nothing made worse."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from click.testing import Result
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from blur2blur import Pipeline, images
from blur2blur.cli import main
from blur2blur.images.listing import MANIFEST

SHARP = Image.fromarray(skimage.data.rocket()[100:260, 100:260])
BLURRED = SHARP.filter(ImageFilter.BoxBlur(3))


@pytest.fixture
def roll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one sharp and two blurred photographs, one of them a Live Photo, and others."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "roll"
    (folder / "day").mkdir(parents=True)
    SHARP.save(folder / "sharp.png")
    BLURRED.save(folder / "blurred.jpg", quality=70)
    BLURRED.save(folder / "day/IMG_1.JPG", quality=70)
    (folder / "day/IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(64))
    (folder / "poster.psd").write_bytes(b"8BPS")
    (folder / "again").symlink_to(folder / "day")
    return folder


def deblur(*words: str | Path) -> Result:
    return CliRunner().invoke(main.app, ["deblur", *map(str, words), "--device", "cpu"])


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*.*")}


def test_every_file_is_told_and_a_sharp_one_is_left(roll: Path):
    told = lines(deblur("roll", "-o", "out"))
    assert told[0] == "2 of 3 photographs deblurred into out"
    assert sorted(told[1:]) == [
        "not deblurred: 1 already sharp, left as they are (--all deblurs them), "
        "first roll/sharp.png",
        "skipped: 1 .psd is not read, first roll/poster.psd",
        "skipped: 1 clip of a Live Photo (--live-photo-clips deblurs it too), "
        "first roll/day/IMG_1.MOV",
        "skipped: 1 link to a folder that is searched already, first roll/again",
    ]
    assert written(Path("out")) == {"sharp.png", "blurred.jpg", "day/IMG_1.JPG"}
    assert Path("out/sharp.png").read_bytes() == (roll / "sharp.png").read_bytes()
    before, after = ((root / "blurred.jpg").stat().st_size for root in (roll, Path("out")))
    assert after < 1.5 * before + 1000  # and what its metadata says of how it was made


def test_a_sharp_file_alone_is_left_unless_all_is_asked(roll: Path):
    assert "already sharp" in deblur("roll/sharp.png", "-o", "one.bmp").stdout
    np.testing.assert_array_equal(
        images.read_rgb(Path("one.bmp")), images.read_rgb(roll / "sharp.png")
    )
    assert lines(deblur("roll/sharp.png", "-o", "two.png", "--all")) == [
        "1 of 1 photographs deblurred into two.png"
    ]
    expected = Pipeline(device="cpu")(images.read_rgb(roll / "sharp.png"))
    np.testing.assert_allclose(images.read_rgb(Path("two.png")), expected, atol=0.51 / 255)


def test_a_folder_goes_on_where_it_stopped(roll: Path):
    deblur("roll", "-o", "out")
    (Path("out") / "blurred.jpg").unlink()
    BLURRED.rotate(180).save(roll / "day/IMG_1.JPG", quality=70)
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.*")}
    told = lines(deblur("roll", "-o", "out", "--skip-existing"))
    assert told[0] == "2 of 2 photographs deblurred into out"
    assert "not deblurred: 1 done before, first roll/sharp.png" in told
    assert "done again: 1 result is gone, first roll/blurred.jpg" in told
    assert "done again: 1 source has changed, first roll/day/IMG_1.JPG" in told
    assert Path("out/sharp.png").stat().st_mtime_ns == times[Path("out/sharp.png")]
    told = lines(deblur("roll", "-o", "out", "--skip-existing"))
    assert told[0] == "not deblurred: 3 done before, first roll/blurred.jpg"
    told = lines(deblur("roll", "-o", "out", "--skip-existing", "--strength", "0.5"))
    assert "done again: 3 other weights or settings, first roll/blurred.jpg" in told


def test_results_beside_their_photographs_are_not_deblurred_again(roll: Path):
    deblur("roll", "-o", "roll", "--suffix", "_new")
    made = {"blurred_new.jpg", "day/IMG_1_new.JPG"}
    before = {"sharp.png", "blurred.jpg", "day/IMG_1.JPG", "day/IMG_1.MOV", "poster.psd"}
    assert written(roll) == before | made
    told = lines(deblur("roll", "-o", "out"))
    assert "skipped: 2 result of an earlier run (--all deblurs it again), first" in "\n".join(told)
    assert written(Path("out")) == {"sharp.png", "blurred.jpg", "day/IMG_1.JPG"}


def test_formats(roll: Path):
    deblur("roll", "-o", "out", "--format", "webp", "--quality", "30")
    assert written(Path("out")) == {"sharp.png", "blurred.jpg.webp", "day/IMG_1.JPG.webp"}
    with Image.open("out/blurred.jpg.webp") as image:
        assert (image.format, image.size) == ("WEBP", BLURRED.size)


def test_what_cannot_be_written_back_is_told(roll: Path):
    shutil.rmtree(roll)
    roll.mkdir()
    BLURRED.save(roll / "a.gif")
    told = lines(deblur("roll", "-o", "out"))
    assert told[1] == "written: 1 .gif as .png, first roll/a.gif"
    assert written(Path("out")) == {"a.gif.png"}


def test_names_do_not_steer_the_terminal(roll: Path):
    (roll / "\x1b[31mred\x07.jpg").write_bytes(b"no picture")
    (roll / "\x1b[31mred\x07.psd").write_bytes(b"")
    result = deblur("roll", "-o", "out")
    assert result.exit_code == 1
    assert "\\x1b[31mred\\x07.jpg" in result.stderr
    assert not {"\x1b", "\x07"} & set(result.output)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "blur2blur", *words], capture_output=True, text=True, check=False
    )


def test_the_module_is_the_command():
    done = run("--version")
    assert (done.returncode, done.stdout.startswith("blur2blur ")) == (0, True)
    done = run("deblur", "-o", "")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: '' is an empty argument")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_is_one_line_and_leaves_whole_files(roll: Path):
    for number in range(20):
        shutil.copy(roll / "blurred.jpg", roll / f"{number}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-m", "blur2blur", "deblur", "roll", "-o", "out", "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(Path("out").glob("*.jpg")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.splitlines()[-1]) == (130, "", "stopped")
    assert "Traceback" not in err
    noted = (Path("out") / MANIFEST).read_text().count('"planned"')
    files = [path for path in Path("out").rglob("*.*") if path.name != MANIFEST]
    assert noted == len(files) > 0
    for path in files:
        images.read_rgb(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_end_is_no_traceback(number: signal.Signals):
    # libraries take themselves down when the interpreter ends, which may take a while
    slow = "atexit.register(lambda: (print('leaving', flush=True), time.sleep(1)))"
    code = f"import atexit, time; {slow}; from blur2blur.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "models", "list"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while process.stdout.readline() != "leaving\n":
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_the_page_the_tag_and_dates_are_made_as_asked(tmp_path: Path):
    (tmp_path / "in").mkdir()
    source = tmp_path / "in/blurred.jpg"
    BLURRED.save(source, quality=70)
    os.utime(source, (1e9, 1e9))
    for name, options in (("plain", []), ("asked", ["--report", "--no-tag", "--keep-dates"])):
        words = ["deblur", str(tmp_path / "in"), "-o", str(tmp_path / name), "--all", *options]
        assert CliRunner().invoke(main.app, words).exit_code == 0
    plain, asked = tmp_path / "plain/blurred.jpg", tmp_path / "asked/blurred.jpg"
    assert b"known-blur.safetensors" in plain.read_bytes()
    assert b"known-blur.safetensors" not in asked.read_bytes()
    assert (plain.stat().st_mtime == 1e9, asked.stat().st_mtime == 1e9) == (False, True)
    page = (tmp_path / "asked/report.html").read_text()
    assert "blurred.jpg" in page
    assert "px of blur" in page
    assert not (tmp_path / "plain/report.html").exists()
