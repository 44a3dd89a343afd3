"""What lies in a folder: photographs, and everything else with the reason why it is not read."""

import os
import stat
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from blur2blur.errors import DataError
from blur2blur.images.kinds import SUFFIXES

MANIFEST = ".blur2blur.jsonl"
"""The name of this program's own notes on an output folder, which are no file of the user's."""

HIDDEN = "hidden"
UNLISTED = "folder that cannot be listed"
NO_REGULAR_FILE = "no regular file"
SEEN_FOLDER = "link to a folder that is searched already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file or folder that is not read; the reason is a few words, equal for equal kinds."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Photographs by their suffix, and all that is passed over; both sorted by path.

    `others` are files of the further suffixes that were asked for.
    """

    photographs: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
    others: tuple[Path, ...] = ()

    def by_reason(self) -> list[tuple[str, int, Path]]:
        """Return (reason, how many, the first of them), the most frequent reason first."""
        return by_reason((one.reason, one.path) for one in self.skipped)


NOTHING = Listing(photographs=(), skipped=())


def by_reason(files: Iterable[tuple[str, Path]]) -> list[tuple[str, int, Path]]:
    """Return (reason, how many, the first of them) of (reason, path), the most frequent first."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for reason, path in files:
        paths[reason].append(path)
    counts = [(reason, len(found), found[0]) for reason, found in paths.items()]
    return sorted(counts, key=lambda count: -count[1])


def find(
    folder: Path,
    advance: Callable[[], object] = lambda: None,
    *,
    others: frozenset[str] = frozenset(),
) -> Listing:
    """List a folder and the folders in it; `advance` is called after each file.

    Links to folders are followed, each folder once: its own place goes before a link to it. No file
    is opened. A folder in it that cannot be listed is passed over, with its reason. `others` are
    suffixes of files that are listed apart instead of passed over.

    Raises:
        DataError: the folder is missing, is a file, or cannot be listed.
    """
    _check(folder)
    photographs: list[Path] = []
    beside: list[Path] = []
    skipped: list[Skipped] = []
    root = os.path.realpath(folder)
    searched: set[str] = set()
    waiting, links = deque([folder]), deque[Path]()
    while waiting or links:
        linked = not waiting
        parent = links.popleft() if linked else waiting.popleft()
        place = os.path.realpath(parent)
        if place in searched or (linked and Path(root).is_relative_to(place)):
            skipped.append(Skipped(path=parent, reason=SEEN_FOLDER))
            continue
        searched.add(place)
        for entry in _entries(parent, skipped):
            path = Path(entry)
            if entry.name.startswith("."):
                skipped.append(Skipped(path=path, reason=HIDDEN))
            elif entry.is_symlink() and path.is_dir():
                links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif reason := _unwanted(path, entry, SUFFIXES | others):
                skipped.append(Skipped(path=path, reason=reason))
            else:
                (beside if path.suffix.lower() in others else photographs).append(path)
            advance()
    return Listing(
        photographs=tuple(sorted(photographs)),
        skipped=tuple(sorted(skipped, key=lambda one: one.path)),
        others=tuple(sorted(beside)),
    )


def _check(folder: Path) -> None:
    """Raise DataError for what is no folder that can be listed."""
    if not folder.exists():
        raise DataError(f"no folder {folder}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; a folder of photographs is needed")
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror or error}") from error


def _entries(folder: Path, skipped: list[Skipped]) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, sorted; one that cannot be listed is added to `skipped`."""
    try:
        with os.scandir(folder) as entries:
            wanted = (entry for entry in entries if entry.name != MANIFEST)
            return sorted(wanted, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"{UNLISTED}: {error.strerror or error}"
        skipped.append(Skipped(path=folder, reason=reason))
        return []


def _unwanted(path: Path, entry: os.DirEntry[str], suffixes: frozenset[str]) -> str | None:
    """Return why a file is not read; a broken link of an image's name is left to fail by name."""
    if reason := unknown_suffix(path, suffixes):
        return reason
    return None if entry.is_file(follow_symlinks=False) else not_regular(path)


def not_regular(path: Path) -> str | None:
    """Return why a device, a pipe or the like is not read; None of a file, and a broken link."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return None
    return None if regular else NO_REGULAR_FILE


def unknown_suffix(path: Path, suffixes: frozenset[str] = SUFFIXES) -> str | None:
    """Return why a file is passed over by its name; None where its suffix is one of `suffixes`."""
    suffix = path.suffix.lower()
    if suffix in suffixes:
        return None
    return f"{suffix} is not read" if suffix else "no suffix"
