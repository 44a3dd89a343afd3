"""Pairs under the names that other software gives their folders, and how they become ours."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

BLURRY_NAMES = ("blur", "blurry", "blurred", "input", "inputs", "lq", "lr", "degraded")
SHARP_NAMES = ("sharp", "target", "targets", "gt", "hq", "hr", "groundtruth", "ground_truth")
_DEPTH = 2  # as in train/SCENE/blur


def find(root: Path) -> list[tuple[Path, Path]]:
    """Return the (blurry, sharp) folders beside each other in a folder or in folders in it.

    Those for training come first, the others in the order of their paths.
    """
    found = sorted(_find(root, _DEPTH))
    return sorted(found, key=lambda pair: "train" not in pair[0].relative_to(root).as_posix())


def _find(folder: Path, depth: int) -> Iterator[tuple[Path, Path]]:
    try:
        with os.scandir(folder) as entries:
            inner = [entry for entry in entries if entry.is_dir() and entry.name[0] != "."]
    except PermissionError:
        return
    by_name = {entry.name.casefold(): Path(entry) for entry in inner}
    blurry = [by_name[name] for name in BLURRY_NAMES if name in by_name]
    sharp = [by_name[name] for name in SHARP_NAMES if name in by_name]
    if blurry and sharp:
        yield blurry[0], sharp[0]
    elif depth:
        for entry in inner:
            if not entry.is_symlink():
                yield from _find(Path(entry), depth - 1)


def way_in(pairs: list[tuple[Path, Path]]) -> str:
    """Return what such folders are and how training gets to see them, in one line."""
    blurry, sharp = pairs[0]
    line = (
        f"{blurry} and {sharp} hold pairs of a known blur, which belong in trainC (blurry) and "
        "trainD (sharp)"
    )
    first, second = (shlex.quote(str(path.resolve())) for path in (blurry, sharp))
    if len(pairs) == 1:
        return (
            f"{line}; link them: mkdir DATA && ln -s {first} DATA/trainC && ln -s {second} "
            "DATA/trainD"
        )
    name = shlex.quote(blurry.parent.name)
    return (
        f"{line}, and so do {len(pairs) - 1} more folders; 'blur2blur data import' reads published "
        "datasets, others link folder by folder: mkdir -p DATA/trainC DATA/trainD && "
        f"ln -s {first} DATA/trainC/{name} && ln -s {second} DATA/trainD/{name}"
    )
