"""What was made in an output folder, of what and how: a line of JSON for each file, appended.

By it a run that was stopped goes on where it stopped, and results are told from photographs.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from blur2blur.files import explained_writing
from blur2blur.images import Tag
from blur2blur.images.listing import MANIFEST
from blur2blur.weights import zoo

if TYPE_CHECKING:
    from blur2blur.inference.pipeline import Pipeline

DONE_BEFORE = "done before"
NOT_RECORDED = "not recorded as finished"
FILE_GONE = "result is gone"
SOURCE_CHANGED = "source has changed"
SETTINGS_CHANGED = "other weights or settings"


class Manifest:
    """The manifest of an output folder, and the settings of the run that adds to it.

    A line tells the file that was planned, those that were written, name, size and time of their
    source, and the run; what the run's settings are, an earlier line tells.
    """

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        """Read what is there; `settings` are what changes results, see `settings_of`."""
        self._folder = folder
        text = json.dumps(settings, sort_keys=True)
        self._run = hashlib.sha256(text.encode()).hexdigest()[:12]
        lines = list(_lines(folder / MANIFEST))
        self._last = {line["planned"]: line for line in lines if "planned" in line}
        told = any(line.get("run") == self._run for line in lines if "settings" in line)
        self._pending = [] if told else [{"run": self._run, "settings": settings}]

    def state(self, source: Path, planned: Path, *, may_be_sharp: bool) -> str:
        """Return DONE_BEFORE where the file need not be made again, else the reason why.

        Args:
            source: the photograph or clip.
            planned: its result.
            may_be_sharp: that it was left as it is counts as finished.
        """
        line = self._last.get(self._name(planned))
        if line is None:
            return NOT_RECORDED
        if line["run"] != self._run or (line["left_sharp"] and not may_be_sharp):
            return SETTINGS_CHANGED
        if {key: line[key] for key in ("bytes", "mtime_ns") if key in line} != _described(source):
            return SOURCE_CHANGED
        if not all((self._folder / name).exists() for name in line["written"]):
            return FILE_GONE
        return DONE_BEFORE

    def add(
        self, source: Path, planned: Path, written: Sequence[Path], *, left_sharp: bool = False
    ) -> None:
        """Append that a source is done: its result, the files that were written, and how.

        Raises:
            InputError: the manifest cannot be written.
        """
        line = {
            "planned": self._name(planned),
            "written": [self._name(path) for path in written],
            "source": source.name,
            **_described(source),
            "left_sharp": left_sharp,
            "run": self._run,
        }
        self._append([*self._pending, line])
        self._pending = []

    def begin(self, paths: Iterable[Path]) -> None:
        """Append which files are about to be written: a killed process may leave them so.

        Raises:
            InputError: the manifest cannot be written.
        """
        self._append([{"begun": [self._name(path) for path in paths]}])

    def _append(self, lines: Sequence[dict[str, Any]]) -> None:
        path = self._folder / MANIFEST
        text = "".join(json.dumps(each) + "\n" for each in lines)
        with explained_writing(path), path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                # a machine that was switched off may have left a line without its end
                text = text if file.read(1) == b"\n" else f"\n{text}"
            file.write(text.encode())

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _described(source: Path) -> dict[str, int]:
    try:
        found = source.stat()
    except OSError:  # it is gone; whoever reads it says so
        return {}
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def results_in(folder: Path) -> frozenset[str]:
    """Return the full paths of what the manifest in a folder calls results."""
    return _named(folder, "written")


def made_in(folder: Path) -> frozenset[str]:
    """Return the full paths of all that was written in a folder, or about to be when it ended."""
    return _named(folder, "written") | _named(folder, "begun")


def _named(folder: Path, key: str) -> frozenset[str]:
    lists = [line.get(key) for line in _lines(folder / MANIFEST)]
    return frozenset(str(folder / name) for names in lists if _are_names(names) for name in names)


def settings_of(pipeline: "Pipeline", **others: object) -> dict[str, object]:
    """Return what results depend on: version, weights, and how they are used; no device."""
    built = pipeline.built_from
    deblurrer, converter = zoo.pair(built["deblurrer"], built["converter"])
    return {
        "version": version("blur2blur"),
        "deblurrer": _identity(deblurrer, role="deblurrer"),
        "converter": None if converter is None else _identity(converter, role="converter"),
        **{key: built[key] for key in ("scale", "ensemble", "strength")},
        **others,
    }


def tag(settings: dict[str, object]) -> Tag:
    """Return what photographs say of how they were made; `settings` as `settings_of` returns."""
    told = [f"{key} {_short(value)}" for key, value in settings.items() if key != "version"]
    return Tag(software=f"blur2blur {settings['version']}", parameters=", ".join(told))


def _short(value: object) -> str:
    words = "none" if value is None else str(value)
    name, _, digest = words.rpartition(" ")
    return f"{name} {digest[:8]}" if name else words


def _identity(weights: Any, *, role: str) -> str:  # noqa: ANN401 (a name, a path or a module)
    digest = hashlib.sha256()
    if not isinstance(weights, str | Path):
        for key, tensor in weights.state_dict().items():
            digest.update(key.encode() + tensor.detach().cpu().float().numpy().tobytes())
        return f"{type(weights).__name__} {digest.hexdigest()}"
    path = zoo.resolve(str(weights), role=role)
    for part in (path, path.with_suffix(".bin")):  # the numbers of an OpenVINO file lie beside it
        if part.is_file():
            digest.update(part.read_bytes())
    return f"{path.name} {digest.hexdigest()}"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what a manifest says, without what is damaged; nothing where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if not isinstance(content, dict):
            continue
        done = _are_names(content.get("written")) and (
            {"planned", "left_sharp", "run"} <= content.keys()
        )
        if "settings" in content or done or _are_names(content.get("begun")):
            yield content


def _are_names(names: object) -> TypeGuard[list[str]]:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
