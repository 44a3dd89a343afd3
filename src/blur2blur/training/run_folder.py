"""What a run leaves on disk: settings, logs, weights, training state, sample sheets."""

import hashlib
import json
import logging
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from lightning.fabric.loggers.logger import Logger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger

from blur2blur import extras
from blur2blur.errors import ConfigError
from blur2blur.files import explained_writing, refuse_file_in_the_way, write_text
from blur2blur.settings import Settings, parse_json
from blur2blur.training.settings import TaskSettings, settings_of_run
from blur2blur.weights.verdict import LAST, VERDICT

SETTINGS = "settings.json"
STATE = "state.pt"
LOG = "log.jsonl"

_log = logging.getLogger(__name__)

# What a resumed run may do differently without becoming another run.
_MAY_CHANGE = {
    "run.log_every",
    "run.validate_every",
    "run.checkpoint_every",
    "run.samples_every",
    "run.device",
    "run.logger",
    "data.workers",
    "data.cache_gb",
}


def describe_run(settings: Settings, data: Path, *, processes: int) -> dict[str, Any]:
    """Return what `settings.json` says of a run."""
    return {
        "settings": settings.model_dump(mode="json"),
        "data": str(data.resolve()),
        "processes": processes,
        "blur2blur": version("blur2blur"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def refuse_other_run(
    folder: Path, data: Path, settings: TaskSettings, *, processes: int = 1
) -> None:
    """Refuse a folder that holds anything but the run that is to be resumed; touches nothing.

    A run may be given more steps; they are taken at the learning rates of a run that long.

    Args:
        folder: the run folder.
        data: the data folder of the run.
        settings: of the run; what an older version called otherwise is compared all the same.
        processes: how many train; each draws its own crops.

    Raises:
        ConfigError: the folder holds something else, or a run with other settings.
        InputError: a file is in the way.
    """
    refuse_file_in_the_way(folder)
    path = folder / SETTINGS
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty and holds no run; choose another --out")
        return
    now = {"data": str(data.resolve()), "settings": settings.model_dump(mode="json")}
    try:
        told = parse_json(path.read_bytes())
        before = {"data": told["data"], "settings": settings_of_run(told["settings"], settings)}
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged ({error}); choose another --out") from error
    if told.get("processes", processes) != processes:
        raise ConfigError(
            f"{folder} holds a run of {told['processes']} processes, not of {processes}; start as "
            "many, or choose another --out"
        )
    # where the validations decide when the rate falls, their rhythm is part of the run
    fixed = {"run.validate_every"} if settings.optimiser.schedule == "plateau" else set[str]()
    for name, old, new in _differences(before, now):
        key = name.removeprefix("settings.")
        if key == "data":
            raise ConfigError(
                f"{folder} holds a run on {old}, not on {new}; choose another --out, or, if that "
                f"folder was moved, write its new place into {path}"
            )
        if key == "run.steps" and isinstance(old, int) and new > old:
            notice = "%s: %d steps become %d, at the learning rates of a run that long"
            _log.warning(notice, folder, old, new)
        elif key not in _MAY_CHANGE - fixed:
            way = "repeat its settings to resume it, or choose another --out"
            if key == "run.steps":
                way += f" and begin from its weights with --set init={folder / LAST}"
            raise ConfigError(f"{folder} holds a run with {key} = {old!r}, not {new!r}; {way}")


def create(folder: Path, run: Mapping[str, Any]) -> None:
    """Write `settings.json`, unless that of as long a run is there; raises as `write_text`.

    What was judged of the weights so far is deleted: it is no verdict on those that come.
    """
    (folder / VERDICT).unlink(missing_ok=True)
    path = folder / SETTINGS
    longer = path.exists() and any(
        name == "settings.run.steps"
        for name, *_ in _differences(parse_json(path.read_bytes()), run)
    )
    if longer or not path.exists():
        write_text(path, json.dumps(run, indent=2))


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append((f"{prefix}{key}", before, after))
    return found


class RunLog:
    """Scalars to `log.jsonl` and a logger; lines past the resumed step are cut off.

    Of a run that begins anew all are.
    """

    def __init__(self, folder: Path, *, first_step: int, logger: str = "tensorboard") -> None:
        """Open the logs for appending from `first_step`; `logger` as in the settings of a run.

        Raises:
            InputError: they cannot be opened.
            ConfigError: the logger is not installed.
        """
        self._path = folder / LOG
        if self._path.exists():
            # a crash of the machine may have left any bytes
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if first_step and 0 <= _step_of(line) <= first_step]
            write_text(self._path, "".join(f"{line}\n" for line in kept))
        with explained_writing(self._path):
            self._logger = _logger(logger, folder, first_step=first_step)
            self._file: TextIO = self._path.open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line `{"step": ..., name: value}`, and tell the logger the same.

        Raises:
            InputError: the disk is full.
        """
        with explained_writing(self._path):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
            if self._logger is not None:
                self._logger.log_metrics(dict(values), step)

    def close(self) -> None:
        """Flush and close both. Raises InputError as `write` does."""
        with explained_writing(self._path):
            self._file.close()
            if self._logger is not None:
                self._logger.finalize("success")
                # wandb's; without it the next run of this process would go into this one
                getattr(getattr(self._logger, "experiment", None), "finish", lambda: None)()


def _logger(kind: str, folder: Path, *, first_step: int) -> Logger | None:
    if kind == "none":
        return None
    if kind == "tensorboard":
        return TensorBoardLogger(folder, name=kind, version="", purge_step=first_step + 1)
    purpose = f"run.logger = '{kind}'"
    extras.load(kind, purpose=purpose)
    loggers = extras.load("lightning.pytorch.loggers", purpose=purpose)
    # a name of its own, by which a resumed run is the same one
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return loggers.WandbLogger(name=folder.name, project="blur2blur", save_dir=folder, id=name)


def _step_of(line: str) -> float:
    """Return the step of a line, infinity for one that a crash cut short."""
    try:
        return int(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return math.inf
