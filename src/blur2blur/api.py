"""What the verbs of the command do, as functions: for notebooks, and for other programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur.errors import Blur2BlurError, ConfigError, InputError
from blur2blur.evaluation import before_after
from blur2blur.images import Format, listing
from blur2blur.inference import Pipeline, batch, planning
from blur2blur.inference.batch import Deblurred, Progress
from blur2blur.inference.video.codecs import Quality

if TYPE_CHECKING:
    from blur2blur.blur.pairs.plans import Planned
    from blur2blur.data.folders import split as splitting


REPORT = "report.html"
OWN_PHOTOGRAPHS = "own_photographs"
_MOST_OWN = 8


def _quiet(what: str, done: int, total: int | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """How many pairs `simulate` made, how many were there, and why others could not be made."""

    made: int
    there: int
    failures: list[Blur2BlurError]


def deblur_folder(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    pipeline: Pipeline | Callable[[], Pipeline] = Pipeline,
    format: Format = "keep",
    quality: int | None = None,
    suffix: str = "",
    skip_existing: bool = False,
    everything: bool = False,
    overwrite: bool = False,
    live_photo_clips: bool = False,
    save_converted: bool = False,
    clip_quality: Quality | None = None,
    tag: bool = True,
    keep_dates: bool = False,
    report: bool = False,
    on_progress: Progress = _quiet,
) -> Deblurred:
    """Deblur photographs and clips: files, folders or globs; what `blur2blur deblur` does.

    Args:
        inputs: one or several; folders are searched to any depth.
        out: the output folder; or a file, for one input that is a file.
        pipeline: what to put them through, or what makes it once the inputs have been found.
        format: of photographs: "keep", "jpeg", "png", "tiff", "webp" or "avif".
        quality: of JPEG, WebP and AVIF, 1 to 100; None for that of each photograph.
        suffix: text behind the stem of every result's name.
        skip_existing: leave out what the manifest in `out` calls finished: of the same file, with
            the same weights and settings.
        everything: deblur photographs that are sharp already, and results of earlier runs, too.
        overwrite: replace files in the output folder that no run has made.
        live_photo_clips: deblur the clips of Live Photos, not their photographs alone.
        save_converted: keep the converted photographs too, in `out`/converted.
        clip_quality: codec and quality of clips; None for their own codec.
        tag: say in the metadata of photographs what made them.
        keep_dates: give results the dates of their sources.
        report: write the page report.html of the photographs before and after into `out`.
        on_progress: told "listing", "photographs" or "clips", and the name of the current one with
            its tiles or frames.

    Raises:
        InputError: inputs that are empty or not there, or outputs that would overwrite something.
        ConfigError: an unknown codec, format or quality; one clip without the extra `video`.
        CheckpointError: weights that cannot be loaded. What concerns single files is in `failures`.
    """
    texts = [str(each) for each in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    if not str(out).strip():
        raise InputError("the output is empty; name a folder (. is this one)")
    out = Path(out)
    wanted = planning.Wanted(
        format=format,
        quality=quality,
        suffix=suffix,
        save_converted=save_converted,
        leave_sharp=not everything,
        results=everything,
        overwrite=overwrite,
        live_photo_clips=live_photo_clips,
        clip_quality=clip_quality or Quality(),
        tag=tag,
        keep_dates=keep_dates,
        measure=report,
    )
    found = planning.plan(
        texts, out, wanted, on_listed=lambda count: on_progress("listing", count, None)
    )
    if report and found.folder is None:
        raise ConfigError(f"{out} is one file; --report needs an output folder")
    if skip_existing and found.folder is None:
        raise ConfigError(
            f"{out} is one file; --skip-existing needs an output folder, which notes what is done"
        )
    made = pipeline if isinstance(pipeline, Pipeline) else pipeline()
    done = batch.carry_out(
        found, made, wanted, skip_existing=skip_existing, on_progress=on_progress
    )
    if report:
        _write_report(out / REPORT, done)
    return done


def _write_report(path: Path, done: Deblurred) -> None:
    others = [
        before_after.Others(outcome=outcome, reason=reason, count=count, first=first)
        for outcome, files in (
            ("left as it is", [("already sharp", source) for source in done.left_sharp]),
            ("done before", [("by an earlier run", source) for source in done.done_before]),
            ("skipped", [(one.reason, one.path) for one in done.skipped]),
        )
        for reason, count, first in listing.by_reason(files)
    ]
    before_after.write(path, done.changes, others, problems=[str(each) for each in done.failures])


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


def try_on_own_photographs(
    data: str | Path, run: str | Path, *, on_progress: Progress = _quiet
) -> Path:
    """Deblur some of a camera's blurry photographs with what was learned of it.

    Args:
        data: folder of the photographs; those of testA are taken, without it those of trainA, at
            most 8.
        run: the converter's run folder; receives them in own_photographs.
        on_progress: as `deblur_folder`.

    Returns:
        The page of them before and after.

    Raises:
        DataError, InputError, CheckpointError: as `deblur_folder`, or there are no photographs.
    """
    from blur2blur.data.folders import layout

    found = layout.find(Path(data))
    blurry = found.test_blurry or found.require("trainA")
    apart = list({path.stem.casefold(): path for path in blurry}.values())  # results lie together
    out = Path(run) / OWN_PHOTOGRAPHS
    deblur_folder(
        apart[:: -(-len(apart) // _MOST_OWN)],
        out,
        pipeline=Pipeline(converter=run),
        everything=True,
        report=True,
        on_progress=on_progress,
    )
    return out / REPORT


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
