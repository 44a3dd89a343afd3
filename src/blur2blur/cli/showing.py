"""What several verbs show on the terminal: progress, and histograms in one line."""

import math
import statistics
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 40


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[], object]]:
    """Yield a function that moves a bar on by one; nothing is shown where nobody watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def nested_progress() -> "Generator[Progress]":
    """Yield bars with counts and remaining time; nothing is shown where nobody watches."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        yield bars


def histogram(title: str, groups: Mapping[str, Sequence[float]], *, logarithmic: bool) -> list[str]:
    """Return the title, one line of bars for each group over one axis, and the axis."""
    if not groups:
        return []
    scaled = {
        name: [math.log10(max(value, 0.1)) if logarithmic else value for value in values]
        for name, values in groups.items()
    }
    low = min(min(values) for values in scaled.values())
    span = max(max(values) for values in scaled.values()) - low or 1.0
    lines = [title]
    width = max(map(len, groups))
    for name, values in scaled.items():
        counts = [0] * _BINS
        for value in values:
            counts[min(int((value - low) / span * _BINS), _BINS - 1)] += 1
        steps = [math.ceil(count / max(counts) * (len(_BARS) - 1)) for count in counts]
        median = statistics.median(groups[name])
        lines.append(
            f"{name:<{width}} |{''.join(_BARS[step] for step in steps)}| median {median:.0f}"
        )
    ends = (10**end if logarithmic else end for end in (low, low + span))
    left, right = (f"{end:.0f}" for end in ends)
    lines.append(" " * (width + 2) + left + right.rjust(_BINS - len(left)))
    return lines
