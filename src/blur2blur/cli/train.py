"""`blur2blur train`: deblurrer, converter, kernel extractor and estimator of the blur's extent."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from blur2blur import showing

Report = Callable[[int, int, dict[str, float]], None]

app = typer.Typer(no_args_is_help=True, help="Train a deblurrer, converter or kernel extractor.")

Data = Annotated[Path, typer.Option("--data", help="Folder with trainA-D (see docs/data.md).")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; an unfinished run resumes.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as optimiser.learning_rate=1e-4; repeatable."),
]


Preset = Annotated[str, typer.Option("--preset", help="Name of a preset, or a TOML file.")]


@app.command()
def deblurrer(data: Data, out: Out, preset: Preset = "deblurrer", set_: Set = None) -> None:
    """Train a network to undo the known blur.

    The known blur comes as pairs (trainC blurry, trainD sharp), or is laid over sharp photographs:
    trainB, or, in a folder without that layout, every photograph in it. With the preset finish it
    is taught what a converter makes of your camera, from trainA and trainB.
    """
    _run("deblurrer", data, out, preset, set_ or [])


@app.command()
def converter(
    data: Data,
    out: Out,
    preset: Preset = "converter",
    init: Annotated[
        str | None,
        typer.Option(help="Converter to start from: a name that ships, or a file."),
    ] = None,
    set_: Set = None,
) -> None:
    """Train a network to turn a camera's unknown blur (trainA) into the known one.

    Needs the camera's sharp photographs (trainB), not paired with trainA; with the preset
    converter-pairs trainC and trainD instead. A generic converter (preset generic) needs sharp
    photographs alone.
    """
    from blur2blur import api
    from blur2blur.weights import verdict

    _run(
        "converter", data, out, preset, [*([] if init is None else [f"init={init}"]), *(set_ or [])]
    )
    told = verdict.read(out)
    if told is not None and _is_first():
        with showing.progress_bars("photographs") as on_progress:
            page = api.try_on_own_photographs(data, out, on_progress=on_progress)
        typer.echo(f"your photographs before and after: {showing.printable(page)}")
        for line in told.sentences(out):
            typer.echo(line)


@app.command()
def kernel(data: Data, out: Out, preset: Preset = "kernel", set_: Set = None) -> None:
    """Train a kernel extractor, which reads the blur of pairs and lays it over other images.

    Needs pairs: trainC and trainD, or folders blurry and sharp; with known.source=synthetic sharp
    photographs suffice.
    """
    _run("kernel", data, out, preset, set_ or [])


@app.command()
def extent(data: Data, out: Out, preset: Preset = "blur-extent", set_: Set = None) -> None:
    """Train the estimator by which the working scale is chosen, from sharp photographs alone."""
    _run("extent", data, out, preset, set_ or [])


def _run(task: str, data: Path, out: Path, preset: str, overrides: list[str]) -> None:
    from blur2blur import api

    run(
        lambda report: api.train(
            task, data, out, preset=preset, overrides=overrides, on_step=report
        ),
        out,
    )


def run(train: "Callable[[Report], bool]", out: Path) -> None:
    """Train under a progress bar; exit with 130 when Ctrl-C stopped the run.

    `train` is given what is to be told (step, steps in all, what is logged) after each step.

    Of several processes (torchrun) the first speaks for all.
    """
    first = _is_first()
    whole = Column(no_wrap=True)
    values = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        MofNCompleteColumn(table_column=whole),
        TimeElapsedColumn(table_column=whole),
        TextColumn("{task.fields[values]}", table_column=values),
    )
    tell = showing.lines_now_and_then()
    with showing.nested_progress(*columns, transient=False, expand=True) as progress:
        preparing = "reading photographs, choosing cameras"
        bar = progress.add_task(escape(out.name), total=None, values=preparing)

        def report(step: int, steps: int, values: Mapping[str, float]) -> None:
            if progress.tasks[0].total is None:  # a resumed run's speed is that of the steps now
                progress.reset(bar, total=steps, completed=step - 1, values="")
            progress.update(bar, completed=step)
            if values:
                text = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
                progress.update(bar, values=text)
                tell(f"{out.name}: step {step} of {steps}  {text}")

        try:
            finished = train(report)
        finally:
            if progress.tasks[0].total is None:  # nothing was begun that could be shown
                progress.remove_task(bar)
    if not finished:
        if first:
            typer.echo(f"stopped; the same command resumes from {out}", err=True)
        raise typer.Exit(130)
    if first:
        typer.echo(f"weights: {out / 'best.safetensors'} (best), {out / 'last.safetensors'} (last)")


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"
