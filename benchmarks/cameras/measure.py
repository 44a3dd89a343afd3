"""What each method makes of the test photographs, and what the converter itself does."""

import json
from pathlib import Path

import torch
from torch import Tensor

from blur2blur import images, tensors
from blur2blur.blur import Camera as SimulatedCamera
from blur2blur.blur import convolve, load_camera
from blur2blur.files import write_text
from blur2blur.inference import Pipeline
from blur2blur.pyramid import pyramid
from blur2blur.tensors import to_linear, to_srgb

KNOWN_DRAWS = 16
CONVERTED_PHOTOGRAPHS = 8  # whose blur is searched among that many known blurs

Row = dict[str, str | float]


def measure(pipelines: dict[str, Pipeline], test: Path, known_camera: str, out: Path) -> list[Row]:
    """Return rows of psnr_db and ssim per method and photograph; write pictures and rows to `out`.

    A row of what has been measured before is not measured again.
    """
    path = out / "scores.json"
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for method in ["input", *pipelines]:
        if any(row["method"] == method for row in rows):
            continue
        shown = SimulatedCamera(load_camera(known_camera))
        for index, blurry_path in enumerate(images.find_images(test / "blurry")):
            blurry = tensors.read_rgb(blurry_path)
            truth = tensors.read_rgb(test / "sharp" / blurry_path.name)
            row: Row = {"method": method, "image": blurry_path.stem}
            result = blurry
            if method != "input":
                made = pipelines[method].run(blurry)
                result = made.deblurred
                if made.converted is not None:
                    row |= _conversion(made.converted, blurry)
                    if index < CONVERTED_PHOTOGRAPHS:
                        row |= _nearest_known(made.converted, blurry, truth, shown)
                    tensors.write_rgb(
                        out / f"{method}-converted" / blurry_path.name, made.converted
                    )
            row["psnr_db"] = tensors.psnr_db(result, truth)
            row["ssim"] = tensors.ssim(result, truth)
            rows.append(row)
            tensors.write_rgb(out / method / blurry_path.name, result)
        write_text(path, json.dumps(rows, indent=1))
    return rows


def _conversion(converted: Tensor, blurry: Tensor) -> Row:
    """Return how much of the scene changed: mean absolute change at a quarter of the size."""
    coarse = pyramid(converted[None], 3)[0] - pyramid(blurry[None], 3)[0]
    return {"content_drift": float(coarse.abs().mean())}


def _nearest_known(
    converted: Tensor, blurry: Tensor, truth: Tensor, camera: SimulatedCamera
) -> Row:
    """Return the PSNR, converted or not, to the nearest of many known blurs of the truth."""
    kernels = camera.sample_kernels(KNOWN_DRAWS, torch.Generator().manual_seed(0))
    light = to_linear(truth[None])
    best = {"converted_psnr_db": 0.0, "unconverted_psnr_db": 0.0}
    for kernel in kernels:
        known = to_srgb(convolve(light, kernel[None]).clamp(0, 1))[0]
        for name, image in (("converted_psnr_db", converted), ("unconverted_psnr_db", blurry)):
            best[name] = max(best[name], tensors.psnr_db(image, known))
    return {**best}
