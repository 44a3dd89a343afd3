"""`blur2blur deblur` with clips: one into a file, several among photographs into a folder."""

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from blur2blur import networks
from blur2blur.cli import main
from blur2blur.errors import ConfigError, InputError
from blur2blur.inference.video import clips
from blur2blur.weights import checkpoints, headers

pytest.importorskip("av")
made_clips = pytest.importorskip("made_clips")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deblurrer that changes nothing yet."""
    path = tmp_path_factory.mktemp("weights") / "deblurrer.safetensors"
    network = networks.build("mimo_unet", base_channels=4, blocks=1)
    options = network.options.model_dump()
    header = headers.Header(role="deblurrer", network="mimo_unet", options=options)
    checkpoints.save_network(path, network, header)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_clips.make(tmp_path_factory.mktemp("clips") / "clip.mp4", sound="aac")


def _deblur(weights: Path, *arguments: str | Path) -> Result:
    fixed = ["--deblurrer", str(weights), "--device", "cpu"]
    return CliRunner().invoke(main.app, ["deblur", *map(str, arguments), *fixed])


def _refused(
    kind: type[Exception], weights: Path, *arguments: str | Path, writes: Path | None = None
) -> str:
    result = _deblur(weights, *arguments)
    assert isinstance(result.exception, kind), result.output
    assert writes is None or not writes.exists()
    return str(result.exception)


def test_one_clip_into_a_file(tmp_path: Path, weights: Path, clip: Path):
    result = _deblur(weights, clip, "-o", tmp_path / "new" / "out.mkv", "--codec", "ffv1")
    assert result.exit_code == 0, result.output
    assert "1 of 1 clips deblurred to" in result.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.mkv"]
    assert len(made_clips.decoded(tmp_path / "new" / "out.mkv")) == made_clips.FRAMES


def test_clips_among_photographs_keep_their_places(tmp_path: Path, weights: Path, clip: Path):
    source = tmp_path / "in"
    (source / "trip").mkdir(parents=True)
    shutil.copy(clip, source / "trip" / "clip.mp4")
    made_clips.make(source / "old.avi", codec="mpeg4", time_base=1 / made_clips.Fraction(30),
               times=range(made_clips.FRAMES))  # fmt: skip
    Image.fromarray(made_clips.scenes()[0]).save(source / "photo.png")
    (source / "broken.mov").write_bytes(b"no clip")
    out = tmp_path / "out"
    result = _deblur(weights, source, "-o", out)
    assert result.exit_code == 1
    assert "1 of 1 photographs deblurred" in result.stdout
    assert "2 of 3 clips deblurred into" in result.stdout
    assert "broken.mov is no clip" in result.stderr
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert written == [".blur2blur.jsonl", "old.avi.mkv", "photo.png", "trip/clip.mp4"]


def test_a_glob_of_clips_alone(tmp_path: Path, weights: Path, clip: Path):
    shutil.copy(clip, tmp_path / "a.mp4")
    result = _deblur(weights, tmp_path / "*.mp4", "-o", tmp_path / "out", "--crf", "30")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["a.mp4"]


def test_mistakes_are_one_line_before_anything_is_done(tmp_path: Path, weights: Path, clip: Path):
    photo, out = tmp_path / "photo.png", tmp_path / "out.mp4"
    Image.fromarray(made_clips.scenes()[0]).save(photo)

    def refused(kind: type[Exception], *arguments: str | Path) -> str:
        return _refused(kind, weights, *arguments, writes=out)

    assert "choose one of .m4v .mkv" in refused(ConfigError, clip, "-o", tmp_path / "out.gif")
    assert "choose one of .m4v .mkv" in refused(ConfigError, clip, "-o", tmp_path / "out.avi")
    assert ".mp4 does not hold prores" in refused(ConfigError, clip, "-o", out, "--codec", "prores")
    assert "no codec 'x264'" in refused(ConfigError, clip, "-o", out, "--codec", "x264")
    assert "takes 0 (best) to 51" in refused(
        ConfigError, clip, "-o", out, "--codec", "hevc", "--crf", "52"
    )
    assert "takes no crf" in refused(
        ConfigError, clip, "-o", tmp_path / "out.mkv", "--codec", "ffv1", "--crf", "5"
    )
    assert "takes one clip as input" in refused(InputError, clip, photo, "-o", out)
    assert "takes one clip as input" in refused(InputError, photo, "-o", out)
    assert "takes one clip as input" in refused(InputError, tmp_path, "-o", out)
    assert "is an input and would be overwritten" in _refused(InputError, weights, clip, "-o", clip)
    assert "would be overwritten" in _refused(InputError, weights, clip, "-o", clip.parent)
    assert "not clips" in refused(
        ConfigError, clip, "-o", out, "--save-converted", "--converter", weights
    )


def test_clips_of_one_stem_get_names_of_their_own(tmp_path: Path, weights: Path, clip: Path):
    for name in ("a.avi", "a.mkv"):
        shutil.copy(clip, tmp_path / name)
    result = _deblur(weights, tmp_path / "a.avi", tmp_path / "a.mkv", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    written = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert written == ["a.avi.mkv", "a.mkv"]


def test_a_failing_clip_is_the_failure_of_its_command(tmp_path: Path, weights: Path):
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    message = _refused(
        InputError, weights, tmp_path / "broken.mp4", "-o", tmp_path / "out.mp4",
        writes=tmp_path / "out.mp4",
    )  # fmt: skip
    assert "is no clip" in message


def test_an_interruption_stops_and_leaves_nothing(
    tmp_path: Path, weights: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clips.colour, "add_change", stop)
    result = _deblur(weights, clip, "-o", tmp_path / "out" / "out.mp4")
    assert result.exit_code == 130
    assert list((tmp_path / "out").iterdir()) == []
