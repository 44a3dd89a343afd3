"""Which clips are taken, and what becomes of them; decided before anything is processed."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from blur2blur import images
from blur2blur.errors import InputError
from blur2blur.files import refuse_file_in_the_way
from blur2blur.inference.folder import has_wildcard, split_glob
from blur2blur.inference.video.codecs import WRITTEN_SUFFIXES, Quality
from blur2blur.inference.video.reading import SUFFIXES, require_av

# Containers that are read but not written become this one, which holds any sound.
_OTHER_SUFFIX = ".mkv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipJob:
    """One clip and the file made of it."""

    source: Path
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """What is to be done with the clips among the inputs.

    Attributes:
        jobs: the clips.
        others: inputs that hold photographs, or nothing that is known.
        one_file: the output was named as a file: a clip that fails is the whole command's failure.
    """

    jobs: list[ClipJob]
    others: list[str]
    one_file: bool


def plan(inputs: Sequence[str], out: Path, quality: Quality) -> ClipPlan:
    """Find the clips among files, folders and globs, and name their outputs; touches no file.

    Args:
        inputs: as `folder.plan` takes them.
        out: the output folder; or a clip, where there is one input and it is a clip.
        quality: what the clips are encoded with.

    Raises:
        ConfigError: the extra `video` is not installed, an unknown codec, one that an output's
            container does not hold, an output that is no known container.
        InputError: a clip that is not there, an output that is an input, two clips for one output,
            or one output for several inputs.
    """
    quality.check()
    first = Path(inputs[0])
    names_clip = out.suffix.lower() in SUFFIXES
    if not out.is_dir() and (names_clip or (len(inputs) == 1 and _is_clip(first) and out.suffix)):
        if len(inputs) == 1 and not first.exists() and not has_wildcard(inputs[0]):
            raise InputError(f"no file or folder {first}")
        if len(inputs) > 1 or not first.is_file() or _is_photograph(first):
            raise InputError(
                f"{out} is the name of a clip, which takes one clip as input; choose a folder for "
                "anything else"
            )
        jobs = [ClipJob(source=first, output=out)]
        found = ClipPlan(jobs=jobs, others=[], one_file=True)
    else:
        found = _plan_folder(inputs, out)
    if found.jobs:
        require_av()
    for job in found.jobs:
        quality.check_container(job.output)
    return found


def _plan_folder(inputs: Sequence[str], out: Path) -> ClipPlan:
    owners: dict[Path, Path] = {}
    others: list[str] = []
    for text in inputs:
        clips = list(_expand(text, out))
        if not clips or _holds_photographs(text):
            others.append(text)
        for source, place in clips:
            suffix = place.suffix if place.suffix.lower() in WRITTEN_SUFFIXES else _OTHER_SUFFIX
            output = out / place.with_suffix(suffix)
            owner = owners.setdefault(output, source)
            if owner.resolve() != source.resolve():
                raise InputError(
                    f"{owner} and {source} would both be written to {output}; run them "
                    "separately, with an output folder each"
                )
    if owners:
        refuse_file_in_the_way(out)
    sources = {source.resolve() for source in owners.values()}
    for output in owners:
        if output.resolve() in sources:
            raise InputError(
                f"{output} is an input and would be overwritten; choose another folder"
            )
    jobs = [ClipJob(source=source, output=output) for output, source in owners.items()]
    return ClipPlan(jobs=jobs, others=others, one_file=False)


def _expand(text: str, out: Path) -> Iterator[tuple[Path, PurePath]]:
    """Yield each clip of one input and its place below the output folder."""
    path = Path(text)
    if path.is_file():
        if _is_clip(path):
            yield path, PurePath(path.name)
        return
    if path.is_dir():
        root, found = path, sorted(_walk(path))
    elif has_wildcard(text):
        root, pattern = split_glob(path)
        found = sorted(match for match in root.glob(pattern) if _is_clip(match))
    else:
        return
    inside = root.resolve() in out.resolve().parents
    for clip in found:
        if not (inside and out.resolve() in clip.resolve().parents):
            yield clip, clip.relative_to(root)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if _is_clip(Path(parent, name)))


def _is_clip(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and path.suffix.lower() in SUFFIXES


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES and not images.is_animation(path)


def _holds_photographs(text: str) -> bool:
    """Tell whether a folder or glob that holds clips is one of photographs, too."""
    path = Path(text)
    if path.is_file():
        return False
    if path.is_dir():
        return bool(images.find_images(path))
    root, pattern = split_glob(path)
    return any(match.suffix.lower() in images.SUFFIXES for match in root.glob(pattern))
