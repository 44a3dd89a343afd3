"""Weight files: safetensors whose JSON header rebuilds the network; and the training state.

Nothing here runs code from a file: safetensors hold numbers only, the training state and files of
other programs are read with `weights_only=True`.
"""

import io
import json
import pickle
import re
import threading
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.files import atomic_path
from blur2blur.networks import ImageNetwork, Network
from blur2blur.weights.headers import FORMAT, HEADER_KEY, Header, read_header, why_unreadable

_FORMER_PREFIX = ("judges.", "parts.")
_PLACE_IN_TORCH = re.compile(r"^\[enforce fail at [^]]*\] *\.? *")

# networks may make parameters that they replace
_MOST_PASSING_PARAMETERS = 4
_MOST_BYTES = 1 << 33
_MOST_ENTRIES = 1 << 16
# tensors that share their numbers count each; more than that is made to fill the memory
_MOST_SHARED = 4


def save_network(path: Path, network: torch.nn.Module, header: Header) -> None:
    """Write weights and header to `path`, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    weights = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in network.state_dict().items()
    }
    # serialised in memory: safetensors' own writing reports a full disk as damaged weights
    data = save(weights, metadata={HEADER_KEY: json.dumps(header.model_dump(mode="json"))})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def load_network(path: Path, *, role: str | None = None) -> tuple[ImageNetwork, Header]:
    """Rebuild a network from image to image; as `load_any`, and raises what it raises."""
    network, header = load_any(path, role=role)
    if not isinstance(network, ImageNetwork):
        raise CheckpointError(f"{path} is a {header.role}, which makes no image of an image")
    return network, header


def load_any(path: Path, *, role: str | None = None) -> tuple[Network, Header]:
    """Rebuild the network that `path` describes, with its weights, in evaluation mode, on CPU.

    Args:
        path: a file that `save_network` wrote.
        role: refuse a file whose header names another role.

    Raises:
        CheckpointError: missing, damaged, not ours, of another role or another network.
    """
    header = read_header(path)
    if role is not None and header.role != role:
        raise CheckpointError(
            f"{path} is a {header.role}, not a {role}; give what 'blur2blur train {role}' made"
        )
    weights = _weights_of(path)
    try:
        network = build_for(header.network, header.options, weights)
    except CheckpointError as error:
        if header.format <= FORMAT:
            raise CheckpointError(f"{path} was made for another network: {error}") from error
        raise CheckpointError(f"{path} {why_unreadable(header.format, error)}") from error
    except ConfigError as error:
        raise CheckpointError(f"{path} {why_unreadable(header.format, error)}") from error
    _put(weights, network)
    return network.eval(), header


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Copy the weights of `path` into `network`, which must have exactly those parameters.

    Raises:
        CheckpointError: damaged, or made for another network (names the first difference).
    """
    weights = _weights_of(path)
    problem = first_difference(network.state_dict(), weights)
    if problem:
        raise CheckpointError(f"{path} was made for another network: {problem}")
    _put(weights, network)


def _weights_of(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return _current_names(weights)


def _put(weights: Mapping[str, Tensor], network: torch.nn.Module) -> None:
    expected = network.state_dict()
    network.load_state_dict({name: weights[name].to(expected[name].dtype) for name in weights})


def build_for(name: str, options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Network:
    """Build the network of a weight file, if that is what the file's weights are of.

    It is built without memory first: what a file says of its network may be a thousand times what
    it holds.

    Raises:
        CheckpointError: the weights are not those of the network; names the first difference.
        ConfigError: as `networks.build_any`.
    """
    described = _without_memory(name, options, most_parameters=len(weights))
    problem = first_difference(described.state_dict(), weights)
    if problem:
        raise CheckpointError(problem)
    return networks.build_any(name, **options)


def _without_memory(name: str, options: Mapping[str, Any], *, most_parameters: int) -> Network:
    left = _MOST_PASSING_PARAMETERS * (most_parameters + 1)
    thread = threading.get_ident()

    def count(*_: object) -> None:
        nonlocal left
        left -= threading.get_ident() == thread
        if left < 0:
            raise CheckpointError(f"it has more than {most_parameters} parameters")

    handle = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            return networks.build_any(name, **options)
    except (RuntimeError, TypeError, ValueError, OverflowError, MemoryError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"no network can be described like that: {reason}") from error
    finally:
        handle.remove()


def first_difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Say in a few words how two state dicts differ in names or shapes; empty if they do not."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing:
        return f"it lacks {len(missing)} parameters, first {missing[0]}"
    if extra:
        return f"it has {len(extra)} parameters too many, first {extra[0]}"
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            return f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        if tensor.is_floating_point() != found[name].is_floating_point():
            return f"{name} holds {found[name].dtype}, not {tensor.dtype}"
    return ""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (tensors and plain values) whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    # serialised in memory: torch's own writing reports a full disk as an error of its code
    data = io.BytesIO()
    torch.save(dict(state), data)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.getbuffer())


def _current_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of today; those of discriminators were others in format 1."""
    old, new = _FORMER_PREFIX
    return {
        new + name.removeprefix(old) if name.startswith(old) else name: value
        for name, value in weights.items()
    }


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state, also one of an older version; raises as `load_pickle_safely`."""
    state = load_pickle_safely(path)
    for section in ("networks", "optimisers"):
        state[section] = {
            "network" if name == "generator" else name: each
            for name, each in state[section].items()
        }
    state["networks"] = {name: _current_names(each) for name, each in state["networks"].items()}
    return state


def load_pickle_safely(path: Path) -> dict[str, Any]:
    """Read a `torch.save` file of tensors and plain values without running code from it.

    Raises:
        CheckpointError: missing, damaged, or holding anything but tensors and plain values.
    """
    if not path.is_file():
        raise CheckpointError(f"no file {path}")
    if not path.stat().st_size:
        raise CheckpointError(f"{path} is empty (zero bytes); give another file")
    _refuse_packed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it is about to refuse
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than weights (code could run on loading) or is damaged; it was not "
            "loaded: save its state_dict alone"
        ) from error
    except Exception as error:  # torch raises anything on damaged files
        told = _PLACE_IN_TORCH.sub("", str(error))
        reason = told.partition(". ")[0].partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} is damaged or not a torch file: {reason}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not named weights")
    _refuse_tensors(content, path)
    return content


def _refuse_packed(path: Path) -> None:
    """Refuse a zip file that holds more than its own bytes: torch packs nothing."""
    size_bytes = path.stat().st_size
    if size_bytes > _MOST_BYTES:
        raise CheckpointError(f"{path} has {size_bytes} bytes; the limit is {_MOST_BYTES}")
    try:
        if not zipfile.is_zipfile(path):  # which itself fails on some damage
            return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    packed = sum(entry.file_size for entry in entries) > size_bytes
    if packed or len(entries) > _MOST_ENTRIES:
        raise CheckpointError(f"{path} is damaged: its entries are packed, or far too many")


def _refuse_tensors(content: object, path: Path) -> None:
    """Refuse tensors that hold no plain numbers, or many times those that are in the file."""
    left_bytes = _MOST_SHARED * path.stat().st_size
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Tensor):
            if each.layout != torch.strided or each.is_quantized or each.is_meta:
                raise CheckpointError(f"{path} holds a tensor that is not dense; save it dense")
            left_bytes -= each.numel() * each.element_size()
        elif isinstance(each, dict | list | tuple | set) and id(each) not in seen:
            seen.add(id(each))
            waiting += each.values() if isinstance(each, dict) else each
    if left_bytes < 0:
        raise CheckpointError(f"{path} holds tensors that repeat the file's few numbers many times")
