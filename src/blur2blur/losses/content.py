"""Losses that compare what images show rather than their pixels.

`PyramidLoss` needs no weights: it compares what a change of blur leaves alone. `FeatureLoss`
compares activations of a network trained on ImageNet: `vgg_loss` downloads torchvision's,
`feature_file_loss` reads a file. All are modules called with `outputs` (coarse to fine, as networks
return them) and the full-size target, sRGB in [0, 1].
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.pyramid import pyramid
from blur2blur.settings import nearest

REFERENCE_LAYERS: Mapping[str, float] = {
    "conv2_2": 1 / 32,
    "conv3_3": 1 / 16,
    "conv4_1": 1 / 8,
    "conv4_3": 1 / 4,
    "conv5_1": 1.0,
}
"""Layers (before their ReLU) and weights of Blur2Blur, arXiv 2403.16205."""
SQUEEZENET_LAYERS: Mapping[str, float] = {"1": 0.2, "4": 0.2, "7": 0.2, "10": 0.2, "12": 0.2}
"""Indices into torchvision's `squeezenet1_1().features`."""


class PyramidLoss(nn.Module):
    """Difference of colours and of neighbour differences of averaged-down images.

    A change of blur moves little light further than the blur is wide, so that images averaged over
    blocks of that size must agree: colour, brightness, layout and coarse contrast are held, the
    blur is free.
    """

    def __init__(self, *, finest_px: int = 4, coarsest_px: int = 32) -> None:
        """Compare averages over blocks of `finest_px`, twice that, ... up to `coarsest_px`."""
        super().__init__()
        if not 1 <= finest_px <= coarsest_px:
            raise ConfigError(
                f"finest_px {finest_px} must be at least 1 and at most coarsest_px {coarsest_px}"
            )
        self.blocks_px = [finest_px]
        while self.blocks_px[-1] * 2 <= coarsest_px:
            self.blocks_px.append(self.blocks_px[-1] * 2)

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss, averaged over scales and block sizes."""
        terms: list[Tensor] = []
        for level, output in enumerate(reversed(outputs)):
            scaled = pyramid(target, level + 1)[0]
            for block_px in self.blocks_px:
                # blocks are measured in full-size pixels
                side = min(max(1, block_px >> level), *output.shape[-2:])
                difference = F.avg_pool2d(output - scaled, side)
                terms.append(difference.abs().mean() + _mean_slope(difference))
        return torch.stack(terms).mean()

    if TYPE_CHECKING:

        def __call__(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
            """See `forward`."""
            ...


def _mean_slope(image: Tensor) -> Tensor:
    slopes = [image.diff(dim=dim).abs() for dim in (-2, -1) if image.shape[dim] > 1]
    return torch.stack([slope.mean() for slope in slopes]).mean() if slopes else image.sum() * 0


class FeatureLoss(nn.Module):
    """Weighted L1 distance between activations of a frozen network, averaged over the scales."""

    def __init__(self, features: nn.Module, weights: Sequence[float]) -> None:
        """Compare the tensors that `features(image)` returns, each with its weight."""
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.weights = tuple(weights)

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss. The smallest output must survive the network's down-samplings."""
        terms: list[Tensor] = []
        for output, scaled in zip(outputs, pyramid(target, len(outputs)), strict=True):
            with torch.no_grad():
                wanted: list[Tensor] = self.features(scaled)
            met: list[Tensor] = self.features(output)
            for weight, one, other in zip(self.weights, met, wanted, strict=True):
                terms.append(weight * F.l1_loss(one, other))
        return torch.stack(terms).sum() / len(outputs)

    if TYPE_CHECKING:

        def __call__(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
            """See `forward`."""
            ...


class VggFeatures(nn.Module):
    """Activations of a VGG, before the ReLU of each chosen layer.

    The layers are read from the weights: a convolution where there are some at the index, a ReLU
    after it, else a 2x2 maximum (the layout of torchvision's `features`).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, state: Mapping[str, Tensor], layers: Sequence[str], *, imagenet_normalised: bool
    ) -> None:
        """Take the weights `features.N.*`; where `preprocess.*` is there it makes the input."""
        super().__init__()
        self.indices = vgg_indices(state)
        self.taps = [self.indices[layer] for layer in layers]
        self.convs = nn.ModuleDict(
            {
                str(index): _conv_from(state, f"features.{index}")
                for index in self.indices.values()
                if index <= max(self.taps)
            }
        )
        self.preprocess = _conv_from(state, "preprocess") if "preprocess.weight" in state else None
        # files that bring their own preprocessing were made for mirrored borders
        self.padding = "reflect" if self.preprocess is not None else "constant"
        self.imagenet_normalised = imagenet_normalised and self.preprocess is None
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """B 3 H W, sRGB in [0, 1], to one B C H' W' per chosen layer."""
        features = self._prepare(image)
        tapped: dict[int, Tensor] = {}
        for index in range(max(self.taps) + 1):
            if str(index) in self.convs:
                features = F.pad(features, (1, 1, 1, 1), mode=self.padding)
                features = self.convs[str(index)](features)
                if index in self.taps:
                    tapped[index] = features
            elif str(index - 1) in self.convs:
                features = F.relu(features)
            else:
                features = F.max_pool2d(features, 2)
        return [tapped[index] for index in self.taps]

    def _prepare(self, image: Tensor) -> Tensor:
        if self.preprocess is not None:
            return self.preprocess(image)
        return (image - self.mean) / self.std if self.imagenet_normalised else image


class SqueezeNetFeatures(nn.Module):
    """Activations of SqueezeNet 1.1, each pixel scaled to unit length over its channels.

    For weights trained on BGR in 0-255 less the mean. Scaling after Zhang et al., CVPR 2018, arXiv
    1801.03924, eq. 1.
    """

    mean_bgr: Tensor

    def __init__(self, state: Mapping[str, Tensor], layers: Sequence[str]) -> None:
        super().__init__()
        self.taps = [int(layer) for layer in layers]
        features = torchvision.models.squeezenet1_1(weights=None).features
        try:
            features.load_state_dict(state)
        except RuntimeError as error:
            raise CheckpointError(f"these are no features of SqueezeNet 1.1: {error}") from error
        self.layers = nn.ModuleList(list(features.children())[: max(self.taps) + 1])
        self.register_buffer("mean_bgr", torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """B 3 H W, sRGB in [0, 1], to one B C H' W' per chosen layer."""
        features = 255 * image.flip(1) - self.mean_bgr
        tapped: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index in self.taps:
                tapped.append(F.normalize(features, dim=1))
        return tapped


def vgg_indices(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the index of each convolution by its usual name, e.g. {"conv1_1": 0, "conv1_2": 2}."""
    indices = sorted(
        int(key.split(".")[1])
        for key in state
        if key.startswith("features.") and key.endswith(".weight")
    )
    named: dict[str, int] = {}
    block, layer = 1, 0
    for position, index in enumerate(indices):
        # a pooling layer in between moves the next convolution one index further
        if position and index - indices[position - 1] == 3:
            block, layer = block + 1, 0
        layer += 1
        named[f"conv{block}_{layer}"] = index
    return named


def _conv_from(state: Mapping[str, Tensor], key: str) -> nn.Conv2d:
    weight, bias = state[f"{key}.weight"], state[f"{key}.bias"]
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[-1])
    convolution.load_state_dict({"weight": weight, "bias": bias})
    return convolution


def _vgg_from_state(
    state: Mapping[str, Tensor], layers: Mapping[str, float] | None, *, imagenet_normalised: bool
) -> FeatureLoss:
    known = vgg_indices(state)
    if layers is None:
        layers = REFERENCE_LAYERS if REFERENCE_LAYERS.keys() <= known.keys() else _block_ends(known)
    _check_layers(layers, list(known))
    features = VggFeatures(state, list(layers), imagenet_normalised=imagenet_normalised)
    return FeatureLoss(features, list(layers.values()))


def _block_ends(known: Mapping[str, int]) -> dict[str, float]:
    """Return the last convolution of each block, each half as heavy as the next deeper one."""
    ends = {name.split("_")[0]: name for name in known}
    return {name: 0.5**depth for depth, name in enumerate(reversed(list(ends.values())))}


def _check_layers(layers: Mapping[str, float], known: Sequence[str]) -> None:
    if not layers:
        raise ConfigError(f"a perceptual loss needs at least one layer; known: {', '.join(known)}")
    for layer in layers:
        if layer not in known:
            raise ConfigError(f"the weights have no layer '{layer}'{nearest(layer, known)}")


def vgg_loss(
    depth: Literal[16, 19] = 16,
    *,
    layers: Mapping[str, float] | None = None,
    imagenet_normalised: bool = True,
) -> FeatureLoss:
    """Return a loss on torchvision's VGG-16 or VGG-19, downloaded once into torch's cache.

    Args:
        depth: which VGG.
        layers: weight of each layer, e.g. {"conv3_3": 1.0}; None = `REFERENCE_LAYERS`.
        imagenet_normalised: bring the input to the mean and deviation the VGG was trained with.

    Raises:
        ConfigError: the weights cannot be downloaded, or a layer does not exist.
    """
    weights = (
        torchvision.models.VGG16_Weights.IMAGENET1K_V1
        if depth == 16
        else torchvision.models.VGG19_Weights.IMAGENET1K_V1
    )
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    # URLError is an OSError; RuntimeError is a hash that does not match
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ConfigError(
            f"the weights of VGG-{depth} cannot be downloaded ({error}); put the file of "
            f"{weights.url} into {folder}, or give a weight file, or use the perceptual loss "
            "'pyramid', which needs none"
        ) from error
    return _vgg_from_state(state, layers, imagenet_normalised=imagenet_normalised)


def feature_file_loss(path: Path, *, layers: Mapping[str, float] | None = None) -> FeatureLoss:
    """Return a loss on the network in a safetensors file with torchvision's parameter names.

    Known are VGGs (`features.N.weight`; complete or cut after some layer; with `preprocess.*` a 1x1
    convolution from RGB in [0, 1] to the network's input, else ImageNet's mean and deviation) and
    the features of SqueezeNet 1.1 (`3.squeeze.weight`; input BGR in 0-255 less the mean).

    Args:
        path: the file.
        layers: weight of each layer: "conv3_1" for a VGG, "4" for a SqueezeNet. None = the
            reference's layers; the ends of the blocks where a VGG is cut; `SQUEEZENET_LAYERS`.

    Raises:
        CheckpointError: no such file, unreadable, or another network.
        ConfigError: a layer does not exist in the file.
    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    if vgg_indices(state):
        return _vgg_from_state(state, layers, imagenet_normalised=True)
    if "3.squeeze.weight" in state:
        layers = SQUEEZENET_LAYERS if layers is None else layers
        # 0 is left out: the ReLU after it overwrites its output
        _check_layers(layers, [str(index) for index in range(1, 13)])
        return FeatureLoss(SqueezeNetFeatures(state, list(layers)), list(layers.values()))
    raise CheckpointError(
        f"{path} holds neither a VGG (features.N.weight) nor a SqueezeNet 1.1 (3.squeeze.weight)"
    )
