"""Putting photographs into data folders: links or copies, and whole folders or nothing."""

import errno
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from blur2blur.errors import InputError
from blur2blur.files import refuse_file_in_the_way, temporary_beside


def place(source: Path, target: Path, *, link: bool) -> None:
    """Copy a file, or link it: symbolically, or hard where there are no symbolic links.

    Raises:
        OSError: the target is there, or the file system can do neither.
    """
    if not link:
        shutil.copy2(source, target)
        return
    try:
        target.symlink_to(source.resolve())
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        os.link(source.resolve(), target)


def refuse_inside(out_dir: Path, source_dir: Path) -> None:
    """Raise an InputError for an output folder that lies in the input, or is it."""
    if out_dir.resolve().is_relative_to(source_dir.resolve()):
        raise InputError(f"{out_dir} lies in {source_dir}; choose a folder outside of it")


def refuse_used_folder(out_dir: Path, source_dir: Path) -> None:
    """Refuse an output folder that lies in the input, holds something, or is below a file.

    Raises:
        InputError: says which.
    """
    refuse_inside(out_dir, source_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(f"{out_dir} is not an empty folder; choose a new name or empty it")
    refuse_file_in_the_way(out_dir)


@contextmanager
def whole_folder(out_dir: Path) -> Generator[Path]:
    """Yield a new folder beside `out_dir`; on success it becomes `out_dir`, else it is gone.

    `out_dir` must be missing or empty.

    Raises:
        InputError: the disk is full, or the folder cannot be written.
    """
    out_dir = out_dir.resolve()
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(out_dir, folder=True) as workshop:
            made = workshop / "made"
            made.mkdir()
            yield made
            if out_dir.exists():
                out_dir.rmdir()
            made.replace(out_dir)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full; free some space, or link instead of copying"
        else:
            reason = error.strerror or str(error)
        raise InputError(f"cannot write {out_dir}: {reason}") from error
