"""The images of a published dataset, found in whatever folder its files were unpacked to."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from blur2blur import images
from blur2blur.data.published.table import Folders, Lists, Published, Structure
from blur2blur.errors import DataError, listed
from blur2blur.settings import parse_json

PARTITIONS = "metadata.json"
"""Says in some datasets which image is for training and which for testing."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Image:
    """One image; `number` names it within its scene."""

    scene: str
    number: str
    path: Path

    @property
    def name(self) -> str:
        """The file's name within the dataset, without suffix."""
        return f"{self.scene}_{self.number}" if self.scene else self.number


Pairs = tuple[tuple[Image, Image], ...]
"""Blurry and sharp ones, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a dataset holds; `test` is empty where no test split is known, or none was asked for."""

    train: Pairs
    test: Pairs


def find(source_dir: Path, dataset: Published, subset: str, *, with_test: bool) -> Found:
    """Find a dataset's images in a folder.

    Args:
        source_dir: the unpacked dataset, the folder above, or a folder in it.
        dataset: which dataset.
        subset: a key of its `structures`.
        with_test: whether its test split is wanted, too.

    Raises:
        DataError: no such folder, no images, another structure than the published one, images
            without partner, the same image twice, or lists that do not fit the images.
    """
    paths = images.find_images(source_dir)
    if not paths:
        raise DataError(f"no photographs in {source_dir}; {_sought(dataset, subset)}")
    root = source_dir.resolve().name
    texts = {path: f"{root}/{path.relative_to(source_dir).as_posix()}" for path in paths}
    for structure in dataset.structures[subset]:
        found = _find(structure, source_dir, dataset, texts, with_test)
        if found is not None:
            return found
    example = paths[0].relative_to(source_dir).as_posix()
    raise DataError(
        f"{source_dir} does not look like {dataset.title}: {_sought(dataset, subset)}; found: "
        f"{len(paths)} photographs, the first is {example}"
    )


def _sought(dataset: Published, subset: str) -> str:
    return f"sought: {dataset.seeks}" + (f", subset {subset}" if subset else "")


def _find(
    structure: Structure,
    source_dir: Path,
    dataset: Published,
    texts: Mapping[Path, str],
    with_test: bool,
) -> Found | None:
    """Return what one structure finds, None if nothing at all."""
    if isinstance(structure, Lists):
        return _by_lists(structure, source_dir, dataset, with_test)
    return _by_folders(structure, source_dir, dataset, texts, with_test)


def _by_folders(
    structure: Folders,
    source_dir: Path,
    dataset: Published,
    texts: Mapping[Path, str],
    with_test: bool,
) -> Found | None:
    blurry = _matches(structure.blurry, texts)
    if not blurry:
        return None
    sharp = _matches(structure.sharp, texts)
    _by_key(blurry, tuple(structure.blurry.groupindex))  # refuses twins
    shared = tuple(structure.sharp.groupindex)
    partners = _by_key(sharp, shared)
    wanted = {"train", dataset.test_split} if with_test else {"train"}
    pairs: dict[str, list[tuple[Image, Image]]] = {split: [] for split in wanted}
    lonely: list[Path] = []
    for path, split in _splits(blurry, source_dir).items():
        partner = partners.pop(_key(blurry[path], shared), None)
        if split not in wanted:
            continue
        if partner is None:
            lonely.append(path)
            continue
        scene, number = _key(blurry[path], ("scene", "number"))
        one, other = (Image(scene=scene, number=number, path=side) for side in (path, partner))
        pairs[split].append((one, other))
    if "split" in shared:  # else the sharp images of a split that was not unpacked would count
        lonely += [
            path for path in partners.values() if (sharp[path].get("split") or "train") in wanted
        ]
    _refuse_lonely(lonely, source_dir, dataset)
    return Found(
        train=tuple(sorted(pairs["train"])),
        test=tuple(sorted(pairs.get(dataset.test_split, ()))),
    )


def _matches(
    pattern: re.Pattern[str], texts: Mapping[Path, str]
) -> dict[Path, dict[str, str | None]]:
    """Return the groups of each path that matches; splits in lower case."""
    found: dict[Path, dict[str, str | None]] = {}
    for path, text in texts.items():
        match = pattern.search(text)
        if match:
            groups: dict[str, str | None] = match.groupdict()
            split = groups.get("split")
            found[path] = groups | ({"split": split.lower()} if split else {})
    return found


def _key(match: Mapping[str, str | None], groups: Sequence[str]) -> tuple[str, ...]:
    """Return the values of `groups`, "" for an absent one."""
    return tuple(match.get(group) or "" for group in groups)


def _by_key(
    matches: Mapping[Path, Mapping[str, str | None]], groups: Sequence[str]
) -> dict[tuple[str, ...], Path]:
    """Return the values of `groups` -> path. Raises DataError where two paths have the same."""
    found: dict[tuple[str, ...], Path] = {}
    for path, match in matches.items():
        twin = found.setdefault(_key(match, groups), path)
        if twin != path:
            raise DataError(f"{twin} and {path} are the same image twice; give one copy of it")
    return found


def _splits(blurry: Mapping[Path, Mapping[str, str | None]], source_dir: Path) -> dict[Path, str]:
    """Return each image's split: that of its path, or of a list of partitions, or train."""
    partitions = _partitions(source_dir) if any(not m.get("split") for m in blurry.values()) else {}
    return {
        path: match.get("split") or partitions.get(path, "train") for path, match in blurry.items()
    }


def _partitions(source_dir: Path) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for file in _files_named(PARTITIONS, source_dir):
        try:
            content: Any = parse_json(file.read_bytes())
            for entry in content["data"]:
                found[file.parent / entry["blur_path"]] = str(entry["partition"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{file} does not say which image is in which partition: {error!r}; unpack it "
                "again, or remove it to take all images for training"
            ) from error
    return found


def _by_lists(
    structure: Lists, source_dir: Path, dataset: Published, with_test: bool
) -> Found | None:
    train = _listed(structure.train, structure, source_dir, dataset)
    if train is None:
        return None
    test: Pairs | None = ()
    if with_test:
        test = _listed(structure.test, structure, source_dir, dataset)
        if test is None:
            raise DataError(
                f"{source_dir} has {structure.train} but not {structure.test}; put both into it"
            )
    return Found(train=train, test=test)


def _listed(name: str, structure: Lists, source_dir: Path, dataset: Published) -> Pairs | None:
    """Return the pairs of one list, None where there is no such list."""
    file = next(_files_named(name, source_dir), source_dir.resolve().parent / name)
    if not file.is_file():
        return None
    lines = _read_list(file, structure)
    if not lines:
        return ()
    folder, skipped = _base(lines[0][0], file, source_dir)
    pairs: list[tuple[Image, Image]] = []
    missing: list[str] = []
    for sharp_text, match in lines:
        blurry, sharp = (
            folder.joinpath(*PurePosixPath(text).parts[skipped:])
            for text in (match.string, sharp_text)
        )
        missing += [
            text
            for path, text in ((blurry, match.string), (sharp, sharp_text))
            if not path.is_file()
        ]
        one, other = (
            Image(scene=match["scene"], number=match["number"], path=path)
            for path in (blurry, sharp)
        )
        pairs.append((one, other))
    if missing:
        raise DataError(
            f"{file.name} lists {len(missing)} files that are not in {source_dir}: "
            f"{listed(missing)}; unpack {dataset.title} again, whole"
        )
    return tuple(sorted(pairs))


def _read_list(file: Path, structure: Lists) -> list[tuple[str, re.Match[str]]]:
    """Return the sharp path and the matched blurry path of each line."""
    found: list[tuple[str, re.Match[str]]] = []
    text = file.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        match = structure.blurry.search(words[1]) if len(words) == 2 else None
        if match is None or any(word.startswith("/") or ".." in word for word in words):
            raise DataError(f"{file}, line {number}: not the paths of a sharp and a blurry file")
        found.append((words[0], match))
    return found


def _base(text: str, file: Path, source_dir: Path) -> tuple[Path, int]:
    """Return the folder that listed paths start from, and how many of their parts to skip."""
    parts = PurePosixPath(text).parts
    source, beside = source_dir.resolve(), file.resolve().parent
    whole = [(folder, 0) for folder in (beside, beside.parent, source, source.parent)]
    for folder, skipped in (*whole, (beside, 1), (source, 1)):
        if folder.joinpath(*parts[skipped:]).is_file():
            return folder, skipped
    return source, 0


def _files_named(name: str, folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(entry for entry in folders if not entry.startswith("."))
        if name in names:
            yield Path(parent, name)


def _refuse_lonely(lonely: Sequence[Path], source_dir: Path, dataset: Published) -> None:
    if lonely:
        shown = listed([path.relative_to(source_dir).as_posix() for path in lonely])
        raise DataError(
            f"{len(lonely)} images of {dataset.title} lack their blurry or sharp partner: {shown}; "
            "unpack it again, whole"
        )
