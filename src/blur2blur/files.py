"""Writing whole files or nothing."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from blur2blur.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

_MARK = ".blur2blur-"
"""In the names of temporary files and folders, all hidden."""

_UMASK = os.umask(0o077)
os.umask(_UMASK)  # read once, at import: to read it is to change it, for all threads

_ABANDONED_SECONDS = 1.0  # between making a temporary file and locking it less passes


@contextmanager
def explained_writing(path: Path) -> Generator[None]:
    """Raise an InputError that names `path` for an OSError in the block."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"cannot write {path}: the disk is full; free some space and run the same command "
                "again"
            ) from error
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; make it writable or choose another "
            "folder"
        ) from error


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it is gone.

    The folder is created. The temporary name keeps the suffix, because encoders choose by it. A
    file that is replaced keeps its permissions.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    with explained_writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            yield temporary
            _put(temporary, path, mode=_mode(path))


@contextmanager
def atomic_files(path: Path) -> Generator[Path]:
    """Yield `path`'s name in a temporary folder beside it; on success all files there move out.

    For formats of several files, whose names a library makes from the one it is given. The folder
    of `path` is created; on failure nothing is left.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    with explained_writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path, folder=True) as folder:
            yield folder / path.name
            for file in sorted(folder.iterdir()):
                _put(file, path.parent / file.name)


def _put(temporary: Path, path: Path, *, mode: int | None = None) -> None:
    """Rename a finished file to its name; what is there after a power cut is the old or the new."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    if mode is not None:
        with suppress(OSError):  # some mounts (FAT, SMB) have no permissions
            temporary.chmod(mode)
    temporary.replace(path)
    with suppress(OSError):  # not every system opens folders
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def temporary_beside(path: Path, *, folder: bool = False) -> Generator[Path]:
    """Yield a new hidden file beside `path`, or a folder; it is gone after the block.

    What processes that were killed left in that folder is deleted first, once in a process.
    """
    _delete_abandoned(path.parent)
    # file systems limit names to 255 bytes, of which one character may take four
    prefix = f".{path.stem[:20]}{_MARK}"
    if folder:
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    else:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        made = Path(name)
    lock = _locked(made)
    try:
        yield made
    finally:
        _delete(made)
        if lock is not None:
            os.close(lock)


@cache
def _delete_abandoned(folder: Path) -> None:
    """Delete temporary files of ours that no process holds."""
    latest = time.time() - _ABANDONED_SECONDS
    with suppress(OSError):
        for path in folder.glob(f".*{_MARK}*"):
            lock = _locked(path) if path.lstat().st_mtime < latest else None
            if lock is not None:
                _delete(path)
                os.close(lock)


def _locked(path: Path) -> int | None:
    """Return a handle that locks a file or folder; None where that is held, or cannot be."""
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def keep_dates(source: Path, path: Path) -> None:
    """Give a file that was written the dates of its source: last changed, and last read.

    Raises:
        InputError: the file system does not let it.
    """
    with explained_writing(path):
        dates = source.stat()
        os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))


def _mode(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    return 0o666 & ~_UMASK


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all. Raises InputError as `atomic_path` does."""
    with atomic_path(path) as temporary:
        # a file name that is no Unicode must not keep a report from being written
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def make_folder(folder: Path) -> None:
    """Create a folder, or prove that the one that is there can be written.

    Raises:
        InputError: it cannot.
    """
    with explained_writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def refuse_file_in_the_way(folder: Path) -> None:
    """Refuse a folder that cannot be made because a file stands in its place, or in a parent's.

    Raises:
        InputError: names the file.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place} is a file; choose another output folder than {folder}")
