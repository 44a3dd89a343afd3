"""Which images a command makes of a folder of photographs, each with a name and a seed of its own.

The same command again makes only what is missing; other settings in the same folder are refused.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blur2blur import images
from blur2blur.errors import ConfigError, DataError, InputError
from blur2blur.files import refuse_file_in_the_way, write_text
from blur2blur.settings import parse_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One image to make: `name` is its file name without suffix, `seed` all its randomness."""

    source: Path
    name: str
    seed: int


def plan(
    sharp_dir: Path,
    out_dir: Path,
    *,
    folders: Sequence[str],
    record_name: str,
    record: Mapping[str, Any],
    seed: int,
    count: int | None = None,
    count_per_image: int = 1,
) -> list[Planned]:
    """Check the folders, write or compare the record, and return what to make.

    An image's randomness depends on `seed`, its photograph's path in the folder and its number
    alone, so that an interrupted run continued is the uninterrupted run.

    Args:
        sharp_dir: the photographs.
        out_dir: receives `folders` and the record.
        folders: names of the folders that the images go to.
        record_name: name of a JSON file that tells what was made, and how.
        record: how, without the arguments below.
        seed: of all randomness.
        count: images in all, as evenly from the photographs as can be; None for `count_per_image`.
        count_per_image: images of each photograph.

    Raises:
        DataError: no such folder, or no photographs in it.
        InputError: reading and writing folder overlap, or the disk cannot be written.
        ConfigError: `out_dir` holds images of other settings, or files of something else.
    """
    sources = images.find_images(sharp_dir)
    if not sources:
        known = " ".join(sorted(images.SUFFIXES))
        raise DataError(f"no photographs in {sharp_dir} ({known})")
    if count is not None:
        count_per_image = -(-count // len(sources))
    _refuse_folders(sharp_dir, out_dir, folders)
    whole = {
        **record,
        "seed": seed,
        "count": count,
        "count_per_image": count_per_image,
        "sharp_dir": str(sharp_dir.resolve()),
    }
    _refuse_other_settings(out_dir, folders, record_name, whole)
    if not (out_dir / record_name).exists():
        made_by = {"version": version("blur2blur")}
        write_text(out_dir / record_name, json.dumps(whole | made_by, indent=2) + "\n")
    digits = len(str(count_per_image - 1))
    planned: list[Planned] = []
    for number in range(count_per_image):
        for source, name in zip(sources, _names(sharp_dir, sources), strict=True):
            key = f"{seed}/{source.relative_to(sharp_dir).as_posix()}/{number}"
            suffix = f"_{number:0{digits}d}" if count_per_image > 1 else ""
            planned.append(Planned(source=source, name=name + suffix, seed=_seed_of(key)))
    return planned[:count]


def _names(sharp_dir: Path, sources: list[Path]) -> list[str]:
    """Return flat names; photographs that differ in the suffix alone keep it in the name."""
    relative = [source.relative_to(sharp_dir) for source in sources]
    short = ["_".join(path.with_suffix("").parts) for path in relative]
    taken = Counter(short)
    names = [
        name if taken[name] == 1 else f"{name}_{path.suffix[1:]}"
        for name, path in zip(short, relative, strict=True)
    ]
    for name, count in Counter(names).items():
        if count > 1:
            first, second = [p for p, n in zip(relative, names, strict=True) if n == name][:2]
            raise DataError(f"{first} and {second} would both become {name}.png; rename one")
    return names


def _seed_of(key: str) -> int:
    return (
        int.from_bytes(hashlib.sha256(key.encode(errors="surrogateescape")).digest()[:8], "big")
        >> 1
    )


def _refuse_folders(sharp_dir: Path, out_dir: Path, folders: Sequence[str]) -> None:
    refuse_file_in_the_way(out_dir)
    source, target = sharp_dir.resolve(), out_dir.resolve()
    if target == source or source in target.parents:
        raise InputError(f"{out_dir} is in {sharp_dir}: the results would become its photographs")
    for folder in folders:
        if target / folder in (source, *source.parents):
            raise InputError(f"the results would go into {sharp_dir}; choose another output folder")


def _refuse_other_settings(
    out_dir: Path, folders: Sequence[str], record_name: str, record: dict[str, Any]
) -> None:
    path = out_dir / record_name
    if not path.exists():
        for folder in folders:
            if (out_dir / folder).is_dir() and any((out_dir / folder).iterdir()):
                raise ConfigError(
                    f"{out_dir / folder} holds files but {out_dir} has no {record_name}: they are "
                    "not from this command; choose another output folder"
                )
        return
    try:
        old = dict(_leaves(parse_json(path.read_bytes())))
    except (ValueError, OSError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged; delete {out_dir} or choose another") from error
    for key, value in _leaves(record):
        if old.get(key) != value:
            raise ConfigError(
                f"{out_dir} was made with {key} = {old.get(key)}, now it is {value}; choose "
                "another output folder or delete it"
            )


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
