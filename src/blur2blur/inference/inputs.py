"""Which photographs and clips files, folders and globs stand for, and what is passed over."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePath

from blur2blur import images
from blur2blur.errors import InputError
from blur2blur.images import listing
from blur2blur.images.kinds import SUFFIXES_OF
from blur2blur.images.listing import HIDDEN, Skipped
from blur2blur.inference import manifest
from blur2blur.inference.video.reading import SUFFIXES as CLIP_SUFFIXES

IN_OUTPUT_FOLDER = "in the output folder"
EARLIER_RESULT = "result of an earlier run (--all deblurs it again)"
LIVE_PHOTO_CLIP = "clip of a Live Photo (--live-photo-clips deblurs it too)"

_GLOB_CHARACTERS = frozenset("*?[")
_TOLD_EVERY = 100
_LIVE_PHOTO_CLIPS = frozenset({".mov"})
_LIVE_PHOTOGRAPHS = SUFFIXES_OF["HEIC"] | SUFFIXES_OF["JPEG"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A photograph or clip, and its place below the output folder."""

    path: Path
    place: PurePath
    is_clip: bool


@dataclass(slots=True, kw_only=True)
class Found:
    """What the inputs hold: to be done, in their order, and passed over."""

    sources: list[Source]
    skipped: list[Skipped]


def find(
    inputs: Sequence[str],
    out: Path,
    *,
    results: bool = False,
    live_photo_clips: bool = False,
    on_listed: Callable[[int], None] = lambda count: None,
) -> Found:
    """Find the photographs and clips; what they are, their content decides.

    A file keeps its name; one of a folder or glob also its place below it. A file that is named is
    taken whatever it is.

    Args:
        inputs: files, folders (searched to any depth), or globs such as "trip/*.jpg".
        out: the output folder, whose files are passed over where it lies inside an input folder.
        results: take the results of earlier runs too, which the manifests in folders tell.
        live_photo_clips: take the clips of Live Photos too.
        on_listed: told how many files have been listed, now and then.

    Raises:
        InputError: an input that is empty or not there, or a glob that is none.
        DataError: a folder that cannot be listed.
    """
    count = 0

    def advance() -> None:
        nonlocal count
        count += 1
        if count % _TOLD_EVERY == 0:
            on_listed(count)

    found = Found(sources=[], skipped=[])
    for text in inputs:
        path = Path(text)
        if not text.strip():
            raise InputError("an input is empty; name a file, a folder (. is this one) or a glob")
        if path.is_file():
            found.sources.append(_source(path, PurePath(path.name)))
            continue
        if path.is_dir():
            root, listed = path, listing.find(path, advance, others=CLIP_SUFFIXES)
        elif has_wildcard(text):
            root, pattern = _split_glob(path)
            listed = _of_glob(root, pattern, advance)
        else:
            raise InputError(f"no file or folder {text}")
        found.skipped += listed.skipped
        for each in _passed(listed.photographs + listed.others, root, out, results, found.skipped):
            found.sources.append(_source(each, each.relative_to(root)))
            advance()
    return found if live_photo_clips else _without_live_photo_clips(found)


def is_clip(path: Path) -> bool:
    """Tell whether a file is a clip or an animation; where its content says nothing, its suffix."""
    contents = images.contents_of(path)
    return path.suffix.lower() in CLIP_SUFFIXES if contents is None else contents != "picture"


def has_wildcard(text: str) -> bool:
    """Tell whether an input that is no file or folder is a glob."""
    return bool(_GLOB_CHARACTERS & set(text))


def _source(path: Path, place: PurePath) -> Source:
    return Source(path=path, place=place, is_clip=is_clip(path))


def _split_glob(path: Path) -> tuple[Path, str]:
    """Return the folder before the first part with a wildcard, and the rest."""
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if _GLOB_CHARACTERS & set(part))
    return Path(*parts[:first]), str(PurePath(*parts[first:]))


def _of_glob(root: Path, pattern: str, advance: Callable[[], None]) -> listing.Listing:
    """List what a glob stands for; folders that it also names are no files to account for.

    Raises:
        InputError: ** in it is only a part of a name.
    """
    taken: list[Path] = []
    skipped: list[Skipped] = []
    try:
        matches = sorted(root.glob(pattern))
    except ValueError as error:
        raise InputError(
            f"{root / pattern}: ** stands for folders at any depth and is a part of its own, as in "
            "trip/**/*.jpg"
        ) from error
    for match in matches:
        advance()
        if match.is_dir():
            continue
        hidden = any(part.startswith(".") for part in match.relative_to(root).parts)
        reason = HIDDEN if hidden else listing.not_regular(match)
        reason = reason or listing.unknown_suffix(match, images.SUFFIXES | CLIP_SUFFIXES)
        if reason:
            skipped.append(Skipped(path=match, reason=reason))
        else:
            taken.append(match)
    return listing.Listing(photographs=tuple(taken), skipped=tuple(skipped))


def _passed(
    paths: Sequence[Path], root: Path, out: Path, results: bool, skipped: list[Skipped]
) -> Iterator[Path]:
    """Yield the files that are no outputs, of this run or an earlier one; note the others."""
    out_place = out.resolve()
    out_is_inside = root.resolve() in out_place.parents

    @cache
    def reason_of_folder(folder: Path) -> tuple[str | None, str, frozenset[str]]:
        place = folder.resolve()
        inside = out_is_inside and place.is_relative_to(out_place)
        made = frozenset[str]() if results else made_before(place)
        return IN_OUTPUT_FOLDER if inside else None, str(place), made

    @cache
    def made_before(folder: Path) -> frozenset[str]:
        above = frozenset[str]() if folder == folder.parent else made_before(folder.parent)
        here = manifest.results_in(folder)
        return above | here if here else above

    for path in paths:
        reason, place, made = reason_of_folder(path.parent)
        if made and os.path.join(place, path.name) in made:  # noqa: PTH118 (of many thousands)
            reason = reason or EARLIER_RESULT
        if reason:
            skipped.append(Skipped(path=path, reason=reason))
        else:
            yield path


def _without_live_photo_clips(found: Found) -> Found:
    """Pass over the clips that lie beside a photograph of the same name, as telephones do it."""
    photographs = {
        source.path.with_suffix("")
        for source in found.sources
        if source.path.suffix.lower() in _LIVE_PHOTOGRAPHS and not source.is_clip
    }
    sources: list[Source] = []
    for source in found.sources:
        may_be = source.is_clip and source.path.suffix.lower() in _LIVE_PHOTO_CLIPS
        if may_be and source.path.with_suffix("") in photographs:
            found.skipped.append(Skipped(path=source.path, reason=LIVE_PHOTO_CLIP))
        else:
            sources.append(source)
    return replace(found, sources=sources)
