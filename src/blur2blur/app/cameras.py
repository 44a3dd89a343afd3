"""A camera that is taught: its photographs sorted, its converter trained by a second process."""

import hmac
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from blur2blur import api
from blur2blur.app import deblurring, words
from blur2blur.data.folders import check as checking
from blur2blur.data.folders import layout, placing
from blur2blur.errors import Blur2BlurError, ConfigError, DataError, InputError
from blur2blur.files import write_text
from blur2blur.weights import verdict, zoo
from blur2blur.weights.verdict import Verdict

Kind = Literal["blurry", "sharp", "left out"]

CROP_PX = 128
"""That the preset `converter` cuts: smaller photographs are of no use."""
_HELD_OUT_SHARE = 5  # one blurry photograph of so many is looked at, not learned from
_MOST_HELD_OUT = 8
_TRIAL_PX = 384
_MINUTES_PER_TRIAL_SECOND = 20.0  # of one core of an AMD EPYC, where teaching takes 5.5 minutes
_PHOTOGRAPHS, _KEY, _OUTPUT = "photographs", "key", "training.txt"
_SIDES: Mapping[str, Kind] = {"trainA": "blurry", "trainB": "sharp", "left out": "left out"}
_STOPPED = (0, 130, 143, -signal.SIGINT, -signal.SIGTERM)
_MAIN = "from blur2blur.cli.main import main; main()"


@dataclass(slots=True, kw_only=True)
class Sorting:
    """Photographs and the kind that each is taken for; `note` says what is unsure, if anything."""

    kinds: dict[Path, Kind]
    note: str = ""
    unreadable: list[str] = field(default_factory=list[str])

    def of(self, kind: Kind) -> list[Path]:
        """Return the photographs of a kind, in the order of their names."""
        return [path for path, own in self.kinds.items() if own == kind]


def sort(folder: Path, on_progress: api.Progress) -> Sorting:
    """Tell blurry from sharp photographs in a folder; too few to be sure are halved.

    Raises:
        DataError, InputError: no photographs, or none of a kind.
    """
    nowhere = folder.parent / f".{secrets.token_hex(8)}"
    try:
        note, plan = "", api.split(folder, nowhere, dry_run=True, on_progress=on_progress)
    except DataError:
        plan = api.split(folder, nowhere, blurry_share=0.5, dry_run=True, on_progress=on_progress)
        note = words.UNSURE
    return Sorting(
        kinds={file.source: _SIDES[file.side] for file in plan.files},
        note=note,
        unreadable=[file.path.name for file in plan.unreadable],
    )


def minutes_needed() -> float:
    """Return how long teaching a camera takes here, told by how long deblurring does."""
    pipeline = deblurring.pipeline_of(zoo.NONE, "1")
    pixels = np.full((_TRIAL_PX, _TRIAL_PX, 3), 0.5, np.float32)
    pipeline.process(pixels)  # the first time it gets ready
    start_s = time.process_time()  # of all cores: other programs do not count
    pipeline.process(pixels)
    return (time.process_time() - start_s) * _MINUTES_PER_TRIAL_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the training of a camera stands.

    Attributes:
        running: whether it goes on.
        step: steps done; 0 while photographs are looked at.
        steps: steps in all; 0 while that is not known.
        left_s: seconds that are left, where that can be told.
        curve: (step, dB) of every validation so far; the first is what it began from.
        sheet: her own photographs before, with the generic and with the own converter.
        verdict: whether it helped, at the end.
        before_after: the page of her own photographs, at the end.
        problem: why it ended early, in words; else empty.
    """

    running: bool
    step: int = 0
    steps: int = 0
    left_s: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    sheet: Path | None = None
    verdict: Verdict | None = None
    before_after: Path | None = None
    problem: str = ""


@dataclass(slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    start_s: float
    first_step: int
    stopping: bool = False


class Cameras:
    """The cameras of this installation, and the one training that runs at a time."""

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        """Take settings of trainings besides those of the preset, as `--set`."""
        self._overrides = list(overrides)
        self._running: dict[str, _Running] = {}

    def names(self) -> list[str]:
        """Return the cameras that have been taught."""
        folder = zoo.cameras_folder()
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        return [each.name for each in found if (each / zoo.RUN / verdict.VERDICT).is_file()]

    def create(
        self, name: str, sorting: Sorting, *, link: bool, advance: Callable[[], object]
    ) -> tuple[str, list[str]]:
        """Put sorted photographs into a new camera's folder.

        Returns:
            The key to it, and what is worth knowing of the photographs, in words.

        Some of the blurry ones become `testA`: what is shown of the training is not learned from.

        Args:
            name: what its owner calls it.
            sorting: her photographs.
            link: link them, where they stay; else copy.
            advance: called after each photograph that was looked at.

        Raises:
            ConfigError: a name that cannot be used, or is.
            DataError: too few of a kind, or some that cannot be learned from.
            InputError: the disk is full.
        """
        folder = zoo.camera_folder(name)
        if folder is None or name.lower() in (zoo.NONE, zoo.DEFAULT):
            raise ConfigError(words.BAD_NAME)
        if folder.exists():
            raise ConfigError(words.name_taken(name))
        blurry, sharp = sorting.of("blurry"), sorting.of("sharp")
        if len(blurry) < 2 or len(sharp) < 2:
            raise DataError(words.few_of_a_kind(len(blurry), len(sharp)))
        held_out = blurry[::_HELD_OUT_SHARE][:_MOST_HELD_OUT]
        sides = {
            "trainA": [path for path in blurry if path not in held_out],
            "testA": held_out,
            "trainB": sharp,
        }
        key = secrets.token_urlsafe(16)
        with placing.whole_folder(folder) as made:
            for side, files in sides.items():
                place = made / _PHOTOGRAPHS / side
                place.mkdir(parents=True)
                for number, path in enumerate(files):
                    name_there = f"{number:05d}{path.suffix.lower()}"
                    placing.place(path, place / name_there, link=link)
            write_text(made / _KEY, key)
            report = checking.check(layout.find(made / _PHOTOGRAPHS), CROP_PX, advance)
            if report.problems:
                raise DataError(words.plain(report.problems[0]))
        hints = [words.plain(hint) for hint in report.hints if "laid over trainB" not in hint]
        return key, hints

    def owns(self, name: str, key: str) -> bool:
        """Tell whether a key is that of a camera."""
        folder = zoo.camera_folder(name)
        try:
            told = (folder / _KEY).read_text(encoding="utf-8") if folder else ""
        except OSError:
            return False
        return bool(told) and hmac.compare_digest(told.encode(), key.encode())

    def start(self, name: str) -> None:
        """Start to teach a camera, or go on with it.

        Raises:
            ConfigError: another training is going on.
            InputError: the folder cannot be written.
        """
        if any(self._alive(other) for other in self._running):
            raise ConfigError(words.TRAINING_ELSEWHERE)
        folder = _folder(name)
        overrides = [word for each in self._overrides for word in ("--set", each)]
        command = [sys.executable, "-c", _MAIN, "train", "converter", *overrides]
        command += ["--data", str(folder / _PHOTOGRAPHS), "--out", str(folder / zoo.RUN)]
        try:
            with (folder / _OUTPUT).open("wb") as output:
                # a session of its own: Ctrl-C on the page's terminal reaches it through `stop`
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise InputError(f"the training cannot be started: {error.strerror}") from error
        steps = _log(folder / zoo.RUN)
        first_step = int(steps[-1]["step"]) if steps else 0
        self._running[name] = _Running(process, time.time(), first_step)

    def stop(self, name: str) -> None:
        """Stop a training after its step; what it has learned is kept."""
        if self._alive(name):
            # a Ctrl-C while libraries are imported may be lost in them, a second one loses the
            # step: from then on it is asked otherwise, which may be said twice
            asked = self._running[name].stopping
            self._running[name].process.send_signal(signal.SIGTERM if asked else signal.SIGINT)
            self._running[name].stopping = True

    def close(self) -> None:
        """Stop whatever runs, and wait for it."""
        for name, running in self._running.items():
            self.stop(name)
            try:
                running.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                running.process.kill()

    def _alive(self, name: str) -> bool:
        return name in self._running and self._running[name].process.poll() is None

    def progress(self, name: str) -> Progress:
        """Return where the training of a camera stands."""
        run, running = _folder(name) / zoo.RUN, self._alive(name)
        if running and self._running[name].stopping:
            self.stop(name)
        lines, steps = _log(run), _steps(run)
        step = int(lines[-1]["step"]) if lines else 0
        sheets = sorted((run / "samples").glob("*.png"))
        page = run / api.OWN_PHOTOGRAPHS / api.REPORT
        try:
            told = None if running else verdict.read(run)
        except Blur2BlurError:
            told = None
        return Progress(
            running=running,
            step=step,
            steps=steps,
            left_s=self._left_s(name, run, step, steps) if running else None,
            curve=tuple(
                (int(line["step"]), line["validation/psnr_db"])
                for line in lines
                if "validation/psnr_db" in line
            ),
            sheet=sheets[-1] if sheets else None,
            verdict=told,
            before_after=page if told and page.is_file() else None,
            problem="" if running or told else self._problem(name),
        )

    def _left_s(self, name: str, run: Path, step: int, steps: int) -> float | None:
        begun = self._running[name]
        done = step - begun.first_step
        if done <= 0 or not steps:
            return None
        # before its first step it chooses cameras to simulate, which takes a while
        start_s = max(begun.start_s, (run / "settings.json").stat().st_mtime)
        return (time.time() - start_s) / done * (steps - step)

    def _problem(self, name: str) -> str:
        """Return what the training said last, where it ended by a mistake."""
        running = self._running.get(name)
        if running is None or running.process.returncode in _STOPPED:
            return ""
        try:
            text = (_folder(name) / _OUTPUT).read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        lines = [line for line in text.splitlines() if line.strip()]
        last = next((line for line in reversed(lines) if line.startswith("error: ")), "")
        return words.plain(last.removeprefix("error: ") or words.TRAINING_DIED)


def _folder(name: str) -> Path:
    folder = zoo.camera_folder(name)
    if folder is None or not folder.is_dir():
        raise ConfigError(words.BAD_NAME)
    return folder


def _log(run: Path) -> list[dict[str, float]]:
    lines: list[dict[str, float]] = []
    try:
        text = (run / "log.jsonl").read_text(encoding="utf-8")
    except OSError:
        return lines
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # it is being written
            break
    return lines


def _steps(run: Path) -> int:
    try:
        told = json.loads((run / "settings.json").read_text(encoding="utf-8"))
        return int(told["settings"]["run"]["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
