"""Networks run by torch, as it is or compiled, on any device; and by ONNX Runtime."""

import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from blur2blur.errors import ConfigError
from blur2blur.inference.backends import Engine, exported
from blur2blur.inference.backends.precision import choose_precision
from blur2blur.inference.exporting.chain import Chain
from blur2blur.tiling import Pixels
from blur2blur.weights import loading

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_TILE_PX = 768
# on a CPU: glibc takes blocks of 32 MiB and more from the system and gives them back at once. With
# larger tiles the activations of every layer would be mapped and zeroed anew: 15 % slower in fp32
# at 512 pixels, a third at 768.
_TILE_PX_CPU = 480


def build(
    sources: Sequence[tuple[str, str | Path | nn.Module]],
    *,
    device: str,
    backend: str,
    precision: str,
) -> Engine:
    """Make networks ready to run, as one chain; arguments and errors as `backends.build`."""
    place = torch.device(device)
    chain = Chain([_network(role, source) for role, source in sources]).eval()
    if backend == "onnxruntime":
        chosen = choose_precision(precision, ["fp32"], where=f"{device}, {backend}")
        restore = _onnxruntime(chain)
    else:
        backend = "compile" if backend == "compile" else "eager"
        chosen = choose_precision(precision, _possible(place), where=f"{device}, {backend}")
        make = _compiled if backend == "compile" else _autocast
        placed = chain.to(place, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        restore = partial(_run, make(placed, place, _DTYPES.get(chosen)))
    return Engine(
        backend=backend,
        device=device,
        precision=chosen,
        size_rule=chain.size_rule,
        restore=restore,
        tile_px=_TILE_PX_CPU if device == "cpu" and backend != "onnxruntime" else _TILE_PX,
    )


def _network(role: str, source: str | Path | nn.Module) -> nn.Module:
    if isinstance(source, nn.Module):
        return source
    if role == "deblurrer":
        return loading.load_deblurrer(str(source))
    return loading.load_own(str(source), role=role)


@torch.inference_mode()
def _run(chain: Callable[[Tensor], tuple[Tensor, ...]], images: Pixels) -> tuple[Pixels, ...]:
    results = chain(torch.from_numpy(np.ascontiguousarray(images)))
    return tuple(result.to("cpu", torch.float32).numpy() for result in results)


def _autocast(
    chain: Callable[..., tuple[Tensor, ...]], device: torch.device, dtype: torch.dtype | None
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return the chain with convolutions in that type, images in float32.

    Channels-last, because oneDNN and cuDNN convolve that without re-ordering it at every layer.
    """

    def restore(images: Tensor) -> tuple[Tensor, ...]:
        placed = images.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            return chain(placed)

    return restore


def _compiled(
    chain: Chain, device: torch.device, dtype: torch.dtype | None
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return the same compiled, which happens at the first call: half a minute or more.

    Raises ConfigError when called where torch cannot compile, for instance without a compiler.
    """
    # the second shape is compiled for any shape; there is no third time
    run = _autocast(torch.compile(chain), device, dtype)

    def restore(images: Tensor) -> tuple[Tensor, ...]:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return run(images)
        except TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"torch cannot compile these networks here ({reason}); use the backend eager"
            ) from error

    return restore


def _onnxruntime(chain: Chain) -> Callable[[Pixels], tuple[Pixels, ...]]:
    from blur2blur.inference.exporting.write import write_onnx

    exported.load_onnxruntime(purpose="the backend onnxruntime")
    with TemporaryDirectory() as folder:
        path = Path(folder, "chain.onnx")
        write_onnx(chain, path)
        return exported.load(path).run


def _possible(device: torch.device) -> list[str]:
    """Return what a device computes in without imitating it, fastest first."""
    if device.type == "cuda":
        return ["bf16", "fp16", "fp32"] if torch.cuda.is_bf16_supported() else ["fp16", "fp32"]
    if device.type == "cpu":
        return ["bf16", "fp32"] if _cpu_computes_bf16() else ["fp32"]
    return ["fp32", "bf16"]


def _cpu_computes_bf16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself: AVX512-BF16, AMX, or ARM's BF16."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return torch.backends.mkldnn.is_available() and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # pyright: ignore[reportPrivateUsage]
