"""What several verbs show on the terminal: progress, and histograms in one line."""

import math
import statistics
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 40


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[], object]]:
    """Yield a function that moves a bar on by one; nothing is shown where nobody watches."""
    with nested_progress() as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


@contextmanager
def nested_progress(*counts: "ProgressColumn", transient: bool = True) -> "Generator[Progress]":
    """Yield bars with counts and remaining time; nothing is shown where nobody watches.

    Args:
        counts: what stands behind each bar; not given: steps done of steps in all.
        transient: the bars are wiped away at the end.
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
    hidden = not console.is_terminal
    with progress.Progress(*columns, console=console, transient=transient, disable=hidden) as bars:
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
