"""The chain run by OpenVINO or ONNX Runtime on a CPU, from a converted file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.inference.backends import cache
from blur2blur.inference.chain import Chain
from blur2blur.inference.exporting.write import write_onnx, write_openvino
from blur2blur.inference.quiet_openvino import load_openvino

Restore = Callable[[Tensor], tuple[Tensor, ...]]

_HINTS = {"fp32": "f32", "bf16": "bf16"}
# From here on OpenVINO plans the memory for one shape: half of what it takes for any shape. That
# costs a third of a second for each new one, so that small images are run for any.
_PLANNED_VALUES = 3 * 512 * 512
# Sides of the image that a conversion is tried on, other than those it was made with; and how far
# it may be off: one that left something out is off by tenths, bf16 by up to 0.02.
_TRIAL_SIDES_PX = (96, 160)
_TRIAL_TOLERANCE = {"fp32": 1e-2, "bf16": 0.1}


def openvino_restore(chain: Chain, precision: str) -> Restore:
    """Return the chain as a function that OpenVINO runs.

    Raises:
        ConfigError: OpenVINO is not installed.
        CheckpointError: it cannot take these networks.
    """
    try:
        openvino = load_openvino()
    except ImportError as error:
        raise ConfigError("the backend openvino needs: pip install 'blur2blur[export]'") from error

    tried: list[Restore] = []

    def write(path: Path) -> None:
        write_openvino(chain, path, half=precision == "bf16")
        restore = _load_openvino(path, precision)
        _compare(restore, chain, _TRIAL_TOLERANCE[precision])
        tried.append(restore)

    name = f"{precision}.xml"
    with cache.model_file(chain, name, write, runtime=openvino.__version__) as path:
        return tried[0] if tried else _load_openvino(path, precision)


def onnxruntime_restore(chain: Chain) -> Restore:
    """Return the chain as a function that ONNX Runtime runs, in fp32.

    Raises:
        ConfigError: ONNX Runtime, or what writes its files, is not installed.
        CheckpointError: it cannot take these networks.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        message = "the backend onnxruntime needs: pip install 'blur2blur[export]'"
        raise ConfigError(message) from error

    def write(path: Path) -> None:
        write_onnx(chain, path)
        _compare(_load_onnxruntime(path), chain, _TRIAL_TOLERANCE["fp32"])

    versions = f"{onnx.__version__} {onnxruntime.__version__}"
    with cache.model_file(chain, "model.onnx", write, runtime=versions) as path:
        return _load_onnxruntime(path)


def _load_openvino(path: Path, precision: str) -> Restore:
    openvino = load_openvino()

    core = openvino.Core()
    # a file that is mapped to memory could not be renamed to its place in the cache on Windows
    core.set_property({"ENABLE_MMAP": False})
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    model: Any = core.read_model(path)
    requests: dict[tuple[int, ...] | None, Any] = {}

    def restore(tiles: Tensor) -> tuple[Tensor, ...]:
        shape = tuple(tiles.shape) if tiles.numel() >= _PLANNED_VALUES else None
        if shape not in requests:
            requests.clear()  # first, so that memory holds one at a time
            planned = model.clone()
            if shape is not None:
                planned.reshape(list(shape))
            requests[shape] = core.compile_model(planned, "CPU", options).create_infer_request()
        request = requests[shape]
        request.infer([tiles.detach().cpu().contiguous().numpy()], share_inputs=True)
        # the request writes its next answer over this one
        return tuple(torch.from_numpy(tensor.data.copy()) for tensor in request.output_tensors)

    return restore


def _load_onnxruntime(path: Path) -> Restore:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def restore(tiles: Tensor) -> tuple[Tensor, ...]:
        outputs = session.run(None, {name: tiles.detach().cpu().contiguous().numpy()})
        return tuple(torch.from_numpy(output) for output in outputs)

    return restore


@torch.inference_mode()
def _compare(restore: Restore, chain: Chain, tolerance: float) -> None:
    """Refuse a conversion that does not do what the chain does at another size.

    Raises:
        CheckpointError: it does not.
    """
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *chain.size_rule.padded(*_TRIAL_SIDES_PX), generator=rng)
    try:
        results = restore(image)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"these networks cannot be converted: {reason}") from error
    for expected, found in zip(chain(image), results, strict=True):
        # not the largest above it: NaN is not
        if expected.shape != found.shape or not (expected - found).abs().max() <= tolerance:
            raise CheckpointError(
                "these networks cannot be converted: the conversion answers something else at "
                "another size"
            )
