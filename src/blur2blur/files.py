"""Writing whole files or nothing."""

import errno
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from blur2blur.errors import InputError


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
    temporary: Path | None = None
    try:
        with explained_writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                # file systems limit names to 255 bytes, of which one character may take four
                prefix=f".{path.stem[:20]}-",
                suffix=path.suffix,
                dir=path.parent,
            )
            os.close(handle)
            temporary = Path(name)
            yield temporary
            with suppress(OSError):  # some network shares and memory cards know no permissions
                temporary.chmod(_mode(path))
            temporary.replace(path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
        with tempfile.TemporaryDirectory(prefix=f".{path.stem[:20]}-", dir=path.parent) as folder:
            yield Path(folder) / path.name
            for file in sorted(Path(folder).iterdir()):
                file.replace(path.parent / file.name)


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
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


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
