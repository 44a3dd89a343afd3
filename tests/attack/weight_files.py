"""Weight files of every kind that is read, spoilt by kind."""

import base64
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from blur2blur import networks
from blur2blur.networks import registry
from blur2blur.weights import checkpoints, graphs, headers, third_party, zoo


@cache
def _good() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    network = networks.build("nafnet", width=4, encoder_blocks=[1], decoder_blocks=[1])
    options = network.options.model_dump()
    return network.state_dict(), {"role": "deblurrer", "network": "nafnet", "options": options}


@cache
def _shipped() -> bytes:
    return zoo.resolve("known-blur", role="deblurrer").read_bytes()


def _ours(weights: dict[str, torch.Tensor], header: object) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    return save(weights, {headers.HEADER_KEY: text})


def case(folder: Path, number: int, seed: int) -> tuple[str, Callable[[], object]]:
    """Return what was done, and what reads the file as every verb would."""
    rng = random.Random(f"weights {seed} {number}")
    name = rng.choice(sorted(WAYS))
    suffix, data = WAYS[name](rng)
    path = folder / f"a{suffix}"
    if callable(data):
        data(path)
    else:
        path.write_bytes(data)

    def run() -> None:
        if suffix == ".safetensors" and headers.is_ours(path):
            file = graphs.read(path)
            if file.graph is not None:
                from blur2blur.weights import openvino

                openvino.load(file.graph, file.weights, "fp32")
            checkpoints.load_any(path)
        elif suffix in (".xml", ".onnx"):
            from blur2blur.inference.backends import exported

            exported.load(path)
        else:
            third_party.load(path)

    return name, run


def _bytes_of_ours(rng: random.Random) -> tuple[str, bytes]:
    data = bytearray(_ours(*_good()) if rng.random() < 0.7 else _shipped())
    for _ in range(rng.choice((1, 4, 64))):
        data[rng.randrange(len(data) if rng.random() < 0.5 else 2000)] = rng.randrange(256)
    cut = len(data) if rng.random() < 0.7 else rng.randrange(len(data))
    return ".safetensors", bytes(data[:cut])


def _header_numbers(rng: random.Random) -> tuple[str, bytes]:
    weights, header = _good()
    name = rng.choice(sorted(registry.NETWORKS))
    options = dict(header["options"]) if name == "nafnet" else {}
    fields = list(registry.NETWORKS[name].options.model_fields)
    for field in rng.sample(fields, rng.randint(1, len(fields))):
        options[field] = rng.choice(
            (0, 1, -1, 64, 1000, 10**6, 10**30, 1e300, True, None, "x", [], [10**6], [4] * 5000)
        )
    return ".safetensors", _ours(weights, {**header, "network": name, "options": options})


def _header_json(rng: random.Random) -> tuple[str, bytes]:
    weights, header = _good()
    deep = rng.choice((10, 100, 10_000, 400_000))
    nested = "[" * deep + "]" * deep
    field = rng.choice(("options", "settings", "metrics", "role", "step", "new", "format"))
    values = (nested, '{"a":' * deep + "1" + "}" * deep, "1e999", "NaN", '"\\ud800\\u001b[2J"')
    text = json.dumps({**header, field: "HERE"}).replace('"HERE"', rng.choice(values))
    return ".safetensors", _ours(weights, text)


def _kinds_of_numbers(rng: random.Random) -> tuple[str, bytes]:
    weights, header = _good()
    kind = rng.choice((torch.int64, torch.bool, torch.complex64, torch.float64, torch.bfloat16))
    return ".safetensors", _ours({name: each.to(kind) for name, each in weights.items()}, header)


def _graph_text(rng: random.Random) -> tuple[str, bytes]:
    weights, header = _good()
    layers = rng.choice(("Loop", "TensorIterator", "If", "RandomUniform", "Range", "Const", "\x1b"))
    xml = f'<net name="a"><layers><layer id="0" name="a" type="{layers}" version="opset1">'
    xml += '<data element_type="f32" shape="1000000,1000000" offset="0" size="4"/></layer></layers>'
    bomb = bytes(1 << 27) if rng.random() < 0.3 else (xml + "</net>").encode()
    packed = base64.b64encode(zlib.compress(bomb)).decode()
    stored = {
        "xml": packed,
        "constants": packed,
        "multiple": rng.choice((0, 4, 10**9)),
        "minimum": 1,
    }
    metadata = {headers.HEADER_KEY: json.dumps(header), graphs.GRAPH_KEY: json.dumps(stored)}
    return ".safetensors", save(weights, metadata)


def _pickled(rng: random.Random) -> tuple[str, Callable[[Path], object]]:
    weights = dict(_good()[0])
    first = next(iter(weights))
    sparse = torch.eye(3).to_sparse()
    odd: Any = rng.choice(
        (
            {**weights, first: torch.zeros(1).expand(10**9)},
            {name: torch.zeros(1).expand(each.shape) for name, each in weights.items()},
            {5: torch.zeros(1), None: 1, (1, 2): 3},
            {**weights, first: sparse},
            {**weights, first: torch.empty(3, device="meta")},
            {**weights, first: weights[first].to(torch.complex64)},
            {**weights, first: weights[first].to(torch.int64)},
            {"params": {"middle_blks.0.sca.1.weight": torch.zeros(4, 4, 1, 1)}},
            {"feat_extract.0.main.0.weight": torch.zeros(1).expand(100_000, 3, 3, 3)},
            {"model.0.weight": torch.zeros(64, 6, 4, 4)},
            [weights],
            weights[first],
            {"a": {"b": weights}},
            {},
        )
    )
    return rng.choice(third_party.PICKLE_SUFFIXES), lambda path: torch.save(odd, path)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("executed").touch, ())


def _code(rng: random.Random) -> tuple[str, bytes]:
    content = rng.choice((_Code(), {"a": _Code()}, [bytearray(10)], {"a": np.zeros(3)}))
    return ".pth", pickle.dumps(content, protocol=rng.choice((0, 2, 4)))


def _packed_zip(rng: random.Random) -> tuple[str, Callable[[Path], object]]:
    def write(path: Path) -> None:
        torch.save({"a": torch.zeros(1 << 22)}, path)
        with zipfile.ZipFile(path) as source:
            entries = [(entry.filename, source.read(entry)) for entry in source.infolist()]
        kind = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
        with zipfile.ZipFile(path, "w", kind) as archive:
            for name, content in entries[:: rng.choice((1, -1))]:
                archive.writestr(name, content if rng.random() < 0.9 else content[:100])

    return ".pth", write


def _bytes_of_pickles(rng: random.Random) -> tuple[str, Callable[[Path], object]]:
    def write(path: Path) -> None:
        legacy = rng.random() < 0.5
        torch.save(_good()[0], path, _use_new_zipfile_serialization=not legacy)
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 4, 64))):
            data[rng.randrange(len(data) if rng.random() < 0.5 else 3000)] = rng.randrange(256)
        path.write_bytes(data[: len(data) if rng.random() < 0.8 else rng.randrange(len(data))])

    return ".pth", write


def _onnx(rng: random.Random) -> tuple[str, bytes]:
    from onnx import TensorProto, helper

    image = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])]
    made = [helper.make_tensor_value_info("deblurred", TensorProto.FLOAT, [1, 3, "h", "w"])]
    kind = rng.choice(("range", "loop", "random", "external", "domain", "expand", "plain"))
    nodes = [helper.make_node("Identity", ["image"], ["deblurred"])]
    held = []
    if kind in ("range", "expand"):
        sizes = [0, 10**9, 1] if kind == "range" else [10**5, 10**6]
        held = [helper.make_tensor("s", TensorProto.INT64, [len(sizes)], sizes)]
        nodes.append(helper.make_node("ConstantOfShape", ["s"], ["x"]))
    elif kind == "loop":
        body = helper.make_graph([], "b", [], [])
        nodes.append(helper.make_node("Loop", ["", ""], ["x"], body=body))
    elif kind in ("random", "domain"):
        domain = "evil" if kind == "domain" else ""
        nodes.append(helper.make_node("RandomNormal", [], ["x"], domain=domain, shape=[10**9]))
    elif kind == "external":
        tensor = TensorProto(name="s", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="/etc/passwd")
        held = [tensor]
    model = helper.make_model(helper.make_graph(nodes, "g", image, made, held))
    header = {"outputs": ["deblurred"], "multiple": 4, "minimum": 4}
    helper.set_model_props(model, {headers.HEADER_KEY: json.dumps(header)})
    data = bytearray(model.SerializeToString())
    if rng.random() < 0.3:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return ".onnx", bytes(data)


def _declared_header(rng: random.Random) -> tuple[str, bytes]:
    """Write a safetensors file whose own header lies about its tensors."""
    sides = rng.choice(([10**6, 10**6], [1 << 62], [-1], [2.5], []))
    tensors = {
        "a": {"dtype": "F32", "shape": sides, "data_offsets": [0, rng.choice((0, 4, 10**12))]}
    }
    text = json.dumps({"__metadata__": {headers.HEADER_KEY: "{}"}, **tensors}).encode()
    length = rng.choice((len(text), len(text), 1 << 40, (1 << 64) - 1))
    return ".safetensors", struct.pack("<Q", length) + text + bytes(4)


WAYS: dict[str, Callable[[random.Random], tuple[str, Any]]] = {
    "bytes of ours": _bytes_of_ours,
    "header: numbers": _header_numbers,
    "header: JSON": _header_json,
    "kinds of numbers": _kinds_of_numbers,
    "graphs": _graph_text,
    "pickles: content": _pickled,
    "pickles: code": _code,
    "pickles: packed": _packed_zip,
    "pickles: bytes": _bytes_of_pickles,
    "ONNX": _onnx,
    "safetensors: sizes": _declared_header,
}
