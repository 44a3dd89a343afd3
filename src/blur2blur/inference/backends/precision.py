"""In which precision a device computes well."""

import platform
from typing import Literal

import torch

from blur2blur.errors import ConfigError
from blur2blur.inference.chain import Chain

Precision = Literal["auto", "fp32", "bf16", "fp16"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(asked: str, device: torch.device, backend: str, chain: Chain) -> str:
    """Return the precision to compute in: the one asked for, or for "auto" the fastest.

    Raises:
        ConfigError: one that the device, the backend or a network (its attribute `precisions`)
            cannot do.
    """
    possible = ["fp32"] if backend == "onnxruntime" else _possible(device)
    for network in chain.networks:
        able = getattr(network, "precisions", possible)
        possible = [name for name in possible if name in able]
    if asked == "auto" and possible:
        return possible[0]
    if asked in possible:
        return asked
    raise ConfigError(
        f"precision '{asked}' is not possible with these networks on {device}, backend {backend}; "
        f"possible: {', '.join(['auto', *possible])}"
    )


def _possible(device: torch.device) -> list[str]:
    """Return what a device computes in without imitating it, fastest first."""
    if device.type == "cuda":
        return ["bf16", "fp16", "fp32"] if torch.cuda.is_bf16_supported() else ["fp16", "fp32"]
    if device.type == "cpu":
        return ["bf16", "fp32"] if cpu_computes_bf16() else ["fp32"]
    return ["fp32", "bf16"]


def cpu_computes_bf16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself: AVX512-BF16, AMX, or ARM's BF16."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return torch.backends.mkldnn.is_available() and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # pyright: ignore[reportPrivateUsage]
