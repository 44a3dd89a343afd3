"""What a scale of the benchmark is: sizes, cameras, and how each method is trained."""

from pathlib import Path

from pydantic import Field, PositiveInt

from blur2blur.settings import Settings, load

METHODS = (
    "input",
    "known-only",
    "generic",
    "blur2blur",
    "fine-tuned",
    "finished",
    "direct",
    "oracle",
    "reference",
    "cyclegan",
    "upper-bound",
)
"""In the order of the tables."""


class Training(Settings):
    """A preset and what is set beside it; `weights`, where they ship, replace the training."""

    weights: str = ""
    preset: str = ""
    overrides: list[str] = Field(default_factory=list)


class CameraChoice(Settings):
    """A camera that ships, or its TOML file, and what is set beside it."""

    camera: str
    overrides: list[str] = Field(default_factory=list)


class Scale(Settings):
    """One scale; the values are in `mini.toml`, `frozen.toml` and `full.toml`."""

    shrink: PositiveInt
    known_camera: str
    cameras: dict[str, CameraChoice]  # by their names in the tables
    training: dict[str, Training]


def load_scale(name_or_path: str) -> Scale:
    """Read a scale of this folder, or a TOML file. Raises ConfigError as `settings.load`."""
    ours = Path(__file__).parent / f"{name_or_path}.toml"
    return load(Scale, str(ours if ours.exists() else name_or_path), [])
