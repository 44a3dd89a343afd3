"""Exported files as networks again: ONNX through ONNX Runtime, OpenVINO through OpenVINO.

Both formats hold numbers and a graph of known operators, no code. Programs of torch.export are not
read: torch.export.load unpickles what the file asks it to, and has no safe mode.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from numpy import float32
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from blur2blur import settings
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.inference.quiet_openvino import load_openvino
from blur2blur.networks import SizeRule
from blur2blur.settings import Settings
from blur2blur.weights import zoo
from blur2blur.weights.checkpoints import HEADER_KEY

INPUT_NAME = "image"
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
"""Format -> suffix."""

Images = NDArray[float32]


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


class ExportedNetwork(nn.Module):
    """An exported file with the calling convention of our networks; it runs on the CPU, in float32.

    Attributes:
        header: what the file says of itself.
        size_rule: the image sides it accepts.
        precisions: the precisions a pipeline may choose.
    """

    precisions = ("fp32",)

    def __init__(self, path: Path, opened: "_Opened") -> None:
        super().__init__()
        self.header = opened.header
        self.size_rule = SizeRule(multiple=self.header.multiple, minimum=self.header.minimum)
        self._path, self._run = path, opened.run

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map B 3 H W, sRGB in [0, 1], to one such image for each output, clamped, on its device.

        Raises:
            CheckpointError: the file's graph fails on it.
        """
        pixels = image.detach().to("cpu", torch.float32).contiguous().numpy()
        try:
            results = self._run(pixels)
        except Exception as error:
            raise CheckpointError(
                f"{self._path} fails on {tuple(image.shape)}: {_first_line(error)}"
            ) from error
        return tuple(torch.from_numpy(result).to(image.device) for result in results)


def load_network(name_or_path: str, *, role: str, alone: bool = True) -> nn.Module:
    """Return a converter or deblurrer: an exported file's, else what `zoo` makes of it.

    Args:
        name_or_path: a shipped name, a weight file, or an exported file.
        role: "converter" or "deblurrer".
        alone: take a file of both in one for a deblurrer.

    Raises:
        CheckpointError: as `load` or `zoo.load_deblurrer`.
        ConfigError: a package for that kind of file is not installed, or a file of both in one
            beside a converter.
    """
    if Path(name_or_path).suffix.lower() in SUFFIXES.values():
        network = load(Path(name_or_path), role=role)
        if not alone and len(network.header.outputs) > 1:
            raise ConfigError(f"{name_or_path} converts as well; give no converter beside it")
        return network
    if role == "deblurrer":
        return zoo.load_deblurrer(name_or_path)
    return zoo.load_own(name_or_path, role=role)


def known_blur(name_or_path: str, *, role: str) -> str | None:
    """Return the known blur of a file as `zoo.known_blur`, or of an exported file.

    Raises:
        CheckpointError: as `load` or `zoo.known_blur`.
        ConfigError: a package for that kind of file is not installed.
    """
    if Path(name_or_path).suffix.lower() in SUFFIXES.values():
        return load(Path(name_or_path), role=role).header.known_blur
    return zoo.known_blur(name_or_path, role=role)


def load(path: Path, *, role: str | None = None) -> ExportedNetwork:
    """Load a file of `blur2blur export`, .onnx or .xml with its .bin; runs no code from it.

    Args:
        path: the file.
        role: "converter" or "deblurrer"; a file of both in one is a deblurrer. None takes any.

    Raises:
        CheckpointError: missing, damaged, not exported by blur2blur, of another role, or of
            torch.export, whose files cannot be read safely.
        ConfigError: ONNX Runtime or OpenVINO is not installed.
    """
    if path.suffix.lower() == ".pt2":
        raise CheckpointError(
            f"{path} is of torch.export, whose files can run code on loading; give the .onnx or "
            ".xml of the same network"
        )
    if not path.is_file():
        raise CheckpointError(f"no exported file {path}")
    opened = _open_openvino(path) if path.suffix.lower() == ".xml" else _open_onnx(path)
    last = {"converter": "converted", "deblurrer": "deblurred"}
    outputs = opened.header.outputs
    if opened.inputs != [INPUT_NAME] or opened.outputs != list(outputs):
        raise CheckpointError(
            f"{path} has the inputs {opened.inputs} and outputs {opened.outputs}, where blur2blur "
            f"writes ['{INPUT_NAME}'] and {list(outputs)}: it is damaged or changed"
        )
    if role is not None and outputs[-1] != last[role]:
        other = next((name for name, output in last.items() if output == outputs[-1]), outputs[-1])
        raise CheckpointError(f"{path} is a {other}, not a {role}")
    return ExportedNetwork(path, opened)


def require(*packages: str) -> None:
    """Raise ConfigError unless the packages of the extra `export` can be imported."""
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ConfigError(
                f"exported files need {package}: pip install 'blur2blur[export]'"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    header: ExportedHeader
    inputs: list[str]
    outputs: list[str]
    run: Callable[[Images], Sequence[Images]]


def _open_onnx(path: Path) -> _Opened:
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what it prints besides raising
    with _damage(path):
        session: Any = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    outputs = [port.name for port in session.get_outputs()]
    return _Opened(
        header=_header(path, session.get_modelmeta().custom_metadata_map.get(HEADER_KEY)),
        inputs=[port.name for port in session.get_inputs()],
        outputs=outputs,
        run=lambda pixels: session.run(outputs, {INPUT_NAME: pixels}),
    )


def _open_openvino(path: Path) -> _Opened:
    require("openvino")
    openvino = load_openvino()

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise CheckpointError(f"{path} needs its weights {weights}, which is missing; copy both")
    # anything else OpenVINO would try to read as a file of every other program it knows
    if not path.read_bytes().strip().endswith(b"</net>"):
        raise CheckpointError(f"{path} is damaged or no OpenVINO file: its end is missing")
    core: Any = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    with _damage(path):
        model = core.read_model(path)
        text = model.get_rt_info([HEADER_KEY]).value if HEADER_KEY in model.rt_info else None
    header = _header(path, text)
    with _damage(path):
        compiled = core.compile_model(model, "CPU", options)
    ports = range(len(compiled.outputs))

    def run(pixels: Images) -> Sequence[Images]:
        result = compiled(pixels)
        return [result[port] for port in ports]

    return _Opened(
        header=header,
        inputs=[name for port in compiled.inputs for name in port.get_names()],
        outputs=[name for port in compiled.outputs for name in port.get_names()],
        run=run,
    )


def _header(path: Path, text: str | None) -> ExportedHeader:
    if not text:
        raise CheckpointError(f"{path} is of another program; give what 'blur2blur export' wrote")
    try:
        return settings.build(ExportedHeader, json.loads(text), source="its header")
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
        raise CheckpointError(f"{path} is damaged: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
