"""Networks written for other runtimes: ONNX, OpenVINO and torch.export."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from blur2blur.checkpoints import HEADER_KEY
from blur2blur.errors import Blur2BlurError, CheckpointError
from blur2blur.files import atomic_files
from blur2blur.inference.chain import Chain
from blur2blur.inference.exported import INPUT_NAME, ExportedHeader, require

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ONNX_OPSET = 18
"""The version of ONNX's operators; the one that torch's exporter is written for."""

# Conversion needs memory for the network at this size; the result takes any.
_TRACED_SIDE_PX = 64


def describe(chain: Chain, *, outputs: tuple[str, ...] | None = None) -> ExportedHeader:
    """Return what an exported file of a chain says of itself, as far as the chain tells.

    Args:
        chain: one network, or converter and deblurrer.
        outputs: their names; None for "deblurred", or "converted" and "deblurred" of two.
    """
    both = ("converted", "deblurred")
    return ExportedHeader(
        outputs=outputs or both[-len(chain.networks) :],
        multiple=chain.size_rule.multiple,
        minimum=chain.size_rule.minimum,
        networks=tuple(
            str(getattr(network, "name", type(network).__name__)) for network in chain.networks
        ),
        version=version("blur2blur"),
    )


def write_onnx(chain: Chain, path: Path, header: ExportedHeader | None = None) -> None:
    """Write an ONNX file of opset `ONNX_OPSET`, whole or not at all.

    Its input `image` is float32 N 3 H W, sRGB in [0, 1], sides as `chain.size_rule` says; each
    output is such an image, clamped to [0, 1].

    Args:
        chain: on CPU, in evaluation mode.
        path: the .onnx file.
        header: what it says of itself; None for `describe(chain)`.

    Raises:
        ConfigError: the extra `export` is not installed.
        CheckpointError: a network that cannot be exported.
        InputError: the file cannot be written.
    """
    model = _onnx_model(chain, header or describe(chain))
    with atomic_files(path) as temporary:
        temporary.write_bytes(model)


def write_openvino(chain: Chain, path: Path, header: ExportedHeader | None = None) -> None:
    """Write an OpenVINO model, `path` (.xml) and its weights beside it (.bin), both or neither.

    Weights stay float32. Input, outputs, arguments and errors are those of `write_onnx`.
    """
    require("openvino")
    import openvino

    header = header or describe(chain)
    # not openvino.convert_model, which reports its use over the network unless told not to
    model: Any = openvino.Core().read_model(_onnx_model(chain, header))
    model.set_rt_info(header.model_dump_json(), [HEADER_KEY])
    with atomic_files(path) as temporary:
        openvino.save_model(model, temporary, compress_to_fp16=False)


def write_torch_export(chain: Chain, path: Path, header: ExportedHeader | None = None) -> None:
    """Write a program of torch.export (.pt2); as `write_onnx`, but it needs no extra.

    Its smallest side is two multiples of the size rule: torch fixes sizes that may be 1 inside.
    """
    header = header or describe(chain)
    header = header.model_copy(update={"minimum": max(header.minimum, 2 * header.multiple)})
    with _explained("torch.export"):
        program = _traced(chain)
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            node.meta.pop("stack_trace", None)  # names folders of this computer
    with atomic_files(path) as temporary:
        torch.export.save(program, temporary, extra_files={HEADER_KEY: header.model_dump_json()})


def _onnx_model(chain: Chain, header: ExportedHeader) -> bytes:
    require("onnx", "onnxscript")
    import onnx

    with _explained("ONNX"):
        program = torch.onnx.export(
            _traced(chain),
            dynamo=True,
            opset_version=ONNX_OPSET,
            input_names=[INPUT_NAME],
            output_names=list(header.outputs),
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    for value in (*model.graph.input, *model.graph.output):
        sides = value.type.tensor_type.shape.dim
        sides[0].dim_param, sides[2].dim_param, sides[3].dim_param = "batch", "height", "width"
    # shapes in between, by other names than these; and lines of code, by folders of this computer
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.helper.set_model_props(model, {HEADER_KEY: header.model_dump_json()})
    return model.SerializeToString()


def _traced(chain: Chain) -> "ExportedProgram":
    """Return the chain as a program for any batch and any sides that its size rule allows."""
    rule = chain.size_rule
    least = -(-rule.minimum // rule.multiple)
    sides = {
        dim: rule.multiple * torch.export.Dim(name, min=least)
        for dim, name in ((2, "height"), (3, "width"))
    }
    shapes = ({0: torch.export.Dim.DYNAMIC, **sides},)
    height, width = rule.padded(_TRACED_SIDE_PX, _TRACED_SIDE_PX)
    # unlike sides, so that the trace does not take one for the other
    example = torch.rand(2, 3, height, width + rule.multiple)
    return torch.export.export(chain, (example,), dynamic_shapes=shapes)


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
