"""Networks written for other runtimes: ONNX, OpenVINO and torch.export."""

import json
import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from blur2blur.checkpoints import HEADER_KEY
from blur2blur.errors import Blur2BlurError, CheckpointError, ConfigError
from blur2blur.files import atomic_files
from blur2blur.inference.chain import Chain

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ONNX_OPSET = 18
"""The ONNX operators' version, which the exporter of torch knows best; ONNX Runtime 1.14 on."""

INPUT_NAME = "image"

# Conversion needs memory for the network at this size; the result takes any.
_TRACED_SIDE_PX = 64


def describe(chain: Chain, **more: object) -> dict[str, Any]:
    """Return what an exported file says of itself.

    Args:
        chain: one network, or converter and deblurrer.
        more: further entries, or others for these; `outputs` names the outputs.
    """
    outputs = ["converted", "deblurred"] if len(chain.networks) > 1 else ["deblurred"]
    return {
        "outputs": outputs,
        "multiple": chain.size_rule.multiple,
        "minimum": chain.size_rule.minimum,
        "range": "[0, 1]",
        "colour": "sRGB RGB",
        "version": version("blur2blur"),
        **more,
    }


def write_onnx(chain: Chain, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write an ONNX file of opset `ONNX_OPSET`, whole or not at all.

    Its input `image` is float32 N 3 H W, sRGB in [0, 1], sides as `chain.size_rule` says; each
    output is such an image, clamped to [0, 1].

    Args:
        chain: on CPU, in evaluation mode.
        path: the .onnx file.
        about: what it says of itself, as `describe` returns; None for just that.

    Raises:
        ConfigError: the extra `export` is not installed.
        CheckpointError: a network that cannot be exported.
        InputError: the file cannot be written.
    """
    with _needed("onnx"):
        import onnx
        import onnxscript  # noqa: F401 (torch asks for it only later)
    about = about or describe(chain)
    with _explained("ONNX"):
        program = torch.onnx.export(
            _traced(chain),
            dynamo=True,
            opset_version=ONNX_OPSET,
            input_names=[INPUT_NAME],
            output_names=list(about["outputs"]),
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        sides = value.type.tensor_type.shape.dim
        sides[0].dim_param, sides[2].dim_param, sides[3].dim_param = "batch", "height", "width"
    # shapes in between by other names; and the lines of code, with folders of this computer
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.helper.set_model_props(model, {HEADER_KEY: json.dumps(about)})
    with atomic_files(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def write_openvino(chain: Chain, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write an OpenVINO model, `path` (.xml) and its weights beside it (.bin), both or neither.

    Weights are kept in float32. Input, outputs, arguments and errors are those of `write_onnx`.
    """
    with _needed("openvino"):
        import openvino
    about = about or describe(chain)
    with _explained("OpenVINO"):
        model: Any = openvino.convert_model(
            chain, example_input=_example(chain), input=[(INPUT_NAME, [-1, 3, -1, -1])]
        )
    for output, name in zip(model.outputs, about["outputs"], strict=True):
        output.get_tensor().set_names({name})
    model.set_rt_info(json.dumps(about), [HEADER_KEY])
    with atomic_files(path) as temporary:
        openvino.save_model(model, temporary, compress_to_fp16=False)


def write_torch_export(chain: Chain, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a program of `torch.export` (.pt2); as `write_onnx`, but it needs no extra."""
    with _explained("torch.export"):
        program = _traced(chain)
    with atomic_files(path) as temporary:
        extra = {HEADER_KEY: json.dumps(about or describe(chain))}
        torch.export.save(program, temporary, extra_files=extra)


def _example(chain: Chain) -> Tensor:
    """Return an image of unlike sides, so that no trace takes one for the other."""
    height, width = chain.size_rule.padded(_TRACED_SIDE_PX, _TRACED_SIDE_PX + 1)
    return torch.rand(2, 3, height, width + chain.size_rule.multiple)


def _traced(chain: Chain) -> "ExportedProgram":
    rule = chain.size_rule
    least = -(-rule.minimum // rule.multiple)
    sides = {
        dim: rule.multiple * torch.export.Dim(name, min=least)
        for dim, name in ((2, "height"), (3, "width"))
    }
    shapes = ({0: torch.export.Dim.DYNAMIC, **sides},)
    return torch.export.export(chain, (_example(chain),), dynamic_shapes=shapes)


@contextmanager
def _needed(package: str) -> Generator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"exporting needs {package}: pip install 'blur2blur[export]'") from error


@contextmanager
def _explained(target: str) -> Generator[None]:
    """Trace without gradients or the exporters' remarks; their errors become one of ours."""
    remarks = logging.getLogger("onnxscript")
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except Blur2BlurError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"this network cannot be exported for {target}: {reason}") from error
    finally:
        remarks.setLevel(level)
