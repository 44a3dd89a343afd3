"""Files, folders and globs of photographs through a pipeline, one output file for each."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from blur2blur import images
from blur2blur.errors import Blur2BlurError, InputError
from blur2blur.files import refuse_file_in_the_way
from blur2blur.images import Photograph, Raster
from blur2blur.inference.backends import is_out_of_memory
from blur2blur.inference.pipeline import Pipeline

CONVERTED_FOLDER = "converted"

_GLOB_CHARACTERS = frozenset("*?[")
_log = logging.getLogger(__name__)


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
        out: the output folder; or an image, where the input is one image file.
        save_converted: name a file for the converted image too, in a folder `converted` of the
            output folder.

    Raises:
        InputError: an input that is not there or holds no image, an output that would overwrite an
            input, two inputs for one output, one image for several inputs, or a file where `out`
            should be.
    """
    name = None
    if names_photograph(out):
        if len(inputs) > 1 or not Path(inputs[0]).is_file():
            raise InputError(
                f"{out} is the name of a photograph, which takes one photograph as input; choose a "
                "folder for anything else"
            )
        out, name = out.parent, out.name
    refuse_file_in_the_way(out)
    jobs: dict[Path, Job] = {}
    owners: dict[Path, Path] = {}
    for text in inputs:
        for source, found in _expand(text, out):
            place = images.output_name(found, "keep") if name is None else PurePath(name)
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

    While one photograph is computed, one thread decodes the next and another writes the last. Both
    wait for the computation and it for them, so that beside it memory holds at most one photograph
    decoded ahead and one being written, as whole numbers (3 bytes per pixel at 8 bits per channel).
    Whatever ends the run, a file that is being written is finished first.

    Args:
        pipeline: what to put them through.
        jobs: as `plan` returns them.
        on_photograph: told (photographs computed, the next one) before each, in this thread.
        on_tile: told (tiles done, tiles in all) of the current photograph, in this thread.

    Returns:
        Those that failed, in the order of `jobs`.
    """
    errors: dict[Job, Blur2BlurError] = {}

    def write(job: Job, files: list[tuple[Path, Raster]]) -> None:
        with _noted(errors, job):
            _write(files)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = deque(reader.submit(_read, job) for job in jobs[:1])
        behind: deque[Future[None]] = deque()
        for done, job in enumerate(jobs):
            on_photograph(done, job)
            ahead.extend(reader.submit(_read, following) for following in jobs[done + 1 : done + 2])
            with _noted(errors, job):
                # unnamed, because a name would keep its pixels while the next one is computed
                behind.append(
                    writer.submit(
                        write,
                        job,
                        _deblur(pipeline, job, _photograph(ahead.popleft()), on_tile=on_tile),
                    )
                )
            if len(behind) > 1:
                behind.popleft().result()
    for written in behind:
        written.result()
    return [Failure(job=job, error=errors[job]) for job in jobs if job in errors]


def process(
    pipeline: Pipeline, job: Job, *, on_tile: Callable[[int, int], None] | None = None
) -> None:
    """Deblur one photograph; the output keeps size, bit depth, alpha, EXIF and ICC profile.

    Raises:
        InputError: the photograph cannot be read or an output cannot be written.
        CheckpointError: the networks fail on it.
    """
    _write(_deblur(pipeline, job, images.to_photograph(_read(job)), on_tile=on_tile))


def _read(job: Job) -> Raster:
    raster = images.decode(job.source)
    for note in raster.notes:
        _log.warning("%s: %s", job.source, note)
    if job.output.suffix.lower() != job.source.suffix.lower():
        _log.warning("%s is written as %s", job.source, job.output)
    return raster


def _photograph(decoded: Future[Raster]) -> Photograph:
    return images.to_photograph(decoded.result())


def _deblur(
    pipeline: Pipeline,
    job: Job,
    photograph: Photograph,
    *,
    on_tile: Callable[[int, int], None] | None,
) -> list[tuple[Path, Raster]]:
    """Return the files to write and what they are to hold."""
    pixels = images.working_pixels(photograph)
    if job.converted is None:
        pipeline.process(pixels, out=pixels, on_tile=on_tile)
        made = [(job.output, pixels)]
    else:
        merged = pipeline.process(pixels, keep_converted=True, on_tile=on_tile)
        made = [(job.converted, merged[..., :3]), (job.output, merged[..., 3:])]
    return [
        (path, images.to_raster(path, images.with_result(photograph, part))) for path, part in made
    ]


def _write(files: Sequence[tuple[Path, Raster]]) -> None:
    for path, raster in files:
        for note in images.encode(path, raster):
            _log.warning("%s: %s", path, note)


@contextmanager
def _noted(errors: dict[Job, Blur2BlurError], job: Job) -> Generator[None]:
    """Keep a photograph's error, without the frames that would keep its pixels in memory."""
    try:
        yield
    except Exception as error:  # each library says in its own way that memory ran out
        if not isinstance(error, Blur2BlurError) and is_out_of_memory(error):
            error = InputError(
                f"{job.source} is too large for the memory that is free; close other programs, or "
                "make it smaller"
            )
        if not isinstance(error, Blur2BlurError):
            raise
        error.__cause__ = error.__context__ = None
        errors[job] = error.with_traceback(None)


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


def names_photograph(out: Path) -> bool:
    """Tell whether an output is the name of an image, not a folder."""
    return out.suffix.lower() in images.WRITTEN_SUFFIXES and not out.is_dir()


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
