"""Typed settings: a TOML preset, then `key=value` overrides; unknown names are refused."""

import copy
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from blur2blur.errors import ConfigError

PRESETS_DIR = Path(__file__).parent / "presets"


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown names refused, defaults checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def one_is_both(value: object) -> object:
    """Read one number as both ends of a range."""
    return (value, value) if isinstance(value, int | float) else value


SettingsT = TypeVar("SettingsT", bound=Settings)


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
    except tomllib.TOMLDecodeError:
        return text


def build(model: type[SettingsT], values: Mapping[str, Any], *, source: str) -> SettingsT:
    """Validate `values` into `model`; `source` names their origin in error messages.

    Raises:
        ConfigError: unknown name (the nearest known one is suggested) or a value that does not fit.
    """
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
        given = f"{dotted} = {first['input']!r}: " if location else ""
        raise ConfigError(f"{source}: {given}{message}") from error


def _known_names(model: type[BaseModel], sections: Sequence[str]) -> list[str]:
    for section in sections:
        field = model.model_fields.get(section)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def load(
    model: type[SettingsT], preset: str, overrides: Sequence[str] = (), *, folder: str = ""
) -> SettingsT:
    """Read a preset, apply overrides, validate. Raises ConfigError as the parts do."""
    values = apply_overrides(read_preset(preset, folder), overrides)
    return build(model, values, source=f"preset '{preset}'")
