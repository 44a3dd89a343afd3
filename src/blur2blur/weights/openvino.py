"""Graphs of weight files run by OpenVINO on a CPU."""

import os
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import CheckpointError
from blur2blur.weights.graphs import IMAGE, Graph, Weights
from blur2blur.weights.operators import refuse_openvino
from blur2blur.weights.quiet_openvino import load_openvino

Values = NDArray[np.float32]

# "Exception from src/core/model.cpp:84:", "/onnxruntime_src/onnxruntime/core/common.h:81 "
_PLACE_IN_SOURCE = re.compile(r"(?:(?:Exception from|failed at) )?\S+\.(?:cpp|cc|hpp|h):\d+:? ?")
_HINTS = {"fp32": "f32", "bf16": "bf16"}


def load(graph: Graph, weights: Weights, precision: str) -> Callable[[Values], Values]:
    """Return a function of N 3 h w, of any size that the graph takes; threads may share it.

    Args:
        graph: what to run.
        weights: by name, in float32.
        precision: "fp32" or "bf16", of the convolutions.

    Raises:
        CheckpointError: graph and weights do not fit each other, or are damaged.
    """
    package = load_openvino()
    try:
        refuse_openvino(graph.xml, np.frombuffer(graph.constants, np.uint8))
        model: Any = core().read_model(graph.xml, package.Tensor(_bytes(graph.constants)))
        for parameter in list(model.get_parameters()):
            port = parameter.output(0)
            name = port.get_any_name()
            if name != IMAGE:
                port.replace(package.op.Constant(weights[name]).output(0))
                model.remove_parameter(parameter)
        model.validate_nodes_and_infer_types()
        compiled = compile_model(model, precision)
    except KeyError as error:
        raise CheckpointError(f"the graph asks for weights {error} that are not there") from error
    except (RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"graph and weights do not fit: {reason_of(error)}") from error
    run = runner(compiled)
    return lambda images: run(np.ascontiguousarray(images, np.float32))[0]


def reason_of(error: Exception) -> str:
    """Return one line of what a runtime raised, without the places in the runtime's own source."""
    told = _PLACE_IN_SOURCE.sub("", str(error)).splitlines()
    return next((line.strip() for line in reversed(told) if line.strip()), type(error).__name__)


def compile_model(model: Any, precision: str) -> Any:  # noqa: ANN401 (openvino is hardly typed)
    """Return OpenVINO's model compiled for the CPU, for images of any size."""
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads(),
        # with fewer threads than cores, each process would bind its own to the same first cores
        "ENABLE_CPU_PINNING": False,
        # what it keeps for shapes that it has met: memory that grew with every size of image
        "CPU_RUNTIME_CACHE_CAPACITY": "0",
    }
    return core().compile_model(model, "CPU", options)


def runner(compiled: Any) -> Callable[[Values], tuple[Values, ...]]:  # noqa: ANN401
    """Return a compiled model as a function of its input that threads may share."""
    own = threading.local()

    def run(images: Values) -> tuple[Values, ...]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer([images], share_inputs=True)
        # the request writes its next answer over this one
        return tuple(tensor.data.copy() for tensor in own.request.output_tensors)

    return run


def computes_bf16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def threads() -> int:
    """Return how many threads to compute with: the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def core() -> Any:  # noqa: ANN401
    """Return OpenVINO's entry, one for the process."""
    made = load_openvino().Core()
    # a file that is mapped to memory could not be replaced on Windows
    made.set_property({"ENABLE_MMAP": False})
    return made


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data or b"\0", np.uint8)
