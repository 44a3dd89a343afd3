"""`blur2blur data filter`: known pairs of a chosen strength of blur."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blur2blur import showing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blur2blur.data.folders.filtering import MeasuredPair, Range


def filter_(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Data folder with trainC and trainD.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New data folder; not with --dry-run.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Part of the ranking, LOW:HIGH; 0 is the mildest blur, 1 the strongest."),
    ] = None,
    psnr_db: Annotated[
        str | None,
        typer.Option(help="LOW:HIGH in dB between blurry and sharp; less is more blur."),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the files, do not link.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and print only; write nothing.")
    ] = False,
) -> None:
    """Rank the known pairs by strength of blur, and make a data folder of a range of them.

    DIR stays as it is; the new folder links to the chosen pairs and to all that is not trainC or
    trainD. A pair that cannot be measured is reported and left out; the exit code is then 1.
    """
    from blur2blur.data.folders import filtering, layout, placing
    from blur2blur.errors import ConfigError

    kept = _range(keep, psnr_db)
    if not dry_run and (out is None or kept is None):
        raise ConfigError(
            "give what to keep (--keep 0.2:0.8 or --psnr-db 20:30) and a new folder (-o), or only "
            "look (--dry-run)"
        )
    if out is not None:
        placing.refuse_used_folder(out, directory)
    found = layout.find(directory)
    with showing.progress("measuring", len(found.known_blurry)) as advance:
        pairs, unreadable = filtering.measure_pairs(found, advance)
    for file in unreadable:
        typer.echo(f"failed: {showing.printable(file.reason)}", err=True)
    groups = {"all": pairs}
    if kept is not None:
        groups["kept"] = chosen = filtering.choose(pairs, kept)
        if out is not None and not dry_run:
            filtering.carry_out(found, pairs, chosen, kept, out, link=not copy)
    _print_pairs(groups)
    if unreadable:
        typer.echo(f"{len(unreadable)} pairs could not be measured", err=True)
        raise typer.Exit(1)


def _range(keep: str | None, psnr_db: str | None) -> "Range | None":
    """Return the range that was asked for; None where none was."""
    from blur2blur.data.folders.filtering import Range
    from blur2blur.errors import ConfigError

    if keep is not None and psnr_db is not None:
        raise ConfigError("--keep and --psnr-db are two ways to say one thing; give one of them")
    if keep is not None:
        low, high = _ends(keep, "--keep", lowest=0, highest=1)
        return Range(measure="rank", low=low, high=high)
    if psnr_db is not None:
        low, high = _ends(psnr_db, "--psnr-db", lowest=0, highest=math.inf)
        return Range(measure="psnr_db", low=low, high=high)
    return None


def _ends(text: str, option: str, *, lowest: float, highest: float) -> tuple[float, float]:
    """Parse "LOW:HIGH"; an end that is left away is the lowest or highest there is."""
    from blur2blur.errors import ConfigError

    left, colon, right = text.partition(":")
    try:
        low, high = float(left or lowest), float(right or highest)
    except ValueError:
        low, high = math.nan, math.nan
    if not colon or not lowest <= low < high <= highest:
        limits = f"{lowest:g} to {highest:g}"
        raise ConfigError(f"{option} {text}: give LOW:HIGH within {limits}, LOW below HIGH")
    return low, high


def _print_pairs(groups: "Mapping[str, Sequence[MeasuredPair]]") -> None:
    values: dict[str, list[float]] = {}
    for name, pairs in groups.items():
        values[name] = [pair.psnr_db for pair in pairs if math.isfinite(pair.psnr_db)]
        equal = len(pairs) - len(values[name])
        typer.echo(f"{name}: {len(pairs)} pairs" + (f", {equal} without any blur" if equal else ""))
    title = "PSNR between blurry and sharp in dB; less is more blur"
    measured = {name: found for name, found in values.items() if found}
    for line in showing.histogram(title, measured):
        typer.echo(line)
