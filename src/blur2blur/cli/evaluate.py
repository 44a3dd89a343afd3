"""`blur2blur evaluate`: outputs against the truth, or by what they say of themselves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blur2blur.cli.account import print_account
from blur2blur.showing import nested_progress, printable

if TYPE_CHECKING:
    from rich.table import Table

    from blur2blur.evaluation import Report


def evaluate(
    outputs: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of deblurred images.")],
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Folder of sharp images of equal names. Not given: measured is how far blur "
            "reaches, and sharpness."
        ),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Folder of the blurry images, to measure and show too.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", "-o", help="Folder of the report.", show_default="OUT-report"),
    ] = None,
) -> None:
    """Measure PSNR and SSIM (LPIPS where its weights are), or the blur left; write a report.

    The report is scores.json, scores.csv, and report.html with before/after sliders.

    What is passed over is counted. Images that cannot be compared are listed; the exit code is
    then 1.
    """
    from rich.console import Console

    from blur2blur import evaluation
    from blur2blur.images import listing

    folder = report or outputs.resolve().with_name(f"{outputs.resolve().name}-report")
    read = [place for place in (outputs, truth, inputs) if place is not None]
    evaluation.refuse_report_inside(folder, read)

    with nested_progress() as progress:
        task = progress.add_task("images", total=None)
        measured = evaluation.evaluate(
            outputs,
            truth,
            inputs,
            on_image=lambda done, total: progress.update(task, completed=done, total=total),
        )
    evaluation.write(measured, folder)
    Console().print(_table(measured))
    for note in measured.notes:
        typer.echo(printable(note))
    for place in read:
        print_account("skipped", ((one.reason, one.path) for one in listing.find(place).skipped))
    typer.echo(f"report: {printable(folder / 'report.html')}")
    if measured.problems:
        typer.echo("not measured:", err=True)
        for problem in measured.problems:
            typer.echo(f"  {printable(problem)}", err=True)
        raise typer.Exit(1)


def _table(report: "Report") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from blur2blur.evaluation import SCORES, number

    plural = "" if len(report.rows) == 1 else "s"
    table = Table(title=f"mean of {len(report.rows)} image{plural}")
    columns = [
        column
        for column in SCORES
        if any(getattr(mean, column.key) is not None for mean in report.means)
    ]
    table.add_column("method")
    for column in columns:
        table.add_column(column.title, justify="right")
    for mean in report.means:
        cells = (number(getattr(mean, column.key), column.digits) for column in columns)
        table.add_row(escape(printable(mean.method)), *cells)
    return table
