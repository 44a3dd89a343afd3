"""What runs a chain of networks on tiles: torch, or another runtime that takes it over."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor

from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.inference.backends import converted, eager
from blur2blur.inference.backends.memory import is_out_of_memory
from blur2blur.inference.backends.precision import Precision, choose_precision
from blur2blur.inference.chain import Chain
from blur2blur.networks import ImageNetwork

__all__ = ["Backend", "Engine", "Precision", "Restore", "build", "is_out_of_memory"]

Backend = Literal["auto", "eager", "compile", "onnxruntime", "openvino"]

Restore = Callable[[Tensor], tuple[Tensor, ...]]
"""float32 N 3 h w, sRGB in [0, 1], sides as the chain's `size_rule` says, any device, to what each
network made of it: float32 N 3 h w, clamped to [0, 1], valid for as long as it is kept."""

_TILE_PX = 768
# torch on a CPU: glibc takes blocks of 32 MiB and more from the system and gives them back at once.
# With larger tiles the activations of every layer would be mapped and zeroed anew: 15 % slower in
# fp32 at 512 pixels, a third at 768.
_TILE_PX_EAGER_CPU = 480

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """A chain made ready to run.

    Attributes:
        backend: what runs it.
        precision: in which precision its convolutions are computed.
        restore: the chain as a function.
        tile_px: the longest side of a tile that suits it.
    """

    backend: str
    precision: str
    restore: Restore
    tile_px: int


def build(
    chain: Chain, device: torch.device, *, backend: str = "auto", precision: str = "auto"
) -> Engine:
    """Make a chain ready to run.

    Args:
        chain: in evaluation mode; moved to `device` where torch runs it.
        device: where to run it.
        backend: "auto" is openvino on a CPU where it is installed and takes the networks, which
            must be of this project, else eager.
        precision: "auto" is the fastest that device, backend and networks can do.

    Raises:
        ConfigError: an unknown backend; one that is not installed, is for another device, or cannot
            take these networks; a precision that is not possible.
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"no backend '{backend}'; known: {', '.join(get_args(Backend))}")
    if backend in ("onnxruntime", "openvino") and device.type != "cpu":
        raise ConfigError(f"the backend {backend} runs on the device cpu, not on {device}")
    chosen = choose_precision(precision, device, backend, chain)
    if backend == "openvino" or (backend == "auto" and _can_take_over(chain, device)):
        try:
            restore = converted.openvino_restore(chain, chosen)
            return Engine("openvino", chosen, restore, _TILE_PX)
        except (CheckpointError, ConfigError) as error:
            if backend == "openvino":
                raise ConfigError(f"{error}; use the backend eager") from error
            _log.warning("%s; went on with the backend eager", error)
    if backend == "onnxruntime":
        try:
            return Engine(backend, chosen, converted.onnxruntime_restore(chain), _TILE_PX)
        except CheckpointError as error:
            raise ConfigError(f"{error}; use the backend eager") from error
    make = eager.compiled_restore if backend == "compile" else eager.eager_restore
    return Engine(
        backend="compile" if backend == "compile" else "eager",
        precision=chosen,
        restore=make(chain, device, chosen),
        tile_px=_TILE_PX_EAGER_CPU if device.type == "cpu" else _TILE_PX,
    )


def _can_take_over(chain: Chain, device: torch.device) -> bool:
    """A network of somebody else may do in Python what a conversion cannot see."""
    ours = all(isinstance(network, ImageNetwork) for network in chain.networks)
    return device.type == "cpu" and ours and find_spec("openvino") is not None
