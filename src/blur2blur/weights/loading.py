"""Weights by name or file as networks of torch: ours, and those of other projects."""

from torch import nn

from blur2blur.errors import CheckpointError
from blur2blur.networks import BlurExtent, ImageNetwork, KernelWizard, MultiScaleDiscriminator
from blur2blur.weights import third_party, zoo
from blur2blur.weights.checkpoints import load_any, load_network
from blur2blur.weights.headers import is_ours
from blur2blur.weights.operators import EXPORTED_SUFFIXES


def load_own(name_or_path: str, *, role: str) -> ImageNetwork:
    """Return a converter or deblurrer, in evaluation mode, on CPU.

    A pickle, which does not tell its role, may hold published weights of a network of ours.

    Raises:
        CheckpointError: as `zoo.resolve`, `checkpoints.load_network` and `third_party.load`.
        ConfigError: a pickle of no network of ours while the extra `zoo` is not installed.
    """
    path = zoo.resolve(name_or_path, role=role)
    if path.suffix.lower() in EXPORTED_SUFFIXES:
        raise CheckpointError(
            f"{path} is an exported network, and only deblurs; a converter for it is trained by "
            "the known blur alone: deblurrer= and simulated.deblurred=0"
        )
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
    path = zoo.resolve(name_or_path, role="deblurrer")
    if is_ours(path):
        return load_network(path, role="deblurrer")[0]
    return third_party.load(path)


def load_kernel_extractor(name_or_path: str) -> KernelWizard:
    """Return a kernel extractor in evaluation mode, on CPU: ours, or a published file's.

    Raises:
        CheckpointError: neither a shipped name nor a file, or a file that is damaged, unsafe or of
            another network.
    """
    path = zoo.resolve(name_or_path, role="kernel")
    network = load_any(path, role="kernel")[0] if is_ours(path) else third_party.load_any(path)
    if not isinstance(network, KernelWizard):
        raise CheckpointError(
            f"{path} is a {network.name}, no kernel extractor; give what 'blur2blur train kernel' "
            "made, or a published file such as GOPRO_woVAE.pth"
        )
    return network


def load_blur_extent(name_or_path: str) -> BlurExtent:
    """Return an estimator of the extent of blur, in evaluation mode, on CPU.

    Raises:
        CheckpointError: as `zoo.resolve`, or weights of another network.
    """
    path = zoo.resolve(name_or_path, role="extent")
    network, _ = load_any(path, role="extent")
    if not isinstance(network, BlurExtent):
        raise CheckpointError(f"{path} is a {network.name}, which tells no extent of blur")
    return network


def load_discriminator(path: str) -> MultiScaleDiscriminator:
    """Return a discriminator: ours, or a published file's; raises as `load_kernel_extractor`."""
    file = zoo.resolve(path, role="discriminator")
    network = (
        load_any(file, role="discriminator")[0] if is_ours(file) else third_party.load_any(file)
    )
    if not isinstance(network, MultiScaleDiscriminator):
        raise CheckpointError(
            f"{file} is a {network.name}, no discriminator; give a published file such as "
            "latest_net_D.pth"
        )
    return network
