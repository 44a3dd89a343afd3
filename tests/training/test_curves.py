"""A change that should not alter training must leave these loss curves as they are.

`python tests/training/test_curves.py` writes `tests/golden/curves.json` anew, from the code as it
is: for changes that are meant to alter training, with the reason in the commit message.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from blur2blur import settings
from blur2blur.training import launch
from blur2blur.training.settings import ConverterSettings, DeblurrerSettings, KernelSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "curves.json"
CAMERA = Path(__file__).parents[1] / "small_camera.toml"
STEPS = 6
SMALL = [
    "data.crop_px=64", "data.batch_size=2", "data.workers=0", "data.validation_crops=2",
    f"known.camera={CAMERA}",
    "run.device=cpu", f"run.steps={STEPS}", "run.log_every=1", "optimiser.warmup_steps=2",
    "optimiser.learning_rate=2e-4",
]  # fmt: skip
SMALL_NETWORK = ["network.options.base_channels=4", "network.options.blocks=1"]
SMALL_DISCRIMINATOR = ["discriminator.base_channels=4", "discriminator.layers=2"]
SMALL_KERNEL = [
    "network.options={channels=4, feature_blocks=1, levels=2, code_channels=4, code_blocks=1, "
    "trunk_blocks=1, vae=true}",
    "loss.kl=0.001",
]
TASKS = ["deblurrer", "converter", "kernel"]


def curve(task: str, data: Path, out: Path) -> list[dict[str, float]]:
    if task == "deblurrer":
        checked = settings.load(DeblurrerSettings, "deblurrer", [*SMALL, *SMALL_NETWORK])
        launch.train_deblurrer(data, checked, out, lambda step, values: None)
    elif task == "kernel":
        checked = settings.load(KernelSettings, "kernel-full", [*SMALL, *SMALL_KERNEL])
        launch.train_kernel(data, checked, out, lambda step, values: None)
    else:
        small = ["known.source=synthetic", *SMALL, *SMALL_NETWORK, *SMALL_DISCRIMINATOR]
        checked = settings.load(ConverterSettings, "converter-pairs", small)
        launch.train_converter(data, checked, out, lambda step, values: None)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", TASKS)
def test_curve_is_the_stored_one(task, camera_folder, tmp_path):
    expected = json.loads(GOLDEN.read_text())[task]
    found = curve(task, camera_folder, tmp_path / "run")
    assert len(found) == len(expected) == STEPS + 2  # the first, and two validations
    for line, golden in zip(found, expected, strict=True):
        # other processors round differently, which training amplifies where gradients are tiny
        assert line == pytest.approx(golden, rel=1e-3, abs=1e-4)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import make_camera_folder

    with TemporaryDirectory() as folder:
        data = make_camera_folder(Path(folder) / "data")
        curves = {task: curve(task, data, Path(folder) / task) for task in TASKS}
    GOLDEN.write_text(json.dumps(curves, indent=1) + "\n")
