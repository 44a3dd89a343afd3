"""Deblur the photographs of your own camera.

The public names are looked up on first use, so that `import blur2blur` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from blur2blur.errors import (
    Blur2BlurError,
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
)

if TYPE_CHECKING:
    from blur2blur.api import deblur_folder, simulate, split, train
    from blur2blur.blur import Camera, load_camera
    from blur2blur.blur.transfer import transfer_blur
    from blur2blur.evaluation import evaluate
    from blur2blur.inference import Pipeline
    from blur2blur.showing import progress_bars
    from blur2blur.weights.loading import load_kernel_extractor

    __version__: str

__all__ = [
    "Blur2BlurError",
    "Camera",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "InputError",
    "Pipeline",
    "__version__",
    "deblur_folder",
    "evaluate",
    "load_camera",
    "load_kernel_extractor",
    "progress_bars",
    "simulate",
    "split",
    "train",
    "transfer_blur",
]

_HOMES = {
    "Camera": "blur2blur.blur",
    "Pipeline": "blur2blur.inference",
    "deblur_folder": "blur2blur.api",
    "evaluate": "blur2blur.evaluation.compare",
    "load_camera": "blur2blur.blur",
    "progress_bars": "blur2blur.showing",
    "simulate": "blur2blur.api",
    "split": "blur2blur.api",
    "train": "blur2blur.api",
    "load_kernel_extractor": "blur2blur.weights.loading",
    "transfer_blur": "blur2blur.blur.transfer",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module (PEP 562)."""
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
