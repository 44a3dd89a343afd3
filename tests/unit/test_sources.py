"""The known blur of a run, as its loader makes it."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from blur2blur import images, settings, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.data.samples.datasets import Pairs
from blur2blur.errors import ConfigError
from blur2blur.training.sections import DataSettings, KnownBlurSettings
from blur2blur.training.settings import DeblurrerSettings
from blur2blur.training.sources import KnownBlur
from conftest import SMALL_CAMERA

CPU = torch.device("cpu")


def known(camera: str = "known", *overrides: str) -> KnownBlur:
    return KnownBlur(KnownBlurSettings(camera=camera, overrides=list(overrides)), CPU)


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(side_px: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, side_px, side_px, generator=rng(0))


@pytest.fixture(scope="module")
def sharp(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("sharp")
    for number in range(3):
        tensors.write_rgb(folder / f"{number}.png", torch.rand(3, 150, 150, generator=rng(number)))
    return {"known_sharp": images.find_images(folder)}


@pytest.mark.parametrize("camera", ["known", SMALL_CAMERA, "roll", "dashcam"])
def test_what_leaves_on_one_side_of_the_margin_does_not_come_in_on_the_other(camera: str):
    blur = known(camera)
    light = torch.ones(2, 3, 32 + 2 * blur.margin_px, 32 + 2 * blur.margin_px)
    light[..., :2, :] = light[..., :2] = 0  # seen from the far sides
    for seed in range(4):
        blurry, clean = blur.pair({"known_sharp": light}, rng(seed))
        assert blurry.shape == clean.shape == (2, 3, 32, 32)
        assert blurry[..., 8:, 8:].min() > 0.995


def test_the_blurry_crop_is_the_sharp_one_blurred_and_rounded():
    blur = known(SMALL_CAMERA)
    sharp = scene(40 + 2 * blur.margin_px)
    blurry, clean = blur.pair({"known_sharp": sharp}, rng())
    inside = (..., slice(blur.margin_px, -blur.margin_px), slice(blur.margin_px, -blur.margin_px))
    torch.testing.assert_close(clean, sharp[inside], atol=1e-5, rtol=0)
    camera = Camera(load_camera(SMALL_CAMERA), of_crops=True)
    torch.testing.assert_close(blurry, camera.blur(sharp, rng())[inside], atol=0.51 / 255, rtol=0)
    torch.testing.assert_close(blurry * 255, (blurry * 255).round())


def test_moving_things_are_in_both():
    blur = known("known", "objects.share=1", "still=1")
    sharp = scene(64 + 2 * blur.margin_px, count=8)
    blurry, clean = blur.pair({"known_sharp": sharp}, rng())
    inside = (..., slice(blur.margin_px, -blur.margin_px), slice(blur.margin_px, -blur.margin_px))
    # a thing looks like the photograph, some like the photograph mirrored
    placed = (clean - sharp[inside]).abs().amax(dim=1) > 0.01
    moved = (blurry - clean).abs().amax(dim=1) > 0.01
    assert 0.01 < placed.float().mean() < moved.float().mean() < 0.8


@pytest.mark.parametrize("workers", [0, 1])
def test_pairs_are_made_in_the_loader(sharp: dict[str, list[Path]], workers: int):
    blur, data = known("known"), DataSettings(crop_px=32, cache_gb=0)
    dataset = blur.dataset(sharp, data, seed=3)
    batch = next(iter(DataLoader(dataset, batch_size=3, sampler=range(3), num_workers=workers)))
    assert batch["known_blurry"].dtype == torch.uint8
    assert batch["known_blurry"].shape == batch["known_sharp"].shape == (3, 3, 32, 32)
    for number in range(3):
        again = blur.dataset(sharp, data, seed=3)[number]
        assert all(
            torch.equal(again[stream], batch[stream][number])
            for stream in ("known_blurry", "known_sharp")
        )
    other = blur.dataset(sharp, data, seed=4)[0]["known_blurry"]
    assert not torch.equal(other, batch["known_blurry"][0])
    # in the step they are taken as they are
    streams = {stream: batch[stream].float() / 255 for stream in ("known_blurry", "known_sharp")}
    assert blur.pair(streams, rng())[0] is streams["known_blurry"]


def test_pairs_that_are_there_are_cut_as_they_are(sharp: dict[str, list[Path]]):
    pairs = {stream: sharp["known_sharp"] for stream in ("known_blurry", "known_sharp")}
    blur = KnownBlur(KnownBlurSettings(source="pairs"), CPU)
    dataset = blur.dataset(pairs, DataSettings(crop_px=32), seed=0)
    assert isinstance(dataset, Pairs)
    sample = dataset[0]
    assert torch.equal(sample["known_blurry"], sample["known_sharp"])


@pytest.mark.parametrize("shrink", [(1, 2), (1.5, 1.5)])
def test_a_blur_is_transferred_at_one_size(shrink: tuple[float, float]):
    transfer = KnownBlurSettings(source="transfer", extractor="kernel")
    pairs = {"known_blurry": [Path("a.png")], "known_sharp": [Path("b.png")]}
    with pytest.raises(ConfigError, match=r"pairs is read at one size; set one whole number"):
        KnownBlur(transfer, CPU, pairs=pairs, shrink=shrink)


def test_one_number_is_both_ends_of_data_shrink():
    loaded = [
        settings.load(DeblurrerSettings, "deblurrer", [f"data.shrink={text}"]).data.shrink
        for text in ("2", "[2, 2]", "[1, 2.5]")
    ]
    assert loaded == [(2, 2), (2, 2), (1, 2.5)]
