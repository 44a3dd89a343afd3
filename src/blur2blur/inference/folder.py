"""Files, folders and globs of photographs through a pipeline, one output file for each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from blur2blur import images
from blur2blur.errors import Blur2BlurError, InputError
from blur2blur.files import refuse_file_in_the_way
from blur2blur.inference.pipeline import Pipeline

CONVERTED_FOLDER = "converted"

_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One photograph and the files made of it; `converted` is None where it is not asked for."""

    source: Path
    output: Path
    converted: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A photograph that could not be done, and why."""

    job: Job
    error: Blur2BlurError


def plan(inputs: Sequence[str], out: Path, *, save_converted: bool) -> list[Job]:
    """Find the photographs and name their outputs; touches no file.

    A file keeps its name; an image of a folder or glob also its place below it. Images in `out`
    are left out where `out` lies inside an input folder.

    Args:
        inputs: image files, folders (searched to any depth), or globs such as "trip/*.jpg".
        out: the output folder.
        save_converted: name a file for the converted image too, under `out`/converted.

    Raises:
        InputError: an input that is not there or holds no image, an output that would overwrite an
            input, two inputs for one output, or a file where `out` should be.
    """
    refuse_file_in_the_way(out)
    jobs: dict[Path, Job] = {}
    owners: dict[Path, Path] = {}
    for text in inputs:
        for source, place in _expand(text, out):
            converted = out / CONVERTED_FOLDER / place if save_converted else None
            job = Job(source=source, output=out / place, converted=converted)
            for path in (job.output, job.converted):
                owner = owners.setdefault(path, source) if path is not None else source
                if owner.resolve() != source.resolve():
                    raise InputError(
                        f"{owner} and {source} would both be written to {path}; run them "
                        "separately, with an output folder each"
                    )
            jobs.setdefault(job.output, job)
    sources = {job.source.resolve() for job in jobs.values()}
    for path in owners:
        if path.resolve() in sources:
            raise InputError(f"{path} is an input and would be overwritten; choose another folder")
    return list(jobs.values())


def run(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    *,
    on_photograph: Callable[[int, Job], None],
    on_tile: Callable[[int, int], None],
) -> list[Failure]:
    """Do every photograph that can be done; outputs that exist are replaced, each whole or not.

    Args:
        pipeline: what to put them through.
        jobs: as `plan` returns them.
        on_photograph: told (photographs done, the next one) before each.
        on_tile: told (tiles done, tiles in all) of the current photograph.

    Returns:
        Those that failed.
    """
    failures: list[Failure] = []
    for done, job in enumerate(jobs):
        on_photograph(done, job)
        try:
            process(pipeline, job, on_tile=on_tile)
        except Blur2BlurError as error:
            failures.append(Failure(job=job, error=error))
    return failures


def process(
    pipeline: Pipeline, job: Job, *, on_tile: Callable[[int, int], None] | None = None
) -> None:
    """Deblur one photograph; the output keeps size, bit depth, alpha, EXIF and ICC profile.

    Raises:
        InputError: the photograph cannot be read or an output cannot be written.
        CheckpointError: the networks fail on it.
    """
    if job.output.suffix.lower() not in images.SUFFIXES:
        known = " ".join(sorted(images.SUFFIXES))
        raise InputError(f"{job.source} is not one of {known}")
    photograph = images.read(job.source)
    if job.converted is None:
        photograph = replace(photograph, pixels=pipeline(photograph.pixels, on_tile=on_tile))
    else:
        result = pipeline.run(photograph.pixels, on_tile=on_tile)
        photograph = replace(photograph, pixels=result.deblurred)
        if result.converted is not None:
            images.write(job.converted, replace(photograph, pixels=result.converted))
    images.write(job.output, photograph)


def _expand(text: str, out: Path) -> Iterator[tuple[Path, PurePath]]:
    """Yield each photograph of one input and its place below the output folder."""
    path = Path(text)
    if path.is_file():
        yield path, PurePath(path.name)
        return
    if path.is_dir():
        root = path
        if root.resolve() == out.resolve():
            raise InputError(f"the output folder {out} is the input folder; choose another one")
        found = images.find_images(root)
    elif has_wildcard(text):
        root, pattern = split_glob(path)
        found = sorted(match for match in root.glob(pattern) if _is_image(match))
    else:
        raise InputError(f"no file or folder {text}")
    if root.resolve() in out.resolve().parents:
        found = [image for image in found if out.resolve() not in image.resolve().parents]
    if not found:
        known = " ".join(sorted(images.SUFFIXES))
        raise InputError(f"no images in {text} (sought: {known})")
    for image in found:
        yield image, image.relative_to(root)


def has_wildcard(text: str) -> bool:
    """Tell whether an input that is no file or folder is a glob."""
    return bool(_GLOB_CHARACTERS & set(text))


def split_glob(path: Path) -> tuple[Path, str]:
    """Return the folder before the first part with a wildcard, and the rest."""
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if _GLOB_CHARACTERS & set(part))
    return Path(*parts[:first]), str(PurePath(*parts[first:]))


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and path.suffix.lower() in images.SUFFIXES
