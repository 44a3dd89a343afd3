"""Photographs through a pipeline: the next decoded and the last written during the computation."""

import logging
import shutil
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from blur2blur import images
from blur2blur.errors import Blur2BlurError, InputError
from blur2blur.files import atomic_path, keep_dates
from blur2blur.images import Photograph, Raster, Tag
from blur2blur.images.kinds import same_kind
from blur2blur.inference.backends import is_out_of_memory
from blur2blur.inference.pipeline import Pipeline
from blur2blur.inference.planning import Job

# of rows and columns, to measure the change without another photograph in memory
_SAMPLED = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A photograph that could not be done, and why."""

    job: Job
    error: Blur2BlurError


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done to one photograph.

    Attributes:
        source: its file.
        output: the file that was written.
        blur_extent_px: how far its blur reached; None where that was not estimated.
        factor: what its sides were divided by while it was deblurred.
        mean_change: mean absolute change of its sRGB values in [0, 1].
        seconds: that it took.
    """

    source: Path
    output: Path
    blur_extent_px: float | None
    factor: int
    mean_change: float
    seconds: float

    @property
    def working_scale(self) -> str:
        """The part of the sides that was left, as the option says it."""
        return "1" if self.factor == 1 else f"1/{self.factor}"

    @property
    def change_of_255(self) -> float:
        """The change in the numbers of 8 bits."""
        return 255 * self.mean_change


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of photographs, each in their order.

    Attributes:
        failures: those that failed.
        left_sharp: those left sharp.
        changes: what was done to the others, where that was to be measured.
    """

    failures: list[Failure]
    left_sharp: list[Job]
    changes: list[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How results are written.

    Attributes:
        quality: as `images.encode` takes it.
        tag: what their metadata says of how they were made; None for nothing.
        keep_dates: they have the dates of their sources.
    """

    quality: int | None = None
    tag: Tag | None = None
    keep_dates: bool = False


PLAIN = Writing()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What is to be written of a photograph; no files where it is copied."""

    files: list[tuple[Path, Raster]]
    notes: tuple[str, ...] = ()
    left_sharp: bool = False
    change: Change | None = None


def run(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    *,
    writing: Writing = PLAIN,
    measure: bool = False,
    on_photograph: Callable[[int, Job], None],
    on_tile: Callable[[int, int], None],
    on_writing: Callable[[Job], None] = lambda job: None,
    on_written: Callable[[Job, list[Path], bool], None] = lambda job, written, left_sharp: None,
) -> Outcome:
    """Do every photograph that can be done; outputs that exist are replaced, each whole or not.

    While one photograph is computed, one thread decodes the next and another writes the last. Both
    wait for the computation and it for them, so that beside it memory holds at most one photograph
    decoded ahead and one being written, as whole numbers (3 bytes per pixel at 8 bits per channel).
    Whatever ends the run, a file that is being written is finished first.

    A photograph that is sharp already, and has a place for that, is copied byte for byte.

    Args:
        pipeline: what to put them through.
        jobs: as `planning.plan` returns them.
        writing: how results are written.
        measure: estimate the blur of each photograph and measure what is changed.
        on_photograph: told (photographs computed, the next one) before each, in this thread.
        on_tile: told (tiles done, tiles in all) of the current photograph, in this thread.
        on_writing: told the photograph whose files are about to be written, in the writing thread.
        on_written: told (photograph, files written, whether it was left as it is) once they are
            there, in the writing thread.
    """
    errors: dict[Job, Blur2BlurError] = {}
    left_sharp: list[Job] = []
    changes: list[Change] = []

    def write(job: Job, made: _Made) -> None:
        with _noted(errors, job):
            on_writing(job)
            on_written(job, _write(job, made, writing), made.left_sharp)
            if made.left_sharp:
                left_sharp.append(job)
            if made.change is not None:
                changes.append(made.change)

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = deque(reader.submit(images.decode, job.source) for job in jobs[:1])
        behind: deque[Future[None]] = deque()
        for done, job in enumerate(jobs):
            on_photograph(done, job)
            following = jobs[done + 1 : done + 2]
            ahead.extend(reader.submit(images.decode, each.source) for each in following)
            with _noted(errors, job):
                # unnamed, because a name would keep its pixels while the next one is computed
                behind.append(
                    writer.submit(
                        write,
                        job,
                        _make(
                            pipeline,
                            job,
                            *_photograph(ahead.popleft().result()),
                            measure=measure,
                            on_tile=on_tile,
                        ),
                    )
                )
            if len(behind) > 1:
                behind.popleft().result()
    for written in behind:
        written.result()
    failures = [Failure(job=job, error=errors[job]) for job in jobs if job in errors]
    return Outcome(failures=failures, left_sharp=left_sharp, changes=changes)


def process(
    pipeline: Pipeline, job: Job, *, on_tile: Callable[[int, int], None] | None = None
) -> None:
    """Deblur one photograph; the output keeps size, bit depth, alpha, EXIF and ICC profile.

    Raises:
        InputError: the photograph cannot be read or an output cannot be written.
        CheckpointError: the networks fail on it.
    """
    read = _photograph(images.decode(job.source))
    _write(job, _make(pipeline, job, *read, measure=False, on_tile=on_tile), PLAIN)


def _photograph(raster: Raster) -> tuple[Photograph, tuple[str, ...]]:
    """Return a photograph, and what of its file is left out where it is written again."""
    return images.to_photograph(raster), raster.notes


def _make(
    pipeline: Pipeline,
    job: Job,
    photograph: Photograph,
    notes: tuple[str, ...],
    *,
    measure: bool,
    on_tile: Callable[[int, int], None] | None,
) -> _Made:
    """Return what is to be written of a photograph."""
    start = perf_counter()
    pixels = images.working_pixels(photograph)
    if job.kept is not None and pipeline.finds_sharp(pixels):
        if same_kind(job.source, job.kept):
            return _Made(files=[], left_sharp=True)
        copy = images.to_raster(job.kept, photograph)
        return _Made(files=[(job.kept, copy)], notes=notes, left_sharp=True)
    extent_px = pipeline.extent_px(pixels) if measure else None
    before = pixels[::_SAMPLED, ::_SAMPLED].copy()
    factor = pipeline.choose_factor(pixels)
    if job.converted is None:
        pipeline.process(pixels, factor=factor, out=pixels, on_tile=on_tile)
        made = [(job.output, pixels)]
    else:
        merged = pipeline.process(pixels, factor=factor, keep_converted=True, on_tile=on_tile)
        made = [(job.converted, merged[..., :3]), (job.output, merged[..., 3:])]
    after = made[-1][1][::_SAMPLED, ::_SAMPLED]
    change = Change(
        source=job.source,
        output=job.output,
        blur_extent_px=extent_px,
        factor=factor,
        mean_change=float(np.abs(after - before).mean()),
        seconds=perf_counter() - start,
    )
    return _Made(
        files=[
            (path, images.to_raster(path, images.with_result(photograph, part)))
            for path, part in made
        ],
        notes=notes,
        change=change if measure else None,
    )


def _write(job: Job, made: _Made, writing: Writing) -> list[Path]:
    """Write what was made, or copy the source, and return the files; none where it stays."""
    if made.files or job.kept is None:
        tag = None if made.left_sharp else writing.tag
        for note in made.notes:
            _log.warning("%s: %s", job.source, note)
        for path, raster in made.files:
            for note in images.encode(path, raster, quality=writing.quality, tag=tag):
                _log.warning("%s: %s", path, note)
        written = [path for path, _ in made.files]
    elif job.kept.exists() and job.kept.samefile(job.source):
        return []
    else:
        with atomic_path(job.kept) as temporary:
            shutil.copyfile(job.source, temporary)
        written = [job.kept]
    if writing.keep_dates:
        for path in written:
            keep_dates(job.source, path)
    return written


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
        if str(job.source) not in str(error) and str(job.output) not in str(error):
            error = type(error)(f"{job.source}: {error}")
        error.__cause__ = error.__context__ = None
        errors[job] = error.with_traceback(None)
