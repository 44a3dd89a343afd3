"""`blur2blur data import` and `data download`: published datasets."""

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blur2blur import showing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from blur2blur.data.published.download import Progress
    from blur2blur.data.published.importing import Item, Plan

_NAMES = "gopro, reds, rsblur, rb2v, realblur or hide."


def import_(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=_NAMES)],
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder that the dataset was unpacked to.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Data folder; trainA to testB may be there.")
    ],
    imported_as: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="known: pairs to trainC, trainD (gopro and hide unless told otherwise); "
            "unknown: trainA, trainB, testA, testB (the others).",
        ),
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="rb2v: street, face, hand; realblur: j, r. First is default.")
    ] = None,
    ratio: Annotated[
        str | None, typer.Option(help="As unknown: blurry to sharp; 6:4 unless given.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the files, do not link.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print where each file would go; write nothing.")
    ] = False,
) -> None:
    """Put a published dataset's images where training looks for them, by links.

    No scene goes to both trainA and trainB. Several datasets can be imported into one data folder;
    files that are there are never overwritten, and the same command again does nothing new.
    """
    from blur2blur.data.published import importing

    share = None if ratio is None else blurry_share(ratio)
    plan = importing.plan(
        source, dataset, imported_as=imported_as, subset=subset, blurry_share=share
    )
    new = importing.find_new(plan, out)
    if dry_run:
        for item in new:
            place, taken = f"{plan.label}/{item.name}", item.source
            typer.echo(f"{item.folder}\t{showing.printable(place)}\t{showing.printable(taken)}")
    else:
        with showing.progress("copying" if copy else "linking", len(new)) as advance:
            importing.carry_out(plan, new, out, link=not copy, advance=advance)
    _print_import(plan, new, dry_run=dry_run)


def download(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=_NAMES)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Receives the archives and what is in them.")
    ],
) -> None:
    """Download a published dataset, and unpack it.

    Interrupted, it goes on where it stopped when the same command is given again. Size and hash of
    every archive are checked. Datasets that need a browser are named with their address.
    """
    from blur2blur.data.published import download as downloading
    from blur2blur.data.published import table
    from blur2blur.errors import ConfigError

    entry = table.get(dataset)
    then = f"blur2blur data import {dataset} {out} -o DIR"
    if not entry.archives:
        raise ConfigError(
            f"{entry.title} cannot be downloaded without a browser: get {entry.by_hand} from "
            f"{entry.page}, unpack it into {out}, then: {then}"
        )
    typer.echo(f"{entry.title}, published at {entry.page}, licence: {entry.licence}")
    for archive in entry.archives:
        with _bytes_progress() as tell:
            new = downloading.obtain(archive, out, tell)
        typer.echo(f"{out / archive.folder}: {'unpacked' if new else 'was there'}")
    typer.echo(f"next: {then}")


def blurry_share(ratio: str) -> float:
    """Return the part of blurry ones of a "blurry:sharp" text. Raises ConfigError for others."""
    from blur2blur.errors import ConfigError

    blurry, _, sharp = ratio.partition(":")
    try:
        parts = float(blurry), float(sharp)
    except ValueError:
        parts = 0.0, 0.0
    if not all(0 < part < math.inf for part in parts):
        raise ConfigError(f"--ratio {ratio}: give two numbers above 0, blurry:sharp, such as 6:4")
    return parts[0] / sum(parts)


@contextmanager
def _bytes_progress() -> "Generator[Callable[[Progress], object]]":
    """Yield a function that shows how many bytes of something are done."""
    from rich.progress import DownloadColumn, TaskID, TransferSpeedColumn

    with showing.nested_progress(DownloadColumn(), TransferSpeedColumn()) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(state: "Progress") -> None:
            if state.name not in tasks:
                tasks[state.name] = bar.add_task(state.name, total=state.total)
            bar.update(tasks[state.name], completed=state.done, total=state.total)

        yield tell


def _print_import(plan: "Plan", new: "Sequence[Item]", *, dry_run: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from blur2blur.data.folders.layout import FOLDERS

    console = Console(soft_wrap=True)
    table = Table("folder", "holds", "images", "scenes", "would be new" if dry_run else "new")
    for folder, scenes in plan.scenes.items():
        count = len(plan.of(folder))
        added = sum(item.folder == folder for item in new)
        table.add_row(
            f"{folder}/{plan.label}", FOLDERS[folder], str(count), str(len(scenes)), str(added)
        )
    console.print(table)
    if plan.imported_as == "unknown" and not plan.of("testA"):
        console.print(
            f"[yellow]note:[/] no test split of {plan.label} was found; testA stays empty"
        )
