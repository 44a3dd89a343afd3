"""Parts of the installation that are left out unless asked for, and how to get them."""

import json
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType
from urllib.parse import unquote, urlparse

from blur2blur.errors import ConfigError


def load(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an extra.

    Args:
        module: its name.
        extra: what it comes with.
        purpose: what needs it, as the beginning of a sentence.

    Raises:
        ConfigError: it is not installed; tells the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "blur2blur":
            raise
        raise ConfigError(f"{purpose} needs {error.name or module}: {install(extra)}") from error


def install(extra: str) -> str:
    """Return the command that adds an extra to this installation, wherever it came from."""
    return f"pip install '{_origin()}[{extra}]'"


def _origin() -> str:
    """Return the folder that blur2blur was installed from; its name where that was an index."""
    try:
        text = distribution("blur2blur").read_text("direct_url.json")
        url = urlparse(json.loads(text or "{}").get("url", ""))
    except (PackageNotFoundError, ValueError):
        return "blur2blur"
    is_folder = url.scheme == "file" and not url.path.endswith((".whl", ".gz", ".zip"))
    return unquote(url.path) if is_folder else "blur2blur"
