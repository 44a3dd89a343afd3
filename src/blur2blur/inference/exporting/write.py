"""Networks written for other runtimes: ONNX, OpenVINO and torch.export, compared before kept."""

import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from blur2blur import extras, settings
from blur2blur.errors import Blur2BlurError, CheckpointError, ConfigError, InputError
from blur2blur.files import atomic_files, refuse_file_in_the_way
from blur2blur.inference.backends import exported
from blur2blur.inference.backends.exported import INPUT_NAME, OUTPUTS, ExportedHeader
from blur2blur.inference.exporting.chain import Chain
from blur2blur.networks import ImageNetwork, SizeRule, pad_to_rule
from blur2blur.weights import loading, tracing, verdict, zoo
from blur2blur.weights.headers import HEADER_KEY, is_ours, read_header
from blur2blur.weights.quiet_openvino import load_openvino

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ONNX_OPSET = 18
"""The version of ONNX's operators; the one that torch's exporter is written for."""

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
"""Format -> suffix."""

TOLERANCE = 1e-4
"""Largest difference between an exported network and the original in float32, of values in [0, 1]:
a fortieth of a step of 8 bits."""

# Batch, height and width; each side of every network's rule is met and missed.
_COMPARED_SIZES = ((2, 61, 91), (1, 1, 1), (1, 45, 530))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written.

    Attributes:
        format: "onnx", "openvino" or "torch-export".
        header: what the file says of itself.
        difference: the largest one from the original, of values in [0, 1].
    """

    format: str
    header: ExportedHeader
    difference: float


def export(
    file: str, out: Path, *, converter: str | None = None, format: str | None = None
) -> Export:
    """Write weights for another runtime, if there they give what they give here.

    Args:
        file: a shipped name or a weight file, of a converter or a deblurrer.
        out: the file to be written; OpenVINO's .xml gets a .bin beside it.
        converter: a shipped name or a weight file; the result is then converter and deblurrer in
            one.
        format: "onnx", "openvino" or "torch-export"; None for that of the suffix of `out`.

    Raises:
        ConfigError: an unknown format, another suffix than the format's, an `out` that exists, a
            `file` that is no deblurrer beside a converter, or a missing extra.
        CheckpointError: weights that cannot be loaded or exported, or whose exported file differs
            by more than `TOLERANCE`.
        InputError: the file cannot be written.
    """
    format = _format(out, format)
    _require(format)
    chain, header = load_chain(file, converter)
    exports: list[Export] = []

    def check(written: Path) -> None:
        header, run = _opened(written)
        with _explained(format):
            difference = compare(chain, run, header)
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{out} is not written: its results differ by {difference:.2g} from the original, "
                f"of values in [0, 1] where {TOLERANCE:g} is allowed; try another format"
            )
        exports.append(Export(format=format, header=header, difference=difference))

    WRITERS[format](chain, out, header, check=check)
    return exports[0]


def load_chain(file: str, converter: str | None = None) -> tuple[Chain, ExportedHeader]:
    """Return weights as a chain on CPU, in evaluation mode, and what its exported file is to say.

    Raises:
        ConfigError: a converter beside `file`, which is one too.
        CheckpointError: as `loading.load_own` and `loading.load_deblurrer`.
    """
    files = {_role(file): file}
    if converter is not None:
        if "converter" in files:
            raise ConfigError(f"{file} is a converter; give a deblurrer beside --converter")
        files = {"converter": converter, **files}
    networks = [
        loading.load_deblurrer(name) if role == "deblurrer" else loading.load_own(name, role=role)
        for role, name in files.items()
    ]
    chain = Chain(networks).eval()
    last, name = list(files.items())[-1]
    facts = {
        "weights": {
            role: hashlib.sha256(zoo.resolve(name, role=role).read_bytes()).hexdigest()
            for role, name in files.items()
        },
        "known_blur": _known_blur(zoo.resolve(name, role=last)),
    }
    described = describe(chain, outputs=tuple(OUTPUTS[role] for role in files))
    return chain, described.model_copy(update=facts)


def compare(
    chain: Chain, run: Callable[[Tensor], tuple[Tensor, ...]], header: ExportedHeader
) -> float:
    """Return the largest difference of any output, over noise of odd sizes; NaN counts."""
    rule = SizeRule(multiple=header.multiple, minimum=header.minimum)
    rng = torch.Generator().manual_seed(0)
    differences: list[Tensor] = []
    with torch.inference_mode():
        for batch, height, width in _COMPARED_SIZES:
            image = torch.rand(batch, 3, height, width, generator=rng)
            padded = pad_to_rule(image, rule)
            for one, other in zip(run(padded), chain(padded), strict=True):
                differences.append((one - other).abs().max())
    return float(torch.stack(differences).max())


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


def write_onnx(
    chain: Chain,
    path: Path,
    header: ExportedHeader | None = None,
    *,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write an ONNX file of opset `ONNX_OPSET`, whole or not at all.

    Its input `image` is float32 N 3 H W, sRGB in [0, 1], sides as `chain.size_rule` says; each
    output is such an image, clamped to [0, 1].

    Args:
        chain: on CPU, in evaluation mode.
        path: the .onnx file.
        header: what it says of itself; None for `describe(chain)`.
        check: given the file before it gets its name; what it raises keeps it from that.

    Raises:
        ConfigError: the extra `export` is not installed.
        CheckpointError: a network that cannot be exported.
        InputError: the file cannot be written.
    """
    model = _onnx_model(chain, header or describe(chain))
    with atomic_files(path) as temporary:
        temporary.write_bytes(model)
        if check is not None:
            check(temporary)


def write_openvino(
    chain: Chain,
    path: Path,
    header: ExportedHeader | None = None,
    *,
    check: Callable[[Path], None] | None = None,
    half: bool = False,
) -> None:
    """Write an OpenVINO model, `path` (.xml) and its weights beside it (.bin), both or neither.

    Input, outputs, other arguments and errors are those of `write_onnx`.

    Args:
        chain: as there.
        path: the .xml file.
        header: as there.
        check: as there.
        half: store weights in 16 bits, which is more than bf16 computes with; else in float32.
    """
    openvino = load_openvino()

    header = header or describe(chain)
    model = _openvino_model(chain, header)
    model.set_rt_info(header.model_dump_json(), [HEADER_KEY])
    with atomic_files(path) as temporary:
        try:
            openvino.save_model(model, temporary, compress_to_fp16=half)
        except RuntimeError as error:  # which does not tell why
            raise InputError(
                f"cannot write {path}: the disk is full or the folder was taken away; free some "
                "space and run the same command again"
            ) from error
        if check is not None:
            check(temporary)


def write_torch_export(
    chain: Chain,
    path: Path,
    header: ExportedHeader | None = None,
    *,
    check: Callable[[Path], None] | None = None,
) -> None:
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
    # serialised in memory: torch's own writing reports a full disk as an error of its code
    data = io.BytesIO()
    torch.export.save(program, data, extra_files={HEADER_KEY: header.model_dump_json()})
    with atomic_files(path) as temporary:
        temporary.write_bytes(data.getbuffer())
        if check is not None:
            check(temporary)


WRITERS = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "torch-export": write_torch_export,
}
PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": (),
    "torch-export": (),
}
"""What writing and comparing each format needs."""


def _format(out: Path, asked: str | None) -> str:
    by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
    suffix = out.suffix.lower()
    if asked is None and suffix not in by_suffix:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in by_suffix.items())
        raise ConfigError(f"{out}: its suffix names no format; known: {known}")
    name = by_suffix[suffix] if asked is None else asked
    if name not in SUFFIXES:
        raise ConfigError(f"unknown format '{name}'{settings.nearest(name, SUFFIXES)}")
    if suffix != SUFFIXES[name]:
        raise ConfigError(f"{out}: {name} is written as {SUFFIXES[name]}; give it that suffix")
    for path in (out, out.with_suffix(".bin")) if name == "openvino" else (out,):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another name or delete it")
    refuse_file_in_the_way(out.parent)
    return name


def _role(name_or_path: str) -> str:
    """Return the role of a weight file; one of another program is a deblurrer."""
    if name_or_path in zoo.ENTRIES:
        return zoo.ENTRIES[name_or_path].role
    path = Path(name_or_path)
    if path.is_dir():
        kept = verdict.winner(path)
        if kept == zoo.NONE:
            raise ConfigError(
                f"{path}: none is better than its converter, so there is none to write"
            )
        return _role(kept)
    return read_header(path).role if is_ours(path) else "deblurrer"


def _known_blur(path: Path) -> str | None:
    return zoo.known_blur(read_header(path)) if is_ours(path) else None


def _require(format: str) -> None:
    for package in PACKAGES[format]:
        extras.load(package, purpose=f"the format {format}")


def _opened(path: Path) -> tuple[ExportedHeader, Callable[[Tensor], tuple[Tensor, ...]]]:
    """Open a file that was written just now, which is why a .pt2 may be unpickled here."""
    if path.suffix.lower() != SUFFIXES["torch-export"]:
        file = exported.load(path)
        return file.header, lambda image: tuple(map(torch.from_numpy, file.run(image.numpy())))
    extra: dict[str, Any] = {HEADER_KEY: ""}
    with _explained("torch.export"):
        program = torch.export.load(path, extra_files=extra)
    header = ExportedHeader.model_validate_json(extra[HEADER_KEY])
    return header, program.module()


def _onnx_model(chain: Chain, header: ExportedHeader) -> bytes:
    _require("onnx")
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


def _openvino_model(chain: Chain, header: ExportedHeader) -> Any:  # noqa: ANN401
    """Return the chain as OpenVINO's model; its ports are named by the header."""
    model = _openvino_from_trace(chain) if all(map(_is_ours, chain.networks)) else None
    if model is None:
        onnx = _onnx_model(chain, header)
        with _explained("OpenVINO"):
            # not openvino.convert_model, which reports its use over the network
            model = load_openvino().Core().read_model(onnx)
    for port, name in zip(model.outputs, header.outputs, strict=True):
        port.get_tensor().set_names({name})
    model.inputs[0].get_tensor().set_names({INPUT_NAME})
    model.reshape([-1, 3, -1, -1])
    return model


def _is_ours(network: nn.Module) -> bool:
    return isinstance(network, ImageNetwork)


def _openvino_from_trace(chain: Chain) -> Any:  # noqa: ANN401
    """Return OpenVINO's model of a trace; None where that would not be faithful."""

    # a function, not the module, whose every submodule would be traced into one of its own
    def run(image: Tensor) -> tuple[Tensor, ...]:
        return chain(image)

    try:
        with _constant(chain):
            return tracing.convert(run, [tracing.example(chain.size_rule)], name="the chain")
    except CheckpointError as error:
        _log.debug("going through ONNX: %s", error)
        return None


@contextmanager
def _constant(chain: Chain) -> Generator[None]:
    """Let a trace of a function take weights for constants: those that gradients change are not."""
    trained = [weight for weight in chain.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def _traced(chain: Chain) -> "ExportedProgram":
    """Return the chain as a program for any batch and any sides that its size rule allows."""
    rule = chain.size_rule
    least = -(-rule.minimum // rule.multiple)
    sides = {
        dim: rule.multiple * torch.export.Dim(name, min=least)
        for dim, name in ((2, "height"), (3, "width"))
    }
    shapes = ({0: torch.export.Dim.DYNAMIC, **sides},)
    return torch.export.export(chain, (tracing.example(rule),), dynamic_shapes=shapes)


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
