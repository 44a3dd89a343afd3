"""What can be made again, kept in the user's cache: whole or not at all, made anew when damaged."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from blur2blur.errors import InputError
from blur2blur.files import temporary_beside

_KEPT = 16
"""Entries of a kind that are kept; of more, those used longest ago are deleted."""

_KEY_LENGTH = 32
_SUMS = "sha256.json"

_log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Return where the cache is: BLUR2BLUR_CACHE, or the system's place for a user's.

    None for a user without account and home, as in containers.
    """
    if named := os.environ.get("BLUR2BLUR_CACHE"):
        return Path(named)
    try:
        return platformdirs.user_cache_path("blur2blur")
    except (RuntimeError, KeyError, OSError):
        return None


@contextmanager
def cached_file(
    kind: str, digest: str | None, name: str, make: Callable[[Path], None]
) -> Generator[Path]:
    """Yield the file that `make` made, now or at an earlier time.

    Where the cache cannot be written, it is made every time and deleted after the block.

    Args:
        kind: folder of the cache, which holds a number of entries at most.
        digest: hexadecimal hash of all that the file depends on; None for what cannot be kept.
        name: the file's name; `make` may put others beside it.
        make: writes the file; what it raises leaves nothing behind.
    """
    root = cache_folder()
    kept = root / kind / digest[:_KEY_LENGTH] if root and digest else None
    if kept is not None and not _is_whole(kept):
        kept = _kept(kept, name, make)
    if kept is not None:
        with suppress(OSError):  # of another user, or on a read-only disk
            (kept / _SUMS).touch()
        yield kept / name
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, name))
        yield Path(folder, name)


def _kept(kept: Path, name: str, make: Callable[[Path], None]) -> Path | None:
    """Make an entry of the cache and return it; None where nothing can be kept there."""
    if not _can_write(kept.parent):
        return None
    try:
        # beside its final place, so that one renaming puts it there
        with temporary_beside(kept.with_name("making"), folder=True) as temporary:
            make(temporary / name)
            _seal(temporary)
            placed = _put(temporary, kept)
    except (OSError, InputError) as error:  # a full disk among them
        _tell(kept.parent, error)
        return None
    if placed:
        _forget(kept.parent)
    return kept if placed else None


def _tell(folder: Path, error: Exception) -> None:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    _log.warning("cannot keep anything in the cache %s: %s", folder, reason)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        _tell(folder, error)
        return False
    return True


def _seal(folder: Path) -> None:
    """Note the hash of every file, so that damage is found before anything reads it."""
    sums = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    (folder / _SUMS).write_text(json.dumps(sums))


def _is_whole(folder: Path) -> bool:
    try:
        sums: dict[str, str] = json.loads((folder / _SUMS).read_text())
        return all(sha256(folder / name) == sum_ for name, sum_ in sums.items())
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def sha256(path: Path) -> str:
    """Return the hexadecimal hash of a file. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(temporary: Path, kept: Path) -> bool:
    """Rename a finished entry to its place, or find that another process was first."""
    for _ in range(2):
        try:
            temporary.rename(kept)
        except OSError:
            if _is_whole(kept):
                return True
            # what is there is damaged; renamed before it is deleted, so that nobody reads half
            damaged = kept.with_name(f"damaged-{time.time_ns()}")
            with suppress(OSError):
                kept.rename(damaged)
                shutil.rmtree(damaged, ignore_errors=True)
        else:
            return True
    return False


def _forget(folder: Path) -> None:
    kept = [path for path in folder.glob("*/" + _SUMS) if len(path.parent.name) == _KEY_LENGTH]
    dated: list[tuple[float, Path]] = []
    for path in kept:
        try:
            dated.append((path.stat().st_mtime, path.parent))
        except OSError:
            continue
    for _, path in sorted(dated, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
