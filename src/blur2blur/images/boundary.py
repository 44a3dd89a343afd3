"""The boundary around one file: whatever is raised on it becomes one line that names it."""

import struct
import traceback
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from blur2blur.errors import InputError
from blur2blur.images.limits import MAX_FILE_BYTES, NoPillowLimit

# what this project's readers raise on damage
_OF_DAMAGE = (ValueError, OSError, OverflowError, struct.error, zlib.error)
_DAMAGED = "cannot be read (damaged or cut short?)"
_TO_STOP = (KeyboardInterrupt, SystemExit, GeneratorExit)


class OwnMistakeWarning(Warning):
    """Code of this project failed on a file by anything but what its readers raise on damage."""


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Read one file in the block, pixels or metadata; as `explained`.

    Raises:
        InputError: it is missing, no file, empty, or larger than `limits.MAX_FILE_BYTES`, too.
    """
    with explained(path, _DAMAGED):
        missing = _missing(path)
    if missing is not None:
        raise InputError(missing)
    with explained(path, _DAMAGED), NoPillowLimit():
        yield


@contextmanager
def explained(path: Path, problem: str) -> Generator[None]:
    """Raise InputError of one line for anything that is raised in the block.

    Libraries raise anything on damage, failed assertions and panics of other languages among them.
    Where this project's own code raised what its readers do not, that is told as an
    OwnMistakeWarning besides, which tests turn into an error.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except MemoryError as error:
        raise InputError(
            f"{path} is too large for the memory that is free; close other programs, or make it "
            "smaller"
        ) from error
    except _TO_STOP:
        raise
    except BaseException as error:  # panics of Rust are no Exception
        if not isinstance(error, _OF_DAMAGE) and _is_ours(error):
            told = f"{type(error).__name__}: {error}"
            warnings.warn(f"a mistake of blur2blur on {path}: {told}", OwnMistakeWarning, 2)
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} {problem}: {reason}") from error


def _is_ours(error: BaseException) -> bool:
    """Tell whether an exception was raised by code of this project, not by a library it called."""
    innermost = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    return str(innermost.f_globals.get("__name__")).startswith("blur2blur.")


def _missing(path: Path) -> str | None:
    if not path.exists():
        return f"no file {path}"
    if not path.is_file():
        return f"{path} is not a file; an image file is needed here"
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise InputError(f"it has {size_bytes} bytes; the limit is {MAX_FILE_BYTES}")
    return None if size_bytes else f"{path} is empty (zero bytes)"
