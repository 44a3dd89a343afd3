"""Rows, tables and a plot of what was measured."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.inference.cases import BASELINE, NETWORKS, PARTS, SIZES, WAYS, Case

from blur2blur.files import write_text

Row = dict[str, str | float | int | None]
Runs = Mapping[Case, Sequence[Mapping[str, float]]]

COLUMNS = {
    "network": "Network",
    "part": "Part",
    "size": "Size",
    "way": "Way",
    "seconds_median": "Seconds (median)",
    "seconds_min": "least",
    "seconds_max": "most",
    "speedup_vs_baseline": "Times as fast",
    "megapixels_per_s": "Megapixels/s",
    "fraction_of_peak": "Of the peak",
    "peak_rss_mb": "Peak memory, MiB",
    "psnr_vs_float32_db": "dB to float32",
}


def rows_of(
    runs: Runs, skipped: Mapping[Case, str], flops: Mapping[Case, int], peaks: Mapping[str, float]
) -> list[Row]:
    """Return a row for every case, the baseline's first in its group."""
    order = [list(NETWORKS), list(PARTS), list(SIZES), list(WAYS)]

    def place(case: Case) -> list[int]:
        names = (case.network, case.part, case.size, case.way)
        return [
            known.index(name) if name in known else len(known)
            for known, name in zip(order, names, strict=True)
        ]

    rows: list[Row] = []
    for case in sorted({*runs, *skipped}, key=place):
        way = WAYS[case.way]
        row: Row = {"network": case.network, "part": case.part, "size": case.size}
        row |= {"way": case.way, "backend": way.backend, "precision": way.precision}
        if case in skipped:
            rows.append(row | {"skipped": skipped[case]})
            continue
        seconds = sorted(run["seconds"] for run in runs[case])
        median = statistics.median(seconds)
        base = [run["seconds"] for run in runs.get(_baseline(case), [])]
        peak = peaks.get(f"convolution_{way.precision}_gflops")
        work = flops.get(case)
        rows.append(
            row
            | {
                "runs": len(seconds),
                "seconds_median": median,
                "seconds_min": seconds[0],
                "seconds_max": seconds[-1],
                "speedup_vs_baseline": statistics.median(base) / median if base else None,
                "megapixels_per_s": case.pixels / 1e6 / median,
                "flops": work,
                "fraction_of_peak": work / median / (peak * 1e9) if work and peak else None,
                "peak_rss_mb": max(run["peak_rss_mb"] for run in runs[case]),
                **_last(runs[case], "peak_cuda_mb"),
                **_last(runs[case], "psnr_vs_float32_db"),
            }
        )
    return rows


def _baseline(case: Case) -> Case:
    return Case(case.network, case.part, case.size, BASELINE)


def _last(runs: Iterable[Mapping[str, float]], name: str) -> dict[str, float]:
    found = [run[name] for run in runs if name in run]
    return {name: found[-1]} if found else {}


def write(out: Path, rows: Sequence[Row], machine: str, peaks: Mapping[str, float]) -> None:
    """Write inference.json, inference.md and, where there is a baseline, speedup.png."""
    everything = {"machine": machine.splitlines(), "peaks": dict(peaks), "rows": list(rows)}
    write_text(out / "inference.json", json.dumps(everything, indent=1) + "\n")
    write_text(out / "inference.md", f"{machine}\n\n{table(rows, COLUMNS)}")
    _plot(rows, out / "speedup.png")


def table(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> str:
    """Return the rows as a table in Markdown; what was not measured tells why, or is empty."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [_cell(row.get(name)) for name in columns]
        if "skipped" in row:
            cells[list(columns).index("seconds_median")] = str(row["skipped"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Draw seconds and memory for the largest size that the baseline was measured at."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    measured = [row for row in rows if row["way"] == BASELINE and "seconds_median" in row]
    if not measured:
        return
    chosen = max(measured, key=lambda row: float(row["seconds_median"] or 0))
    same = [
        row
        for row in rows
        if all(row[name] == chosen[name] for name in ("network", "part", "size"))
        and "seconds_median" in row
    ]
    names = [str(row["way"]) for row in same]
    figure, sides = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
    shown = (("seconds_median", "seconds"), ("peak_rss_mb", "peak resident memory, MiB"))
    for axes, (key, label) in zip(sides, shown, strict=True):
        bars = axes.barh(names, [float(row[key] or 0) for row in same])
        axes.bar_label(bars, fmt="{:.4g}", padding=2)
        axes.set(xlabel=label)
        axes.margins(x=0.15)
    sides[0].invert_yaxis()
    figure.suptitle(f"{chosen['network']}, {chosen['part']}, {chosen['size']}")
    figure.savefig(path, dpi=120)
    plt.close(figure)
