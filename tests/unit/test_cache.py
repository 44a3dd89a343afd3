"""The cache: an entry is made once, whole, made anew where it is damaged, and forgotten in time."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from blur2blur import cache
from blur2blur.errors import CheckpointError, InputError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLUR2BLUR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "things"


def write(path: Path) -> None:
    path.write_text("made")


def entry(make: Callable[[Path], None] = write, digest: str | None = "0" * 64) -> tuple[Path, str]:
    with cache.cached_file("things", digest, "thing.txt", make) as path:
        return path, path.read_text()


def test_an_entry_is_made_once(place: Path):
    def fail(_: Path) -> None:
        raise AssertionError("made again")

    first = entry()
    assert entry(fail) == first == (place / ("0" * 32) / "thing.txt", "made")
    assert entry(digest="1" * 64)[0] != first[0]


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "list"])
def test_a_damaged_entry_is_made_again(place: Path, damage: str):
    path, _ = entry()
    match damage:
        case "changed":
            path.write_text("madE")
        case "cut":
            path.write_text("ma")
        case "missing":
            path.unlink()
        case _:
            (path.parent / "sha256.json").write_text("[]")
    assert entry() == (path, "made")
    assert json.loads((path.parent / "sha256.json").read_text())
    assert [folder.name for folder in place.iterdir()] == [path.parent.name]


def test_what_fails_half_way_leaves_nothing(place: Path):
    def fail(path: Path) -> None:
        path.write_text("half")
        raise CheckpointError("cannot")

    with pytest.raises(CheckpointError):
        entry(fail)
    assert list(place.iterdir()) == []


def test_two_processes_at_once_share_one_entry(place: Path):
    """The second renames while the first's is there."""

    def slow(path: Path) -> None:
        entry()
        write(path)

    path, content = entry(slow)
    assert content == "made"
    assert [folder.name for folder in place.iterdir()] == [path.parent.name]


def test_what_has_no_digest_is_not_kept(place: Path):
    path, content = entry(digest=None)
    assert content == "made"
    assert not path.exists()
    assert not place.exists()


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BLUR2BLUR_CACHE", str(tmp_path / "file"))
    assert entry()[1] == "made"
    assert "cannot keep anything in the cache" in caplog.text


def test_the_oldest_entries_are_forgotten(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "_KEPT", 2)
    paths = [entry(digest=str(number) * 64)[0] for number in range(3)]
    assert [path.exists() for path in paths] == [False, True, True]


def test_a_full_disk_under_the_cache_stops_nobody(place: Path, caplog):
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        if place in path.parents:
            raise InputError(f"cannot write {path}: the disk is full")
        path.write_text("made")

    with cache.cached_file("things", "0" * 64, "a", make) as path:
        assert path.read_text() == "made"
    assert len(calls) == 2
    assert "cannot keep anything in the cache" in caplog.text
    assert not list(place.iterdir())


def test_no_home_no_cache(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BLUR2BLUR_CACHE")

    def homeless(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.platformdirs, "user_cache_path", homeless)
    with cache.cached_file("things", "0" * 64, "a", lambda path: path.write_text("made")) as path:
        assert path.read_text() == "made"
    assert not path.exists()
