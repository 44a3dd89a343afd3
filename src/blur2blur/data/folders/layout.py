"""Where training data lies on disk, and which files belong together.

trainA holds a camera's blurry photographs and trainB sharp ones of the same camera, unpaired;
trainC and trainD hold pairs of a known blur, blurry and sharp; testA holds blurry photographs to
look at, and testB, where there is one, their sharp versions, to measure.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blur2blur.data.folders import paired
from blur2blur.errors import DataError, listed
from blur2blur.images import listing
from blur2blur.images.listing import Skipped

FOLDERS: Mapping[str, str] = {
    "trainA": "unknown blurry",
    "trainB": "unknown sharp",
    "trainC": "known blurry",
    "trainD": "known sharp",
    "testA": "test blurry",
    "testB": "test sharp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """The files of two folders, matched by their path in the folder.

    Suffixes may differ (`1.jpg` and `1.png` match) unless that leaves a choice.

    Attributes:
        first_name: folder name of the first files.
        second_name: folder name of the second files.
        pairs: (first, second) files, sorted.
        lonely: files of either folder without a partner.
        ambiguous: groups of files that differ in their suffix only, so that no partner is sure.
    """

    first_name: str
    second_name: str
    pairs: tuple[tuple[Path, Path], ...]
    lonely: tuple[Path, ...]
    ambiguous: tuple[tuple[Path, ...], ...]

    def problems(self) -> list[str]:
        """Return one line for each kind of fault, naming the first offenders."""
        lines: list[str] = []
        if self.lonely:
            both = f"{self.first_name} and {self.second_name}"
            lines.append(
                f"{len(self.lonely)} files of {both} have no partner of the same name in the "
                f"other: {named(self.lonely)}"
            )
        if self.ambiguous:
            lines.append(
                f"{len(self.ambiguous)} names stand for several files, keep one of each: "
                f"{named(path for group in self.ambiguous for path in group)}"
            )
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The photographs of a data folder, sorted; an absent folder is an empty tuple.

    `skipped` has whatever else lies there.
    """

    root: Path
    unknown_blurry: tuple[Path, ...]
    unknown_sharp: tuple[Path, ...]
    known_blurry: tuple[Path, ...]
    known_sharp: tuple[Path, ...]
    test_blurry: tuple[Path, ...]
    test_sharp: tuple[Path, ...]
    skipped: tuple[Skipped, ...] = ()

    def files(self, folder: str) -> tuple[Path, ...]:
        """Return the files of one of FOLDERS."""
        files: tuple[Path, ...] = getattr(self, FOLDERS[folder].replace(" ", "_"))
        return files

    def require(self, folder: str) -> tuple[Path, ...]:
        """Return the files of one of FOLDERS. Raises DataError where there are none."""
        files = self.files(folder)
        if not files:
            place = self.root / folder
            state = "holds no photographs" if place.is_dir() else "is missing"
            raise DataError(f"{place} is needed ({FOLDERS[folder]} photographs) but {state}")
        return files

    def known_pairing(self) -> Pairing:
        """Match trainC with trainD, whatever is wrong with them."""
        return self._pairing("trainC", "trainD")

    def test_pairing(self) -> Pairing:
        """Match testA with testB, whatever is wrong with them."""
        return self._pairing("testA", "testB")

    def known_pairs(self) -> tuple[tuple[Path, Path], ...]:
        """Return (blurry, sharp) of trainC and trainD.

        Raises:
            DataError: either is missing or empty, or a file has no partner or a doubtful one.
        """
        self.require("trainC")
        self.require("trainD")
        return _flawless(self.known_pairing(), self.root)

    def _pairing(self, first: str, second: str) -> Pairing:
        return pair_folders(
            self.root / first, self.files(first), self.root / second, self.files(second)
        )


def find(root: Path, advance: Callable[[], object] = lambda: None) -> Layout:
    """List the photographs of a data folder; `advance` is called after each file.

    Raises:
        DataError: no such folder, or none of FOLDERS in it, or one that cannot be listed.
    """
    if not root.exists():
        raise DataError(f"no folder {root}")
    if not root.is_dir():
        raise DataError(f"{root} is a file; a folder with trainA, trainB... is needed")
    present = [name for name in FOLDERS if (root / name).is_dir()]
    if not present:
        raise DataError(_no_folders(root))
    skipped = [
        Skipped(path=path, reason="beside trainA to testB")
        for path in sorted(root.iterdir())
        if path.name not in present
    ]
    files: dict[str, tuple[Path, ...]] = {}
    for name, role in FOLDERS.items():
        found = listing.find(root / name, advance) if name in present else listing.NOTHING
        skipped += found.skipped
        files[role.replace(" ", "_")] = found.photographs
    return Layout(root=root, skipped=tuple(skipped), **files)


def _no_folders(root: Path) -> str:
    wanted = f"{root} holds none of {', '.join(FOLDERS)}"
    others = sorted(path.name for path in root.iterdir() if path.is_dir())
    spelling = {name.casefold(): name for name in FOLDERS}
    for name in others:
        if any((root / name / folder).is_dir() for folder in FOLDERS):
            return f"{wanted}, but {root / name} does; give that folder"
        letters = "".join(char for char in name if char.isalnum()).casefold()
        if letters in spelling:
            return f"{wanted}; should '{name}' be named '{spelling[letters]}'?"
    if pairs := paired.find(root):
        return f"{wanted}; {paired.way_in(pairs)}"
    return f"{wanted}; 'blur2blur data split' makes trainA and trainB from a camera's photographs"


PAIR_FOLDERS = (("blurry", "sharp"), ("blur", "sharp"))
"""Folders of pairs without the layout, as `blur synth` and `blur transfer` make them, and REDS."""


def find_pairs(root: Path) -> tuple[tuple[Path, Path], ...]:
    """Return (blurry, sharp) of trainC and trainD, or of one of PAIR_FOLDERS.

    Raises:
        DataError: no such folders, one is empty, or a file has no partner or a doubtful one.
    """
    for first, second in PAIR_FOLDERS:
        if (root / first).is_dir() and (root / second).is_dir():
            blurry, sharp = (listing.find(root / name).photographs for name in (first, second))
            if not blurry and not sharp:
                raise DataError(f"{root / first} and {root / second} hold no photographs")
            return _flawless(pair_folders(root / first, blurry, root / second, sharp), root)
    return find(root).known_pairs()


def pair_folders(
    first_folder: Path, first: Sequence[Path], second_folder: Path, second: Sequence[Path]
) -> Pairing:
    """Match files by their path inside their folder: equal names first, then equal stems."""
    by_name = {path.relative_to(second_folder): path for path in second}
    pairs = [
        (path, by_name[path.relative_to(first_folder)])
        for path in first
        if path.relative_to(first_folder) in by_name
    ]
    paired = {path for pair in pairs for path in pair}
    left_first = _by_stem(first_folder, [path for path in first if path not in paired])
    left_second = _by_stem(second_folder, [path for path in second if path not in paired])
    lonely: list[Path] = []
    ambiguous: list[tuple[Path, ...]] = []
    for stem in sorted(left_first.keys() | left_second.keys()):
        ours, theirs = left_first.get(stem, []), left_second.get(stem, [])
        if len(ours) == len(theirs) == 1:
            pairs.append((ours[0], theirs[0]))
        elif ours and theirs:
            ambiguous.append((*ours, *theirs))
        else:
            lonely += [*ours, *theirs]
    return Pairing(
        first_name=first_folder.name,
        second_name=second_folder.name,
        pairs=tuple(sorted(pairs)),
        lonely=tuple(lonely),
        ambiguous=tuple(ambiguous),
    )


def _by_stem(folder: Path, paths: Sequence[Path]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return groups


def _flawless(pairing: Pairing, root: Path) -> tuple[tuple[Path, Path], ...]:
    problems = pairing.problems()
    if problems:
        raise DataError(f"{root}: {problems[0]}")
    return pairing.pairs


def named(paths: Iterable[Path]) -> str:
    """Return the first offenders as "folder/name" text, and how many more there are."""
    return listed(f"{path.parent.name}/{path.name}" for path in paths)
