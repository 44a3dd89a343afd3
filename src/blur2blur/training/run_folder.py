"""What a run leaves on disk: settings, logs, weights, training state, sample sheets."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from torch.utils.tensorboard.writer import SummaryWriter

from blur2blur.errors import ConfigError
from blur2blur.files import write_text
from blur2blur.settings import Settings

SETTINGS = "settings.json"
STATE = "state.pt"
BEST = "best.safetensors"
LAST = "last.safetensors"
LOG = "log.jsonl"

# A resumed run may be made longer, or moved to another machine, without becoming another run.
_MAY_CHANGE = {
    "run.log_every", "run.validate_every", "run.checkpoint_every", "run.samples_every",
    "run.device", "data.workers", "data.cache_gb",
}


def open_run(folder: Path, settings: Settings, data: Path) -> None:
    """Create the run folder, or check that it holds the run that is to be resumed.

    Raises:
        ConfigError: the folder holds something else, or a run with other settings.
    """
    record = {
        "settings": settings.model_dump(mode="json"),
        "data": str(data.resolve()),
        "blur2blur": version("blur2blur"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path = folder / SETTINGS
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty and holds no run; choose another --out")
        write_text(path, json.dumps(record, indent=2))
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); choose another --out") from error
    differences = {
        key: (old, new)
        for key, old, new in _differences(
            {**earlier["settings"], "data": {"folder": earlier["data"], **earlier["settings"]["data"]}},
            {**record["settings"], "data": {"folder": record["data"], **record["settings"]["data"]}},
        )
        if key not in _MAY_CHANGE
    }
    if differences:
        key, (old, new) = next(iter(differences.items()))
        raise ConfigError(
            f"{folder} holds a run with {key} = {old!r}, not {new!r}; repeat its settings to resume "
            "it, or choose another --out"
        )


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
    """Scalars to `log.jsonl` and TensorBoard; lines past the resumed step are cut off."""

    def __init__(self, folder: Path, *, first_step: int) -> None:
        """Open the logs for appending from `first_step`."""
        path = folder / LOG
        if path.exists():
            kept = [
                line
                for line in path.read_text(encoding="utf-8").splitlines()
                if json.loads(line)["step"] <= first_step
            ]
            write_text(path, "".join(f"{line}\n" for line in kept))
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line `{"step": ..., name: value}` and the same to TensorBoard."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._board.close()
