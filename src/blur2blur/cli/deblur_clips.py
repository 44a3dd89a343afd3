"""The clips of `blur2blur deblur`, with their progress."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from blur2blur.errors import Blur2BlurError
    from blur2blur.inference.pipeline import Pipeline
    from blur2blur.inference.video.codecs import Quality
    from blur2blur.inference.video.plan import ClipJob, ClipPlan


def run(
    pipeline: "Pipeline", plan: "ClipPlan", quality: "Quality", out: Path
) -> "list[Blur2BlurError]":
    """Do the clips and say how many; return why some failed, or raise it for the only one."""
    failures = run_with_progress(pipeline, plan.jobs, quality)
    if plan.one_file and failures:
        raise failures[0]
    done, where = len(plan.jobs) - len(failures), f"to {out}" if plan.one_file else f"into {out}"
    typer.echo(f"{done} of {len(plan.jobs)} clips deblurred {where}")
    return failures


def run_with_progress(
    pipeline: "Pipeline", jobs: "Sequence[ClipJob]", quality: "Quality"
) -> "list[Blur2BlurError]":
    """Show clips done and, of the current one, frames done; return why some failed."""
    from rich.markup import escape

    from blur2blur.cli.showing import nested_progress
    from blur2blur.errors import Blur2BlurError
    from blur2blur.inference.video import clips

    failures: list[Blur2BlurError] = []
    with nested_progress() as progress:
        overall = progress.add_task("clips", total=len(jobs), visible=len(jobs) > 1)
        frames = progress.add_task("frames", total=None)

        def on_frame(done: int, total: int | None) -> None:
            progress.update(frames, completed=done, total=total)

        for done, job in enumerate(jobs):
            progress.update(overall, completed=done)
            progress.reset(frames, description=escape(job.source.name), total=None)
            try:
                clips.process(pipeline, job.source, job.output, quality=quality, on_frame=on_frame)
            except Blur2BlurError as error:
                failures.append(error)
    return failures
