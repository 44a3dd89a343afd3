"""The whole method on photographs that come with scikit-image, at a small scale: `make demo`.

A simulated camera ("phone-small": jagged shake, defocus, noise, JPEG) takes blurry photographs of
some scenes and sharp ones of others. A converter learns from those, unpaired, what turns the
camera's blur into the known one; the shipped deblurrer is tuned to the known blur on the camera's
own sharp photographs. Held-out photographs tell what that gives.
"""

import argparse
import json
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import skimage.data
import torch
from rich.console import Console
from rich.table import Table

from blur2blur import evaluation, images, settings, zoo
from blur2blur.blur import Camera, load_camera
from blur2blur.cli.train import run
from blur2blur.inference.pipeline import Pipeline
from blur2blur.report import Comparison, Score, write_report
from blur2blur.training.launch import train_converter, train_deblurrer
from blur2blur.training.settings import ConverterSettings, DeblurrerSettings

CAMERA = "phone-small"
TEST_SCENES = ("astronaut", "coffee", "chelsea")
TRAIN_SCENES = (
    "motorcycle_left", "rocket", "camera", "brick", "gravel", "grass", "hubble_deep_field", "immunohistochemistry",
    "retina", "coins",
)  # fmt: skip
SHOTS_PER_SCENE = 4
TEST_SHOTS = 3
SCENE_PX = 512

METHODS = ("input", "known-only", "camera-aware", "blur2blur")


def scene(name: str) -> torch.Tensor:
    """Return a photograph of scikit-image as 3 H W sRGB in [0,1], long side at most 800 px."""
    if name == "motorcycle_left":
        pixels = skimage.data.stereo_motorcycle()[0]
    else:
        pixels = getattr(skimage.data, name)()
    if pixels.ndim == 2:
        pixels = pixels[..., None].repeat(3, axis=-1)
    image = torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).float() / 255
    if max(image.shape[1:]) > 800:
        image = torch.nn.functional.avg_pool2d(image, 2)
    return image


def halves(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a photograph into two scenes that share no pixel, along its longer side."""
    dimension = 2 if image.shape[2] >= image.shape[1] else 1
    first, second = image.chunk(2, dim=dimension)
    return first, second


def take_photographs(data: Path, *, seed: int) -> None:
    """Let the camera fill trainA, trainB, testA; testB is what was before its lens."""
    camera = Camera(load_camera(CAMERA))
    generator = torch.Generator().manual_seed(seed)
    for index, name in enumerate(TRAIN_SCENES):
        parts = halves(scene(name))
        blurry_scene, sharp_scene = parts if index % 2 == 0 else parts[::-1]
        for shot in range(SHOTS_PER_SCENE):
            blurry, _ = camera.photograph_pair(blurry_scene[None], generator)
            images.write_rgb(data / "trainA" / f"{name}_{shot}.png", blurry[0])
        _, sharp = camera.photograph_pair(sharp_scene[None], generator)
        images.write_rgb(data / "trainB" / f"{name}.png", sharp[0])
    for name in TEST_SCENES:
        for shot in range(TEST_SHOTS):
            blurry, _ = camera.photograph_pair(scene(name)[None], generator)
            images.write_rgb(data / "testA" / f"{name}_{shot}.png", blurry[0])
            images.write_rgb(data / "testB" / f"{name}_{shot}.png", scene(name))


def deblur(data: Path, out: Path, pipeline: Pipeline) -> None:
    """Write the deblurred test photographs, and the converted ones where there is a converter."""
    for path in images.find_images(data / "testA"):
        result = pipeline.run(images.read_rgb(path))
        images.write_rgb(out / path.name, result.deblurred)
        if result.converted is not None:
            images.write_rgb(out.with_name("converted") / path.name, result.converted)


def run_seed(folder: Path, seed: int, overrides: list[str]) -> dict[str, dict[str, float]]:
    """Run the method once in `folder`; return method -> mean psnr_db and ssim."""
    data, images_dir = folder / "data", folder / "images"
    take_photographs(data, seed=seed)
    tuning = settings.load(DeblurrerSettings, "demo-deblurrer", [f"run.seed={seed}"])
    run(lambda report: train_deblurrer(data, tuning, folder / "deblurrer", report), tuning.run.steps, folder / "deblurrer")
    conversion = settings.load(ConverterSettings, "demo-converter", [f"run.seed={seed}", *overrides])
    run(lambda report: train_converter(data, conversion, folder / "converter", report), conversion.run.steps, folder / "converter")
    tuned = folder / "deblurrer" / "last.safetensors"
    converter = folder / "converter" / "last.safetensors"
    deblur(data, images_dir / "known-only", Pipeline.from_files(None, zoo.DEFAULT_DEBLURRER))
    deblur(data, images_dir / "camera-aware", Pipeline.from_files(None, tuned))
    deblur(data, images_dir / "blur2blur", Pipeline.from_files(converter, tuned))
    results: dict[str, dict[str, float]] = {}
    for method in METHODS:
        outputs = data / "testA" if method == "input" else images_dir / method
        report = evaluation.evaluate(outputs, data / "testB")
        (mean,) = report.means
        results[method] = {"psnr_db": mean.psnr_db, "ssim": mean.ssim}
    return results
