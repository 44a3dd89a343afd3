"""Everything in a folder is either a photograph or skipped for a reason, once."""

import os
from pathlib import Path

import pytest

from blur2blur.images import listing


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def skipped(found: listing.Listing, root: Path) -> dict[str, str]:
    return {str(one.path.relative_to(root)): one.reason for one in found.skipped}


def test_every_file_is_accounted_for(tmp_path: Path):
    make(tmp_path, "b.JPG", "a/c.png", "IMG_1.PSD", "IMG_2.PSD", "notes", ".DS_Store", ".x/d.png")
    seen: list[None] = []
    found = listing.find(tmp_path, lambda: seen.append(None))
    assert found.photographs == (tmp_path / "a/c.png", tmp_path / "b.JPG")
    assert skipped(found, tmp_path) == {
        ".DS_Store": "hidden",
        ".x": "hidden",
        "IMG_1.PSD": ".psd is not read",
        "IMG_2.PSD": ".psd is not read",
        "notes": "no suffix",
    }
    assert found.by_reason()[0] in [
        ("hidden", 2, tmp_path / ".DS_Store"),
        (".psd is not read", 2, tmp_path / "IMG_1.PSD"),
    ]
    assert sum(count for _, count, _ in found.by_reason()) == 5
    assert len(seen) == 8


def test_linked_folders_are_followed_once(tmp_path: Path):
    root = make(tmp_path / "roll", "day/1.png")
    outside = make(tmp_path / "outside", "2.png")
    (root / "a").symlink_to(outside)
    (root / "b").symlink_to(outside)
    (root / "aday").symlink_to(root / "day")
    (outside / "back").symlink_to(root)
    (root / "day/up").symlink_to(tmp_path)
    found = listing.find(root)
    assert found.photographs == (root / "a/2.png", root / "day/1.png")
    assert skipped(found, root) == dict.fromkeys(
        ["a/back", "aday", "b", "day/up"], listing.SEEN_FOLDER
    )


def test_a_broken_link_is_left_to_fail_and_a_pipe_is_not_waited_for(tmp_path: Path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe.png")
    found = listing.find(tmp_path)
    assert found.photographs == (tmp_path / "gone.png",)
    assert skipped(found, tmp_path) == {"pipe.png": "no regular file", "self": "no suffix"}


@pytest.mark.parametrize("through_link", [False, True])
def test_the_folder_itself_may_be_a_link(tmp_path: Path, through_link: bool):
    real = make(tmp_path / "real", "1.png")
    (tmp_path / "link").symlink_to(real)
    root = tmp_path / "link" if through_link else real
    assert listing.find(root).photographs == (root / "1.png",)


def test_a_folder_that_cannot_be_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = make(tmp_path, "1.png", "private/2.png", "public/3.png")
    scandir = os.scandir

    def refusing(folder: Path):
        if folder == root / "private":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    found = listing.find(root)
    assert found.photographs == (root / "1.png", root / "public/3.png")
    assert skipped(found, root) == {"private": "folder that cannot be listed: Permission denied"}
