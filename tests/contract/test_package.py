"""What others rely on: quiet imports, public names, layers, and the verbs and options.

After a change that is meant, write the verbs and options anew:

    python tests/contract/test_package.py > tests/contract/cli_surface.json
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import blur2blur
from blur2blur.cli import main

ROOT = Path(__file__).parents[2]
SURFACE = Path(__file__).with_name("cli_surface.json")
PUBLIC = [
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
TORCH = {"torch", "torchvision", "lightning", "torchmetrics", "scipy", "skimage", "cv2"}
HEAVY = TORCH | {"numpy", "PIL", "openvino"}


def surface(command: Any = None, name: str = "blur2blur") -> dict[str, list[str]]:
    """Return verb -> its arguments and options, sorted."""
    command = command or typer.main.get_command(main.app)
    if hasattr(command, "commands"):
        found = {name: options(command)}
        for verb, below in sorted(command.commands.items()):
            found |= surface(below, f"{name} {verb}")
        return found
    return {name: options(command)}


def options(command: Any) -> list[str]:
    spelt = [
        name
        for parameter in command.params
        for name in (
            [parameter.name.upper()]
            if parameter.param_type_name == "argument"
            else [*parameter.opts, *parameter.secondary_opts]
        )
    ]
    return sorted(spelt)


def test_verbs_and_options_are_those_written_down():
    assert surface() == json.loads(SURFACE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", ["blur2blur", "blur2blur.cli.main"])
def test_import_is_quiet_and_light(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(result.stdout.split()) == set()
    assert result.stderr == ""


@pytest.mark.parametrize("name", ["Pipeline", "evaluate"])
def test_what_deblurs_and_measures_loads_no_torch(name: str):
    code = f"import sys; from blur2blur import {name}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert TORCH & set(result.stdout.split()) == set()
    assert result.stderr == ""


def test_public_names():
    assert blur2blur.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(blur2blur))
    for name in PUBLIC:
        assert getattr(blur2blur, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Pipline'"):
        _ = blur2blur.Pipline


def test_imports_point_down():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_version_is_printed():
    code = "from blur2blur.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"blur2blur {blur2blur.__version__}\n"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(surface(), indent=1) + "\n")
