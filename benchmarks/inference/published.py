"""Networks run as published code runs them: float32, the whole image at once, every output."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from blur2blur.networks import ImageNetwork, pad_to_rule
from blur2blur.networks.mimo_unet import FeatureFusion


def published(networks: Sequence[ImageNetwork], device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return a function from 3 H W to 3 H W that calls the networks one after the other."""
    for network in networks:
        network.to(device)
        for part in network.modules():
            if isinstance(part, FeatureFusion):
                part.forward = _ConcatenateThenConvolve(part)

    @torch.no_grad()
    def run(image: Tensor) -> Tensor:
        result = image[None].to(device)
        for network in networks:
            padded = pad_to_rule(result, network.size_rule)
            result = network(padded)[-1][..., : image.shape[1], : image.shape[2]].clamp(0, 1)
        return result[0].cpu()

    return run


class _ConcatenateThenConvolve:
    """The fusion in the order of MIMO-UNet's paper: resize, concatenate, convolve."""

    def __init__(self, fusion: FeatureFusion) -> None:
        self.reduce, self.merge = fusion.reduce, fusion.merge

    def __call__(self, stages: tuple[Tensor, ...], scales: tuple[float, ...]) -> Tensor:
        resized = [
            F.interpolate(stage, scale_factor=scale, mode="nearest") if scale != 1 else stage
            for stage, scale in zip(stages, scales, strict=True)
        ]
        return self.merge(F.relu(self.reduce(torch.cat(resized, dim=1))))
