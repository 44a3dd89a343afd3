"""What a CPU runtime needs to run a weight file: the network's graph, kept in the file itself.

The graph is OpenVINO's model of the network whose weights are inputs, named as the tensors of the
file are. So one file, and one copy of the numbers, serves training and deblurring alike.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from blur2blur.cache import cached_file
from blur2blur.errors import CheckpointError
from blur2blur.files import atomic_path, write_text
from blur2blur.settings import parse_json
from blur2blur.tiling import SizeRule
from blur2blur.weights.headers import Header, read_header

GRAPH_KEY = "graph"
IMAGE = "image"
"""The input of a graph that is no weight."""

_MAX_BYTES = 16_000_000
"""Of a graph, which holds no weights; those that ship have a quarter of a million."""

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A network without its weights.

    Its inputs are `image`, float32 N 3 h w sRGB in [0, 1], and every weight; its output is of the
    image's shape, clamped to [0, 1], or the N 2 numbers of the extent estimator.

    Attributes:
        xml: OpenVINO's description.
        constants: the few numbers in it that are not weights.
        size_rule: the image sides it accepts.
    """

    xml: bytes
    constants: bytes
    size_rule: SizeRule


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """A weight file of ours, read once.

    Attributes:
        header: what it says of itself.
        graph: what a CPU runtime needs; None where the file has none.
        weights: by name, in float32.
    """

    header: Header
    graph: Graph | None
    weights: Weights


def read(path: Path) -> WeightFile:
    """Read a weight file of ours. Raises CheckpointError where it is damaged or not ours."""
    header = read_header(path)
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(GRAPH_KEY)
            weights = {name: _float32(name, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return WeightFile(header=header, graph=_graph(path, text) if text else None, weights=weights)


def _float32(name: str, weight: NDArray[Any]) -> NDArray[np.float32]:
    if weight.dtype.kind != "f":
        raise ValueError(f"{name} holds {weight.dtype}, and weights are floating-point numbers")
    return weight.astype(np.float32)


def cached(path: Path, make: Callable[[], Graph]) -> Graph:
    """Return the graph of a weight file that has none, made now or at an earlier time."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with cached_file(
        "graphs", digest, "graph.json", lambda file: write_text(file, to_text(make()))
    ) as file:
        return _graph(file, file.read_text(encoding="utf-8"))


def _graph(path: Path, text: str) -> Graph:
    try:
        stored = parse_json(text)
        rule = SizeRule(multiple=int(stored["multiple"]), minimum=int(stored["minimum"]))
        if min(rule.multiple, rule.minimum) < 1:
            raise ValueError(f"{rule} allows no image")
        return Graph(
            xml=_unpacked(stored["xml"]),
            constants=_unpacked(stored["constants"]),
            size_rule=rule,
        )
    except (ValueError, KeyError, TypeError, OverflowError, zlib.error) as error:
        raise CheckpointError(
            f"the graph in {path} is damaged; train again, or take another copy of the file"
        ) from error


def attach(path: Path, graph: Graph) -> None:
    """Put a graph into a weight file, whose other content stays as it is.

    Raises:
        CheckpointError: the file is damaged.
        InputError: it cannot be written.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    metadata[GRAPH_KEY] = to_text(graph)
    data = save(weights, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def to_text(graph: Graph) -> str:
    """Return a graph as a weight file keeps it."""
    return json.dumps(
        {
            "xml": _packed(graph.xml),
            "constants": _packed(graph.constants),
            "multiple": graph.size_rule.multiple,
            "minimum": graph.size_rule.minimum,
        }
    )


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpacked(text: str) -> bytes:
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    stream = zlib.decompressobj()
    data = stream.decompress(packed, _MAX_BYTES)
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("too long, or cut short")
    return data
