"""Converted networks, kept in the user's cache under all that tells them from others."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import torch

from blur2blur.cache import cached_file
from blur2blur.inference.chain import Chain
from blur2blur.networks import ImageNetwork

_log = logging.getLogger(__name__)


def model_file(
    chain: Chain, name: str, write: Callable[[Path], None], *, runtime: str
) -> AbstractContextManager[Path]:
    """Yield the file of that name that `write` made of the chain; see `cache.cached_file`.

    A chain with networks that are not of this project, which weights and options do not tell whole,
    is converted every time.

    Args:
        chain: what to convert.
        name: the file's name; `write` may put others beside it.
        write: makes it.
        runtime: version of what will run it.

    Raises:
        CheckpointError: as `write` does.
    """

    def make(path: Path) -> None:
        _log.info("converting the networks for %s; next time this is read from the cache", name)
        write(path)

    return cached_file("converted", _digest(chain, name, runtime), name, make)


def _digest(chain: Chain, name: str, runtime: str) -> str | None:
    described: list[object] = [name, runtime, version("blur2blur"), torch.__version__]
    for network in chain.networks:
        if not isinstance(network, ImageNetwork):
            return None
        described.append([network.name, network.options.model_dump(mode="json")])
    digest = hashlib.sha256(json.dumps(described).encode())
    for key, tensor in chain.state_dict().items():
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
