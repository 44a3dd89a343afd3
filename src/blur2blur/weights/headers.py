"""What a weight file of ours says of itself: a JSON header beside the numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError, safe_open

from blur2blur import settings
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.settings import Settings

HEADER_KEY = "blur2blur"


class Header(Settings):
    """What a weight file says of itself.

    `role` is what the network was trained to be: "converter", "deblurrer", "kernel" (a kernel
    extractor) or "discriminator".
    """

    role: str
    network: str
    options: Mapping[str, Any] = Field(default_factory=dict)
    step: int = 0
    metrics: Mapping[str, float] = Field(default_factory=dict)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    version: str = ""


def read_header(path: Path) -> Header:
    """Return the header of one of our weight files.

    Raises:
        CheckpointError: missing, damaged, or not a file of ours.
    """
    if not path.is_file():
        raise CheckpointError(f"no weight file {path}")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged, unreadable or no safetensors file ({error}); give one that "
            "'blur2blur train' wrote"
        ) from error
    if HEADER_KEY not in metadata:
        raise CheckpointError(
            f"{path} holds weights of another program; give a file that 'blur2blur train' wrote"
        )
    try:
        return settings.build(Header, json.loads(metadata[HEADER_KEY]), source="its header")
    except (ConfigError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or of another version of blur2blur: {error}"
        ) from error


def is_ours(path: Path) -> bool:
    """Tell whether `path` is a safetensors file with a header of ours."""
    try:
        with safe_open(path, framework="np") as file:
            return HEADER_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False
