"""Files of `blur2blur export`: ONNX through ONNX Runtime, OpenVINO through OpenVINO.

Both formats hold numbers and a graph of known operators, no code. Programs of torch.export are not
read: torch.export.load unpickles what the file asks it to, and has no safe mode.
"""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from blur2blur import extras, settings
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.settings import Settings
from blur2blur.tiling import Pixels, SizeRule
from blur2blur.weights import openvino
from blur2blur.weights.headers import HEADER_KEY
from blur2blur.weights.operators import refuse_onnx, refuse_openvino

INPUT_NAME = "image"
OUTPUTS = {"converter": "converted", "deblurrer": "deblurred"}
"""Role -> name of the output of a network that has it."""


_NONE = np.empty(0, np.uint8)


class ExportedHeader(Settings):
    """What an exported file says of itself.

    `outputs` is ("converted", "deblurred") for converter and deblurrer in one, else one of them;
    sides of images are multiples of `multiple` and at least `minimum` pixels.
    """

    outputs: tuple[str, ...] = Field(min_length=1)
    multiple: int = Field(ge=1)
    minimum: int = Field(ge=1)
    range: str = "[0, 1]"
    colour: str = "sRGB RGB"
    networks: tuple[str, ...] = ()
    """Of each network: its name in the registry, or its class."""
    weights: Mapping[str, str] = Field(default_factory=dict)
    """Role -> SHA-256 of the weight file."""
    known_blur: str | None = None
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An exported file that is open; it runs on the CPU, in float32.

    Attributes:
        header: what the file says of itself.
        runtime: what runs it.
        run: maps N 3 h w, float32 sRGB in [0, 1], to one such array for each output.
    """

    header: ExportedHeader
    runtime: str
    run: Callable[[Pixels], tuple[Pixels, ...]]

    @property
    def size_rule(self) -> SizeRule:
        """The image sides it accepts."""
        return SizeRule(multiple=self.header.multiple, minimum=self.header.minimum)


def load(path: Path, *, role: str | None = None, alone: bool = True) -> Exported:
    """Open a file of `blur2blur export`, .onnx or .xml with its .bin; runs no code from it.

    Args:
        path: the file.
        role: "converter" or "deblurrer"; a file of both in one is a deblurrer. None takes any.
        alone: take a file of both in one.

    Raises:
        CheckpointError: missing, damaged, not exported by blur2blur, or of another role.
        ConfigError: its runtime is not installed, or a file of both in one beside a converter.
    """
    if not path.is_file():
        raise CheckpointError(f"no exported file {path}")
    opened = _open_openvino(path) if path.suffix.lower() == ".xml" else _open_onnx(path)
    outputs = opened.header.outputs
    if opened.inputs != [INPUT_NAME] or opened.outputs != list(outputs):
        raise CheckpointError(
            f"{path} has the inputs {opened.inputs} and outputs {opened.outputs}, where blur2blur "
            f"writes ['{INPUT_NAME}'] and {list(outputs)}: it is damaged or changed"
        )
    if role is not None and outputs[-1] != OUTPUTS[role]:
        other = next((name for name, made in OUTPUTS.items() if made == outputs[-1]), outputs[-1])
        raise CheckpointError(f"{path} is a {other}, not a {role}")
    if not alone and len(outputs) > 1:
        raise ConfigError(f"{path} converts as well; give no converter beside it")

    def run(images: Pixels) -> tuple[Pixels, ...]:
        try:
            return opened.run(np.ascontiguousarray(images, np.float32))
        except Exception as error:
            reason = openvino.reason_of(error)
            raise CheckpointError(f"{path} fails on {images.shape}: {reason}") from error

    return Exported(header=opened.header, runtime=opened.runtime, run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    header: ExportedHeader
    runtime: str
    inputs: list[str]
    outputs: list[str]
    run: Callable[[Pixels], tuple[Pixels, ...]]


def _open_onnx(path: Path) -> _Opened:
    onnxruntime = load_onnxruntime(purpose=f"{path}")
    onnx: Any = extras.load("onnx", purpose=f"{path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = openvino.threads()
    options.log_severity_level = 4  # what it prints besides raising
    with _damage(path):
        refuse_onnx(onnx.load_model(path, load_external_data=False))
        session: Any = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        told = session.get_modelmeta().custom_metadata_map.get(HEADER_KEY)
        inputs = [port.name for port in session.get_inputs()]
        outputs = [port.name for port in session.get_outputs()]
    return _Opened(
        header=_header(path, told),
        runtime="onnxruntime",
        inputs=inputs,
        outputs=outputs,
        run=lambda images: tuple(session.run(outputs, {INPUT_NAME: images})),
    )


def load_onnxruntime(*, purpose: str) -> Any:  # noqa: ANN401 (onnxruntime is hardly typed)
    """Return the package `onnxruntime`, its telemetry off. Raises ConfigError as `extras.load`."""
    # read when it is imported; it reports to its maker otherwise
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime: Any = extras.load("onnxruntime", purpose=purpose)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _open_openvino(path: Path) -> _Opened:
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise CheckpointError(f"{path} needs its weights {weights}, which is missing; copy both")
    # anything else OpenVINO would try to read as a file of every other program it knows
    xml = path.read_bytes()
    if not xml.strip().endswith(b"</net>"):
        raise CheckpointError(f"{path} is damaged or no OpenVINO file: its end is missing")
    with _damage(path):
        refuse_openvino(xml, np.memmap(weights, np.uint8, "r") if weights.stat().st_size else _NONE)
        model = openvino.core().read_model(path)
        text = model.get_rt_info([HEADER_KEY]).value if HEADER_KEY in model.rt_info else None
    header = _header(path, text)
    with _damage(path):
        compiled = openvino.compile_model(model, "fp32")
    return _Opened(
        header=header,
        runtime="openvino",
        inputs=[name for port in compiled.inputs for name in port.get_names()],
        outputs=[name for port in compiled.outputs for name in port.get_names()],
        run=openvino.runner(compiled),
    )


def _header(path: Path, text: str | None) -> ExportedHeader:
    if not text:
        raise CheckpointError(f"{path} is of another program; give what 'blur2blur export' wrote")
    try:
        return settings.build(ExportedHeader, settings.parse_json(text), source="its header")
    except (ConfigError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or of another version of blur2blur: {error}"
        ) from error


@contextmanager
def _damage(path: Path) -> Generator[None]:
    """Make one line of a runtime's error, which has no type of its own."""
    try:
        yield
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {openvino.reason_of(error)}") from error
