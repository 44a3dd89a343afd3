"""Weights by name: the table of those that ship, and one way to load them or a file."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from blur2blur.errors import CheckpointError
from blur2blur.networks import (
    BlurExtent,
    ImageNetwork,
    KernelWizard,
    MultiScaleDiscriminator,
)
from blur2blur.settings import nearest
from blur2blur.weights import third_party
from blur2blur.weights.checkpoints import is_ours, load_any, load_network, read_header

WEIGHTS_DIR = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the table of shipped weights."""

    role: str
    file: str
    sha256: str
    licence: str
    trained_on: str
    recipe: str
    result: str


ENTRIES: dict[str, Entry] = {
    "known-blur-small": Entry(
        role="deblurrer",
        file="known-blur-small.safetensors",
        sha256="be877b48b2b01721052a9d750965b4c69d183cfbf3de4646486349e37f6bdab2",
        licence="Apache-2.0",
        trained_on="105 photographs under CC0, Unsplash, Pexels and CC BY licences, at half size",
        recipe="blur2blur train deblurrer --data PHOTOS --preset known-blur-small -o RUN",
        result="Kodak at half size under known-small: 26.1 to 28.0 dB (mean of 3 seeds)",
    ),
    "generic-small": Entry(
        role="converter",
        file="generic-small.safetensors",
        sha256="b2b55e47c680622761123287235c2329c933056d4b4b302f0b033b3795d8692a",
        licence="Apache-2.0",
        trained_on="105 photographs under CC0, Unsplash, Pexels and CC BY licences, at half size",
        recipe="blur2blur train converter --data PHOTOS --preset generic-small -o RUN, in 3 runs",
        result="simulated cameras, held-out photographs, with known-blur-small: 29.8 to 31.2 dB",
    ),
    "known-blur": Entry(
        role="deblurrer",
        file="known-blur.safetensors",
        sha256="7e3a249d539a85b798169e29498f17104c0e56701ac6b63a041e7a0a3a3028c0",
        licence="Apache-2.0",
        trained_on="335 photographs under CC0, Unsplash, Pexels, MIT and CC BY licences",
        recipe="blur2blur train deblurrer --data PHOTOS --preset known-blur -o RUN, first part",
        result="unfinished: the start of a longer training, blur of 1 to 12 px so far",
    ),
    "blur-extent": Entry(
        role="extent",
        file="blur-extent.safetensors",
        sha256="f15c71d3393ad439d835a31521486419ef5f8d8751452e72b87b2cd71eaf15c6",
        licence="Apache-2.0",
        trained_on="335 photographs under CC0, Unsplash, Pexels, MIT and CC BY licences",
        recipe="blur2blur train extent --data PHOTOS --preset blur-extent -o RUN",
        result="held-out simulated crops: mean error 0.69 octaves, median 1.8 px",
    ),
    "kernel-small": Entry(
        role="kernel",
        file="kernel-small.safetensors",
        sha256="0a96019dd4b93667009823eadfc7a0f372cae54bb4604fa177bc34989fe0613f",
        licence="Apache-2.0",
        trained_on="105 photographs under CC0, Unsplash, Pexels and CC BY licences",
        recipe="blur2blur train kernel --data PHOTOS --preset kernel-small --set known...",
        result="Kodak, uniform shake: 44.8 to 46.5 dB, where a Gaussian fit has 33.4 (3 seeds)",
    ),
}

DEFAULT_BLUR_EXTENT = "blur-extent"
DEFAULT_DEBLURRER = "known-blur-small"
DEFAULT_CONVERTER = "generic-small"
"""Makes the blur that the default deblurrer undoes."""


def resolve(name_or_path: str, *, role: str) -> Path:
    """Return the weight file of a shipped name, hash checked, or the path itself.

    Raises:
        CheckpointError: neither a shipped name of that role nor a file, or a damaged shipped file.
    """
    entry = ENTRIES.get(name_or_path)
    if entry is None or entry.role != role:
        path = Path(name_or_path)
        if path.is_file():
            if not os.access(path, os.R_OK):
                raise CheckpointError(f"{path} cannot be read: permission denied")
            return path
        names = [name for name, row in ENTRIES.items() if row.role == role]
        hint = nearest(name_or_path, names) if names else ""
        kind = "kernel extractor" if role == "kernel" else role
        raise CheckpointError(f"no {kind} '{name_or_path}': neither a file nor a known name{hint}")
    path = WEIGHTS_DIR / entry.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        raise CheckpointError(
            f"the shipped weights {path} are missing or damaged; reinstall blur2blur"
        )
    return path


def load_own(name_or_path: str, *, role: str) -> ImageNetwork:
    """Return a converter or deblurrer, in evaluation mode, on CPU.

    A pickle, which does not tell its role, may hold published weights of a network of ours.

    Raises:
        CheckpointError: as `resolve`, `checkpoints.load_network` and `third_party.load`.
        ConfigError: a pickle of no network of ours while the extra `zoo` is not installed.
    """
    path = resolve(name_or_path, role=role)
    if path.suffix.lower() not in third_party.PICKLE_SUFFIXES:
        return load_network(path, role=role)[0]
    network = third_party.load(path)
    if not isinstance(network, ImageNetwork):
        raise CheckpointError(f"{path} is of another project's network; a {role} must be of ours")
    return network


def load_deblurrer(name_or_path: str) -> nn.Module:
    """Return a deblurrer in evaluation mode, on CPU: ours, or another program's through spandrel.

    Raises:
        CheckpointError: as `load_own`, or a foreign file that is unsafe or not recognised.
        ConfigError: a foreign file while the extra `zoo` is not installed.
    """
    path = resolve(name_or_path, role="deblurrer")
    if is_ours(path):
        return load_network(path, role="deblurrer")[0]
    return third_party.load(path)


def load_kernel_extractor(name_or_path: str) -> KernelWizard:
    """Return a kernel extractor in evaluation mode, on CPU: ours, or a published file's.

    Raises:
        CheckpointError: neither a shipped name nor a file, or a file that is damaged, unsafe or of
            another network.
    """
    path = resolve(name_or_path, role="kernel")
    network = load_any(path, role="kernel")[0] if is_ours(path) else third_party.load_any(path)
    if not isinstance(network, KernelWizard):
        raise CheckpointError(
            f"{path} is a {network.name}, no kernel extractor; give what 'blur2blur train kernel' "
            "made, or a published file such as GOPRO_woVAE.pth"
        )
    return network


def load_blur_extent(name_or_path: str) -> BlurExtent:
    """Return an estimator of the extent of blur, in evaluation mode, on CPU; raises as `resolve`.

    Also CheckpointError for weights of another network.
    """
    path = resolve(name_or_path, role="extent")
    network, _ = load_any(path, role="extent")
    if not isinstance(network, BlurExtent):
        raise CheckpointError(f"{path} is a {network.name}, which tells no extent of blur")
    return network


def load_discriminator(path: str) -> MultiScaleDiscriminator:
    """Return a discriminator: ours, or a published file's; raises as `load_kernel_extractor`."""
    file = resolve(path, role="discriminator")
    network = (
        load_any(file, role="discriminator")[0] if is_ours(file) else third_party.load_any(file)
    )
    if not isinstance(network, MultiScaleDiscriminator):
        raise CheckpointError(
            f"{file} is a {network.name}, no discriminator; give a published file such as "
            "latest_net_D.pth"
        )
    return network


WITHOUT_CONVERTER = "none"
"""The setting `converter` of a deblurrer that is finished without one."""


def known_blur(name_or_path: str, *, role: str) -> str | None:
    """Return the known blur that weights of ours were trained for.

    A camera's name, "pairs", the extractor's file where the blur was transferred, or "that of
    cameras" for a deblurrer that was finished without a converter.

    None where the file is another program's or does not tell. Raises CheckpointError as `resolve`.
    """
    path = resolve(name_or_path, role=role)
    settings = read_header(path).settings if is_ours(path) else {}
    known = settings.get("known")
    if settings.get("converter") == WITHOUT_CONVERTER:
        return "that of cameras"
    if not isinstance(known, dict):
        return None
    source = known.get("source", "")
    return known.get({"synthetic": "camera", "transfer": "extractor"}.get(source, "source"))
