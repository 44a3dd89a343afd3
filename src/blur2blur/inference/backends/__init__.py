"""What runs networks on tiles: a CPU runtime, or torch. Chosen here."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

from blur2blur import extras
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.inference.backends import device as devices
from blur2blur.inference.backends import exported
from blur2blur.inference.backends.precision import Precision, choose_precision
from blur2blur.memory import is_out_of_memory
from blur2blur.tiling import Pixels, SizeRule
from blur2blur.weights import graphs, openvino, zoo
from blur2blur.weights.graphs import Graph, Weights
from blur2blur.weights.headers import is_ours
from blur2blur.weights.operators import EXPORTED_SUFFIXES

if TYPE_CHECKING:
    from torch import nn

    Source = str | Path | nn.Module

__all__ = ["Backend", "Engine", "Precision", "build", "is_out_of_memory"]

Backend = Literal["auto", "eager", "compile", "onnxruntime", "openvino"]

_TILE_PX = 768
_TRACING = "blur2blur.weights.tracing"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Networks made ready to run, one after the other.

    Attributes:
        backend: what runs them.
        device: where.
        precision: in which precision their convolutions are computed.
        size_rule: the image sides that every one of them accepts.
        restore: maps N 3 h w, float32 sRGB in [0, 1], sides as `size_rule` says, to what each
            network made of it: N 3 h w each, clamped to [0, 1]. Threads may share it.
        tile_px: the longest side of a tile that suits it.
        known_blur: what the last of them was trained to make, or to undo; None if not told.
    """

    backend: str
    precision: str
    size_rule: SizeRule
    restore: Callable[[Pixels], tuple[Pixels, ...]]
    device: str = "cpu"
    tile_px: int = _TILE_PX
    known_blur: str | None = None


def build(
    sources: "Sequence[tuple[str, Source]]",
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
) -> Engine:
    """Make networks ready to run.

    Args:
        sources: (role, what) of each: a shipped name, a weight file, an exported file, or a module
            of torch.
        device: "auto", "cpu", "cuda", "cuda:1", "mps"...
        backend: "auto" is, on a CPU, openvino for networks of this project, else eager.
        precision: "auto" is the fastest that device, backend and networks can do.

    Raises:
        ConfigError: an unknown device or backend; one that is not installed, is for another device,
            or cannot take these networks; a precision that is not possible.
        CheckpointError: weights that are missing, damaged, unsafe or of another kind.
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"no backend '{backend}'; known: {', '.join(get_args(Backend))}")
    device = devices.find(device)
    if backend in ("onnxruntime", "openvino") and device != "cpu":
        raise ConfigError(f"the backend {backend} runs on the device cpu, not on {device}")
    if device == "cpu" and (backend in ("auto", "openvino") or any(map(_is_exported, sources))):
        engines = [
            _on_cpu(role, source, backend, precision, alone=len(sources) == 1)
            for role, source in sources
        ]
        if all(engine is not None for engine in engines):
            return _chained([engine for engine in engines if engine is not None])
    if any(map(_is_exported, sources)):
        raise ConfigError(
            f"exported files run on the device cpu, not on {device}"
            if device != "cpu"
            else f"of {_named(sources)}, one is exported and one for torch alone; export both"
        )
    torch_networks = extras.load(
        "blur2blur.inference.backends.torch_networks",
        purpose=f"{_named(sources)} on {device} by {'torch' if backend == 'auto' else backend}",
    )
    return torch_networks.build(sources, device=device, backend=backend, precision=precision)


def _named(sources: "Sequence[tuple[str, Source]]") -> str:
    return " and ".join(
        str(source) if isinstance(source, str | Path) else type(source).__name__
        for _, source in sources
    )


def _is_exported(item: "tuple[str, Source]") -> bool:
    source = item[1]
    return isinstance(source, str | Path) and Path(source).suffix.lower() in EXPORTED_SUFFIXES


def _on_cpu(
    role: str, source: "Source", backend: str, precision: str, *, alone: bool
) -> Engine | None:
    """Return an engine of a CPU runtime; None for networks that only torch can run."""
    if _is_exported((role, source)):
        file = exported.load(Path(cast("str | Path", source)), role=role, alone=alone)
        return Engine(
            backend=file.runtime,
            precision=choose_precision(precision, ["fp32"], where=f"cpu, {source}"),
            size_rule=file.size_rule,
            restore=file.run,
            known_blur=file.header.known_blur,
        )
    found = _graph(role, source, backend)
    if found is None:
        return None
    graph, weights, known_blur = found
    possible = ["bf16", "fp32"] if openvino.computes_bf16() else ["fp32"]
    chosen = choose_precision(precision, possible, where="cpu, openvino")
    try:
        run = openvino.load(graph, weights, chosen)
    except CheckpointError as error:
        name = _named([(role, source)])
        raise CheckpointError(f"{name}: {error}; take another copy of the file") from error
    return Engine(
        backend="openvino",
        precision=chosen,
        size_rule=graph.size_rule,
        restore=partial(_single, run),
        known_blur=known_blur,
    )


def _single(run: Callable[[Pixels], Pixels], images: Pixels) -> tuple[Pixels, ...]:
    return (run(images),)


def _graph(role: str, source: "Source", backend: str) -> tuple[Graph, Weights, str | None] | None:
    """Return a network's graph, weights and known blur; None where only torch can run it."""
    if not isinstance(source, str | Path):
        tracing = extras.load(_TRACING, purpose="a module of torch")
        if not tracing.is_ours(source):
            return _left_to_torch(source, backend)
        graph = _or_none(partial(tracing.trace, source), backend)
        return graph and (graph, tracing.weights_of(source), None)
    path = zoo.resolve(str(source), role=role)
    if not is_ours(path):
        return _left_to_torch(source, backend)
    file = graphs.read(path)
    if file.header.role != role:
        raise CheckpointError(
            f"{path} is a {file.header.role}, not a {role}; give what 'blur2blur train {role}' made"
        )
    graph = file.graph
    if graph is None:
        purpose = f"{path} lacks the graph that the CPU's runtime runs; making it"
        trace_file = extras.load(_TRACING, purpose=purpose).trace_file
        graph = _or_none(partial(graphs.cached, path, partial(trace_file, path)), backend)
    return graph and (graph, file.weights, zoo.known_blur(file.header))


def _left_to_torch(source: "Source", backend: str) -> None:
    if backend == "openvino":
        raise ConfigError(
            f"the backend openvino does not take {_named([('', source)])}, a network of another "
            "project; use the backend eager"
        )


def _or_none(trace: Callable[[], Graph], backend: str) -> Graph | None:
    """Return a graph; None where there can be none, which is told, unless it is insisted on."""
    try:
        return trace()
    except CheckpointError as error:
        if backend == "openvino":
            raise
        _log.warning("%s; going on with the backend eager", error)
        return None


def _chained(engines: Sequence[Engine]) -> Engine:
    made = {engine.known_blur for engine in engines} - {None}
    if len(made) > 1:
        _log.warning(
            "the converter makes another known blur than the deblurrer undoes (%s): train one of "
            "them with known.* of the other",
            ", ".join(repr(engine.known_blur) for engine in engines),
        )

    def restore(images: Pixels) -> tuple[Pixels, ...]:
        results: list[Pixels] = []
        for engine in engines:
            made = engine.restore(images)
            for result in made:
                if result.shape != images.shape:
                    raise CheckpointError(
                        f"a network made {result.shape} of {images.shape}: it is no network from "
                        "image to image of the same size"
                    )
            results += made
            images = made[-1]
        return tuple(np.asarray(result, np.float32) for result in results)

    rules = [engine.size_rule for engine in engines]
    return Engine(
        backend="+".join(dict.fromkeys(engine.backend for engine in engines)),
        precision="+".join(dict.fromkeys(engine.precision for engine in engines)),
        size_rule=SizeRule(
            multiple=math.lcm(*(rule.multiple for rule in rules)),
            minimum=max(rule.minimum for rule in rules),
        ),
        restore=restore,
        tile_px=min(engine.tile_px for engine in engines),
    )
