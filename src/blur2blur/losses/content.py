"""Losses that compare what images show rather than their pixels.

`pyramid_loss` needs no weights: it compares what a change of blur leaves alone. `VggLoss` compares
activations of a network trained on ImageNet. Both are called with `outputs` (coarse to fine, as
networks return them) and the full-size target, sRGB in [0, 1].
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from blur2blur.errors import ConfigError
from blur2blur.pyramid import pyramid

VGG_LAYERS = {
    "conv2_2": 1 / 32,
    "conv3_3": 1 / 16,
    "conv4_1": 1 / 8,
    "conv4_3": 1 / 4,
    "conv5_1": 1.0,
}
"""Layers (before their ReLU) and weights of Blur2Blur, arXiv 2403.16205."""

_BLOCKS_PX = (4, 8, 16, 32)
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pyramid_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Return the difference of colours and of neighbour differences of averaged-down images.

    A change of blur moves little light further than the blur is wide, so that images averaged over
    blocks of that size must agree: colour, brightness, layout and coarse contrast are held, the
    blur is free. The mean over scales and sizes of blocks.
    """
    terms: list[Tensor] = []
    for level, output in enumerate(reversed(outputs)):
        scaled = pyramid(target, level + 1)[0]
        for block_px in _BLOCKS_PX:
            # blocks are measured in full-size pixels
            side = min(max(1, block_px >> level), *output.shape[-2:])
            difference = F.avg_pool2d(output - scaled, side)
            terms.append(difference.abs().mean() + _mean_slope(difference))
    return torch.stack(terms).mean()


def _mean_slope(image: Tensor) -> Tensor:
    slopes = [image.diff(dim=dim).abs() for dim in (-2, -1) if image.shape[dim] > 1]
    return torch.stack([slope.mean() for slope in slopes]).mean() if slopes else image.sum() * 0


class VggLoss(nn.Module):
    """Weighted L1 distance between activations of a frozen VGG, averaged over the scales."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: nn.Sequential) -> None:
        """Take the convolutions of one of torchvision's VGGs; `VGG_LAYERS` of them count."""
        super().__init__()
        indices = layer_indices(features)
        self.weights = {indices[layer]: weight for layer, weight in VGG_LAYERS.items()}
        kept = list(features)[: max(self.weights) + 1]
        self.layers = nn.ModuleList(kept).eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # what is before it is compared
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_IMAGENET_DEVIATION)[:, None, None])

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss. The smallest output must survive the network's down-samplings."""
        terms: list[Tensor] = []
        for output, scaled in zip(outputs, pyramid(target, len(outputs)), strict=True):
            with torch.no_grad():
                wanted = self.activations(scaled)
            found = self.activations(output)
            for weight, one, other in zip(self.weights.values(), found, wanted, strict=True):
                terms.append(weight * F.l1_loss(one, other))
        return torch.stack(terms).sum() / len(outputs)

    def activations(self, image: Tensor) -> list[Tensor]:
        """B 3 H W, sRGB in [0, 1], to one B C H' W' for each of `VGG_LAYERS`."""
        features = (image - self.mean) / self.deviation
        found: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index in self.weights:
                found.append(features)
        return found

    if TYPE_CHECKING:

        def __call__(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
            """See `forward`."""
            ...


def layer_indices(features: nn.Sequential) -> dict[str, int]:
    """Return the index of each convolution by its usual name: {"conv1_1": 0, "conv1_2": 2...}."""
    named: dict[str, int] = {}
    block, number = 1, 0
    for index, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            block, number = block + 1, 0
        elif isinstance(layer, nn.Conv2d):
            number += 1
            named[f"conv{block}_{number}"] = index
    return named


def vgg_loss(depth: Literal[16, 19]) -> VggLoss:
    """Return a loss on torchvision's VGG-16 or VGG-19, downloaded once into torch's cache.

    Raises:
        ConfigError: the weights cannot be downloaded.
    """
    models = torchvision.models
    build, weights = (
        (models.vgg16, models.VGG16_Weights.IMAGENET1K_V1)
        if depth == 16
        else (models.vgg19, models.VGG19_Weights.IMAGENET1K_V1)
    )
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    # URLError is an OSError; RuntimeError is a hash that does not match
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ConfigError(
            f"the weights of VGG-{depth} cannot be downloaded ({error}); put the file of "
            f"{weights.url} into {folder}, or use the perceptual loss 'pyramid', which needs none"
        ) from error
    with torch.device("meta"):
        network = build()
    network.load_state_dict(state, assign=True)
    assert isinstance(network.features, nn.Sequential)
    return VggLoss(network.features)
