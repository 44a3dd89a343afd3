"""What the verbs of the command do, as functions: for notebooks, and for other programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur.errors import Blur2BlurError, ConfigError, InputError
from blur2blur.files import make_folder
from blur2blur.inference import Pipeline, folder
from blur2blur.inference.video import clips, plan
from blur2blur.inference.video.codecs import Quality

if TYPE_CHECKING:
    from blur2blur.blur.pairs.plans import Planned
    from blur2blur.data.folders import split as splitting

Progress = Callable[[str, int, int | None], None]
"""Told (what, done, of how many) as work goes on; None of how many is not known."""


def _quiet(what: str, done: int, total: int | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """How many pairs `simulate` made, how many were there, and why others could not be made."""

    made: int
    there: int
    failures: list[Blur2BlurError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deblurred:
    """What became of the inputs of `deblur_folder`: the files written, and why others were not."""

    photographs: list[Path] = field(default_factory=list)
    clips: list[Path] = field(default_factory=list)
    photographs_tried: int = 0
    clips_tried: int = 0
    failures: list[Blur2BlurError] = field(default_factory=list)


def deblur_folder(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    pipeline: Pipeline | Callable[[], Pipeline] = Pipeline,
    save_converted: bool = False,
    quality: Quality | None = None,
    on_progress: Progress = _quiet,
) -> Deblurred:
    """Deblur photographs and clips: files, folders or globs; what `blur2blur deblur` does.

    Args:
        inputs: one or several; folders are searched to any depth.
        out: the output folder; or a file, for one input that is a file.
        pipeline: what to put them through, or what makes it once the inputs have been found.
        save_converted: keep the converted photographs too, in `out`/converted.
        quality: codec and quality of clips; None for their own codec.
        on_progress: told "photographs" or "clips", and the name of the current one with its tiles
            or frames.

    Raises:
        InputError: inputs that are not there, or outputs that would overwrite something.
        ConfigError: an unknown codec; clips without the extra `video`.
        CheckpointError: weights that cannot be loaded. What concerns single files is in `failures`.
    """
    texts = [str(each) for each in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    out, quality = Path(out), quality or Quality()
    found = plan.plan(texts, out, quality)
    if save_converted and found.jobs:
        raise ConfigError("--save-converted keeps photographs, not clips; leave it out")
    jobs = folder.plan(found.others, out, save_converted=save_converted) if found.others else []
    made = pipeline if isinstance(pipeline, Pipeline) else pipeline()
    make_folder(out.parent if found.one_file or folder.names_photograph(out) else out)
    done = Deblurred(photographs_tried=len(jobs), clips_tried=len(found.jobs))
    if jobs:
        failures = deblur_photographs(made, jobs, on_progress)
        failed = {failure.job for failure in failures}
        done.photographs.extend(job.output for job in jobs if job not in failed)
        done.failures.extend(failure.error for failure in failures)
    for number, job in enumerate(found.jobs):
        on_progress("clips", number, len(found.jobs))

        def on_frame(frame: int, total: int | None, name: str = job.source.name) -> None:
            on_progress(name, frame, total)

        try:
            clips.process(made, job.source, job.output, quality=quality, on_frame=on_frame)
            done.clips.append(job.output)
        except Blur2BlurError as error:
            if found.one_file:
                raise
            done.failures.append(error)
    return done


def deblur_photographs(
    pipeline: Pipeline, jobs: Sequence[folder.Job], on_progress: Progress
) -> list[folder.Failure]:
    """Do planned photographs, as `folder.run`; `on_progress` as in `deblur_folder`."""
    current = ""

    def on_photograph(done: int, job: folder.Job) -> None:
        nonlocal current
        current = job.source.name
        on_progress("photographs", done, len(jobs))

    return folder.run(
        pipeline,
        jobs,
        on_photograph=on_photograph,
        on_tile=lambda done, total: on_progress(current, done, total),
    )


def split(
    source: str | Path,
    out: str | Path,
    *,
    blurry_share: float | None = None,
    gap_seconds: float = 30.0,
    link: bool = False,
    dry_run: bool = False,
    on_progress: Progress = _quiet,
) -> "splitting.Plan":
    """Deal one camera's photographs out to `out`/trainA and trainB; as `blur2blur data split`.

    Args:
        source: folder of the photographs.
        out: receives trainA (blurry), trainB (sharp) and split.json.
        blurry_share: part of the photographs that counts as blurry; None for what the histogram of
            their sharpness says.
        gap_seconds: a longer pause between photographs ends a moment.
        link: link the files, do not copy them.
        dry_run: write nothing.
        on_progress: told "listing", "measuring", "copying" or "linking".

    Returns:
        Where each photograph went, and why.

    Raises:
        DataError: no photographs, or of one kind alone.
        InputError: `out` is in use or cannot be written.
    """
    from blur2blur.data.folders import split as splitting

    source, out = Path(source), Path(out)
    found = splitting.find_sources(source, out, _counted(on_progress, "listing", None))
    count = len(found.photographs)
    dealt = splitting.plan(
        source,
        found.photographs,
        blurry_share=blurry_share,
        gap_seconds=gap_seconds,
        advance=_counted(on_progress, "measuring", count),
    )
    if not dry_run:
        placed = len(dealt.on("trainA")) + len(dealt.on("trainB"))
        advance = _counted(on_progress, "linking" if link else "copying", placed)
        splitting.carry_out(dealt, out, link=link, advance=advance)
    return replace(dealt, skipped=found.skipped)


def train(
    task: str,
    data: str | Path,
    out: str | Path,
    *,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, steps, values: None,
) -> bool:
    """Train or resume; as `blur2blur train TASK`, and needs the extra `train`.

    Args:
        task: "deblurrer", "converter", "kernel" or "extent".
        data: folder of photographs, see docs/data.md.
        out: the run folder.
        preset: name of a preset or a TOML file; None for the task's own.
        overrides: settings such as "run.steps=100".
        on_step: told (step, steps in all, what is logged of it) after each.

    Returns:
        True when finished, False when interrupted by Ctrl-C.

    Raises:
        ConfigError, DataError, CheckpointError, InputError: as the command tells them.
    """
    from blur2blur.training import launch

    return launch.train(task, Path(data), Path(out), preset, overrides, on_step)


def simulate(
    sharp: str | Path,
    out: str | Path,
    *,
    camera: str = "known",
    overrides: Sequence[str] = (),
    seed: int = 0,
    count_per_image: int = 1,
    on_progress: Progress = _quiet,
) -> Simulated:
    """Photograph sharp pictures with a simulated camera; as `blur2blur blur synth`.

    Args:
        sharp: folder of sharp photographs.
        out: receives blurry/, sharp/ and kernels/ of equal names; what is there is not made again.
        camera: a camera that ships, or a TOML file.
        overrides: other values, such as "extent_px=[3, 11]".
        seed: the same seed gives the same files.
        count_per_image: pairs of each photograph.
        on_progress: told "photographing".

    Raises:
        ConfigError: no such camera or value.
        DataError: no photographs.
        InputError: `out` holds something else or cannot be written.
    """
    from blur2blur import tensors
    from blur2blur.blur import Camera, load_camera
    from blur2blur.blur.pairs import synth

    sharp, out = Path(sharp), Path(out)
    settings = load_camera(camera, overrides)
    pairs = synth.plan(sharp, out, settings, seed, count_per_image)
    taker, failures = Camera(settings), dict[str, Blur2BlurError]()
    todo: list[Planned] = [pair for pair in pairs if not synth.is_made(pair, out)]
    for done, pair in enumerate(todo):
        on_progress("photographing", done, len(todo))
        try:
            photograph = tensors.read_rgb(pair.source)
        except InputError as error:
            failures[str(error)] = error
            continue
        synth.make(pair, taker, photograph, out)
    return Simulated(
        made=sum(synth.is_made(pair, out) for pair in todo),
        there=len(pairs) - len(todo),
        failures=list(failures.values()),
    )


def _counted(on_progress: Progress, what: str, total: int | None) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        on_progress(what, done, total)

    return advance
