"""Images per second of whole training steps, for each task.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --presets deblurrer converter --set run.precision=32-true

The run is the one of `blur2blur train`, on photographs that come with scikit-image: crops, known
blur, forward and backward pass, update, averaging. Validation and checkpoints come after the last
step that is timed.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import skimage.data
import torch

import machine
from blur2blur import settings, tensors
from blur2blur.training import launch
from blur2blur.training.settings import (
    ConverterSettings,
    DeblurrerSettings,
    KernelSettings,
    TaskSettings,
)

PRESETS = ("known-blur", "generic", "converter", "kernel")
SCENES = ("astronaut", "coffee", "hubble_deep_field", "retina", "rocket")
LEAST_PX = 700
WARM_UP_STEPS = 3


def main() -> None:
    """Time every preset and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps in each repeat")
    parser.add_argument("--set", action="append", default=[], help="section.key=value")
    arguments = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        write_photographs(data)
        for preset in arguments.presets:
            out = Path(name) / preset
            checked, times = time_steps(preset, arguments, data, out)
            batch, crop = checked.data.batch_size, checked.data.crop_px
            edges = times[WARM_UP_STEPS - 1 :: arguments.steps]
            rates = [
                arguments.steps * batch / (after - before)
                for before, after in itertools.pairwise(edges)
            ]
            print(
                f"{preset:18} {checked.task}, {batch} crops of {crop} px, {checked.run.precision}: "
                f"{statistics.median(rates):.2f} images/s "
                f"(median of {len(rates)}, {min(rates):.2f} to {max(rates):.2f})"
            )


def time_steps(
    preset: str, arguments: argparse.Namespace, data: Path, out: Path
) -> tuple[TaskSettings, list[float]]:
    """Train briefly; return the settings and the clock after each step, in seconds."""
    steps = WARM_UP_STEPS + arguments.repeats * arguments.steps
    rhythm = [f"run.{name}_every={steps}" for name in ("log", "validate", "checkpoint", "samples")]
    overrides = [f"run.steps={steps}", *rhythm, "data.validation_crops=1", *arguments.set]
    times: list[float] = []

    def note(_step: int, _values: object) -> None:
        times.append(time.perf_counter())

    task = settings.read_preset(preset)["task"]
    if task == "deblurrer":
        checked = settings.load(DeblurrerSettings, preset, overrides)
        launch.train_deblurrer(data, checked, out, note)
    elif task == "kernel":
        checked = settings.load(KernelSettings, preset, overrides)
        launch.train_kernel(data, checked, out, note)
    else:
        checked = settings.load(ConverterSettings, preset, overrides)
        launch.train_converter(data, checked, out, note)
    return checked, times


def write_photographs(data: Path) -> None:
    """Fill trainA to trainD; for speed it does not matter whether they are blurry."""
    for scene in SCENES:
        pixels = torch.from_numpy(getattr(skimage.data, scene)()[..., :3]).permute(2, 0, 1) / 255
        scale = max(1.0, LEAST_PX / min(pixels.shape[1:]))
        pixels = torch.nn.functional.interpolate(
            pixels[None], scale_factor=scale, mode="bicubic", antialias=True
        )[0]
        for folder in ("trainA", "trainB", "trainC", "trainD"):
            tensors.write_rgb(data / folder / f"{scene}.jpg", pixels.clamp(0, 1))


if __name__ == "__main__":
    main()
