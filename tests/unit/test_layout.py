"""Which files belong together, and what is said about a folder that is not the layout."""

import subprocess
from pathlib import Path

import pytest

from blur2blur.data.folders import layout
from blur2blur.errors import DataError


def make(root: Path, *names: str) -> Path:
    """Touch files; the layout reads names, never pixels."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def relative(pairs: tuple[tuple[Path, Path], ...], root: Path) -> list[tuple[str, str]]:
    return [(str(a.relative_to(root)), str(b.relative_to(root))) for a, b in pairs]


def test_every_folder_under_its_name(tmp_path: Path):
    make(tmp_path, *(f"{name}/{name}.png" for name in layout.FOLDERS), "trainA/notes.txt")
    found = layout.find(tmp_path)
    for name in layout.FOLDERS:
        assert found.files(name) == (tmp_path / name / f"{name}.png",)
    assert found.unknown_blurry == found.files("trainA")
    assert found.test_sharp == found.files("testB")


def test_absent_folders_are_empty(tmp_path: Path):
    found = layout.find(make(tmp_path, "trainA/1.png"))
    assert found.known_blurry == found.test_sharp == ()


def test_pairs_by_path_in_the_folder(tmp_path: Path):
    make(tmp_path, "trainC/x/1.png", "trainC/2.png", "trainD/2.png", "trainD/x/1.png")
    pairs = layout.find(tmp_path).known_pairs()
    assert relative(pairs, tmp_path) == [
        ("trainC/2.png", "trainD/2.png"),
        ("trainC/x/1.png", "trainD/x/1.png"),
    ]


def test_pairs_by_stem_where_suffixes_differ(tmp_path: Path):
    make(tmp_path, "trainC/1.jpg", "trainC/2.v1.png", "trainD/1.png", "trainD/2.v1.tif")
    assert len(layout.find(tmp_path).known_pairs()) == 2


def test_equal_names_win_over_equal_stems(tmp_path: Path):
    make(tmp_path, "trainC/1.jpg", "trainC/1.png", "trainD/1.jpg", "trainD/1.png")
    pairs = layout.find(tmp_path).known_pairs()
    assert [a.name == b.name for a, b in pairs] == [True, True]


def test_partnerless_files_are_named(tmp_path: Path):
    lonely = [f"trainC/{number}.png" for number in range(5)]
    found = layout.find(make(tmp_path, "trainC/a.png", "trainD/a.png", *lonely))
    with pytest.raises(DataError, match=r"5 files.*trainC/0\.png.*and 2 more"):
        found.known_pairs()
    assert len(found.known_pairing().pairs) == 1


def test_a_choice_of_partners_is_refused(tmp_path: Path):
    found = layout.find(make(tmp_path, "trainC/1.bmp", "trainD/1.png", "trainD/1.jpg"))
    with pytest.raises(DataError, match=r"several files.*trainC/1\.bmp, trainD/1\.jpg"):
        found.known_pairs()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["trainA/1.png"], "trainC is needed .known blurry photographs. but is missing"),
        (["trainA/1.png", "trainC/readme.txt"], "trainC .* holds no photographs|but holds no"),
    ],
)
def test_what_is_needed_and_missing(tmp_path: Path, names: list[str], message: str):
    with pytest.raises(DataError, match=message):
        layout.find(make(tmp_path, *names)).known_pairs()


def test_wrong_folders_say_the_way_out(tmp_path: Path):
    with pytest.raises(DataError, match="no folder"):
        layout.find(tmp_path / "none")
    with pytest.raises(DataError, match="is a file"):
        layout.find(make(tmp_path, "file.png") / "file.png")
    with pytest.raises(DataError, match="data split"):
        layout.find(tmp_path)
    with pytest.raises(DataError, match=r"should 'train_A' be named 'trainA'\?"):
        layout.find(make(tmp_path / "misnamed", "train_A/1.png"))
    with pytest.raises(DataError, match="phone does; give that folder"):
        layout.find(make(tmp_path / "above", "phone/trainA/1.png").parent / "above")


@pytest.mark.parametrize(
    ("blurry", "sharp"),
    [("input", "target"), ("lq", "gt"), ("blur", "sharp"), ("train/Input", "train/Target")],
)
def test_pairs_of_others_are_named_and_their_links_work(tmp_path: Path, blurry: str, sharp: str):
    root = make(tmp_path / "my set", f"{blurry}/1.png", f"{sharp}/1.png", "test/x.txt")
    with pytest.raises(DataError, match=r"pairs of a known blur.*trainC.*trainD") as caught:
        layout.find(root)
    command = str(caught.value).split("link them: ")[1]
    subprocess.run(command.replace("DATA", str(tmp_path / "data")), shell=True, check=True)
    assert len(layout.find(tmp_path / "data").known_pairs()) == 1


def test_pairs_by_scene_are_named_training_first(tmp_path: Path):
    scenes = [f"{part}/{scene}" for part in ("test", "train") for scene in ("s1", "s2")]
    root = make(tmp_path, *(f"{scene}/{side}/1.png" for scene in scenes for side in ("blur", "gt")))
    with pytest.raises(DataError, match=r"train/s1/blur and .* 3 more folders.*data import"):
        layout.find(root)


def test_what_lies_beside_is_skipped_by_name(tmp_path: Path):
    found = layout.find(
        make(tmp_path, "trainA/1.png", "trainA/2.psd", "split.json", "photos/1.png")
    )
    assert {one.path.name for one in found.skipped} == {"2.psd", "split.json", "photos"}
