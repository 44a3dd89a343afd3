"""A file is there whole, or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from blur2blur import files
from blur2blur.errors import InputError


def test_the_file_appears_with_its_folders_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "a" / "b" / "c.png"
    with files.atomic_path(path) as temporary:
        assert temporary.suffix == ".png"  # encoders choose by it
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".")  # a hidden file is nobody's photograph
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("exception", [KeyboardInterrupt, ValueError, MemoryError])
def test_interrupted_in_the_middle(tmp_path: Path, exception: type[BaseException]):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(b"ha")
            raise exception

    with pytest.raises(exception):
        interrupted()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk is full; free some space"),
        (errno.EROFS, "Read-only file system; make it writable or choose another folder"),
    ],
)
@pytest.mark.parametrize("where", ["writing", "renaming"])
def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, where: str
):
    path = tmp_path / "a.bin"

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    def write() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            if where == "writing":
                fail()
            monkeypatch.setattr(Path, "replace", fail)

    with pytest.raises(InputError) as caught:
        write()
    assert str(caught.value).startswith(f"cannot write {path}: {words}")
    assert list(tmp_path.iterdir()) == []


def test_permissions_of_a_new_file_are_those_of_any_new_file(tmp_path: Path):
    files.write_text(tmp_path / "a.txt", "a")
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_permissions_of_a_replaced_file_are_kept(tmp_path: Path, mode: int):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == mode


def test_what_killed_processes_left_is_deleted_once_and_nothing_else(tmp_path: Path):
    old = [tmp_path / name for name in (".a.blur2blur-12345678.png", ".b.blur2blur-1/made")]
    held, others = tmp_path / ".c.blur2blur-87654321.png", tmp_path / ".hidden.png"
    old[1].parent.mkdir()
    for path in (*old, held, others):
        path.touch()
    for path in (*old, old[1].parent, held, others):
        os.utime(path, (0, 0))
    young = tmp_path / ".d.blur2blur-00000000.png"
    young.touch()
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(held)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        files.write_text(tmp_path / "a.txt", "a")
        process.communicate(b"\n")
    assert sorted(tmp_path.iterdir()) == sorted([held, others, young, tmp_path / "a.txt"])


def test_a_place_without_permissions_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    files.write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text() == "a"


def test_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").resolve().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    files.write_text(tmp_path / "a.txt", "a")
    assert synced[0].startswith(".a.blur2blur-")
    assert synced[1] == tmp_path.name


def test_the_longest_names_a_file_system_takes(tmp_path: Path):
    for name in ("x" * 251 + ".txt", "写" * 83 + ".txt"):  # 255 and 253 bytes
        files.write_text(tmp_path / name, "a")
        assert (tmp_path / name).read_text() == "a"


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path: Path):
    files.write_text(tmp_path / "a.txt", "ö\udcff")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "ö\\udcff"


def test_a_file_in_the_way_of_a_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(InputError, match=r"file is a file; choose another output folder"):
            files.refuse_file_in_the_way(place)
    files.refuse_file_in_the_way(tmp_path)
    files.refuse_file_in_the_way(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files.make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file"):
        files.make_folder(tmp_path / "file" / "a")

    def fail(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", fail)
    with pytest.raises(InputError, match="Permission denied; make it writable"):
        files.make_folder(tmp_path / "a")
