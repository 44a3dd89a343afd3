"""Which photographs are taken and where they go, decided before anything is processed."""

from pathlib import Path

import pytest

from blur2blur.errors import InputError
from blur2blur.inference import planning
from blur2blur.inference.planning import Wanted


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _plan(root: Path, *inputs: str, out: str = "out", **options: bool) -> dict[str, str]:
    """Return {output: source}, both relative to `root`."""
    wanted = Wanted(**options)
    jobs = planning.plan([str(root / text) for text in inputs], root / out, wanted).photographs
    return {
        job.output.relative_to(root / out).as_posix(): job.source.relative_to(root).as_posix()
        for job in jobs
    }


def test_folder_keeps_its_structure(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg", "in/a/x.jpg", "in/a/b/x.PNG", "in/notes.txt", "in/.hidden.jpg")
    assert _plan(tmp_path, "in") == {
        "x.jpg": "in/x.jpg",
        "a/x.jpg": "in/a/x.jpg",
        "a/b/x.PNG": "in/a/b/x.PNG",
    }


def test_file_keeps_its_name(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a/x.jpg", "in/y.tif")
    assert _plan(tmp_path, "in/a/x.jpg", "in/y.tif") == {"x.jpg": "in/a/x.jpg", "y.tif": "in/y.tif"}


def test_one_photograph_may_be_given_a_name(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg", "in/y.jpg")
    wanted = Wanted(save_converted=True)
    jobs = planning.plan([str(tmp_path / "in/x.jpg")], tmp_path / "z.png", wanted).photographs
    assert [(job.output, job.converted) for job in jobs] == [
        (tmp_path / "z.png", tmp_path / "converted/z.png")
    ]
    for inputs in (["in/x.jpg", "in/y.jpg"], ["in"], ["in/*.jpg"]):
        with pytest.raises(InputError, match=r"z\.png is the name of a photograph"):
            _plan(tmp_path, *inputs, out="z.png")
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        _plan(tmp_path, "in/x.jpg", out="in/x.jpg")
    _touch(tmp_path, "folder.jpg/keep")
    assert _plan(tmp_path, "in/x.jpg", out="folder.jpg") == {"x.jpg": "in/x.jpg"}


@pytest.mark.parametrize(
    ("pattern", "outputs"),
    [
        ("in/*.jpg", {"x.jpg", "y.jpg"}),
        ("in/*", {"x.jpg", "y.jpg"}),
        ("in/[x].*", {"x.jpg"}),
        ("in/**/*.jpg", {"x.jpg", "y.jpg", "a/x.jpg"}),
        ("*/a/x.jpg", {"in/a/x.jpg"}),
    ],
)
def test_globs(tmp_path: Path, pattern: str, outputs: set[str]) -> None:
    _touch(tmp_path, "in/x.jpg", "in/y.jpg", "in/a/x.jpg", "in/notes.txt", "in/.hidden.jpg")
    assert set(_plan(tmp_path, pattern)) == outputs


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x[1].jpg")
    assert _plan(tmp_path, "in/x[1].jpg") == {"x[1].jpg": "in/x[1].jpg"}


def test_the_same_photograph_twice_is_done_once(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg")
    assert _plan(tmp_path, "in/x.jpg", "in", "in/*.jpg") == {"x.jpg": "in/x.jpg"}


def test_outputs_inside_the_input_folder_are_no_inputs(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg", "in/out/x.jpg", "in/out/converted/x.jpg")
    for inputs in ("in", "in/**/*.jpg"):
        assert _plan(tmp_path, inputs, out="in/out", overwrite=True) == {"x.jpg": "in/x.jpg"}


def test_output_may_be_above_the_input(tmp_path: Path) -> None:
    _touch(tmp_path, "in/trip/x.jpg")
    assert _plan(tmp_path, "in/trip", out="in") == {"x.jpg": "in/trip/x.jpg"}


def _refused(root: Path, *inputs: str, out: str = "out", **options: bool) -> str:
    with pytest.raises(InputError) as caught:
        _plan(root, *inputs, out=out, **options)
    return str(caught.value)


def test_two_inputs_for_one_output_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x.jpg", "b/x.jpg")
    message = _refused(tmp_path, "a", "b")
    assert str(tmp_path / "a/x.jpg") in message
    assert str(tmp_path / "b/x.jpg") in message
    assert "x.jpg" in _refused(tmp_path, "a/x.jpg", "b/x.jpg")


def test_converted_images_count_as_outputs(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg", "in/converted/x.jpg")
    assert len(_plan(tmp_path, "in")) == 2
    assert "would both be written to" in _refused(tmp_path, "in", save_converted=True)


@pytest.mark.parametrize("text", ["in", "in/", "in/../in"])
def test_output_folder_equal_to_the_input_folder_is_refused(tmp_path: Path, text: str) -> None:
    _touch(tmp_path, "in/x.jpg")
    assert "would be overwritten; choose another folder, or a --suffix" in _refused(
        tmp_path, text, out="in"
    )


def test_an_output_over_an_input_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg", "in/out/x.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert "would be overwritten" in _refused(tmp_path, "in/x.jpg", out="in")
    assert "would be overwritten" in _refused(tmp_path, "in/*.jpg", out="in")
    assert "would be overwritten" in _refused(tmp_path, "in/x.jpg", out="link")


def test_nothing_found_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "in/notes.txt", "file")
    assert "no images in" in _refused(tmp_path, "in")
    assert "no images in" in _refused(tmp_path, "in/*.jpg")
    assert "no images in" in _refused(tmp_path, "nowhere/*.jpg")
    assert "no file or folder" in _refused(tmp_path, "missing.jpg")


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "in/x.jpg", "file")
    assert "is a file; choose another" in _refused(tmp_path, "in", out="file")
