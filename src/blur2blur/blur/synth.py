"""Blurry/sharp pairs and their kernels from a folder of sharp photographs."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blur2blur import images
from blur2blur.blur.camera import Camera
from blur2blur.blur.camera_settings import CameraSettings
from blur2blur.errors import ConfigError, DataError, InputError
from blur2blur.files import atomic_path, refuse_file_in_the_way, write_text

RECORD = "synth.json"
FOLDERS = ("blurry", "sharp", "kernels")
KERNEL_GRID = 5
PICTURE_SIDE_PX = 480


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One pair to make: `name` is its file name without suffix, `seed` all its randomness."""

    source: Path
    name: str
    seed: int


def plan(
    sharp_dir: Path, out_dir: Path, camera: CameraSettings, seed: int, count_per_image: int
) -> list[Pair]:
    """Check the folders, write or compare `out_dir`/synth.json, and return the pairs to make.

    A pair's randomness depends on `seed`, its photograph's path in the folder and its number
    alone, so that an interrupted run continued is the uninterrupted run.

    Raises:
        DataError: no such folder, or no photographs in it.
        InputError: reading and writing folder overlap, or the disk cannot be written.
        ConfigError: `out_dir` holds pairs of other settings, or files of something else.
    """
    sources = images.find_images(sharp_dir)
    if not sources:
        known = " ".join(sorted(images.SUFFIXES))
        raise DataError(f"no photographs in {sharp_dir} ({known})")
    _refuse_folders(sharp_dir, out_dir)
    record = {
        "camera": camera.model_dump(mode="json"),
        "seed": seed,
        "count_per_image": count_per_image,
        "sharp_dir": str(sharp_dir.resolve()),
    }
    _refuse_other_settings(out_dir, record)
    if not (out_dir / RECORD).exists():
        made_by = {"version": version("blur2blur")}
        write_text(out_dir / RECORD, json.dumps(record | made_by, indent=2) + "\n")
    digits = len(str(count_per_image - 1))
    pairs: list[Pair] = []
    for source, name in zip(sources, _names(sharp_dir, sources), strict=True):
        for number in range(count_per_image):
            key = f"{seed}/{source.relative_to(sharp_dir).as_posix()}/{number}"
            suffix = f"_{number:0{digits}d}" if count_per_image > 1 else ""
            pairs.append(Pair(source=source, name=name + suffix, seed=_seed_of(key)))
    return pairs


def is_made(pair: Pair, out_dir: Path) -> bool:
    """Return whether all files of the pair are there; each was written whole."""
    return all(path.exists() for path in _files(pair, out_dir))


def make(pair: Pair, camera: Camera, sharp: Tensor, out_dir: Path) -> None:
    """Write blurry and sharp photograph, kernels (.npz, key "kernels") and their picture.

    Args:
        pair: which pair.
        camera: takes the photographs.
        sharp: 3 x H x W, sRGB in [0, 1].
        out_dir: as given to `plan`.

    Raises:
        InputError: the disk cannot be written.
    """
    generator = torch.Generator().manual_seed(pair.seed)
    exposure = camera.draw(1, generator)
    blurry, steady = camera.photograph_pair(sharp[None], generator, exposure=exposure)
    height, width = sharp.shape[-2:]
    kernels = camera.local_kernels(exposure, height, width, KERNEL_GRID)[0]
    blurry_path, sharp_path, kernels_path, picture_path = _files(pair, out_dir)
    images.write_rgb(picture_path, kernel_picture(kernels))
    with atomic_path(kernels_path) as temporary:
        np.savez(temporary, kernels=kernels.numpy())
    images.write_rgb(sharp_path, steady[0])
    images.write_rgb(blurry_path, blurry[0])


def kernel_picture(kernels: Tensor) -> Tensor:
    """Return a 3 x H x W picture of G x G x K x K kernels, each up to white, enlarged in blocks."""
    bright = (kernels / kernels.amax(dim=(-2, -1), keepdim=True)).sqrt()
    # a grey line right of and below each kernel
    cells = torch.nn.functional.pad(bright, (0, 1, 0, 1), value=0.5)
    sheet = torch.cat(torch.cat(cells.unbind(1), dim=-1).unbind(), dim=-2)
    scale = max(1, math.floor(PICTURE_SIDE_PX / len(sheet)))
    return sheet.repeat_interleave(scale, 0).repeat_interleave(scale, 1).expand(3, -1, -1)


def _files(pair: Pair, out_dir: Path) -> tuple[Path, Path, Path, Path]:
    blurry, sharp, kernels = (out_dir / folder for folder in FOLDERS)
    png = f"{pair.name}.png"
    return blurry / png, sharp / png, kernels / f"{pair.name}.npz", kernels / png


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


def _refuse_folders(sharp_dir: Path, out_dir: Path) -> None:
    refuse_file_in_the_way(out_dir)
    source, target = sharp_dir.resolve(), out_dir.resolve()
    if target == source or source in target.parents:
        raise InputError(f"{out_dir} is in {sharp_dir}: the results would become its photographs")
    for folder in FOLDERS:
        if target / folder in (source, *source.parents):
            raise InputError(f"the results would go into {sharp_dir}; choose another output folder")


def _refuse_other_settings(out_dir: Path, record: dict[str, Any]) -> None:
    path = out_dir / RECORD
    if not path.exists():
        for folder in FOLDERS:
            if (out_dir / folder).is_dir() and any((out_dir / folder).iterdir()):
                raise ConfigError(
                    f"{out_dir / folder} holds files but {out_dir} has no {RECORD}: they are not "
                    "from this command; choose another output folder"
                )
        return
    try:
        old = dict(_leaves(json.loads(path.read_text(encoding="utf-8"))))
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
