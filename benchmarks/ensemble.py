"""What `--ensemble x8` gains in decibels, and what it costs, on simulated blur.

    python benchmarks/ensemble.py --photos DIR
    python benchmarks/ensemble.py --photos DIR --converter generic --camera phone

Photographs are averaged down to half their size and blurred by the camera, as `known_blur.py` does;
plain and ensembled see the same blurry image.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.files import write_text
from blur2blur.inference import Pipeline
from blur2blur.weights import zoo
from known_blur import blurred
from machine import describe

METHODS = ("input", "none", "x8")


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over the photographs of one seed; `seconds` of all of them together."""

    method: str
    seed: int
    psnr_db: float
    ssim: float
    seconds: float
    better_than_none: int


def measure_seed(
    pipelines: dict[str, Pipeline], photos: Path, camera: Camera, *, seed: int
) -> list[Scores]:
    """Return a row for each method."""
    quality: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
    seconds = dict.fromkeys(METHODS, 0.0)
    for blurry, sharp in blurred(photos, camera, seed=seed):
        quality["input"].append(compare(blurry, sharp))
        for method, pipeline in pipelines.items():
            started = time.perf_counter()
            image = pipeline(blurry)
            seconds[method] += time.perf_counter() - started
            quality[method].append(compare(image, sharp))
    plain = [psnr_db for psnr_db, _ in quality["none"]]
    rows: list[Scores] = []
    for method, scores in quality.items():
        psnrs, ssims = zip(*scores, strict=True)
        better = sum(here > there for here, there in zip(psnrs, plain, strict=True))
        means = statistics.fmean(psnrs), statistics.fmean(ssims)
        rows.append(Scores(method, seed, *means, seconds[method], better))
    return rows


def compare(image: Tensor, sharp: Tensor) -> tuple[float, float]:
    """Return (PSNR in dB, SSIM)."""
    return tensors.psnr_db(image, sharp), tensors.ssim(image, sharp)


def table(rows: Sequence[Scores], photographs: int) -> str:
    """Return means and standard deviations over the seeds, as Markdown."""
    lines = ["| | PSNR, dB | SSIM | better than plain | seconds |", "|---|---|---|---|---|"]
    for method in METHODS:
        own = [row for row in rows if row.method == method]
        lines.append(
            f"| {method} | {spread([row.psnr_db for row in own], 2)} "
            f"| {spread([row.ssim for row in own], 4)} "
            f"| {sum(row.better_than_none for row in own)} of {photographs * len(own)} "
            f"| {sum(row.seconds for row in own):.0f} |"
        )
    return "\n".join(lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Return mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {deviation:.{digits}f}"


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="sharp photographs")
    parser.add_argument("--deblurrer", default=zoo.DEFAULT_DEBLURRER)
    parser.add_argument("--converter")
    parser.add_argument("--camera", default="known")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("ensemble.json"))
    options = parser.parse_args()
    print(describe())
    pipelines = {
        ensemble: Pipeline(options.deblurrer, options.converter, ensemble=ensemble)
        for ensemble in ("none", "x8")
    }
    camera = Camera(load_camera(options.camera))
    rows: list[Scores] = []
    for seed in options.seeds:
        rows += measure_seed(pipelines, options.photos, camera, seed=seed)
        print(f"seed {seed}: " + ", ".join(f"{r.method} {r.psnr_db:.2f} dB" for r in rows[-3:]))
    photographs = len(images.find_images(options.photos))
    print(table(rows, photographs))
    gains = [x8.psnr_db - plain.psnr_db for plain, x8 in zip(rows[1::3], rows[2::3], strict=True)]
    print(f"gain {spread(gains, 3)} dB over {len(gains)} seeds of {photographs} photographs")
    plain_seconds, seconds = (sum(row.seconds for row in rows[i::3]) for i in (1, 2))
    print(f"seconds, x8 over plain: {seconds / plain_seconds:.2f}")
    result = {
        "machine": describe(),
        "deblurrer": options.deblurrer,
        "converter": options.converter,
        "camera": options.camera,
        "photographs": photographs,
        "rows": [asdict(row) for row in rows],
    }
    write_text(options.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
