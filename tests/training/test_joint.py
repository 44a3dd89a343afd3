"""Converter and deblurrer trained together, end to end."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.training import launch
from blur2blur.training.settings import ConverterSettings
from blur2blur.weights import zoo
from blur2blur.weights.checkpoints import load_network
from conftest import SMALL_CAMERA
from tiny_runs import TINY_SIMULATED

SMALL = [
    *TINY_SIMULATED,
    f"known.camera={SMALL_CAMERA}",
    "known.overrides=[]",
    "simulated.train_deblurrer=true",
    "data.crop_px=48",
    "data.shrink=1",
    "data.batch_size=1",
    "data.validation_crops=2",
    "optimiser.warmup_steps=0",
    "run.device=cpu",
    "run.steps=2",
    "run.precision=32-true",
]


def test_both_networks_learn_and_are_left_beside_each_other(camera_folder: Path, tmp_path: Path):
    checked = settings.load(ConverterSettings, "generic", SMALL)
    out = tmp_path / "run"
    assert launch.train_converter(camera_folder, checked, out, lambda step, values: None)
    for stem in ("best", "last"):
        for suffix, role, shipped in (
            ("", "converter", "generic"),
            ("-deblurrer", "deblurrer", "known-blur"),
        ):
            path = out / f"{stem}{suffix}.safetensors"
            _, header = load_network(path, role=role)
            assert header.role == role
            before = load_file(zoo.resolve(shipped, role=role))
            after = load_file(path)
            assert before.keys() == after.keys()
            assert any(not torch.equal(before[key].float(), after[key]) for key in before)


def test_what_training_the_deblurrer_needs_is_told():
    with pytest.raises(ConfigError, match=r"set simulated\.deblurred=1"):
        settings.load(ConverterSettings, "generic", [*SMALL, "simulated.deblurred=0"])
