"""`blur2blur data`: look at training data, and make it from photographs or published datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blur2blur.cli import showing
from blur2blur.cli.data_filter import filter_
from blur2blur.cli.data_import import blurry_share, download, import_

if TYPE_CHECKING:
    from blur2blur.data.folders.check import Report
    from blur2blur.data.folders.split import Plan

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
    crop: Annotated[int, typer.Option(min=1, help="The crop that training will cut, px.")] = 256,
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

    found = layout.find(directory)
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
    ratio: Annotated[str, typer.Option(help="Blurry to sharp, such as 6:4.")] = "6:4",
    link: Annotated[bool, typer.Option("--link", help="Link the files, do not copy.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print where each file would go; write nothing.")
    ] = False,
    gap_seconds: Annotated[
        float, typer.Option(min=0, help="A longer pause between photographs ends a moment.")
    ] = 30.0,
) -> None:
    """Deal one camera's photographs out to trainA (blurry) and trainB (sharp), unpaired.

    The sharpest moments go to trainB, and no moment goes to both. The same files and options give
    the same split. A file that cannot be read is reported and left out; the exit code is then 1.
    """
    from blur2blur.data.folders import split as splitting

    share = blurry_share(ratio)
    sources = splitting.find_sources(source, out)
    with showing.progress("measuring", len(sources)) as advance:
        plan = splitting.plan(
            source, sources, blurry_share=share, gap_seconds=gap_seconds, advance=advance
        )
    for file in plan.unreadable:
        typer.echo(f"failed: {file.reason}", err=True)
    if dry_run:
        for file in plan.files:
            typer.echo(f"{file.side}\t{file.sharpness:.1f}\tmoment {file.moment}\t{file.source}")
    else:
        placed = len(plan.on("trainA")) + len(plan.on("trainB"))
        with showing.progress("linking" if link else "copying", placed) as advance:
            splitting.carry_out(plan, out, link=link, advance=advance)
    _print_plan(plan)
    if plan.unreadable:
        typer.echo(f"{len(plan.unreadable)} of {len(sources)} files could not be read", err=True)
        raise typer.Exit(1)


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
    title = "sharpness (variance of the Laplacian, sharpest part; logarithmic)"
    groups = {name: found for name, found in values.items() if found}
    for line in showing.histogram(title, groups, logarithmic=True):
        console.print(line, highlight=False)
    for hint in report.hints:
        console.print(f"[yellow]note:[/] {escape(hint)}")
    for problem in report.problems:
        console.print(f"[red]problem:[/] {escape(problem)}")
    if not report.problems:
        console.print(f"[green]fit for training[/] with crops of {report.crop_px} px")


def _size(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "-"


def _print_plan(plan: "Plan") -> None:
    import statistics

    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("folder", "photographs", "moments", "median sharpness")
    for side in ("trainA", "trainB", "left out"):
        files = plan.on(side)
        if files:
            median = statistics.median(file.sharpness for file in files)
            moments = len({file.moment for file in files})
            table.add_row(side, str(len(files)), str(moments), f"{median:.0f}")
    console.print(table)
    if plan.cut_moments:
        console.print(
            f"[yellow]note:[/] {plan.cut_moments} of {plan.moments} moments hold too much for one "
            "side and were cut into runs; photographs where runs meet are left out"
        )
