"""Folders that photographs and clips come into: each is deblurred once it is wholly written.

What lies in the folders decides, not what the system says of changes, which may get lost: that only
wakes the search. What is done the manifest of the output folder tells, so that a restart goes on.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blur2blur import extras
from blur2blur.errors import Blur2BlurError, ConfigError
from blur2blur.inference import batch, planning
from blur2blur.inference.pipeline import Pipeline
from blur2blur.inference.planning import Job, Plan, Wanted

STILL_SECONDS = 2.0
"""So long a file must not have changed before it counts as wholly written."""

_LOOK_MILLISECONDS = 500

_Stamp = tuple[int, int]  # bytes, nanoseconds: what changes where a file is written

_log = logging.getLogger(__name__)


@dataclass
class _Watched:
    """What is known of the files: those that were done or tried, and those that may still grow."""

    handled: dict[Path, _Stamp] = field(default_factory=dict[Path, _Stamp])
    growing: dict[Path, tuple[_Stamp, float]] = field(
        default_factory=dict[Path, tuple[_Stamp, float]]
    )

    def still(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those whose files are new and have not changed for a while."""
        now, still, growing = time.monotonic(), list[Job](), dict[Path, tuple[_Stamp, float]]()
        for job in jobs:
            stamp = _stamp(job.source)
            if stamp is None or self.handled.get(job.source) == stamp:
                continue
            before, since = self.growing.get(job.source, (None, now))
            if before == stamp and now - since >= STILL_SECONDS:
                self.handled[job.source] = stamp
                still.append(job)
            else:
                growing[job.source] = (stamp, since if before == stamp else now)
        self.growing = growing
        return still


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def deblur(
    inputs: Sequence[str],
    out: Path,
    make_pipeline: Callable[[], Pipeline],
    wanted: Wanted,
    *,
    tell: Callable[[str], object],
) -> None:
    """Deblur what folders hold, and all that comes, until SIGTERM.

    The file that is in work is finished first. One that cannot be done is told of, and tried again
    when it changes.

    Args:
        inputs: folders, searched to any depth.
        out: the output folder.
        make_pipeline: makes what to put them through, once the folders have been found.
        wanted: how outputs are named and which files are taken.
        tell: told a line for each file that was done.

    Raises:
        ConfigError: an input that is no folder, options that cannot be, or the extra `watch` is not
            installed.
        CheckpointError: weights that cannot be loaded.
    """
    wanted.check()
    for path in map(Path, inputs):
        if not path.is_dir() or path.resolve() == out.resolve():
            raise ConfigError(f"{path}: --watch takes folders, and another one for --out")
    watchfiles = extras.load("watchfiles", purpose="--watch")
    pipeline = make_pipeline()
    watched, problem = _Watched(), ""
    tell(f"watching {', '.join(inputs)}; Ctrl-C stops")
    with _stopped_by_sigterm() as stop:
        changes = watchfiles.watch(
            *inputs, stop_event=stop, rust_timeout=_LOOK_MILLISECONDS, yield_on_timeout=True
        )
        changed = True
        while not stop.is_set():
            if changed or watched.growing:
                try:
                    found = planning.plan(inputs, out, wanted, may_be_empty=True)
                except Blur2BlurError as error:  # a folder that is removed meanwhile may come back
                    if str(error) != problem:
                        _log.warning("%s", error)
                    problem = str(error)
                else:
                    problem = ""
                    _do(found, watched, pipeline, wanted, stop, tell)
            changed = bool(next(changes, None))


def _do(
    found: Plan,
    watched: _Watched,
    pipeline: Pipeline,
    wanted: Wanted,
    stop: threading.Event,
    tell: Callable[[str], object],
) -> None:
    clips = set(found.clips)
    for job in watched.still([*found.photographs, *found.clips]):
        if stop.is_set():
            break
        one = Plan(
            photographs=[] if job in clips else [job],
            clips=[job] if job in clips else [],
            skipped=[],
            folder=found.folder,
        )
        done = batch.carry_out(one, pipeline, wanted, skip_existing=True, on_progress=_ignore)
        for path in (*done.photographs, *done.clips):
            tell(str(path))
        for path in done.left_sharp:
            tell(f"{path} is sharp already, left as it is (--all deblurs it)")
        if job.source.exists():  # one that was removed meanwhile is nobody's any more
            for error in done.failures:
                _log.warning("%s", error)


def _ignore(what: str, done: int, total: int | None) -> None: ...


@contextmanager
def _stopped_by_sigterm() -> Generator[threading.Event]:
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
