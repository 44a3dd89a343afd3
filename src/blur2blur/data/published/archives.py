"""Unpacking zip files of strangers: one part or several, whole or not at all."""

import io
import shutil
import stat
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from blur2blur.data.folders import placing
from blur2blur.errors import InputError

_ENCRYPTED = 0x1
_DEEPEST = 64
_BLOCK_BYTES = 1 << 20


class _Joined(io.RawIOBase):
    """Files read as if they were one, so that a split archive need not be written together."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._files: list[BinaryIO] = [part.open("rb") for part in parts]
        sizes = [part.stat().st_size for part in parts]
        self._ends = list(accumulate(sizes))
        self._starts = [end - size for end, size in zip(self._ends, sizes, strict=True)]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401  (Buffer is of Python 3.12)
        if self._position >= self._ends[-1]:
            return 0
        index = bisect_right(self._ends, self._position)
        file = self._files[index]
        file.seek(self._position - self._starts[index])
        view = memoryview(buffer)[: self._ends[index] - self._position]
        data = file.read(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def unpack(parts: Sequence[Path], folder: Path, advance: Callable[[int], object]) -> None:
    """Unpack a zip file into a folder that does not exist yet.

    Refused before anything is written: absolute names, names with "..", names that are empty, not
    UTF-8 or there twice, links and other special files, encryption, and an archive that needs more
    space than there is. Every file's checksum is checked. The folder appears when all is unpacked.

    Args:
        parts: the file, or its parts in order.
        folder: becomes the archive's content.
        advance: called with the number of bytes written, after each block.

    Raises:
        InputError: any of the above, a damaged archive, a full disk.
    """
    shown = parts[0].name if len(parts) == 1 else f"{parts[0].name} to {parts[-1].name}"
    with _Joined(parts) as raw, io.BufferedReader(raw, _BLOCK_BYTES) as file:
        try:
            with zipfile.ZipFile(file) as archive, placing.whole_folder(folder) as made:
                members = archive.infolist()
                _refuse_unsafe(members, shown)
                _refuse_too_large(sum(member.file_size for member in members), made, shown)
                for member in members:
                    _extract(archive, member, made, advance)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{shown} is not unpacked: the name of an entry is not UTF-8 ({error.object!r})"
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise InputError(
                f"{shown} is damaged ({error}); remove it, then download it again"
            ) from error


def unpacked_bytes(parts: Sequence[Path]) -> int:
    """Return how large the content of a zip file is; 0 where it cannot be read."""
    with _Joined(parts) as raw, io.BufferedReader(raw, _BLOCK_BYTES) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError):
            return 0


def _refuse_unsafe(members: Sequence[zipfile.ZipInfo], shown: str) -> None:
    files: set[PurePosixPath] = set()
    for member in members:
        name = member.filename
        path = PurePosixPath(name)
        windows = PureWindowsPath(name)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if windows.drive or windows.root or ".." in windows.parts:
            reason = "leads out of the folder"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = "is a link or a special file"
        elif member.flag_bits & _ENCRYPTED:
            reason = "is encrypted"
        elif not path.parts and not name.endswith("/"):
            reason = "has no name"
        elif len(path.parts) > _DEEPEST:
            reason = f"lies more than {_DEEPEST} folders deep"
        elif path in files:
            reason = "is there twice"
        else:
            if not member.is_dir():
                files.add(path)
            continue
        raise InputError(f"{shown} is not unpacked: its entry {name!r:.200} {reason}")


def _refuse_too_large(size_bytes: int, folder: Path, shown: str) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if size_bytes > free_bytes:
        raise InputError(
            f"unpacking {shown} needs {size_bytes / 1e9:.1f} GB, and {free_bytes / 1e9:.1f} GB are "
            "free; free some space and run the same command again"
        )


def _extract(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    folder: Path,
    advance: Callable[[int], object],
) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename).parts)
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as sink:
        while block := source.read(_BLOCK_BYTES):
            sink.write(block)
            advance(len(block))
