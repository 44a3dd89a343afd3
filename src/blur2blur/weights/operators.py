"""What graphs in files of strangers may ask a runtime to do.

Only operators that take images to images: no loops, no conditions, no random numbers, nothing of
other domains. Numbers that may be sizes are no larger than those of images.
"""

import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

EXPORTED_SUFFIXES = (".onnx", ".xml")
"""Of files with such a graph."""

_MOST_XML_BYTES = 1 << 26
_MOST_DEPTH = 64
_MOST_SIZE = 1 << 20
# these mean "to the end"
_ENDS = 1 << 40
_END_OF_INT32 = (1 << 31) - 1
_MOST_SIZES = 64

_BOTH_NAMES = """
Abs Add Concat ConvTranspose Cos CumSum DepthToSpace Einsum Elu Equal Erf Exp Floor Gather
GatherElements Gelu Greater HardSigmoid LRN Less Log LogSoftmax MatMul MaxPool Mish Mod Pad
Range ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Round
ScatterElementsUpdate Sigmoid Sign Sin Slice Softmax SpaceToDepth Split Sqrt Squeeze Tanh Tile
Transpose Unsqueeze
"""
_OPENVINO_NAMES = """
AdaptiveAvgPool AvgPool BatchNormInference Broadcast Ceiling Clamp Const Convert ConvertLike
Convolution ConvolutionBackpropData DFT Divide FakeQuantize FloorMod GatherND GreaterEqual
GroupConvolution GroupConvolutionBackpropData GroupNormalization HSwish IDFT IRDFT Interpolate
LessEqual LogicalAnd LogicalNot LogicalOr MVN Maximum Minimum Multiply Negative NormalizeL2
NotEqual PReLU Parameter Power RDFT ReLU Result Roll ScaledDotProductAttention ScatterNDUpdate
Select ShapeOf SoftPlus SquaredDifference StridedSlice Subtract Swish VariadicSplit
"""
_ONNX_NAMES = """
And AveragePool BatchNormalization Cast CastLike Ceil Clip Constant ConstantOfShape Conv DFT Div
Expand Flatten GatherND Gemm GlobalAveragePool GlobalMaxPool GreaterOrEqual GroupNormalization
HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu LessOrEqual
LpNormalization Max Mean MeanVarianceNormalization Min Mul Neg Not Or PRelu Pow Reciprocal
Resize ScatterElements ScatterND Shape Size Softplus Sub Sum Swish Trilu Where
"""
_OPENVINO = frozenset((_BOTH_NAMES + _OPENVINO_NAMES).split())
_ONNX = frozenset((_BOTH_NAMES + _ONNX_NAMES).split())
_TYPES = {
    **{f"{letter}{bits}": f"{letter}{bits // 8}" for letter in "iu" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": f"f{bits // 8}" for bits in (16, 32, 64)},
}


def refuse_openvino(xml: bytes, constants: NDArray[np.uint8]) -> None:
    """Raise ValueError for an OpenVINO model that our exporter would not have written.

    Args:
        xml: its description.
        constants: the numbers beside it, as bytes.
    """
    if len(xml) > _MOST_XML_BYTES or b"\0" in xml or b"<!" in xml:
        raise ValueError("it is no description of a network")
    depth = 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(xml), ("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > _MOST_DEPTH:
                raise ValueError(f"it is nested more than {_MOST_DEPTH} levels deep")
            if event == "end" and element.tag == "layer":
                _refuse_layer(element, constants)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML: {error}") from error


def _refuse_layer(layer: ElementTree.Element, constants: NDArray[np.uint8]) -> None:
    kind = layer.get("type", "")
    _refuse_operator(kind, _OPENVINO)
    data = layer.find("data")
    if kind != "Const" or data is None:
        return
    offset, size = int(data.get("offset", "0")), int(data.get("size", "0"))
    sides = [int(side) for side in data.get("shape", "").split(",") if side.strip()]
    if not 0 <= offset <= offset + size <= constants.size or np.prod(sides, dtype=float) > 8 * size:
        raise ValueError(f"the constant {layer.get('name')} does not lie in the file")
    form = _TYPES.get(data.get("element_type", ""))
    if form is not None and size <= 8 * _MOST_SIZES:
        content = constants[offset : offset + size].tobytes()
        _refuse_sizes(np.frombuffer(content, form, count=size // np.dtype(form).itemsize))


def refuse_onnx(model: Any) -> None:  # noqa: ANN401 (onnx is hardly typed)
    """Raise ValueError for an ONNX model, read without its external data, as above."""
    from onnx import AttributeProto, TensorProto, numpy_helper

    graph = model.graph
    if len(model.functions) or len(graph.sparse_initializer):
        raise ValueError("it holds functions or sparse numbers, which blur2blur does not write")
    tensors = list(graph.initializer)
    for node in graph.node:
        _refuse_operator(node.op_type if node.domain in ("", "ai.onnx") else node.domain, _ONNX)
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                raise ValueError(f"its operator {node.op_type} holds another graph")
            if attribute.type == AttributeProto.TENSOR:
                tensors.append(attribute.t)
            if attribute.type in (AttributeProto.INT, AttributeProto.INTS):
                _refuse_sizes(np.array([attribute.i, *attribute.ints]))
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ValueError(f"its numbers {tensor.name} lie in another file")
        if np.prod(list(tensor.dims), dtype=float) <= _MOST_SIZES:
            _refuse_sizes(numpy_helper.to_array(tensor))


def _refuse_operator(name: str, known: frozenset[str]) -> None:
    if name not in known:
        raise ValueError(f"it holds the operator {name!r:.60}, which blur2blur does not write")


def _refuse_sizes(values: NDArray[Any]) -> None:
    if values.dtype.kind not in "iuf":
        return
    sizes = np.abs(values.astype(np.float64))
    if ((sizes > _MOST_SIZE) & (sizes < _ENDS) & (sizes != _END_OF_INT32)).any():
        raise ValueError(f"it holds {sizes.max():g} where sizes are at most {_MOST_SIZE}")
