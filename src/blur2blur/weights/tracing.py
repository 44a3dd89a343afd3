"""The graph of a network: traced by torch, taken over by OpenVINO, its weights left outside."""

import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blur2blur.errors import CheckpointError
from blur2blur.networks import ImageNetwork, Network
from blur2blur.tiling import SizeRule
from blur2blur.weights import graphs, openvino
from blur2blur.weights.checkpoints import load_any
from blur2blur.weights.graphs import Graph, Weights
from blur2blur.weights.quiet_openvino import load_openvino

TOLERANCE = 1e-3
"""How far the graph's results may be from the network's, of values in [0, 1], at another size."""

_TRACED_SIDE_PX = 64
_TRIAL_SIDES_PX = (96, 160)


def trace(network: Network) -> Graph:
    """Return the graph of a network, which is left on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the network cannot be traced, or the graph does something else.
    """
    network.cpu().eval()
    state = network.state_dict()
    names, rule = list(state), network.size_rule

    def run(image: Tensor, *weights: Tensor) -> Tensor:
        with _replaced(network, dict(zip(names, weights, strict=True))):
            return _result(network, image)

    with torch.no_grad():
        model = convert(run, (example(rule), *state.values()), name=network.name)
    for port, name in zip(model.inputs, [graphs.IMAGE, *state], strict=True):
        port.get_tensor().set_names({name})
    shapes = {name: list(weight.shape) for name, weight in state.items()}
    model.reshape({graphs.IMAGE: [-1, 3, -1, -1], **shapes})
    # what a trace calls itself and its steps changes from one to the next
    model.set_friendly_name("graph")
    for number, step in enumerate(model.get_ordered_ops()):
        step.set_friendly_name(str(number))
    graph = _written(model, rule)
    _compare(network, graph)
    return graph


def is_ours(module: nn.Module) -> bool:
    """Tell whether it is a network that `trace` takes."""
    return isinstance(module, ImageNetwork)


def weights_of(network: nn.Module) -> Weights:
    """Return weights by name, in float32."""
    return {name: tensor.detach().float().numpy() for name, tensor in network.state_dict().items()}


def trace_file(path: Path) -> Graph:
    """Return the graph of a weight file of ours; raises as `attach_graph`."""
    return trace(load_any(path)[0])


def attach_graph(path: Path) -> None:
    """Give a weight file of ours the graph that the CPU's runtime needs.

    Raises:
        CheckpointError: as `checkpoints.load_any` and `trace`.
        InputError: the file cannot be written.
    """
    graphs.attach(path, trace_file(path))


def _result(network: Network, image: Tensor) -> Tensor:
    if isinstance(network, ImageNetwork):
        return network.restore(image).float().clamp(0, 1)
    return network(image)


@contextmanager
def _replaced(network: Network, weights: dict[str, Tensor]) -> Generator[None]:
    """Let modules find what is traced in place of their parameters and buffers."""
    kept: list[tuple[dict[str, Any], str, Any]] = []
    for name, weight in weights.items():
        owner, _, leaf = name.rpartition(".")
        module = network.get_submodule(owner)
        stores: Any = (module._parameters, module._buffers)  # pyright: ignore[reportPrivateUsage]
        held = next(store for store in stores if leaf in store)
        kept.append((held, leaf, held[leaf]))
        held[leaf] = weight
    try:
        yield
    finally:
        for held, leaf, value in kept:
            held[leaf] = value


def convert(run: Callable[..., object], inputs: Sequence[Tensor], *, name: str) -> Any:  # noqa: ANN401
    """Return OpenVINO's model of what a function does with these inputs, of any sizes.

    It takes a tenth of the time that torch.export and ONNX take.

    Raises:
        CheckpointError: it cannot be traced, or a trace would not be faithful.
    """
    load_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
        try:
            traced = torch.jit.trace(run, tuple(inputs), check_trace=False)
            # in a variable of its own: the frontend does not keep it alive
            decoder = TorchScriptPythonDecoder(traced)
            frontend: Any = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{name} cannot be traced: {reason}") from error
    if told:  # a trace keeps forever what a network decides in Python for its example
        raise CheckpointError(f"{name} cannot be traced: {told[0].message}")
    return model


def _written(model: Any, rule: SizeRule) -> Graph:  # noqa: ANN401
    with TemporaryDirectory() as folder:
        path = Path(folder, "graph.xml")
        load_openvino().save_model(model, path, compress_to_fp16=False)
        return Graph(
            xml=path.read_bytes(),
            constants=path.with_suffix(".bin").read_bytes(),
            size_rule=rule,
        )


def example(rule: SizeRule) -> Tensor:
    """Return noise to trace with."""
    height, width = rule.padded(_TRACED_SIDE_PX, _TRACED_SIDE_PX)
    # unlike sides, so that a trace does not take one for the other
    return torch.rand(2, 3, height, width + rule.multiple)


@torch.inference_mode()
def _compare(network: Network, graph: Graph) -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *graph.size_rule.padded(*_TRIAL_SIDES_PX), generator=rng)
    found = openvino.load(graph, weights_of(network), "fp32")(image.numpy())
    difference = np.abs(_result(network, image).numpy() - found).max()
    if not difference <= TOLERANCE:  # not the largest above it: NaN is not
        raise CheckpointError(
            f"{network.name} cannot be traced: its graph differs by {difference:.2g} at another "
            "size"
        )
