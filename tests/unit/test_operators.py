"""Graphs of strangers hold operators from images to images, and no numbers that are huge sizes."""

import numpy as np
import pytest

from blur2blur.weights import operators

NONE = np.empty(0, np.uint8)
CONSTANT = '<layer name="c" type="Const"><data element_type="i64" shape="{}" offset="0" size="8"/>'


def model(layers: str) -> bytes:
    return f'<?xml version="1.0"?><net name="a"><layers>{layers}</layers></net>'.encode()


def number(value: int) -> np.ndarray:
    return np.frombuffer(np.int64(value).tobytes(), np.uint8)


@pytest.mark.parametrize(
    ("xml", "constants", "words"),
    [
        (model('<layer type="Loop"/>'), NONE, "the operator 'Loop'"),
        (model('<layer type="Const"><body><layer type="If"/></body></layer>'), NONE, "'If'"),
        (model("<a>" * 100 + "</a>" * 100), NONE, "levels deep"),
        (b'<!DOCTYPE a [<!ENTITY x "x">]>' + model(""), NONE, "no description"),
        (model("")[:-3], NONE, "no XML"),
        (model(CONSTANT.format("1") + "</layer>"), NONE, "does not lie in the file"),
        (model(CONSTANT.format("99999,99999") + "</layer>"), number(1), "does not lie in the file"),
        (model(CONSTANT.format("1") + "</layer>"), number(10**9), "sizes are at most"),
    ],
)
def test_what_our_exporter_would_not_write(xml: bytes, constants: np.ndarray, words: str):
    with pytest.raises(ValueError, match=words):
        operators.refuse_openvino(xml, constants)


@pytest.mark.parametrize("value", [0, -1, 1 << 20, (1 << 31) - 1, (1 << 63) - 1])
def test_sizes_of_images_and_ends_of_slices_pass(value: int):
    operators.refuse_openvino(model(CONSTANT.format("1") + "</layer>"), number(value))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"op_type": "Loop"}, "'Loop'"),
        ({"op_type": "Add", "domain": "other"}, "'other'"),
        ({"op_type": "ConstantOfShape", "tensor": 10**9}, "sizes are at most"),
        ({"op_type": "Add", "external": True}, "in another file"),
    ],
)
def test_onnx(node: dict, words: str):
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    held = []
    if "tensor" in node:
        held = [helper.make_tensor("s", kinds.INT64, [1], [node["tensor"]])]
    if "external" in node:
        held = [kinds(name="s", data_type=1, dims=[1], data_location=kinds.EXTERNAL)]
    made = helper.make_node(node["op_type"], ["s"], ["x"], domain=node.get("domain", ""))
    graph = helper.make_graph([made], "g", [], [], held)
    with pytest.raises(ValueError, match=words):
        operators.refuse_onnx(helper.make_model(graph))
