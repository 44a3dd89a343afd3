"""`blur2blur data`: look at training data, and make it from photographs or published datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blur2blur import showing
from blur2blur.cli.account import print_account
from blur2blur.cli.data_filter import filter_
from blur2blur.cli.data_import import blurry_share, download, import_

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blur2blur.data.folders.check import Report
    from blur2blur.data.folders.measure import Unreadable
    from blur2blur.data.folders.split import Plan

_TOLD_IN_PERCENT = 30
"""Photographs; of fewer the shares of two kinds are guesses."""
_SHARPNESS = "sharpness in per cent: part of an edge that one pixel spans"

app = typer.Typer(
    no_args_is_help=True,
    help="Check training data, or make it from photographs or published datasets.",
)

app.command("import")(import_)
app.command()(download)
app.command("filter")(filter_)


@app.command()
def check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with trainA, trainB... (docs/data.md).")
    ],
    crop: Annotated[int, typer.Option(min=1, help="The crop that training will cut, px.")] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Explain what a data folder holds, and whether it is fit for training.

    Every file is decoded. The exit code is 2, with the first offenders named, where something
    would stop training.
    """
    import dataclasses
    import json

    from blur2blur.data.folders import check as checking
    from blur2blur.data.folders import layout
    from blur2blur.errors import DataError

    with showing.progress("listing", None) as advance:
        found = layout.find(directory, advance)
    total = sum(len(found.files(name)) for name in layout.FOLDERS)
    with showing.progress("reading", total) as advance:
        report = checking.check(found, crop, advance)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), default=str, indent=1))
    else:
        _print_report(report)
    if report.problems:
        more = len(report.problems) - 1
        rest = f" (and {more} more)" if more else ""
        raise DataError(f"{directory} is not fit for training: {report.problems[0]}{rest}")


@app.command()
def split(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder of one camera's photographs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Receives trainA, trainB, split.json.")],
    ratio: Annotated[
        str | None,
        typer.Option(help="Blurry to sharp, such as 6:4; else the histogram of sharpness decides."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Link the files, do not copy.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print where each file would go; write nothing.")
    ] = False,
    gap_seconds: Annotated[
        float, typer.Option(min=0, help="A longer pause between photographs ends a moment.")
    ] = 30.0,
) -> None:
    """Deal one camera's photographs out to trainA (blurry) and trainB (sharp), unpaired.

    The valley in the histogram of sharpness parts them. Of each moment only the more frequent kind
    is used, so that no moment goes to both. The same files and options give the same split. A file
    that cannot be read is reported and left out; the exit code is then 1.
    """
    from blur2blur import api

    with showing.progress_bars() as on_progress:
        plan = api.split(
            source,
            out,
            blurry_share=None if ratio is None else blurry_share(ratio),
            gap_seconds=gap_seconds,
            link=link,
            dry_run=dry_run,
            on_progress=on_progress,
        )
    for file in plan.unreadable:
        typer.echo(f"failed: {showing.printable(file.reason)}", err=True)
    if dry_run:
        for file in plan.files:
            shown = showing.printable(file.source)
            typer.echo(f"{file.side}\t{file.sharpness:.1f}\tmoment {file.moment}\t{shown}")
    _print_plan(plan)
    blurry, sharp = (len(plan.on(side)) for side in ("trainA", "trainB"))
    typer.echo(f"done: {blurry + sharp} photographs, {blurry} to trainA and {sharp} to trainB")
    print_account("left out", ((file.reason, file.source) for file in plan.on("left out")))
    print_account("skipped", ((one.reason, one.path) for one in plan.skipped))
    print_account("failed", _failures(plan.unreadable))
    if plan.unreadable:
        raise typer.Exit(1)


def _failures(unreadable: "Sequence[Unreadable]") -> list[tuple[str, Path]]:
    return [("cannot be read", file.path) for file in unreadable]


def _print_report(report: "Report") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("folder", "holds", "files", "unreadable", "smallest", "largest", "sizes")
    for folder in report.folders:
        unreadable = len(folder.unreadable)
        table.add_row(
            folder.name,
            folder.role,
            str(folder.files),
            f"[red]{unreadable}[/]" if unreadable else "0",
            _size(folder.smallest),
            _size(folder.largest),
            str(folder.distinct_sizes),
        )
    console.print(table)
    for pairing in report.pairings:
        console.print(f"{pairing.first_name} + {pairing.second_name}: {len(pairing.pairs)} pairs")
    values = {f.name: f.sharpness for f in report.folders if f.name in ("trainA", "trainB")}
    groups = {name: found for name, found in values.items() if found}
    for line in showing.histogram(_SHARPNESS, groups):
        console.print(line, highlight=False)
    for hint in report.hints:
        console.print(f"[yellow]note:[/] {escape(showing.printable(hint))}")
    for problem in report.problems:
        console.print(f"[red]problem:[/] {escape(showing.printable(problem))}")
    if not report.problems:
        both = {"trainA", "trainB"} <= {folder.name for folder in report.folders}
        what = "a converter" if both else "a deblurrer"
        console.print(f"[green]fit for training {what}[/] with crops of {report.crop_px} px")
    unreadable = [file for folder in report.folders for file in folder.unreadable]
    read = sum(folder.files for folder in report.folders) - len(unreadable)
    typer.echo(f"done: {read} photographs read")
    print_account("skipped", ((one.reason, one.path) for one in report.skipped))
    print_account("failed", _failures(unreadable))


def _percent(part: float) -> str:
    return f"{part:.0%}" if part < 0.99 else "over 99%"


def _size(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "-"


def _print_plan(plan: "Plan") -> None:
    import statistics

    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("folder", "photographs", "moments", "median sharpness, %")
    for side in ("trainA", "trainB", "left out"):
        files = plan.on(side)
        if files:
            median = statistics.median(file.sharpness for file in files)
            moments = len({file.moment for file in files})
            table.add_row(side, str(len(files)), str(moments), f"{median:.0f}")
    console.print(table)
    values = {side: [file.sharpness for file in plan.on(side)] for side in ("trainA", "trainB")}
    for line in showing.histogram(_SHARPNESS, values):
        console.print(line, highlight=False)
    if plan.kinds:
        between = sum(not file.sure for file in plan.files)
        sure = (
            f"If these are the kinds, {_percent(plan.expected_purity('trainA'))} of trainA is "
            f"blurry and {_percent(plan.expected_purity('trainB'))} of trainB sharp"
            if len(plan.files) >= _TOLD_IN_PERCENT
            else f"{len(plan.files)} photographs are few to tell that by"
        )
        console.print(
            f"blurry photographs lie around {plan.kinds.blurry:.0f} %, sharp ones around "
            f"{plan.kinds.sharp:.0f} %, {between} of {len(plan.files)} between. {sure}; look "
            "through both, as a scene that is soft by itself passes for blurry",
            highlight=False,
        )
    if plan.cut_moments:
        console.print(
            f"[yellow]note:[/] {plan.cut_moments} of {plan.moments} moments hold both kinds for "
            "long and were cut into runs; photographs where such runs meet are left out"
        )
