"""Runs of tiny networks, of every task."""

import json
import os
import signal
from pathlib import Path

import torch
from lightning.fabric import Fabric
from safetensors.torch import load_file

from blur2blur import settings
from blur2blur.training import launch
from blur2blur.training.converter_adversarial import AdversarialConverterTask
from blur2blur.training.converter_simulated import SimulatedConverterTask
from blur2blur.training.deblurrer import DeblurrerTask
from blur2blur.training.kernel import KernelTask
from blur2blur.training.settings import (
    ConverterSettings,
    DeblurrerSettings,
    ExtentSettings,
    KernelSettings,
    TaskSettings,
)
from conftest import SMALL_CAMERA

TINY = [
    "network.options.base_channels=4",
    "network.options.blocks=1",
    "data.crop_px=64",
    "data.batch_size=2",
    "data.workers=0",
    "data.validation_crops=2",
    f"known.camera={SMALL_CAMERA}",
    "known.overrides=[]",
    "optimiser.learning_rate=1e-3",
    "run.device=cpu",
    "run.steps=6",
    "run.log_every=1",
    "run.validate_every=3",
    "run.checkpoint_every=2",
    "run.samples_every=3",
    "run.precision=32-true",
]
TINY_DISCRIMINATOR = ["discriminator.base_channels=4", "discriminator.layers=2"]
TINY_KERNEL = [
    "network.options={channels=4, feature_blocks=1, levels=2, code_channels=4, code_blocks=1, "
    "trunk_blocks=1, identity_start=false, vae=true, filter_px=5}",
    "loss.kl=0.001",
]
TINY_SIMULATED = [
    "simulated.cameras=['any-noisy']",
    "simulated.overrides=['shake.length_px=[0, 14]']",
]
# a converter that looks at no blurry photograph
TINY_GENERIC = [
    "init=",
    "deblurrer=",
    *TINY_SIMULATED,
    "simulated.converted=1",
    "simulated.deblurred=0",
    "data.shrink=1",
    "data.crop_px=48",  # with what the blur reaches beyond, the photographs are no larger
]
# a deblurrer that learns what a converter makes of simulated cameras
TINY_FINISH = [
    "converter=generic",
    *TINY_SIMULATED,
    "simulated.compared=0",
    "data.crop_px=48",
]
TINY_EXTENT = [
    "network.options={widths=[4, 8], blocks=0}",
    *TINY_SIMULATED,
    "data.shrink=1",
    "data.crop_px=24",  # with what the blur reaches beyond, the photographs are no larger
]
TASKS = ["deblurrer", "finish", "converter", "generic", "kernel", "extent"]


def tiny(task: str, *overrides: str) -> TaskSettings:
    """Return the settings of a tiny run of a task."""
    elsewhere = [each for each in TINY if not each.startswith("network.")]
    if task == "deblurrer":
        return settings.load(DeblurrerSettings, "deblurrer", [*TINY, *overrides])
    if task == "finish":
        chosen = [*elsewhere, *TINY_FINISH, *overrides]
        return settings.load(DeblurrerSettings, "finish", chosen)
    if task == "kernel":
        return settings.load(KernelSettings, "kernel-full", [*TINY, *TINY_KERNEL, *overrides])
    if task == "extent":
        common = [each for each in elsewhere if not each.startswith("known.")]
        return settings.load(ExtentSettings, "blur-extent", [*common, *TINY_EXTENT, *overrides])
    if task == "generic":
        return settings.load(ConverterSettings, "generic", [*TINY, *TINY_GENERIC, *overrides])
    chosen = ["known.source=synthetic", *TINY, *TINY_DISCRIMINATOR, *overrides]
    return settings.load(ConverterSettings, "converter-pairs", chosen)


def train(task: str, data: Path, out: Path, *overrides: str, progress=lambda step, values: None):
    """Train or resume a tiny run; return whether it finished."""
    checked = tiny(task, *overrides)
    if isinstance(checked, DeblurrerSettings):
        return launch.train_deblurrer(data, checked, out, progress)
    if isinstance(checked, KernelSettings):
        return launch.train_kernel(data, checked, out, progress)
    if isinstance(checked, ExtentSettings):
        return launch.train_extent(data, checked, out, progress)
    return launch.train_converter(data, checked, out, progress)


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def same_weights(first: Path, second: Path) -> bool:
    one, other = load_file(first), load_file(second)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def interrupt_after(stop_step: int):
    """Return a progress that presses Ctrl-C at a step."""

    def progress(step: int, values: dict[str, float]) -> None:
        if step == stop_step:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


def make_task(task: str, data: Path, *overrides: str):
    """Return the task of a tiny run."""
    fabric = Fabric(accelerator="cpu")
    fabric.launch()
    checked = tiny(task, *overrides)
    if isinstance(checked, DeblurrerSettings):
        return DeblurrerTask(checked, launch.deblurrer_streams(data, checked), fabric)
    if isinstance(checked, KernelSettings):
        return KernelTask(checked, launch.deblurrer_streams(data, checked), fabric)
    kind = SimulatedConverterTask if task == "generic" else AdversarialConverterTask
    return kind(checked, launch.converter_streams(data, checked), fabric)


def batches(task, size: int = 2):
    """Return the batches of a task."""
    return iter(torch.utils.data.DataLoader(task.dataset, batch_size=size, sampler=range(8)))
