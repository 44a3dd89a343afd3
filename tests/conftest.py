"""Small photographs and data folders, made from those that come with scikit-image."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from blur2blur import networks, tensors
from blur2blur.weights import zoo
from blur2blur.weights.checkpoints import save_network
from blur2blur.weights.headers import Header

SMALL_CAMERA = str(Path(__file__).with_name("small_camera.toml"))
"""Of a short shake alone, whose blur reaches little beyond a crop."""


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLUR2BLUR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def other_deblurrer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a deblurrer that ships beside the default one, as far as the zoo knows."""
    network = networks.build("resnet", base_channels=4, blocks=1, identity_start=False)
    options = network.options.model_dump()
    path = tmp_path / "other.safetensors"
    save_network(path, network, Header(role="deblurrer", network="resnet", options=options))
    text = dict.fromkeys(("licence", "trained_on", "recipe", "result"), "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = zoo.Entry(role="deblurrer", file=str(path), sha256=digest, **text)
    monkeypatch.setitem(zoo.ENTRIES, "other", entry)
    return "other"


def crops(name: str, count: int, side_px: int) -> list[torch.Tensor]:
    """Return `count` different 3 S S crops of a photograph, along its diagonal."""
    pixels = np.atleast_3d(getattr(skimage.data, name)())[..., :3]
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    reach = min(image.shape[1:]) - side_px
    starts = [round(reach * index / max(1, count - 1)) for index in range(count)]
    return [image[:, start : start + side_px, start : start + side_px] for start in starts]


def make_camera_folder(root: Path) -> Path:
    """Put four photographs of 96 px into each of trainA-D and testA of `root`."""
    for folder, name in [
        ("trainA", "astronaut"),
        ("trainB", "coffee"),
        ("trainC", "chelsea"),
        ("trainD", "chelsea"),
        ("testA", "rocket"),
    ]:
        for index, crop in enumerate(crops(name, 4, 96)):
            blurry = folder in ("trainA", "trainC", "testA")
            pixels = torch.nn.functional.avg_pool2d(crop[None], 3, 1, 1)[0] if blurry else crop
            tensors.write_rgb(root / folder / f"{index}.png", pixels)
    return root


@pytest.fixture(scope="session")
def camera_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with four photographs of 96 px in each of trainA-D and testA."""
    return make_camera_folder(tmp_path_factory.mktemp("camera"))
