"""The weight files of the published code: written beside a run's own, and found again.

`{epoch}_net_G.pth` and `latest_net_D.pth` hold the parameters under the published names where the
published code has that network, else under ours.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur.errors import CheckpointError
from blur2blur.reference.options import GENERATORS

if TYPE_CHECKING:
    from torch import Tensor

    from blur2blur.networks import ImageNetwork

LATEST = "latest"
"""Epoch of the last checkpoint."""

# a network of band energies has no `convs`, a spectral norm `parametrizations` between the two
_OF_SHARED_PATCHGAN = re.compile(r"parts\.0\.0\.convs\.\d+\.(weight|bias)")


def write_networks(run: Path, prefixes: Sequence[str]) -> None:
    """Write the last checkpoint of `run` as `{prefix}_net_G.pth`, the latest as `_net_D.pth` too.

    G has the averaged weights, as `last.safetensors` does.

    Raises:
        CheckpointError: the checkpoint is damaged. InputError: a file cannot be written.
    """
    from blur2blur.training.run_folder import STATE
    from blur2blur.weights.checkpoints import load_network, load_pickle_safely, save_state
    from blur2blur.weights.reference_keys import mimo_unet_to_reference
    from blur2blur.weights.verdict import LAST

    network, header = load_network(run / LAST)
    converter: Mapping[str, Tensor] = network.state_dict()
    if header.network.startswith("mimo_unet"):
        converter = mimo_unet_to_reference(converter)
    for prefix in prefixes:
        save_state(run / f"{prefix}_net_G.pth", converter)
    discriminator = load_pickle_safely(run / STATE)["networks"].get("discriminator")
    if LATEST in prefixes and discriminator is not None:
        save_state(run / f"{LATEST}_net_D.pth", _discriminator_to_reference(discriminator))


def _discriminator_to_reference(state: "Mapping[str, Tensor]") -> "Mapping[str, Tensor]":
    """Rename a PatchGAN that all scales share; the published code has no other of ours."""
    from blur2blur.weights.reference_keys import SHARED_PATCHGAN, patchgan_to_reference

    if not all(_OF_SHARED_PATCHGAN.fullmatch(key) for key in state):
        return state
    discriminator = {key.removeprefix(SHARED_PATCHGAN): value for key, value in state.items()}
    of_pixels = discriminator["convs.0.weight"].shape[-1] == 1
    return state if of_pixels else patchgan_to_reference(discriminator)


def find_converter(run: Path, epoch: str, iteration: int) -> Path:
    """Return the weights of an epoch ("latest", "best" or a number), or of an iteration above 0.

    Raises:
        CheckpointError: no such folder, or no such weights; names those that are there.
    """
    if not run.is_dir():
        raise CheckpointError(
            f"no folder {run}; train.py with the same --name and --checkpoints_dir makes it"
        )
    if iteration > 0:
        wanted = f"iteration {iteration}"
        names = [f"iter_{iteration}_net_G.pth", f"{iteration}_net_G.pth"]
    else:
        wanted = f"epoch '{epoch}'"
        own = {LATEST: ["last.safetensors"], "best": ["best.safetensors"]}.get(epoch, [])
        names = [*own, f"{epoch}_net_G.pth"]
    for name in names:
        if (run / name).is_file():
            return run / name
    there = sorted(path.name for path in [*run.glob("*_net_G.pth"), *run.glob("*.safetensors")])
    raise CheckpointError(
        f"{run} has no weights of {wanted} ({' or '.join(names)}); there: "
        f"{', '.join(there) if there else 'none'}"
    )


def load_converter(path: Path, netG: str | None) -> "ImageNetwork":
    """Return the network of a weight file of ours, of `train.py` or of the published code.

    Args:
        path: as `find_converter` returns it.
        netG: refuse another network than this value of --netG; None takes what is there.

    Raises:
        CheckpointError: damaged, unsafe, or another network.
    """
    from blur2blur.weights import loading

    own = path.with_name("last.safetensors")
    if path.suffix == ".pth" and own.is_file():
        network = _of_run(path, own)
    else:
        network = loading.load_own(str(path), role="converter")
    if netG is not None:
        name, options = GENERATORS[netG]
        built = network.options.model_dump()
        if network.name != name or any(built[key] != options[key] for key in options):
            raise CheckpointError(
                f"{path} holds a {_published_name(network.name, built)}, not a {netG}; give "
                f"--netG {_published_name(network.name, built)}"
            )
    return network


def _of_run(path: Path, own: Path) -> "ImageNetwork":
    """Return the network that `own` describes with the weights of `path`."""
    from blur2blur import networks
    from blur2blur.weights.checkpoints import first_difference, load_pickle_safely
    from blur2blur.weights.headers import read_header
    from blur2blur.weights.reference_keys import mimo_unet_to_ours

    header = read_header(own)
    network = networks.build(header.network, **header.options)
    state = load_pickle_safely(path)
    if header.network.startswith("mimo_unet"):
        state = mimo_unet_to_ours(state)
    problem = first_difference(network.state_dict(), state)
    if problem:
        raise CheckpointError(f"{path} was made for another network than {own}: {problem}")
    network.load_state_dict(state)
    return network.eval()


def _published_name(name: str, options: Mapping[str, object]) -> str:
    for published, (network, chosen) in GENERATORS.items():
        if network == name and all(options[key] == value for key, value in chosen.items()):
            return published
    return name
