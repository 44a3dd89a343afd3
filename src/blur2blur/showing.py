"""What is shown while work goes on, on a terminal or in a notebook: progress, and histograms."""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

LINE_EVERY_S = 10.0
"""So far apart are the lines that tell progress where there is no terminal."""

_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 40


def printable(text: object) -> str:
    """Return text with control characters written out: a file's name must not steer a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text)
    )


@contextmanager
def progress(what: str, total: int | None) -> Generator[Callable[[], object]]:
    """Yield a function that moves a bar on by one; without a terminal, a line now and then.

    Where `total` is None only what is done is counted.
    """
    from rich.console import Console

    if not Console(stderr=True).is_terminal:
        yield _lines_now_and_then(what, total)
        return
    with nested_progress() as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


def _lines_now_and_then(what: str, total: int | None) -> Callable[[], object]:
    counter, tell = itertools.count(1), lines_now_and_then()
    return lambda: tell(f"{what}: {next(counter)}" + (f" of {total}" if total else ""))


def lines_now_and_then() -> Callable[[str], None]:
    """Return what prints a line where there is no terminal for bars, `LINE_EVERY_S` apart."""
    import typer
    from rich.console import Console

    hidden, due_s = not Console(stderr=True).is_terminal, time.monotonic() + LINE_EVERY_S

    def tell(line: str) -> None:
        nonlocal due_s
        if hidden and time.monotonic() >= due_s:
            due_s = time.monotonic() + LINE_EVERY_S
            typer.echo(line, err=True)

    return tell


@contextmanager
def nested_progress(
    *counts: "ProgressColumn", transient: bool = True, expand: bool = False
) -> "Generator[Progress]":
    """Yield bars with counts and remaining time; nothing is shown where nobody watches.

    Args:
        counts: what stands behind each bar; not given: steps done of steps in all.
        transient: the bars are wiped away at the end.
        expand: they take the whole width.
    """
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *(counts or (progress.MofNCompleteColumn(),)),
        progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True, soft_wrap=True)
    hidden = not (console.is_terminal or console.is_jupyter)
    with progress.Progress(
        *columns, console=console, transient=transient, disable=hidden, expand=expand
    ) as bars:
        yield bars


@contextmanager
def progress_bars(*lasting: str) -> "Generator[Callable[[str, int, int | None], None]]":
    """Yield what `deblur_folder` and other functions take as `on_progress`: it shows bars.

    Args:
        lasting: stages whose bars stay while that of the current photograph or clip changes, such
            as "photographs" and "clips".
    """
    from rich.markup import escape

    tell = lines_now_and_then()
    with nested_progress() as bars:
        tasks = {stage: bars.add_task(stage, total=None, visible=False) for stage in lasting}
        counted = dict[str, str]()
        current, shown = bars.add_task("", total=None, visible=False), ""

        def on_progress(what: str, done: int, total: int | None) -> None:
            nonlocal shown
            count = f"{printable(what)}: {done}" + (f" of {total}" if total else "")
            if what in tasks:
                counted[what] = count
            tell(", ".join(counted.values() if what in tasks else [*counted.values(), count]))
            if what in tasks:
                bars.update(tasks[what], completed=done, total=total, visible=total != 1)
                return
            if what != shown:
                bars.reset(current, total=total, description=escape(printable(what)))
                shown = what
            bars.update(current, completed=done, total=total, visible=True)

        yield on_progress


def histogram(title: str, groups: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the title, one line of bars for each group over one axis, and the axis."""
    if not groups:
        return []
    low = min(min(values) for values in groups.values())
    span = max(max(values) for values in groups.values()) - low or 1.0
    lines = [title]
    width = max(map(len, groups))
    for name, values in groups.items():
        counts = [0] * _BINS
        for value in values:
            counts[min(int((value - low) / span * _BINS), _BINS - 1)] += 1
        steps = [math.ceil(count / max(counts) * (len(_BARS) - 1)) for count in counts]
        median = statistics.median(values)
        lines.append(
            f"{name:<{width}} |{''.join(_BARS[step] for step in steps)}| median {median:.0f}"
        )
    left, right = (f"{end:.0f}" for end in (low, low + span))
    lines.append(" " * (width + 2) + left + right.rjust(_BINS - len(left)))
    return lines
