"""Networks that other projects published.

MIMO-UNet(+), NAFNet, kernel extractors and PatchGAN become networks of ours; other deblurrers, such
as FFTformer and Uformer, are recognised by spandrel (extra `zoo`). Files are read as numbers only;
a file with code is refused.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from blur2blur import extras
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.networks import ImageNetwork, Network, SizeRule
from blur2blur.weights import checkpoints, headers
from blur2blur.weights.headers import Header
from blur2blur.weights.reference_keys import import_network, is_known

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

_FIXED_ROLES = {"kernel_wizard": "kernel", "discriminator": "discriminator"}

PICKLE_SUFFIXES = (".pth", ".pt", ".pkl", ".ckpt")

# spandrel reports no multiple for NAFNet, which then pads with black inside; with a multiple of
# ours the image is mirrored instead, and tiles begin where its strides begin.
_LEAST_MULTIPLE = 16


class ThirdPartyNetwork(nn.Module):
    """A published restoration network with the calling convention of ours.

    Takes B 3 H W, sRGB in [0, 1], and returns a tuple of one image, clamped to [0, 1].
    """

    def __init__(self, descriptor: "ImageModelDescriptor[nn.Module]") -> None:
        super().__init__()
        self.network = descriptor.model
        self._descriptor = descriptor
        needs = descriptor.size_requirements
        self.size_rule = SizeRule(
            multiple=math.lcm(needs.multiple_of, _LEAST_MULTIPLE), minimum=needs.minimum
        )
        half = [("bf16", descriptor.supports_bfloat16), ("fp16", descriptor.supports_half)]
        self.precisions = ("fp32", *(name for name, supported in half if supported))

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Restore each image on its own, as spandrel's call demands."""
        return (torch.cat([self._descriptor(one) for one in image.split(1)]),)


def load(path: Path) -> ImageNetwork | ThirdPartyNetwork:
    """Load a published deblurrer from .safetensors or a pickle, on CPU, for evaluation.

    Raises:
        ConfigError: it is no network of ours and spandrel is not installed.
        CheckpointError: missing, damaged or unsafe file, no network that spandrel knows, or one
            that does not turn an RGB image into an RGB image of the same size.
    """
    if not path.is_file():
        raise CheckpointError(f"no weight file {path}")
    content = read_weights(path)
    if is_known(content):
        network = load_any(path)
        if not isinstance(network, ImageNetwork):
            raise CheckpointError(f"{path} is a {network.name}, which makes no image of an image")
        return network
    try:
        import spandrel
    except ImportError as error:
        raise ConfigError(
            f"{path} is of no network of blur2blur; reading others that were published needs "
            f"{extras.install('zoo')}"
        ) from error
    with suppress(ImportError):  # networks under licences that the user has to look at
        import_module("spandrel_extra_arches").install(ignore_duplicates=True)
    try:
        weights = spandrel.canonicalize_state_dict(content)
        descriptor = spandrel.ModelLoader().load_from_state_dict(weights)
    except spandrel.UnsupportedModelError as error:
        raise CheckpointError(
            f"{path}: its weights are of no network that blur2blur or spandrel knows"
        ) from error
    except Exception as error:  # architectures of many authors
        first_line = str(error).strip().splitlines()[:1]
        reason = first_line[0] if first_line else type(error).__name__
        raise CheckpointError(f"{path}: its weights fit no network: {reason}") from error
    return _fitting(path, descriptor, weights)


def _fitting(path: Path, descriptor: Any, weights: Mapping[str, Any]) -> ThirdPartyNetwork:  # noqa: ANN401
    """Return what spandrel made if it deblurs, and if its numbers are those of the file."""
    import spandrel

    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise CheckpointError(
            f"{path} is {descriptor.architecture.name}: it fills masks, not deblurs"
        )
    for name, tensor in descriptor.model.state_dict().items():
        given = weights.get(name, tensor)
        if given.is_floating_point() != tensor.is_floating_point():
            raise CheckpointError(f"{path}: {name} holds {given.dtype}, not {tensor.dtype}")
    channels = (descriptor.input_channels, descriptor.output_channels)
    if descriptor.scale != 1 or channels != (3, 3):
        raise CheckpointError(
            f"{path} is {descriptor.architecture.name}, {channels[0]} to {channels[1]} channels at "
            f"{descriptor.scale}x the size; a deblurrer keeps three channels and the size"
        )
    return ThirdPartyNetwork(descriptor).eval()


def load_any(path: Path) -> Network:
    """Load a published network that has a counterpart here, on CPU, for evaluation.

    Raises:
        CheckpointError: missing, damaged or unsafe file, or no such network.
    """
    content = read_weights(path)
    try:
        imported = import_network(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (LookupError, ValueError, TypeError) as error:
        raise _part(path, error) from error
    try:
        network = checkpoints.build_for(imported.name, imported.options, imported.state)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is almost {imported.name}, but {error}") from error
    except ConfigError as error:
        raise _part(path, error) from error
    network.load_state_dict(imported.state)
    return network.eval()


def _part(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} holds a part of a known network's weights: {error}; give the whole file"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFile:
    """A published file as a network of ours, and the header that a weight file of it gets."""

    network: Network
    header: Header


def import_file(path: Path, out: Path, *, role: str) -> ImportedFile:
    """Recognise a published weight file, in order to write it as `out`; writes nothing.

    Args:
        path: the published file.
        out: the file to be written.
        role: "converter" or "deblurrer" for a network from image to image; "auto" takes a file
            named as Blur2Blur names its generators, `*_net_G.*`, for a converter.

    Raises:
        CheckpointError: as `load_any`, or a file that is of blur2blur already.
        ConfigError: an unknown role, a role that the network cannot have, or an unfit `out`.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: weights are written as .safetensors; give it that suffix")
    if out.exists():
        raise ConfigError(f"{out} exists; choose another name or delete it")
    if headers.is_ours(path):
        raise CheckpointError(f"{path} is a weight file of blur2blur already; use it as it is")
    network = load_any(path)
    fixed = _FIXED_ROLES.get(network.name)
    possible = ["converter", "deblurrer"] if fixed is None else [fixed]
    if role not in ("auto", *possible):
        raise ConfigError(
            f"--role {role}: {path} is a {network.name}, which can be: {', '.join(possible)}"
        )
    if role == "auto":
        role = fixed or ("converter" if path.stem.endswith("_net_G") else "deblurrer")
    header = Header(
        role=role,
        network=network.name,
        options=network.options.model_dump(),
        version=version("blur2blur"),
    )
    return ImportedFile(network=network, header=header)


def read_weights(path: Path) -> dict[str, Any]:
    """Return what a published weight file maps names to, read without running code.

    Raises:
        CheckpointError: missing, damaged, unsafe, or a suffix that no weight file has.
    """
    suffix = path.suffix.lower()
    if suffix in PICKLE_SUFFIXES:
        content = checkpoints.load_pickle_safely(path)
        names: list[object] = list(content)
        if not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"{path} holds no weights by name; save its state_dict alone")
        return content
    if suffix != ".safetensors":
        known = " ".join([".safetensors", *PICKLE_SUFFIXES])
        raise CheckpointError(f"{path}: weights are read from {known}, not '{suffix}'")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
