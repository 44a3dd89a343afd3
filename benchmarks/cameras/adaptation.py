"""How fast a converter adapts to a camera: gap closed over minutes, and over photographs.

    python -m benchmarks.cameras.adaptation --out cameras --camera phone

Needs what `python -m benchmarks.cameras` left in --out for the camera: its photographs and the
upper bound. Writes adaptation.json and adaptation.png there.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cameras import measure, methods, photographs
from benchmarks.cameras.scale import Scale, load_scale
from benchmarks.machine import describe

from blur2blur import images, settings
from blur2blur.files import write_text
from blur2blur.inference import Pipeline
from blur2blur.training import launch
from blur2blur.training.settings import ConverterSettings

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Variant:
    """One training: how many photographs of each kind (0 for all), how long, from what."""

    photographs: int
    steps: int
    generic: bool = True

    @property
    def name(self) -> str:
        """Name of its folder."""
        start = "generic" if self.generic else "nothing"
        return f"{self.photographs or 'all'}-photographs-{self.steps}-steps-from-{start}"


def variants(whole: int) -> list[Variant]:
    """Return shorter and longer trainings on all photographs, and whole ones on fewer."""
    steps = (whole // 4, whole // 2, whole, 2 * whole)
    return [
        *(Variant(0, count) for count in steps),
        *(Variant(0, count, generic=False) for count in steps),
        *(Variant(count, whole) for count in (10, 30)),
    ]


def fewer(data: Path, count: int, folder: Path) -> Path:
    """Return a data folder with links to the first `count` photographs of each kind."""
    if count == 0:
        return data
    for kind in ("trainA", "trainB"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in images.find_images(data / kind)[:count]:
            link = folder / kind / path.name
            if not link.exists():
                link.symlink_to(path.resolve())
    return folder


def run(scale: Scale, camera: methods.Camera, variant: Variant, test: str) -> Row:
    """Train and measure one variant, unless that is done."""
    folder = camera.folder / "adaptation" / variant.name
    record = folder / f"{test}.json"
    if record.exists():
        return json.loads(record.read_text(encoding="utf-8"))
    data = fewer(camera.data, variant.photographs, folder / "data")
    known = camera.shared["known-only"]
    training = scale.training["blur2blur"]
    overrides = [
        *training.overrides, f"deblurrer={known}", f"run.seed={camera.seed}",
        f"run.steps={variant.steps}", f"init={camera.shared['generic'] if variant.generic else ''}",
    ]  # fmt: skip
    checked = settings.load(ConverterSettings, training.preset, overrides)
    started = time.monotonic()
    launch.train_converter(data, checked, folder / "run", methods.quiet)
    minutes = (time.monotonic() - started) / 60
    pipeline = Pipeline(known, folder / "run" / "last.safetensors", **methods.EXACT)
    measured = measure.measure(
        {"blur2blur": pipeline}, camera.data / test, scale.known_camera, folder / test
    )
    row: Row = {
        "start": "generic" if variant.generic else "nothing",
        "photographs": variant.photographs or len(images.find_images(camera.data / "trainA")),
        "steps": variant.steps,
        "minutes": minutes,
        "seed": camera.seed,
        "psnr_db": mean_psnr_db(measured, "blur2blur"),
    }
    write_text(record, json.dumps(row))
    return row


def mean_psnr_db(measured: list[measure.Row], method: str) -> float:
    """Return the mean over a method's photographs."""
    return statistics.fmean(float(r["psnr_db"]) for r in measured if r["method"] == method)


def main(words: Sequence[str] | None = None) -> None:
    """Run the variants of every seed, print and draw; options are the command line's or `words`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="mini")
    parser.add_argument("--out", type=Path, default=Path("cameras"))
    parser.add_argument("--camera", default="phone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--on", choices=photographs.TESTS, default="report")
    options = parser.parse_args(words)
    print(describe())
    scale = load_scale(options.scale)
    shared = {method: scale.training[method].weights for method in ("known-only", "generic")}
    for method, weights in shared.items():
        shared[method] = weights or str(options.out / "shared" / method / "best.safetensors")
    training = scale.training["blur2blur"]
    whole = settings.load(ConverterSettings, training.preset, training.overrides).run.steps
    rows: list[Row] = []
    for seed in options.seeds:
        folder = options.out / options.camera / f"seed_{seed}"
        scores = folder / options.on / "scores.json"
        measured = json.loads(scores.read_text(encoding="utf-8"))
        below, above = (mean_psnr_db(measured, name) for name in ("known-only", "upper-bound"))
        camera = methods.Camera(scale, options.camera, folder, shared, seed)
        started = mean_psnr_db(measured, "generic")
        everything: Row = {"photographs": 0, "steps": 0, "minutes": 0.0, "seed": seed}
        made: list[Row] = [
            everything | {"start": "generic", "psnr_db": started},
            everything | {"start": "nothing", "psnr_db": below},
        ]
        made += [run(scale, camera, variant, options.on) for variant in variants(whole)]
        for row in made:
            row["gap_closed"] = (float(row["psnr_db"]) - below) / (above - below)
            print(row, flush=True)
        rows += made
    write_text(options.out / "adaptation.json", json.dumps(rows, indent=1) + "\n")
    plot(rows, whole, options.out / "adaptation.png")


def plot(rows: list[Row], whole: int, path: Path) -> None:
    """Draw the means over seeds, over minutes and over photographs."""
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    most = max(int(row["photographs"]) for row in rows)

    def line(axes: pyplot.Axes, chosen: list[Row], key: str, across: str, label: str) -> None:
        groups = {row[key]: [other for other in chosen if other[key] == row[key]] for row in chosen}
        points = sorted(
            (
                statistics.fmean(float(row[across]) for row in group),
                100 * statistics.fmean(float(row["gap_closed"]) for row in group),
            )
            for group in groups.values()
        )
        axes.plot(*zip(*points, strict=True), "o-", label=label)

    for start in ("generic", "nothing"):
        chosen = [r for r in rows if r["start"] == start and r["photographs"] in (0, most)]
        line(left, chosen, "steps", "minutes", f"from {start}")
    chosen = [r for r in rows if r["start"] == "generic" and r["steps"] in (0, whole)]
    line(right, chosen, "photographs", "photographs", f"from generic, {whole} steps")
    left.set(xlabel="minutes of adaptation, one core", ylabel="gap closed, %")
    right.set(xlabel="photographs of each kind")
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


if __name__ == "__main__":
    main()
