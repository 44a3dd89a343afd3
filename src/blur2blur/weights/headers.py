"""What a weight file of ours says of itself: a JSON header beside the numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field
from safetensors import SafetensorError, safe_open

from blur2blur import settings
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.settings import Settings

HEADER_KEY = "blur2blur"

_MOST_CHARACTERS = 1 << 20

FORMAT = 2
"""Version of what weight files say. In 1, of files that do not tell it, a discriminator's option
`kind` was called `judge`, and its weights began with `judges` instead of `parts`."""


class Header(Settings):
    """What a weight file says of itself; what a newer version adds is kept, and not looked at.

    `role` is what the network was trained to be: "converter", "deblurrer", "kernel" (a kernel
    extractor) or "discriminator".
    """

    model_config = ConfigDict(extra="allow")

    role: str
    network: str
    options: Mapping[str, Any] = Field(default_factory=dict)
    step: int = 0
    metrics: Mapping[str, float] = Field(default_factory=dict)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    version: str = ""
    format: int = FORMAT


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
    written = FORMAT
    try:
        if len(metadata[HEADER_KEY]) > _MOST_CHARACTERS:
            raise ValueError(f"it has more than {_MOST_CHARACTERS} characters")
        told = settings.parse_json(metadata[HEADER_KEY])
        if isinstance(told, dict):
            told = {"format": 1, **told}
            written = told["format"]
            options = told.get("options")
            if written == 1 and isinstance(options, dict) and "judge" in options:
                options["kind"] = options.pop("judge")
        return settings.build(Header, told, source="its header")
    except (ConfigError, ValueError) as error:
        raise CheckpointError(f"{path} {why_unreadable(written, error)}") from error


def why_unreadable(written: object, error: Exception) -> str:
    """Return the rest of a sentence that begins with the file: damage, or a newer version."""
    if isinstance(written, int) and written > FORMAT:
        return (
            f"was written by a newer blur2blur (format {written}, this one reads up to {FORMAT}); "
            "update blur2blur"
        )
    return f"is damaged or of another version of blur2blur: {error}"


def is_ours(path: Path) -> bool:
    """Tell whether `path` is a safetensors file with a header of ours."""
    try:
        with safe_open(path, framework="np") as file:
            return HEADER_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False
