"""Weight files: safetensors whose JSON header rebuilds the network; and the training state.

Nothing here runs code from a file: safetensors hold numbers only, the training state and files of
other programs are read with `weights_only=True`.
"""

import io
import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.files import atomic_path
from blur2blur.networks import ImageNetwork, Network
from blur2blur.weights.headers import FORMAT, HEADER_KEY, Header, read_header, why_unreadable

_FORMER_PREFIX = ("judges.", "parts.")

# All that torch has been seen to raise on damaged files, besides pickle's own error.
_DAMAGE_ERRORS = (
    RuntimeError,
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


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
    try:
        network = networks.build_any(header.network, **header.options)
        load_weights(network, path)
    except ConfigError as error:
        raise CheckpointError(f"{path} {why_unreadable(header.format, error)}") from error
    except CheckpointError as error:
        if header.format <= FORMAT:
            raise
        raise CheckpointError(f"{path} {why_unreadable(header.format, error)}") from error
    return network.eval(), header


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Copy the weights of `path` into `network`, which must have exactly those parameters.

    Raises:
        CheckpointError: damaged, or made for another network (names the first difference).
    """
    expected = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    weights = _current_names(weights)
    problem = first_difference(expected, weights)
    if problem:
        raise CheckpointError(f"{path} was made for another network: {problem}")
    network.load_state_dict({name: weights[name].to(expected[name].dtype) for name in weights})


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it is about to refuse
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than weights (code could run on loading) or is damaged; it was not "
            "loaded: save its state_dict alone"
        ) from error
    except _DAMAGE_ERRORS as error:
        reason = str(error).partition(". ")[0].partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} is damaged or not a torch file: {reason}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not named weights")
    return content
