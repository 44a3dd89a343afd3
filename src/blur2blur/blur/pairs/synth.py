"""Blurry/sharp pairs and their kernels from a folder of sharp photographs."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from blur2blur import tensors
from blur2blur.blur.camera import Camera
from blur2blur.blur.camera_settings import CameraSettings
from blur2blur.blur.pairs import plans
from blur2blur.blur.pairs.plans import Planned
from blur2blur.files import atomic_path

RECORD = "synth.json"
FOLDERS = ("blurry", "sharp", "kernels")
KERNEL_GRID = 5
PICTURE_SIDE_PX = 480


def plan(
    sharp_dir: Path, out_dir: Path, camera: CameraSettings, seed: int, count_per_image: int
) -> list[Planned]:
    """Check the folders and return the pairs to make; see `plans.plan`, and for what it raises."""
    return plans.plan(
        sharp_dir,
        out_dir,
        folders=FOLDERS,
        record_name=RECORD,
        record={"camera": camera.model_dump(mode="json")},
        seed=seed,
        count_per_image=count_per_image,
    )


def is_made(pair: Planned, out_dir: Path) -> bool:
    """Return whether all files of the pair are there; each was written whole."""
    return all(path.exists() for path in _files(pair, out_dir))


def make(pair: Planned, camera: Camera, sharp: Tensor, out_dir: Path) -> None:
    """Write blurry and sharp photograph, kernels (.npz, key "kernels") and their picture.

    Args:
        pair: which pair.
        camera: takes the photographs.
        sharp: 3 x H x W, sRGB in [0, 1].
        out_dir: as given to `plan`.

    Raises:
        InputError: the disk cannot be written.
    """
    rng = torch.Generator().manual_seed(pair.seed)
    height, width = sharp.shape[-2:]
    exposure = camera.draw(1, rng, height, width)
    blurry, steady = camera.photograph_pair(sharp[None], rng, exposure=exposure)
    kernels = camera.local_kernels(exposure, height, width, KERNEL_GRID)[0]
    blurry_path, sharp_path, kernels_path, picture_path = _files(pair, out_dir)
    tensors.write_rgb(picture_path, kernel_picture(kernels))
    with atomic_path(kernels_path) as temporary:
        np.savez(temporary, kernels=kernels.numpy())
    tensors.write_rgb(sharp_path, steady[0])
    tensors.write_rgb(blurry_path, blurry[0])


def kernel_picture(kernels: Tensor) -> Tensor:
    """Return a 3 x H x W picture of G x G x K x K kernels, each up to white, enlarged in blocks."""
    bright = (kernels / kernels.amax(dim=(-2, -1), keepdim=True)).sqrt()
    # a grey line right of and below each kernel
    cells = torch.nn.functional.pad(bright, (0, 1, 0, 1), value=0.5)
    sheet = torch.cat(torch.cat(cells.unbind(1), dim=-1).unbind(), dim=-2)
    scale = max(1, math.floor(PICTURE_SIDE_PX / len(sheet)))
    return sheet.repeat_interleave(scale, 0).repeat_interleave(scale, 1).expand(3, -1, -1)


def _files(pair: Planned, out_dir: Path) -> tuple[Path, Path, Path, Path]:
    blurry, sharp, kernels = (out_dir / folder for folder in FOLDERS)
    png = f"{pair.name}.png"
    return blurry / png, sharp / png, kernels / f"{pair.name}.npz", kernels / png
