"""Graphs in weight files: there and back, beside the weights; damage is one line."""

import json
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from blur2blur import networks
from blur2blur.errors import CheckpointError, InputError
from blur2blur.inference import Pipeline
from blur2blur.networks import ImageNetwork
from blur2blur.weights import checkpoints, graphs, headers, tracing
from blur2blur.weights.graphs import GRAPH_KEY, Graph


def _network() -> ImageNetwork:
    torch.manual_seed(0)
    return networks.build("resnet", base_channels=4, blocks=1, identity_start=False)


@pytest.fixture(scope="module")
def traced() -> Graph:
    return tracing.trace(_network())


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A weight file that has no graph."""
    network = _network()
    options = network.options.model_dump()
    header = headers.Header(role="deblurrer", network="resnet", options=options, step=7)
    checkpoints.save_network(tmp_path / "bare.safetensors", network, header)
    return tmp_path / "bare.safetensors"


@pytest.fixture
def path(bare: Path, traced: Graph) -> Path:
    """A weight file that has one."""
    graphs.attach(bare, traced)
    return bare.rename(bare.with_name("deblurrer.safetensors"))


def _noise() -> np.ndarray:
    return np.random.default_rng(0).random((37, 50, 3), np.float32)


def _change(path: Path, text: str | None = None, without: str | None = None) -> None:
    """Write another text in place of the graph, or leave a weight out."""
    with safe_open(path, framework="np") as file:
        metadata = dict(file.metadata())
        weights = {name: file.get_tensor(name) for name in file.keys() if name != without}  # noqa: SIM118
    if text is not None:
        metadata[GRAPH_KEY] = text
    save_file(weights, path, metadata)


def _stored(**changes: object) -> str:
    """Return a graph's text with entries of its own."""
    packed = b64encode(zlib.compress(b"<net></net>")).decode()
    return json.dumps({"xml": packed, "constants": packed, "multiple": 4, "minimum": 8, **changes})


def test_a_graph_comes_back_beside_the_weights(path: Path, traced: Graph) -> None:
    file = graphs.read(path)
    assert file.graph == traced
    assert file.header.step == 7
    state = _network().state_dict()
    assert file.weights.keys() == state.keys()
    assert all(np.array_equal(weight, state[name]) for name, weight in file.weights.items())
    # training goes on from the same file
    loaded, header = checkpoints.load_network(path, role="deblurrer")
    assert header == file.header
    assert all(torch.equal(weight, state[name]) for name, weight in loaded.state_dict().items())


def test_attaching_twice_is_as_once(path: Path, traced: Graph) -> None:
    size = path.stat().st_size
    graphs.attach(path, traced)
    assert path.stat().st_size == size
    assert graphs.read(path).graph == traced


def test_attaching_is_whole_or_not_at_all(
    bare: Path, traced: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bare.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="disk is full"):
            graphs.attach(bare, traced)
    assert bare.read_bytes() == before
    assert list(bare.parent.iterdir()) == [bare]


def test_a_file_without_a_graph_is_traced_and_gives_the_same(bare: Path, traced: Graph) -> None:
    assert graphs.read(bare).graph is None
    options = {"device": "cpu", "backend": "openvino", "precision": "fp32"}
    without = Pipeline(bare, **options)(_noise())
    assert graphs.read(bare).graph is None  # somebody's file stays as it is
    tracing.attach_graph(bare)
    np.testing.assert_allclose(Pipeline(bare, **options)(_noise()), without, rtol=0, atol=1e-6)


BOMB = b64encode(zlib.compress(bytes(graphs._MAX_BYTES + 1))).decode()
CUT_SHORT = b64encode(zlib.compress(b"<net></net>" * 9)[:-8]).decode()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "7",
        "{}",
        "[" * 100_000,
        _stored(xml="no base64"),
        _stored(xml="ÿ"),
        _stored(xml=7),
        _stored(xml=b64encode(b"not packed").decode()),
        _stored(xml=CUT_SHORT),
        _stored(constants=BOMB),
        _stored(multiple="four"),
        _stored(multiple=0),
        _stored(minimum=-1),
        _stored(multiple=None),
    ],
    ids=range(15),
)
def test_a_damaged_graph_is_one_line(path: Path, text: str) -> None:
    _change(path, text)
    with pytest.raises(CheckpointError, match=r"the graph in .* is damaged; train again") as error:
        graphs.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("xml", [b"", b"<net", b"<net></net>"])
def test_a_graph_that_is_no_network_is_one_line(path: Path, xml: bytes) -> None:
    _change(path, _stored(xml=b64encode(zlib.compress(xml)).decode()))
    with pytest.raises(CheckpointError, match=r"do not fit.*; take another copy") as error:
        Pipeline(path, device="cpu")
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_weights_that_are_missing_are_one_line(path: Path) -> None:
    name = next(iter(graphs.read(path).weights))
    _change(path, without=name)
    with pytest.raises(CheckpointError, match=f"asks for weights '{name}' that are not there"):
        Pipeline(path, device="cpu")


def test_a_file_cut_short_is_one_line(path: Path) -> None:
    content = path.read_bytes()
    for size in (4, 1000, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="is damaged") as error:
            graphs.read(path)
        assert "\n" not in str(error.value)
