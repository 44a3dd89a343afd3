"""What the machine can do at most, measured: convolutions, matrix products, memory."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

SECONDS_EACH = 1.0
# channels, side in pixels: the network's stages at a tile, and one that fits the cache
CONVOLUTIONS = ((32, 448), (64, 224), (128, 112), (128, 56))
MATRICES = (1024, 2048, 4096)
COPIED_BYTES = 2**28
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@torch.inference_mode()
def measure(
    precisions: tuple[str, ...], device: torch.device, seconds_each: float = SECONDS_EACH
) -> dict[str, float]:
    """Return GFLOP/s by name, best of many calls, and bytes copied (read plus written) in GB/s."""
    peaks: dict[str, float] = {}
    for precision in precisions:
        for channels, side in CONVOLUTIONS:
            image = torch.rand(1, channels, side, side, device=device, dtype=DTYPES[precision])
            image = image.to(memory_format=torch.channels_last)
            weight = torch.rand(channels, channels, 3, 3, device=device, dtype=DTYPES[precision])
            weight = weight.to(memory_format=torch.channels_last)
            seconds = _best(lambda i=image, w=weight: F.conv2d(i, w, padding=1), seconds_each)
            flops = 2 * 9 * channels**2 * side**2
            peaks[f"conv3x3_{channels}x{side}_{precision}_gflops"] = flops / seconds / 1e9
        for side in MATRICES:
            matrix = torch.rand(side, side, device=device, dtype=DTYPES[precision])
            seconds = _best(lambda m=matrix: m @ m, seconds_each)
            peaks[f"matmul_{side}_{precision}_gflops"] = 2 * side**3 / seconds / 1e9
        peaks[f"convolution_{precision}_gflops"] = max(
            rate for name, rate in peaks.items() if "conv3x3" in name and f"_{precision}_" in name
        )
    source = torch.ones(COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    seconds = _best(lambda: target.copy_(source), seconds_each)
    peaks["memory_gb_per_s"] = 2 * COPIED_BYTES / seconds / 1e9
    return peaks


def _best(function: Callable[[], object], seconds_each: float) -> float:
    """Return the seconds of the quickest call."""
    function()
    best, ends = float("inf"), time.perf_counter() + seconds_each
    while True:
        started = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        best = min(best, now - started)
        if now > ends:
            return best
