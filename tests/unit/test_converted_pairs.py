"""What a deblurrer is finished on."""

import pytest
import skimage.data
import torch
from lightning.fabric import Fabric
from torch.utils.data import default_collate

from blur2blur import settings, tensors
from blur2blur.errors import ConfigError
from blur2blur.training import launch
from blur2blur.training.deblurrer import DeblurrerTask
from blur2blur.training.settings import DeblurrerSettings
from blur2blur.training.simulation import prepare
from blur2blur.training.simulation.converted_pairs import ConvertedPairs
from blur2blur.training.task import as_float
from blur2blur.weights import loading

SMALL = [
    "data.crop_px=64",
    "data.validation_crops=2",
    "data.cache_gb=0",
    "converter=generic",
    "simulated.cameras=['any-noisy']",
    "simulated.compared=2",
]


@pytest.fixture(scope="module")
def camera_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("camera")
    pixels = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1) / 255
    for kind in ("trainA", "trainB"):
        for index in range(3):
            crop = pixels[:, :, 160 * index : 160 * index + 160]
            tensors.write_rgb(folder / kind / f"{index}.png", crop)
    return folder


@pytest.fixture(autouse=True)
def _few_crops(monkeypatch):
    monkeypatch.setattr(prepare, "CAMERA_CROPS", 4)
    monkeypatch.setattr(prepare, "SIMULATED_CROPS", 4)


def pairs(camera_folder, *overrides: str) -> ConvertedPairs:
    checked = settings.load(DeblurrerSettings, "finish", [*SMALL, *overrides])
    fabric = Fabric(accelerator="cpu", devices=1)
    streams = launch.deblurrer_streams(camera_folder, checked)
    return ConvertedPairs(checked, checked.simulated, streams, fabric)


def test_the_deblurrer_is_shown_what_the_converter_makes(camera_folder):
    of_cameras, converted = pairs(camera_folder, "converter=none"), pairs(camera_folder)
    sample = converted.dataset[0]
    # the known blur is not asked for, and is not made
    assert {stream for stream in sample if not stream.endswith("_file")} == {"unknown", "sharp"}
    streams = {stream: as_float(sample[stream][None]) for stream in ("unknown", "sharp")}
    (unknown, sharp), (image, same) = (
        made.pair(streams, torch.Generator()) for made in (of_cameras, converted)
    )
    assert unknown.shape == sharp.shape == (1, 3, 64, 64)
    assert torch.equal(unknown, streams["unknown"])
    assert torch.equal(sharp, streams["sharp"])
    assert torch.equal(sharp, same)
    converter = loading.load_own("generic", role="converter").eval()
    for before, after in ((unknown, image), (of_cameras.held_out[0], converted.held_out[0])):
        with torch.inference_mode():
            expected = converter.restore(before).clamp(0, 1)
        assert torch.allclose(after, expected, atol=1e-5)
        assert not torch.allclose(after, before, atol=1e-2)


def test_the_deblurrer_alone_is_trained_and_validated_on_converted_crops(camera_folder):
    checked = settings.load(DeblurrerSettings, "finish", [*SMALL, "run.precision=32-true"])
    fabric = Fabric(accelerator="cpu", devices=1)
    task = DeblurrerTask(checked, launch.deblurrer_streams(camera_folder, checked), fabric)
    converted = pairs(camera_folder)
    assert torch.equal(task.held_out_blurry, converted.held_out[0])
    assert not any(parameter.requires_grad for parameter in converted._converter.parameters())
    batch = default_collate([converted.dataset[0], converted.dataset[1]])
    seen: list[torch.Tensor] = []
    network = task.trained["network"].network
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    task.step(batch, torch.Generator())
    streams = {stream: as_float(batch[stream]) for stream in ("unknown", "sharp")}
    expected, _ = converted.pair(streams, torch.Generator())
    assert torch.equal(seen[0], expected)
    assert not seen[0].requires_grad


@pytest.mark.parametrize("override", ["converter=", "init="])
def test_a_deblurrer_and_a_converter_are_asked_for(camera_folder, override: str):
    with pytest.raises(
        ConfigError, match=r"simulated cameras need init=FILE, .*, or converter=none"
    ):
        pairs(camera_folder, override)


def test_cameras_are_not_compared_by_crops_too_small(camera_folder):
    with pytest.raises(ConfigError, match=r"data\.crop_px=64 or more, or simulated\.comp"):
        pairs(camera_folder, "data.crop_px=48")


def test_a_converter_is_not_read_without_simulated_cameras():
    with pytest.raises(ConfigError, match=r"set simulated\.cameras, as the preset finish does"):
        settings.load(DeblurrerSettings, "deblurrer", ["converter=generic"])


def test_simulated_cameras_are_not_an_empty_list():
    with pytest.raises(ConfigError, match=r"simulated\.cameras = \[\]: .* at least 1 item"):
        settings.load(DeblurrerSettings, "finish", ["simulated.cameras=[]"])
