"""Rows, tables, plot and pictures of what was measured."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.cameras.scale import METHODS
from torch import Tensor

from blur2blur import tensors
from blur2blur.files import write_text
from blur2blur.training.sheets import sheet

Row = dict[str, str | float | int | None]

SHOWN = ("input", "known-only", "generic", "blur2blur-converted", "blur2blur", "upper-bound")
CELL_PX = 160
WORST = 5
LEAST_GAP_DB = 0.05  # a smaller one is not divided by
ITSELF = ("converted_psnr_db", "unconverted_psnr_db", "content_drift")


def write(out: Path, scale: str, cameras: Sequence[str], seeds: Sequence[int], test: str) -> None:
    """Write cameras.json, gap.png and a sheet per camera to `out`; print the tables."""
    rows: list[Row] = []
    per_image: dict[tuple[str, int], list[Row]] = {}
    for camera in cameras:
        for seed in seeds:
            folder = out / camera / f"seed_{seed}"
            measured = json.loads((folder / test / "scores.json").read_text(encoding="utf-8"))
            per_image[camera, seed] = measured
            rows += _rows(measured, scale=scale, camera=camera, seed=seed, folder=folder)
        folder = out / camera / f"seed_{seeds[0]}"
        _write_sheet(folder, test, per_image[camera, seeds[0]], out / f"{camera}.jpg")
    write_text(out / "cameras.json", json.dumps(rows, indent=1) + "\n")
    _print_tables(rows, cameras)
    _print_worst(per_image)
    _plot(rows, cameras, out / "gap.png")


def _rows(
    measured: list[Row], *, scale: str, camera: str, seed: int, folder: Path
) -> list[Row]:  # fmt: skip
    means = {
        method: {
            key: statistics.fmean([row[key] for row in of_method if key in row])
            for key in ("psnr_db", "ssim", *ITSELF)
            if any(key in row for row in of_method)
        }
        for method in METHODS
        for of_method in [[row for row in measured if row["method"] == method]]
        if of_method
    }
    rows: list[Row] = []
    for method, mean in means.items():
        minutes = folder / method / "minutes.txt"
        rows.append(
            {
                "scale": scale,
                "camera": camera,
                "method": method,
                "seed": seed,
                "images": sum(row["method"] == method for row in measured),
                **mean,
                "gap_closed": gap_closed(means, method, over="known-only"),
                "minutes": float(minutes.read_text("utf-8")) if minutes.exists() else None,
            }
        )
    return rows


def gap_closed(means: dict[str, dict[str, float]], method: str, *, over: str) -> float | None:
    """Return (method - over) / (upper bound - over) in dB; None where there is no gap."""
    if over not in means or "upper-bound" not in means:
        return None
    gap_db = means["upper-bound"]["psnr_db"] - means[over]["psnr_db"]
    if gap_db < LEAST_GAP_DB:
        return None
    return (means[method]["psnr_db"] - means[over]["psnr_db"]) / gap_db


def _of(rows: list[Row], camera: str, method: str, key: str) -> list[float]:
    found = [row.get(key) for row in rows if (row["camera"], row["method"]) == (camera, method)]
    return [float(value) for value in found if value is not None]


def _spread(values: list[float], digits: int = 2, factor: float = 1) -> str:
    if not values:
        return "-"
    mean = f"{factor * statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {factor * statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _print_tables(rows: list[Row], cameras: Sequence[str]) -> None:
    methods = [name for name in METHODS if any(row["method"] == name for row in rows)]
    _print(
        "PSNR in dB / SSIM",
        ["Method", *cameras],
        [
            [
                name,
                *(
                    f"{_spread(_of(rows, camera, name, 'psnr_db'))} / "
                    f"{_spread(_of(rows, camera, name, 'ssim'), 3).split(' ')[0]}"
                    for camera in cameras
                ),
            ]
            for name in methods
        ],
    )
    _print(
        "Gap closed over known-only, %",
        ["Method", *cameras],
        [
            [name, *(_spread(_of(rows, camera, name, "gap_closed"), 0, 100) for camera in cameras)]
            for name in methods
        ],
    )
    _print(
        "The converter itself (blur2blur)",
        ["Camera", "input to K-blurred truth, dB", "converted, dB", "content drift"],
        [
            [
                camera,
                _spread(_of(rows, camera, "blur2blur", "unconverted_psnr_db")),
                _spread(_of(rows, camera, "blur2blur", "converted_psnr_db")),
                _spread(_of(rows, camera, "blur2blur", "content_drift"), 4),
            ]
            for camera in cameras
        ],
    )
    _print(
        "Minutes of training, one core each",
        ["Method", *cameras],
        [
            [name, *(_spread(_of(rows, camera, name, "minutes"), 1) for camera in cameras)]
            for name in methods
        ],
    )


def _print(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for cells in body:
        print(f"| {' | '.join(cells)} |")


def _gains(measured: list[Row]) -> list[tuple[float, str]]:
    """Return (dB that blur2blur gains over known-only, photograph), the worst first."""
    scores = {(row["method"], row["image"]): row["psnr_db"] for row in measured}
    return sorted(
        (float(value) - float(scores["known-only", image]), str(image))
        for (method, image), value in scores.items()
        if method == "blur2blur"
    )


def _print_worst(per_image: dict[tuple[str, int], list[Row]]) -> None:
    worst = sorted(
        (gain_db, camera, seed, image)
        for (camera, seed), measured in per_image.items()
        for gain_db, image in _gains(measured)
    )
    _print(
        f"The {WORST} photographs where blur2blur gains least over known-only",
        ["Camera", "Seed", "Photograph", "Gain, dB"],
        [[camera, str(seed), image, f"{gain:.2f}"] for gain, camera, seed, image in worst[:WORST]],
    )
    count = sum(len(_gains(measured)) for measured in per_image.values())
    below = sum(gain < 0 for measured in per_image.values() for gain, _ in _gains(measured))
    print(f"\nworse than known-only: {below} of {count}")


def _write_sheet(folder: Path, test: str, measured: list[Row], path: Path) -> None:
    """Write crops of the photographs with the best, the middle and the worst gain."""
    gains = _gains(measured)
    if not gains:
        return
    chosen = [gains[-1][1], gains[len(gains) // 2][1], gains[0][1]]
    columns: dict[str, list[Tensor]] = {}
    for image in chosen:
        truth = tensors.read_rgb(folder / "data" / test / "sharp" / f"{image}.png")
        top, left = _busiest(truth)
        for name in (*SHOWN, "truth"):
            if name != "truth" and not (folder / test / name).is_dir():
                continue  # a method that was left out
            source = folder / test / name / f"{image}.png"
            picture = truth if name == "truth" else tensors.read_rgb(source)
            crop = picture[:, top : top + CELL_PX, left : left + CELL_PX]
            columns.setdefault(name, []).append(crop)
    tensors.write_rgb(path, sheet(columns))


def _busiest(image: Tensor) -> tuple[int, int]:
    """Return top and left of the cell with the strongest gradients."""
    grey = image.mean(dim=0)
    slope = torch.gradient(grey)
    energy = (slope[0].square() + slope[1].square())[None, None]
    cells = torch.nn.functional.avg_pool2d(energy, CELL_PX, stride=16)[0, 0]
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    return row * 16, column * 16


def _plot(rows: list[Row], cameras: Sequence[str], path: Path) -> None:
    """Draw dB over known-only: a bar per method and camera, a dot per seed."""
    from matplotlib import pyplot

    methods = [name for name in METHODS[2:] if any(row["method"] == name for row in rows)]
    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    width = 0.8 / len(methods)
    for number, name in enumerate(methods):
        for place, camera in enumerate(cameras):
            gains = [
                float(row["psnr_db"]) - float(base["psnr_db"])
                for row in rows
                for base in rows
                if (row["camera"], row["method"]) == (camera, name)
                and (base["camera"], base["method"]) == (camera, "known-only")
                and row["seed"] == base["seed"]
            ]
            x = place + (number - (len(methods) - 1) / 2) * width
            axes.bar(
                x, statistics.fmean(gains), width, color=f"C{number}",
                label=name if place == 0 else None,
            )  # fmt: skip
            axes.plot([x] * len(gains), gains, "k.", markersize=3)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(cameras)), cameras)
    axes.set_ylabel("dB over known-only")
    # a method far below is cut off, not the others squeezed
    axes.set_ylim(bottom=max(axes.get_ylim()[0], -1.5))
    axes.legend(fontsize=8, ncols=3)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
