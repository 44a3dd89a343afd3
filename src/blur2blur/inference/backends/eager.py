"""The chain run by torch itself, as it is or compiled."""

from collections.abc import Callable

import torch
from torch import Tensor

from blur2blur.errors import ConfigError
from blur2blur.inference.backends.precision import DTYPES
from blur2blur.inference.chain import Chain

Restore = Callable[[Tensor], tuple[Tensor, ...]]


def eager_restore(chain: Chain, device: torch.device, precision: str) -> Restore:
    """Return the chain as a function on `device`; convolutions in `precision`, images in float32.

    Channels-last, because oneDNN and cuDNN convolve that without re-ordering it at every layer.
    """
    return _autocast(_placed(chain, device), device, precision)


def compiled_restore(chain: Chain, device: torch.device, precision: str) -> Restore:
    """Return the same compiled, which happens at the first call: half a minute or more.

    Raises:
        ConfigError: when called: torch cannot compile here, for instance without a C++ compiler.
    """
    # the second shape is compiled for any shape; there is no third time
    run = _autocast(torch.compile(_placed(chain, device)), device, precision)

    def restore(tiles: Tensor) -> tuple[Tensor, ...]:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return run(tiles)
        except TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"torch cannot compile these networks here ({reason}); use the backend eager"
            ) from error

    return restore


def _placed(chain: Chain, device: torch.device) -> Chain:
    return chain.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _autocast(
    chain: Callable[..., tuple[Tensor, ...]], device: torch.device, precision: str
) -> Restore:
    dtype = DTYPES.get(precision)

    @torch.inference_mode()
    def restore(tiles: Tensor) -> tuple[Tensor, ...]:
        placed = tiles.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            return chain(placed)

    return restore
