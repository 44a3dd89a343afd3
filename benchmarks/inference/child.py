"""One measurement in a process of its own: JSON in as an argument, JSON out as the last line."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from benchmarks.inference.cases import BASELINE, WAYS, Case, build, photograph
from benchmarks.inference.published import published
from torch import Tensor

from blur2blur.inference import Pipeline

MEBIBYTE = 2**20
# Small enough for float32 of every network, and no multiple of a tile.
JUDGED_SIDES_PX = (192, 256)


def main() -> None:
    """Prepare (fill the cache of converted networks), or measure."""
    task = json.loads(sys.argv[1])
    case = Case(**task["case"])
    device = torch.device(task["device"])
    print(json.dumps(_measure(case, device, judge=task["judge"])))


def _function(case: Case, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return the case's networks as a function from 3 H W to 3 H W."""
    way = WAYS[case.way]
    networks = build(case.network, case.part)
    if way.backend == BASELINE:
        return published(networks, device)
    return Pipeline(
        networks[-1],
        networks[0] if len(networks) > 1 else None,
        device=str(device),
        backend=way.backend,
        precision=way.precision,
        scale="1",
    )


def _measure(case: Case, device: torch.device, *, judge: bool) -> dict[str, float | None]:
    function = _function(case, device)
    image = photograph(*case.sides)
    # what a process does once: plan for the shape of its tiles, choose algorithms
    small = MEBIBYTE if WAYS[case.way].backend == BASELINE else 3 * MEBIBYTE
    function(image if case.pixels <= small else image[:, :704, :704].contiguous())
    started = time.perf_counter()
    function(image)
    seconds = time.perf_counter() - started
    measured: dict[str, float | None] = {"seconds": seconds, "peak_rss_mb": peak_rss_mb()}
    if device.type == "cuda":
        measured["peak_cuda_mb"] = torch.cuda.max_memory_allocated() / MEBIBYTE
    if judge:
        crop = photograph(*JUDGED_SIDES_PX)
        exact = published(build(case.network, case.part), device)(crop)
        error = (function(crop) - exact).square().mean().item()
        measured["psnr_vs_float32_db"] = _psnr_db(error)
    return measured


def _psnr_db(error: float) -> float | None:
    return None if error == 0 else float(-10 * torch.tensor(error, dtype=torch.float64).log10())


def peak_rss_mb() -> float:
    """Return this program's peak of resident memory.

    Not from getrusage, where what the program was started by counts too on Linux.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("peak memory is read from /proc/self/status, which is not here")


if __name__ == "__main__":
    main()
