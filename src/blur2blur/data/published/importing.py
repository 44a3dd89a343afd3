"""Published datasets into the folders trainA to testB, by links.

As known blur, a dataset's training pairs go to trainC and trainD. As unknown blur, they are dealt
out by scene, the blurry images of some scenes to trainA and the sharp ones of the others to trainB,
so that no scene is in both (Pham et al., CVPR 2024, section 4, where 6:4 of blurry to sharp is the
best ratio), and the test pairs go to testA and testB. Every dataset has a folder of its own in
each, so that several can be imported into one data folder.
"""

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blur2blur.data.folders import placing
from blur2blur.data.folders.layout import named
from blur2blur.data.published import structures, table
from blur2blur.data.published.structures import Found, Image
from blur2blur.data.published.table import ImportedAs, Published
from blur2blur.errors import ConfigError, DataError, InputError
from blur2blur.files import (
    atomic_path,
    explained_writing,
    refuse_file_in_the_way,
    write_text,
)
from blur2blur.settings import nearest

BLURRY_SHARE = 0.6
"""Part of the training images that goes to trainA unless the user says otherwise."""

_MTIME_SECONDS = 2  # some file systems keep no finer time


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One image: where it comes from and which file of the data folder it becomes."""

    source: Path
    folder: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An import that has been worked out but not carried out.

    Attributes:
        label: the dataset's folder within trainA..., such as gopro or rb2v-street.
        imported_as: as what it is imported.
        source_dir: the dataset.
        blurry_share: part of the images for trainA; None where nothing is dealt out.
        scenes: folder of the data folder -> the scenes that go there, sorted.
        items: in order of folder and scene.
    """

    label: str
    imported_as: ImportedAs
    source_dir: Path
    blurry_share: float | None
    scenes: Mapping[str, tuple[str, ...]]
    items: tuple[Item, ...]

    def of(self, folder: str) -> tuple[Item, ...]:
        """Return the items of one folder."""
        return tuple(item for item in self.items if item.folder == folder)

    def target(self, item: Item, out_dir: Path) -> Path:
        """Return the file that an item becomes."""
        return out_dir / item.folder / self.label / item.name


def plan(
    source_dir: Path,
    dataset_name: str,
    *,
    imported_as: str | None,
    subset: str | None,
    blurry_share: float | None,
) -> Plan:
    """Find a dataset and decide which image goes where; a function of names alone.

    Args:
        source_dir: the unpacked dataset.
        dataset_name: a key of `published.DATASETS`.
        imported_as: "known" or "unknown"; None is the dataset's own.
        subset: of the dataset, such as street; None is its first.
        blurry_share: part of the training images for trainA, in (0, 1); None is BLURRY_SHARE.

    Raises:
        ConfigError: an unknown dataset, imported_as or subset, or one that does not fit.
        DataError: see `structures.find`; too few scenes for two sides; two images whose scene and
            number make one name.
    """
    dataset = table.get(dataset_name)
    chosen = _imported_as(dataset, imported_as)
    part = _subset(dataset, subset)
    found = structures.find(source_dir, dataset, part, with_test=chosen == "unknown")
    if not found.train:
        raise DataError(f"{source_dir} holds no training images of {dataset.title}, only others")
    if chosen == "known":
        share, folders = None, _known(found, blurry_share)
    else:
        share, folders = _unknown(dataset, found, blurry_share)
    items = tuple(
        Item(source=image.path, folder=folder, name=image.name + image.path.suffix)
        for folder, members in folders.items()
        for image in members
    )
    twins = [
        item for item, count in Counter((i.folder, i.name) for i in items).items() if count > 1
    ]
    if twins:
        folder, name = twins[0]
        raise DataError(f"two images of {dataset.title} would both become {folder}/{name}")
    return Plan(
        label=f"{dataset_name}-{part}" if part else dataset_name,
        imported_as=chosen,
        source_dir=source_dir,
        blurry_share=share,
        scenes={
            folder: tuple(sorted({image.scene for image in members}))
            for folder, members in folders.items()
        },
        items=items,
    )


def _imported_as(dataset: Published, imported_as: str | None) -> ImportedAs:
    if imported_as is None:
        return dataset.imported_as
    if imported_as not in ("known", "unknown"):
        raise ConfigError(f"--as {imported_as}: give known or unknown")
    return imported_as


def _subset(dataset: Published, subset: str | None) -> str:
    if subset is None:
        return next(iter(dataset.structures))
    if not dataset.subsets:
        raise ConfigError(f"{dataset.title} has no subsets; leave --subset away")
    if subset not in dataset.subsets:
        raise ConfigError(
            f"no subset '{subset}' of {dataset.title}{nearest(subset, dataset.subsets)}"
        )
    return subset


def _known(found: Found, blurry_share: float | None) -> dict[str, list[Image]]:
    if blurry_share is not None:
        raise ConfigError("--ratio deals images out to trainA and trainB; it needs --as unknown")
    blurry, sharp = zip(*found.train, strict=True)
    return {"trainC": list(blurry), "trainD": list(sharp)}


def _unknown(
    dataset: Published, found: Found, blurry_share: float | None
) -> tuple[float, dict[str, list[Image]]]:
    share = BLURRY_SHARE if blurry_share is None else blurry_share
    scenes: dict[str, list[tuple[Image, Image]]] = {}
    for pair in found.train:
        scenes.setdefault(pair[0].scene, []).append(pair)
    if len(scenes) < 2:
        raise DataError(
            f"all training images of {dataset.title} are of scene {next(iter(scenes))}, which "
            "trainA and trainB must not share; unpack the other scenes, too"
        )
    # neighbours by name are of one day and place: a hash deals them to both sides, always equally
    order = sorted(scenes, key=lambda scene: hashlib.sha256(scene.encode()).digest())
    count = _closest_share([len(scenes[scene]) for scene in order], share)
    return share, {
        "trainA": sorted(one for scene in order[:count] for one, _ in scenes[scene]),
        "trainB": sorted(two for scene in order[count:] for _, two in scenes[scene]),
        "testA": [one for one, _ in found.test],
        "testB": [two for _, two in found.test],
    }


def _closest_share(sizes: Sequence[int], share: float) -> int:
    """Return how many of the first of at least two groups, not all, come closest to a share."""
    misses = [abs(taken / sum(sizes) - share) for taken in itertools.accumulate(sizes[:-1])]
    return 1 + misses.index(min(misses))


def find_new(plan: Plan, out_dir: Path) -> list[Item]:
    """Return the items that the data folder lacks, before anything is written.

    Raises:
        InputError: the data folder lies in the dataset or is a file, another file has the name of
            an item, or an earlier import with other options left files.
    """
    placing.refuse_inside(out_dir, plan.source_dir)
    new: list[Item] = []
    for folder in plan.scenes:
        place = out_dir / folder / plan.label
        refuse_file_in_the_way(place)
        items = {plan.target(item, out_dir): item for item in plan.of(folder)}
        strange = [path for path in _files(place) if path not in items]
        if strange:
            raise InputError(
                f"{place} holds {len(strange)} files that this import does not make, of an import "
                f"with other options or of your own: {named(strange)}; remove that folder first"
            )
        new += [item for target, item in items.items() if not _is_made(target, item)]
    return new


def _files(folder: Path) -> list[Path]:
    """Return what lies there, without hidden files: a system's, and what a killed copy left."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_made(target: Path, item: Item) -> bool:
    """Return whether a target is its source, by link or copy; refuse another file."""
    if not os.path.lexists(target):
        return False
    if target.is_symlink():
        same = target.resolve() == item.source.resolve()
    elif target.samefile(item.source):
        same = True
    else:
        one, other = target.stat(), item.source.stat()
        same = one.st_size == other.st_size
        same = same and abs(one.st_mtime - other.st_mtime) <= _MTIME_SECONDS
    if not same:
        raise InputError(
            f"{target} is there and is not {item.source}; remove it, or choose another data folder"
        )
    return True


def carry_out(
    plan: Plan, new: Sequence[Item], out_dir: Path, *, link: bool, advance: Callable[[], object]
) -> None:
    """Link or copy the new items into the data folder, all or nothing, and record the import.

    `import-LABEL-ROLE.json` says which scenes went where. `advance` is called after each file.

    Raises:
        InputError: the disk is full, the folder cannot be written, or it cannot hold links.
    """
    out_dir = out_dir.resolve()
    folders = [out_dir / folder / plan.label for folder in plan.scenes]
    fresh = [place for folder in folders for place in (folder, folder.parent) if not place.exists()]
    made: list[Path] = []
    try:
        with explained_writing(out_dir):
            for item in new:
                target = plan.target(item, out_dir)
                target.parent.mkdir(parents=True, exist_ok=True)
                _put(item.source, target, link=link)
                made.append(target)
                advance()
            _record(plan, out_dir)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        for place in fresh:
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        raise


def _put(source: Path, target: Path, *, link: bool) -> None:
    if not link:
        with atomic_path(target) as temporary:
            placing.place(source, temporary, link=False)
        return
    try:
        placing.place(source, target, link=True)
    except OSError as error:
        raise InputError(
            f"cannot link {target}: {error.strerror or error}; --copy copies instead"
        ) from error
    if not os.access(target, os.R_OK):
        target.unlink()
        raise InputError(f"{target} cannot be read through its link; --copy copies instead")


def _record(plan: Plan, out_dir: Path) -> None:
    folders = {
        folder: {
            "images": len(plan.of(folder)),
            "scenes": plan.scenes[folder],
        }
        for folder in plan.scenes
    }
    content = {
        "dataset": plan.label,
        "as": plan.imported_as,
        "source": str(plan.source_dir.resolve()),
        "blurry_share": plan.blurry_share,
        "folders": folders,
    }
    path = out_dir / f"import-{plan.label}-{plan.imported_as}.json"
    text = json.dumps(content, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
