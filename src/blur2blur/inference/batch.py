"""A plan carried out: photographs, then clips, and what became of every file."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from blur2blur.errors import Blur2BlurError
from blur2blur.files import keep_dates, make_folder
from blur2blur.images.listing import Skipped
from blur2blur.inference import folder, manifest
from blur2blur.inference.folder import PLAIN, Change, Writing
from blur2blur.inference.manifest import Manifest
from blur2blur.inference.pipeline import Pipeline
from blur2blur.inference.planning import Job, Plan, Wanted
from blur2blur.inference.video import clips

Progress = Callable[[str, int, int | None], None]
"""Told (what, done, of how many) as work goes on; None of how many is not known."""


@dataclass(slots=True, kw_only=True)
class Deblurred:
    """What became of every file that was given.

    Attributes:
        photographs: the files written of photographs that were deblurred.
        clips: likewise of clips.
        left_sharp: photographs that are sharp already and were left as they are.
        done_before: what an earlier run had finished, where that is asked.
        again: (reason, source) of what an earlier run had not finished, or otherwise, likewise.
        renamed: (how, source) of photographs that cannot be written as what they are.
        skipped: what was passed over, and why.
        failures: what could not be done, and why.
        changes: what was done to the photographs, where that was to be measured.
        photographs_tried: how many there were to do.
        clips_tried: likewise.
    """

    photographs: list[Path] = field(default_factory=list[Path])
    clips: list[Path] = field(default_factory=list[Path])
    left_sharp: list[Path] = field(default_factory=list[Path])
    done_before: list[Path] = field(default_factory=list[Path])
    again: list[tuple[str, Path]] = field(default_factory=list[tuple[str, Path]])
    renamed: list[tuple[str, Path]] = field(default_factory=list[tuple[str, Path]])
    skipped: list[Skipped] = field(default_factory=list[Skipped])
    failures: list[Blur2BlurError] = field(default_factory=list[Blur2BlurError])
    changes: list[Change] = field(default_factory=list[Change])
    photographs_tried: int = 0
    clips_tried: int = 0


def carry_out(
    plan: Plan, pipeline: Pipeline, wanted: Wanted, *, skip_existing: bool, on_progress: Progress
) -> Deblurred:
    """Do what was planned. What is done is noted in the manifest of the output folder.

    Args:
        plan: as `planning.plan` returns it.
        pipeline: what to put everything through.
        wanted: what it was planned with.
        skip_existing: leave out what the manifest calls finished.
        on_progress: told "photographs" or "clips", and the name of the current one with its tiles
            or frames.

    Raises:
        InputError: the output folder cannot be written; or the one clip failed.
    """
    done = Deblurred(skipped=plan.skipped)
    settings = manifest.settings_of(pipeline)
    writing = Writing(
        quality=wanted.quality,
        tag=manifest.tag(settings) if wanted.tag else None,
        keep_dates=wanted.keep_dates,
    )
    do_photographs = partial(_photographs, writing=writing)
    if plan.folder is None:
        make_folder((plan.photographs or plan.clips)[0].output.parent)
        do_photographs(plan.photographs, pipeline, wanted, None, done, on_progress)
        _clips(plan.clips, pipeline, wanted, None, done, on_progress)
        return done
    make_folder(plan.folder)
    names = ("format", "quality", "save_converted", "tag")
    for_photographs = {name: getattr(wanted, name) for name in names}
    for jobs, further, do in (
        (plan.photographs, for_photographs, do_photographs),
        (plan.clips, asdict(wanted.clip_quality), _clips),
    ):
        if jobs:
            record = Manifest(plan.folder, {**settings, **further})
            left = _unfinished(jobs, record, done) if skip_existing else jobs
            do(left, pipeline, wanted, record, done, on_progress)
    return done


def _unfinished(jobs: Sequence[Job], record: Manifest, done: Deblurred) -> list[Job]:
    left: list[Job] = []
    for job in jobs:
        state = record.state(job.source, job.output, may_be_sharp=job.kept is not None)
        if state == manifest.DONE_BEFORE:
            done.done_before.append(job.source)
            continue
        left.append(job)
        if state != manifest.NOT_RECORDED:
            done.again.append((state, job.source))
    return left


def _photographs(
    jobs: Sequence[Job],
    pipeline: Pipeline,
    wanted: Wanted,
    record: Manifest | None,
    done: Deblurred,
    on_progress: Progress,
    *,
    writing: Writing,
) -> None:
    def on_writing(job: Job) -> None:
        if record is not None:
            record.begin(job.files)

    def on_written(job: Job, written: list[Path], left_sharp: bool) -> None:
        if record is not None:
            record.add(job.source, job.output, written, left_sharp=left_sharp)

    outcome = deblur_photographs(
        pipeline,
        jobs,
        on_progress,
        writing=writing,
        measure=wanted.measure,
        on_writing=on_writing,
        on_written=on_written,
    )
    others = {failure.job for failure in outcome.failures} | set(outcome.left_sharp)
    deblurred = [job for job in jobs if job not in others]
    done.photographs_tried = len(jobs)
    done.photographs.extend(job.output for job in deblurred)
    done.left_sharp.extend(job.source for job in outcome.left_sharp)
    done.failures.extend(failure.error for failure in outcome.failures)
    done.changes.extend(outcome.changes)
    if record is not None and wanted.format == "keep":
        for job in deblurred:
            before, after = job.source.suffix.lower(), job.output.suffix.lower()
            if before != after:
                done.renamed.append((f"{before or 'without suffix'} as {after}", job.source))


def _clips(
    jobs: Sequence[Job],
    pipeline: Pipeline,
    wanted: Wanted,
    record: Manifest | None,
    done: Deblurred,
    on_progress: Progress,
) -> None:
    done.clips_tried = len(jobs)
    for number, job in enumerate(jobs):
        on_progress("clips", number, len(jobs))

        def on_frame(frame: int, total: int | None, name: str = job.source.name) -> None:
            on_progress(name, frame, total)

        try:
            if record is not None:
                record.begin(job.files)
            clips.process(
                pipeline, job.source, job.output, quality=wanted.clip_quality, on_frame=on_frame
            )
            if wanted.keep_dates:
                keep_dates(job.source, job.output)
            if record is not None:
                record.add(job.source, job.output, [job.output])
        except Blur2BlurError as error:
            if record is None:
                raise
            done.failures.append(error)
        else:
            done.clips.append(job.output)


def deblur_photographs(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    on_progress: Progress,
    *,
    writing: Writing = PLAIN,
    measure: bool = False,
    on_writing: Callable[[Job], None] = lambda job: None,
    on_written: Callable[[Job, list[Path], bool], None] = lambda job, written, left_sharp: None,
) -> folder.Outcome:
    """Do planned photographs, as `folder.run`; `on_progress` as in `carry_out`."""
    current = ""

    def on_photograph(done: int, job: Job) -> None:
        nonlocal current
        current = job.source.name
        on_progress("photographs", done, len(jobs))

    return folder.run(
        pipeline,
        jobs,
        writing=writing,
        measure=measure,
        on_photograph=on_photograph,
        on_tile=lambda done, total: on_progress(current, done, total),
        on_writing=on_writing,
        on_written=on_written,
    )
