"""What became of files that were not done, in lines: how many for which reason, and the first."""

from collections.abc import Iterable
from pathlib import Path

import typer

from blur2blur.showing import printable


def print_account(what: str, files: Iterable[tuple[str, Path]]) -> None:
    """Print a line for each reason of (reason, file), the most frequent first."""
    from blur2blur.images import listing

    for reason, count, first in listing.by_reason(files):
        typer.echo(f"{what}: {count} {printable(reason)}, first {printable(first)}")
