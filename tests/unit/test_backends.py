"""Backends: all give what torch gives in float32, or say in one line why they cannot run."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.inference import Pipeline, backends
from blur2blur.inference.backends import device as devices
from blur2blur.inference.backends import torch_networks
from blur2blur.networks import ImageNetwork
from blur2blur.tiling import Pixels
from blur2blur.weights import checkpoints, headers, openvino, tracing, zoo

ROLES = ("converter", "deblurrer")
ROOT = Path(__file__).parents[2]


def _computes_bf16(backend: str) -> bool:
    if backend == "openvino":
        return openvino.computes_bf16()
    return torch_networks._cpu_computes_bf16()


def _network(seed: int = 0) -> ImageNetwork:
    torch.manual_seed(seed)
    return networks.build("resnet", base_channels=4, blocks=1, identity_start=False).eval()


def _untraceable() -> ImageNetwork:
    """A network of ours whose moving mean depends on the size of the image."""
    stages = {"encoder_blocks": (1,), "middle_blocks": 0, "decoder_blocks": (0,)}
    return networks.build("nafnet", width=4, **stages, local_window_px=24)


def _pair(*modules: object) -> list[tuple[str, object]]:
    return list(zip(ROLES[-len(modules) :], modules, strict=True))


def _expected(modules: list[nn.Module], image: Pixels) -> list[Pixels]:
    results: list[Pixels] = []
    tensor = torch.from_numpy(image)
    with torch.inference_mode():
        for module in modules:
            tensor = module(tensor)[-1].clamp(0, 1)
            results.append(tensor.numpy())
    return results


def _noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).random(shape, np.float32)


class Convolution(nn.Module):
    """A network of one layer: writing ONNX takes a second for each."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (image + self.layer(image),)


def _check(backend: str, shapes: list[tuple[int, ...]]) -> None:
    modules = (
        [Convolution(0), Convolution(1)] if backend == "onnxruntime" else [_network(0), _network(1)]
    )
    engine = backends.build(_pair(*modules), device="cpu", backend=backend, precision="fp32")
    assert engine.backend == backend
    for shape in shapes:
        image = _noise(*shape)
        found = engine.restore(image)
        engine.restore(np.zeros_like(image))  # must not write over what was returned
        for one, other in zip(found, _expected(modules, image), strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", ["openvino", "eager", "onnxruntime"])
def test_every_backend_gives_what_torch_gives(backend: str) -> None:
    _check(backend, [(1, 3, 64, 96), (2, 3, 64, 160), (1, 3, 128, 64)])


@pytest.mark.slow  # compiling takes half a minute
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch of itself
def test_the_compiled_chain_gives_what_torch_gives() -> None:
    _check("compile", [(1, 3, 64, 96)])


@pytest.mark.parametrize("backend", ["openvino", "eager"])
def test_bf16_holds_50_db(backend: str) -> None:
    """With the weights that ship, on a photograph, through both networks."""
    if not _computes_bf16(backend):
        pytest.skip("this processor does not compute in bf16")
    pair = ("known-blur", "generic")
    exact = Pipeline(*pair, device="cpu", backend="eager", precision="fp32")
    half = Pipeline(*pair, device="cpu", backend=backend, precision="bf16")
    image = skimage.data.astronaut()[100:228, 150:310].astype(np.float32) / np.float32(255)
    expected, found = exact.run(image), half.run(image)
    for one, other in (
        (found.converted, expected.converted),
        (found.deblurred, expected.deblurred),
    ):
        assert one.dtype == np.float32
        assert -10 * np.log10(np.square(one - other).mean()) > 50


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
@pytest.mark.parametrize("backend", ["openvino", "eager"])
def test_auto_is_what_the_processor_computes_in(
    backend: str, native: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "computes_bf16", lambda: native)
    monkeypatch.setattr(torch_networks, "_cpu_computes_bf16", lambda: native)
    monkeypatch.setattr(tracing, "trace", lambda network: _TRACED(network))
    options = {"device": "cpu", "backend": backend}
    assert backends.build(_pair(_network()), **options).precision == chosen
    assert backends.build(_pair(_network()), **options, precision="fp32").precision == "fp32"
    if not native:
        with pytest.raises(ConfigError, match=r"'bf16' is not possible .* auto, fp32$"):
            backends.build(_pair(_network()), **options, precision="bf16")


def _once(trace: Callable[[ImageNetwork], object]) -> Callable[[ImageNetwork], object]:
    """Trace one network of a kind: its graph is that of the others."""
    traced: list[object] = []

    def traced_once(network: ImageNetwork) -> object:
        if not traced:
            traced.append(trace(network))
        return traced[0]

    return traced_once


_TRACED = _once(tracing.trace)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorrt"}, "no backend 'tensorrt'; known: auto, eager"),
        (
            {"backend": "openvino", "device": "cuda"},
            "openvino runs on the device cpu, not on cuda",
        ),
        ({"backend": "onnxruntime", "precision": "bf16", "device": "cpu"}, "possible: auto, fp32$"),
        ({"precision": "fp8", "device": "cpu", "backend": "eager"}, "'fp8' is not possible"),
    ],
)
def test_what_is_not_possible_is_one_line(
    options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "find", lambda name: name)
    with pytest.raises(ConfigError, match=message):
        backends.build(_pair(_network()), **options)


class Asking(nn.Module):
    """A network of somebody else, which asks for the size."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 0.5 if image.shape[-1] > 100 else image


def test_networks_of_others_are_run_by_torch() -> None:
    assert backends.build(_pair(Asking()), device="cpu").backend == "eager"
    assert backends.build(_pair(_network(), Asking()), device="cpu").backend == "eager"
    with pytest.raises(ConfigError, match=r"does not take Asking, .*; use the backend eager"):
        backends.build(_pair(Asking()), device="cpu", backend="openvino")


def test_what_cannot_be_traced_is_run_by_torch_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = _untraceable()
    path = tmp_path / "deblurrer.safetensors"
    options = network.options.model_dump()
    header = headers.Header(role="deblurrer", network=network.name, options=options)
    checkpoints.save_network(path, network, header)
    for source in (network, path):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert backends.build(_pair(source), device="cpu").backend == "eager"
        (record,) = caplog.records
        assert "nafnet cannot be traced" in record.getMessage()
        assert record.getMessage().endswith("going on with the backend eager")
        with pytest.raises(CheckpointError, match="nafnet cannot be traced"):
            backends.build(_pair(source), device="cpu", backend="openvino")


@pytest.mark.parametrize("factor", [0.8, float("nan")])
def test_a_graph_that_does_something_else_is_refused(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = openvino.load

    def other(*arguments: object) -> Callable[[Pixels], Pixels]:
        run = load(*arguments)
        return lambda images: np.float32(factor) * run(images)

    monkeypatch.setattr(openvino, "load", other)
    with pytest.raises(CheckpointError, match=r"its graph differs by .* at another size"):
        tracing.trace(_network())


def test_tracing_leaves_the_network_trainable() -> None:
    network = _network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    next(network.parameters()).requires_grad_(False)
    trained = [parameter.requires_grad for parameter in network.parameters()]
    tracing.trace(network)
    assert [parameter.requires_grad for parameter in network.parameters()] == trained
    assert all(isinstance(parameter, nn.Parameter) for parameter in network.parameters())
    assert all(torch.equal(before[name], after) for name, after in network.state_dict().items())


def test_a_graph_serves_other_weights_of_its_network() -> None:
    """Weights are its inputs, so that a file holds them once."""
    graph, other = _TRACED(_network(0)), _network(1)
    image = _noise(1, 3, 64, 96)
    found = openvino.load(graph, tracing.weights_of(other), "fp32")(image)
    np.testing.assert_allclose(found, _expected([other], image)[0], rtol=0, atol=1e-4)
    assert str(ROOT).encode() not in graph.xml  # nor does it tell where it was made


def test_a_graph_whose_weights_are_not_there_is_one_line() -> None:
    graph, weights = _TRACED(_network()), dict(tracing.weights_of(_network()))
    name = next(iter(weights))
    with pytest.raises(CheckpointError, match="do not fit") as error:
        openvino.load(graph, {**weights, name: np.zeros(99, np.float32)}, "fp32")
    assert "\n" not in str(error.value)
    del weights[name]
    with pytest.raises(CheckpointError, match=f"asks for weights '{name}' that are not there"):
        openvino.load(graph, weights, "fp32")
    with pytest.raises(CheckpointError, match="do not fit") as error:
        openvino.load(replace(graph, xml=b"<net"), weights, "fp32")
    assert "\n" not in str(error.value)


def test_the_weights_that_ship_hold_the_graphs_of_their_networks() -> None:
    image = _noise(1, 3, 64, 96)
    for role in ROLES:
        names = [name for name, entry in zoo.ENTRIES.items() if entry.role == role]
        for name in names:
            engine = backends.build([(role, name)], device="cpu", precision="fp32")
            eager = backends.build([(role, name)], device="cpu", backend="eager", precision="fp32")
            assert (engine.backend, eager.backend) == ("openvino", "eager")
            found, expected = engine.restore(image)[0], eager.restore(image)[0]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
            assert engine.size_rule == eager.size_rule


def test_out_of_memory_is_told_by_an_errors_cause_too() -> None:
    error = CheckpointError("the exported network failed")
    assert not backends.is_out_of_memory(error)
    error.__cause__ = RuntimeError("std::bad_alloc")
    assert backends.is_out_of_memory(error)
