"""Folders that photographs come into: each is deblurred once it is wholly written.

What lies in the folders decides, not what the system says of changes, which may get lost: that only
wakes the search. A photograph whose output is newer than itself is done, so that a restart goes on.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blur2blur import extras, images
from blur2blur.errors import Blur2BlurError, ConfigError, DataError
from blur2blur.inference import folder
from blur2blur.inference.folder import Job
from blur2blur.inference.pipeline import Pipeline

STILL_SECONDS = 2.0
"""So long a photograph must not have changed before it counts as wholly written."""

_LOOK_MILLISECONDS = 500

_Stamp = tuple[int, int]  # bytes, nanoseconds: what changes where a file is written

_log = logging.getLogger(__name__)


@dataclass
class _Watched:
    """The folders, and what is known of the photographs in them."""

    folders: Sequence[Path]
    out: Path
    handled: dict[Path, _Stamp] = field(default_factory=dict[Path, _Stamp])
    growing: dict[Path, tuple[_Stamp, float]] = field(
        default_factory=dict[Path, tuple[_Stamp, float]]
    )

    def search(self) -> list[tuple[Path, Path]]:
        """Return (photograph, the folder of its output) of those that are new and still."""
        now, still, growing = time.monotonic(), [], dict[Path, tuple[_Stamp, float]]()
        for root, path in self._photographs():
            stamp = _stamp(path)
            if stamp is None or self.handled.get(path) == stamp:
                continue
            before, since = self.growing.get(path, (None, now))
            if before == stamp and now - since >= STILL_SECONDS:
                self.handled[path] = stamp
                still.append((path, self.out / path.relative_to(root).parent))
            else:
                growing[path] = (stamp, since if before == stamp else now)
        self.growing = growing
        return still

    def _photographs(self) -> Iterator[tuple[Path, Path]]:
        inside = self.out.resolve()
        for root in self.folders:
            try:
                found = images.find_images(root)
            except DataError as error:  # a folder that is removed meanwhile may come back
                _log.warning("%s", error)
                continue
            yield from ((root, path) for path in found if inside not in path.resolve().parents)


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _is_newer(output: Path, source: Path) -> bool:
    made, taken = _stamp(output), _stamp(source)
    return made is not None and taken is not None and made[1] >= taken[1]


def deblur(
    inputs: Sequence[str],
    out: Path,
    make_pipeline: Callable[[], Pipeline],
    *,
    save_converted: bool = False,
    tell: Callable[[str], object],
) -> None:
    """Deblur the photographs of folders, those that are there and all that come, until SIGTERM.

    The photograph that is in work is finished first. One that cannot be done is told of, and tried
    again when it changes.

    Args:
        inputs: folders, searched to any depth.
        out: the output folder.
        make_pipeline: makes what to put them through, once the folders have been found.
        save_converted: as in `folder.plan`.
        tell: told a line for each photograph that was done.

    Raises:
        ConfigError: an input that is no folder, or the extra `watch` is not installed.
        CheckpointError: weights that cannot be loaded.
    """
    folders = [Path(text) for text in inputs]
    for path in folders:
        if not path.is_dir() or path.resolve() == out.resolve():
            raise ConfigError(f"{path}: --watch takes folders, and another one for --out")
    watchfiles = extras.load("watchfiles", purpose="--watch")
    pipeline = make_pipeline()
    watched = _Watched(folders, out)
    tell(f"watching {', '.join(map(str, folders))}; Ctrl-C stops")
    with _stopped_by_sigterm() as stop:
        changes = watchfiles.watch(
            *folders, stop_event=stop, rust_timeout=_LOOK_MILLISECONDS, yield_on_timeout=True
        )
        changed = True
        while not stop.is_set():
            if changed or watched.growing:
                for source, target in watched.search():
                    if stop.is_set():
                        break
                    _do(source, target, pipeline, save_converted=save_converted, tell=tell)
            changed = bool(next(changes, None))


def _do(
    source: Path,
    target: Path,
    pipeline: Pipeline,
    *,
    save_converted: bool,
    tell: Callable[[str], object],
) -> None:
    try:
        (job,) = folder.plan([str(source)], target, save_converted=save_converted)
        if _is_newer(job.output, source):
            return
        failures = folder.run(pipeline, [job], on_photograph=_ignore, on_tile=_ignore)
    except Blur2BlurError as error:
        _tell_failure(source, error)
        return
    for failure in failures:
        _tell_failure(source, failure.error)
    if not failures:
        tell(str(job.output))


def _ignore(done: int, what: Job | int) -> None: ...


def _tell_failure(source: Path, error: Blur2BlurError) -> None:
    if source.exists():  # one that was removed or renamed meanwhile is nobody's any more
        _log.warning("%s", error)


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
