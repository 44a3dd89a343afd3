"""Is a data folder fit for training? Every file is decoded, so a fault shows here, not later."""

import filecmp
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from blur2blur.data.folders import paired
from blur2blur.data.folders.layout import FOLDERS, Layout, Pairing, named
from blur2blur.data.folders.measure import Measured, Unreadable, measure_files
from blur2blur.images.listing import Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReport:
    """What one folder holds; sizes are (height, width) in pixels, None where nothing is readable.

    `sharpness` is per readable file, see `measure.edge_sharpness`.
    """

    name: str
    role: str
    files: int
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    distinct_sizes: int
    unreadable: tuple[Unreadable, ...]
    smaller_than_crop: tuple[Path, ...]
    sharpness: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `check` found.

    Attributes:
        root: the data folder.
        crop_px: the crop that training will cut.
        folders: one report for each folder of the layout that has files.
        pairings: the pairs C/D and the pairs of the test, where both folders have files.
        problems: what stops training, one line each, first offenders named.
        hints: what is worth knowing but stops nothing.
        skipped: what lies in the folder and is not read.
    """

    root: Path
    crop_px: int
    folders: tuple[FolderReport, ...]
    pairings: tuple[Pairing, ...]
    problems: tuple[str, ...]
    hints: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def check(layout: Layout, crop_px: int, advance: Callable[[], object]) -> Report:
    """Decode and check every file of a data folder; `advance` is called after each file."""
    sizes: dict[Path, tuple[int, int]] = {}
    folders: list[FolderReport] = []
    for name in FOLDERS:
        if not layout.files(name):
            continue
        measured, unreadable = measure_files(layout.files(name), advance)
        sizes |= {file.path: (file.height, file.width) for file in measured}
        # a training looks at testA too, where there is a camera to learn
        cropped = name.startswith("train") or (name == "testA" and bool(layout.unknown_blurry))
        folders.append(_folder(name, measured, unreadable, crop_px if cropped else 0))
    pairings = tuple(
        pairing
        for pairing in (layout.known_pairing(), layout.test_pairing())
        if layout.files(pairing.first_name) and layout.files(pairing.second_name)
    )
    problems = [line for folder in folders for line in _folder_problems(folder, crop_px)]
    problems += [*_lacking(layout), *_on_both_sides(layout)]
    for pairing in pairings:
        problems += [*pairing.problems(), *_size_problems(pairing, sizes)]
    return Report(
        root=layout.root,
        crop_px=crop_px,
        folders=tuple(folders),
        pairings=pairings,
        problems=tuple(problems),
        hints=tuple(_hints(layout, {folder.name: folder for folder in folders})),
        skipped=layout.skipped,
    )


def _folder(
    name: str, measured: list[Measured], unreadable: list[Unreadable], crop_px: int
) -> FolderReport:
    sizes = sorted({(file.height, file.width) for file in measured}, key=lambda s: s[0] * s[1])
    too_small = (file.path for file in measured if min(file.height, file.width) < crop_px)
    return FolderReport(
        name=name,
        role=FOLDERS[name],
        files=len(measured) + len(unreadable),
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
        distinct_sizes=len(sizes),
        unreadable=tuple(unreadable),
        smaller_than_crop=tuple(too_small),
        sharpness=tuple(file.sharpness for file in measured),
    )


def _folder_problems(folder: FolderReport, crop_px: int) -> list[str]:
    lines: list[str] = []
    if folder.unreadable:
        count, first = len(folder.unreadable), folder.unreadable[0].reason
        lines.append(f"{folder.name}: {count} unreadable, remove or replace; first: {first}")
    if folder.smaller_than_crop:
        count = len(folder.smaller_than_crop)
        lines.append(
            f"{folder.name}: {count} smaller than the crop of {crop_px} px, remove or choose a "
            f"smaller crop: {named(folder.smaller_than_crop)}"
        )
    return lines


def _lacking(layout: Layout) -> list[str]:
    lines: list[str] = []
    for name, partner in (("trainC", "trainD"), ("trainD", "trainC"), ("testB", "testA")):
        if layout.files(name) and not layout.files(partner):
            state = "is empty" if (layout.root / partner).is_dir() else "is missing"
            lines.append(f"{name} needs {partner} with files of the same names, which {state}")
    if not any(layout.files(name) for name in ("trainB", "trainC", "trainD")):
        lines.append(
            "no known blur can be trained on: put sharp photographs into trainB, or pairs into "
            "trainC (blurry) and trainD (sharp)"
        )
    return lines


def _on_both_sides(layout: Layout) -> list[str]:
    """Tell of files that are in trainA and in trainB: their blur would be called sharp."""
    sharp: dict[int, list[Path]] = {}
    for path in layout.unknown_sharp:
        sharp.setdefault(path.stat().st_size, []).append(path)
    twice = [
        path
        for path in layout.unknown_blurry
        if any(
            filecmp.cmp(path, other, shallow=False) for other in sharp.get(path.stat().st_size, ())
        )
    ]
    if not twice:
        return []
    return [
        f"trainA and trainB: {len(twice)} files are in both, each belongs into one: {named(twice)}"
    ]


def _size_problems(pairing: Pairing, sizes: Mapping[Path, tuple[int, int]]) -> list[str]:
    unequal = [
        (first, second)
        for first, second in pairing.pairs
        if first in sizes and second in sizes and sizes[first] != sizes[second]
    ]
    if not unequal:
        return []
    first, second = unequal[0]
    (height, width), (other_height, other_width) = sizes[first], sizes[second]
    return [
        f"{len(unequal)} pairs of {pairing.first_name} and {pairing.second_name} differ in size: "
        f"{named([first])} is {width}x{height}, {named([second])} {other_width}x{other_height}"
    ]


def _hints(layout: Layout, folders: Mapping[str, FolderReport]) -> list[str]:
    lines: list[str] = []
    if not layout.unknown_blurry or not layout.unknown_sharp:
        lines.append("a converter needs photographs of the camera in both trainA and trainB")
    if not layout.known_blurry and layout.unknown_sharp:
        lines.append("no pairs in trainC and trainD: the known blur is laid over trainB instead")
    if not layout.known_blurry and (pairs := paired.find(layout.root)):
        lines.append(paired.way_in(pairs))
    blurry, sharp = folders.get("trainA"), folders.get("trainB")
    if blurry and sharp and blurry.sharpness and sharp.sharpness:
        below = statistics.median(blurry.sharpness), statistics.median(sharp.sharpness)
        if below[0] >= below[1]:
            lines.append(
                f"trainA (median sharpness {below[0]:.0f}) is not blurrier than trainB "
                f"({below[1]:.0f}): are the folders swapped?"
            )
    return lines
