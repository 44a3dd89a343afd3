"""Typed settings: a TOML preset, then `key=value` overrides; unknown names are refused."""

import copy
import difflib
import json
import logging
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from blur2blur.errors import ConfigError

PRESETS_DIR = Path(__file__).parent / "presets"

_log = logging.getLogger(__name__)


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown names refused, defaults checked.

    The docstring below a field is what the documentation says of it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )

    former_names: ClassVar[Mapping[str, str]] = {}
    """Dotted names of older versions, and what they are called now; "" where they are gone."""

    @classmethod
    def class_for(cls, values: Mapping[str, Any]) -> type[Self]:
        """Return the class that `values` are for: this one, or one below it that they choose.

        Raises:
            ValueError: values that the chosen one does not read.
        """
        return cls


def one_is_both(value: object) -> object:
    """Read one number as both ends of a range."""
    return (value, value) if isinstance(value, int | float) else value


SettingsT = TypeVar("SettingsT", bound=Settings)


_DEEPEST_JSON = 64


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401
    """Return what JSON holds. Raises ValueError: it is none, or nested more than 64 levels deep."""
    too_deep = f"it is nested more than {_DEEPEST_JSON} levels deep"
    try:
        content: Any = json.loads(text)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    level = [content]
    for _ in range(_DEEPEST_JSON):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    if level:
        raise ValueError(too_deep)
    return content


def nearest(name: str, known: Iterable[str], *, section: str = "") -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, else all known names.

    They are shown with `section` before them.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    shown = [section + name for name in close or known]
    return f"; did you mean '{shown[0]}'?" if close else f"; known: {', '.join(shown)}"


def preset_names(folder: str = "") -> list[str]:
    """Return the names of the presets that ship, of `presets/` or of a folder below it."""
    return sorted(path.stem for path in (PRESETS_DIR / folder).glob("*.toml"))


def read_preset(name_or_path: str, folder: str = "") -> dict[str, Any]:
    """Return the content of a shipped preset (by name) or of a TOML file (by path).

    Raises:
        ConfigError: no such preset or file, or it is not TOML.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ConfigError(f"no settings file {path}")
    else:
        names = preset_names(folder)
        if name_or_path not in names:
            kind = folder.removesuffix("s") or "preset"
            raise ConfigError(f"unknown {kind} '{name_or_path}'{nearest(name_or_path, names)}")
        path = PRESETS_DIR / folder / f"{name_or_path}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return `values` with each "section.key=value" set; the value is read as TOML, else as text.

    Raises:
        ConfigError: an override without "=", or one that goes through a value that is no section.
    """
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"'{override}' is not of the form key=value")
        *sections, key = dotted.split(".")
        target = result
        for section in sections:
            inner = target.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"'{dotted}': '{section}' is a value, not a section")
            target = inner
        target[key] = _parse_value(text)
    return result


def _parse_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def renamed(values: Mapping[str, Any], former_names: Mapping[str, str]) -> dict[str, Any]:
    """Return `values` under the names of today, with one warning for each that is not."""
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for old, new in former_names.items():
        *sections, key = old.split(".")
        section: Any = result
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or key not in section:
            continue
        _tell_renamed(old, new)
        value = section.pop(key)
        if new:
            *sections, key = new.split(".")
            target = result
            for name in sections:
                target = target.setdefault(name, {})
            target[key] = value
    return result


def _renamed_override(override: str, former_names: Mapping[str, str]) -> str | None:
    """Return an override under the name of today, None where that is gone."""
    dotted, equals, text = override.partition("=")
    for old, new in former_names.items():
        if f"{dotted}.".startswith(f"{old}."):
            _tell_renamed(old, new)
            return f"{new}{dotted.removeprefix(old)}{equals}{text}" if new else None
    return override


@cache
def _tell_renamed(old: str, new: str) -> None:
    """Warn of a name of older versions, once."""
    now = f"is called '{new}' now" if new else "is gone and was left out"
    _log.warning("the setting '%s' %s", old, now)


def build(model: type[SettingsT], values: Mapping[str, Any], *, source: str) -> SettingsT:
    """Validate `values` into `model`; `source` names their origin in error messages.

    Raises:
        ConfigError: unknown name (the nearest known one is suggested) or a value that does not fit.
    """
    try:
        model = model.class_for(values)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        dotted = ".".join(location)
        if first["type"] == "extra_forbidden":
            known = _known_names(model, location[:-1])
            hint = nearest(location[-1], known, section=dotted.removesuffix(location[-1]))
            raise ConfigError(f"{source}: unknown setting '{dotted}'{hint}") from error
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise ConfigError(f"{source}: '{dotted}' is missing") from error
        # a rule of a whole section names the values itself
        whole = first["type"] == "value_error" and isinstance(first["input"], Mapping)
        given = f"{dotted} = {first['input']!r:.100}: " if location and not whole else ""
        raise ConfigError(f"{source}: {given}{message}") from error


def _known_names(model: type[BaseModel], sections: Sequence[str]) -> list[str]:
    for section in sections:
        inner = section_of(model.model_fields[section]) if section in model.model_fields else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section of settings, None for a value."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def dotted_names(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the names of all values of a model, as `--set` takes them."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        section = section_of(field)
        dotted = f"{prefix}{name}"
        found |= {dotted} if section is None else dotted_names(section, f"{dotted}.")
    return found


def load(
    model: type[SettingsT], preset: str, overrides: Sequence[str] = (), *, folder: str = ""
) -> SettingsT:
    """Read a preset, apply overrides, validate. Raises ConfigError as the parts do."""
    current = (_renamed_override(override, model.former_names) for override in overrides)
    values = renamed(read_preset(preset, folder), model.former_names)
    values = apply_overrides(values, [override for override in current if override is not None])
    return build(model, values, source=f"preset '{preset}'")
