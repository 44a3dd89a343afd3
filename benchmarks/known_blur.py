"""What a deblurrer does to its known blur on photographs it has never seen, and to real pairs.

`python benchmarks/known_blur.py --photos DIR [--blurry DIR --sharp DIR]`: photographs are averaged
down to half their size, as in training, and blurred by the camera; pairs are taken as they are.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.inference import Pipeline
from blur2blur.pyramid import pyramid
from blur2blur.weights import zoo
from machine import describe


def blurred(folder: Path, camera: Camera, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (blurry, sharp), 3 H W: half-size photographs under the camera's blur."""
    rng = torch.Generator().manual_seed(seed)
    for path in images.find_images(folder):
        sharp = pyramid(tensors.read_rgb(path)[None], 2)[0]
        yield camera.blur(sharp, rng)[0], sharp[0]


def paired(blurry: Path, sharp: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (blurry, sharp), 3 H W, of equal names."""
    for path in images.find_images(blurry):
        yield tensors.read_rgb(path), tensors.read_rgb(sharp / path.name)


def measure(pipeline: Pipeline, pairs: Iterator[tuple[Tensor, Tensor]], title: str) -> None:
    """Print mean PSNR and SSIM before and after, and how many photographs got worse."""
    before: list[tuple[float, float]] = []
    after: list[tuple[float, float]] = []
    for blurry, sharp in pairs:
        for scores, image in ((before, blurry), (after, pipeline(blurry))):
            scores.append(
                (
                    tensors.psnr_db(image, sharp),
                    tensors.ssim(image, sharp),
                )
            )
    worse = sum(out[0] < into[0] for into, out in zip(before, after, strict=True))
    for name, scores in (("input", before), ("deblurred", after)):
        psnr_db, ssim = (statistics.fmean(values) for values in zip(*scores, strict=True))
        print(f"{title}: {name}: {psnr_db:.2f} dB, SSIM {ssim:.4f} ({len(scores)} photographs)")
    print(f"{title}: worse than the input by PSNR: {worse} of {len(after)}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--blurry", type=Path)
    parser.add_argument("--sharp", type=Path)
    parser.add_argument("--deblurrer", default=zoo.DEFAULT_DEBLURRER)
    parser.add_argument("--camera", default="known")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    print(describe())
    pipeline = Pipeline(options.deblurrer, None, scale="1")
    camera = Camera(load_camera(options.camera))
    for seed in options.seeds:
        measure(pipeline, blurred(options.photos, camera, seed=seed), f"synthetic, seed {seed}")
    if options.blurry and options.sharp:
        measure(pipeline, paired(options.blurry, options.sharp), "real pairs")


if __name__ == "__main__":
    main()
