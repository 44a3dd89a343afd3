"""Options, and the order of measurements: all ways in turn, again and again, in fresh processes."""

import argparse
import functools
import itertools
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import benchmarks.inference
import torch
from benchmarks import machine
from benchmarks.inference import cases, commands, peaks, report, roofline
from benchmarks.inference.cases import BASELINE, NETWORKS, PARTS, SIZES, WAYS, Case

from blur2blur.files import write_text
from blur2blur.inference.exporting.chain import Chain
from blur2blur.weights.openvino import computes_bf16

# Of the memory that is free, what a measurement may be expected to need.
MEMORY_SHARE = 0.8
PROBE_SIZES = ("256x256", "512x512")
ROOFLINE_COLUMNS = {
    "what": "What", "gflop": "GFLOP", "gigabytes": "GB", "seconds": "Seconds",
    "bound_seconds": "Bound, seconds", "fraction_of_bound": "Of the bound",
}  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    """Measure what the options ask for; rows that are done are kept."""
    options = _options(words)
    options.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    described = machine.describe()
    print(described)
    if options.memory:
        sides = Case("", "", options.sizes[-1], BASELINE).sides
        tile = ["--tile", str(options.tile)] if options.tile else []
        rows = commands.memory(options.out, options.networks[0], options.backends, sides, tile)
        _write_rows(options.out / "memory.json", described, rows)
        return
    found = _peaks(options.out, device, options.peak_seconds)
    if options.roofline:
        precision = "bf16" if computes_bf16() else "fp32"
        rows = roofline.measure(options.networks[0], precision, options.tile or 448, found)
        _write_rows(options.out / "roofline.json", described, rows)
        print(report.table(rows, ROOFLINE_COLUMNS))
        return
    _measure_all(options, device, described, found)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inference",
        description=benchmarks.inference.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sizes", nargs="+", metavar="WxH", default=SIZES)
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="not given: all that can run here")
    parser.add_argument("--repeats", type=int, default=5, help="processes for each row")
    parser.add_argument("--peak-seconds", type=float, default=1.0, help="for each peak")
    parser.add_argument("--roofline", action="store_true", help="of the first network")
    parser.add_argument("--memory", action="store_true", help="of the first network, last size")
    parser.add_argument("--backends", nargs="+", default=["openvino", "eager"],
                        help="of --memory")  # fmt: skip
    parser.add_argument("--tile", type=int, help="of --roofline and --memory, in pixels")
    return parser.parse_args(words)


def _measure_all(
    options: argparse.Namespace, device: str, described: str, found: dict[str, float]
) -> None:
    ways = options.ways or _possible_ways(device)
    record = _Record(options.out / "runs.jsonl", device)
    skipped: dict[Case, str] = {}
    sizes = sorted(options.sizes, key=lambda size: Case("", "", size, BASELINE).pixels)
    for network, part, size in itertools.product(options.networks, options.parts, sizes):
        if part == "converter" and network not in ("mimo_unet", cases.SHIPPED):
            continue  # it is mimo_unet's row
        group = [Case(network, part, size, way) for way in ways]
        for repeat, case in itertools.product(range(options.repeats), group):
            if repeat < len(record.runs[case]) or case in skipped:
                continue
            needed, free = record.expected_mb(case), _free_mb()
            if needed > MEMORY_SHARE * free:
                skipped[case] = f"needs about {needed / 1024:.0f} GiB"
                print(f"{_name(case)} {skipped[case]}, {free / 1024:.0f} are free", flush=True)
                continue
            run = record.measure(case, judge=repeat == 0)
            print(
                f"{_name(case)} {run['seconds']:8.3f} s  {run['peak_rss_mb']:6.0f} MiB", flush=True
            )
        flops = {case: _flops(case.network, case.part, case.sides) for case in record.runs}
        rows = report.rows_of(record.runs, skipped, flops, found)
        report.write(options.out, rows, described, found)
    print(report.table(rows, report.COLUMNS))


class _Record:
    """Runs that are done, kept in a file line by line."""

    def __init__(self, path: Path, device: str) -> None:
        self.path, self.device = path, device
        self.runs: dict[Case, list[dict[str, float]]] = defaultdict(list)
        self.probes: dict[Case, float] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                run = json.loads(line)
                self.runs[Case(**run.pop("case"))].append(run)

    def measure(self, case: Case, *, judge: bool) -> dict[str, float]:
        """Run a case in a process of its own and note what came out."""
        run = self._child(case, judge=judge)
        self.runs[case].append(run)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"case": asdict(case), **run}) + "\n")
        return run

    def expected_mb(self, case: Case) -> float:
        """Return the memory that a case will need, from two small ones: it grows with the pixels.

        Only whole images are foretold; in tiles they need what the command is bounded by.
        """
        if WAYS[case.way].backend != BASELINE or self.device != "cpu":
            return 0.0
        small, large = (Case(case.network, case.part, size, case.way) for size in PROBE_SIZES)
        if case.pixels <= large.pixels:
            return 0.0
        for probe in (small, large):
            if probe not in self.probes:
                self.probes[probe] = self._child(probe, judge=False)["peak_rss_mb"]
        slope = (self.probes[large] - self.probes[small]) / (large.pixels - small.pixels)
        return self.probes[small] + slope * (case.pixels - small.pixels)

    def _child(self, case: Case, **task: bool) -> dict[str, float]:
        argument = json.dumps({"case": asdict(case), "device": self.device, "judge": False, **task})
        command = [sys.executable, "-m", "benchmarks.inference.child", argument]
        done = subprocess.run(
            command,
            env={**os.environ, **dict(WAYS[case.way].environment)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{_name(case)} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])


@functools.cache
def _flops(network: str, part: str, sides: tuple[int, int]) -> int:
    return cases.count_flops(Chain(cases.build(network, part)), *sides)


def _possible_ways(device: str) -> list[str]:
    """Return the ways that run here; compiling takes minutes and is left to be asked for."""
    if device == "cuda":
        return [BASELINE, "eager-fp32", "eager-bf16", "eager-fp16"]
    half = computes_bf16()
    cpu = [
        name for name, way in WAYS.items() if way.precision != "fp16" and way.backend != "compile"
    ]
    return [name for name in cpu if half or WAYS[name].precision == "fp32"]


def _peaks(out: Path, device: str, seconds_each: float) -> dict[str, float]:
    path = out / "peaks.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    half = device == "cuda" or computes_bf16()
    precisions = ("fp32", "bf16", "fp16")[: 3 if device == "cuda" else 2 if half else 1]
    found = peaks.measure(precisions, torch.device(device), seconds_each)
    write_text(path, json.dumps(found, indent=1) + "\n")
    for name, value in found.items():
        print(f"{name:36} {value:8.1f}")
    return found


def _free_mb() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) / 1024
    raise SystemExit("how much memory is free is read from /proc/meminfo, which is not here")


def _write_rows(path: Path, described: str, rows: Sequence[object]) -> None:
    write_text(path, json.dumps({"machine": described.splitlines(), "rows": rows}, indent=1) + "\n")


def _name(case: Case) -> str:
    return f"{case.network:14} {case.part:9} {case.size:10} {case.way:16}"
