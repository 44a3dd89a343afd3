"""Parts of the installation that are left out unless asked for, and how to get them."""

import json
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType
from urllib.parse import unquote, urlparse

from blur2blur.errors import ConfigError

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "lightning": "train",
    "torchmetrics": "train",
    "tensorboard": "train",
    "cv2": "train",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "av": "video",
    "gradio": "app",
    "starlette": "app",
    "spandrel": "zoo",
    "huggingface_hub": "hub",
    "watchfiles": "watch",
    "ray": "cluster",
    "pyarrow": "cluster",
    "wandb": "wandb",
}
"""Package -> the extra it comes with."""


def load(module: str, *, purpose: str) -> ModuleType:
    """Import a package of an extra, or a module of ours that imports one.

    Args:
        module: its name.
        purpose: what needs it, as the beginning of a sentence.

    Raises:
        ConfigError: the package is not installed; tells the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = explained(error, purpose=purpose)
        if missing is None:
            raise
        raise missing from error


def explained(error: ImportError, *, purpose: str) -> ConfigError | None:
    """Return what to tell of an import that failed; None where no extra would mend it."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return ConfigError(f"{purpose} needs {package}: {install(EXTRAS[package])}")


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
