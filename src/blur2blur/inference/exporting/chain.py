"""Converter and deblurrer as one network, so that nothing between them is written or read again."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from blur2blur.errors import CheckpointError
from blur2blur.networks import ImageNetwork
from blur2blur.tiling import SizeRule


class Chain(nn.Module):
    """Networks from image to image, one after the other.

    Attributes:
        size_rule: the image sides that every one of them accepts.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """Take the networks; each maps B 3 H W to such an image or a tuple whose last is one."""
        super().__init__()
        self.networks = nn.ModuleList(networks)
        rules = [_size_rule(network) for network in networks]
        self.size_rule = SizeRule(
            multiple=math.lcm(*(rule.multiple for rule in rules)),
            minimum=max(rule.minimum for rule in rules),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what each network made: float32 B 3 H W sRGB, clamped to [0, 1].

        Args:
            image: B 3 H W, sRGB in [0, 1], sides as `size_rule` says.

        Raises:
            CheckpointError: a network returned another size.
        """
        images: list[Tensor] = []
        for network in self.networks:
            image = _restored(network, image).float().clamp(0, 1)
            images.append(image)
        return tuple(images)


def _restored(network: nn.Module, image: Tensor) -> Tensor:
    if isinstance(network, ImageNetwork):
        return network.restore(image)
    output: Tensor | tuple[Tensor, ...] = network(image)
    last = output if isinstance(output, Tensor) else output[-1]
    if last.shape != image.shape:
        raise CheckpointError(
            f"{type(network).__name__} made {tuple(last.shape)} of {tuple(image.shape)}: it is no "
            "network from image to image of the same size"
        )
    return last


def _size_rule(network: nn.Module) -> SizeRule:
    rule = getattr(network, "size_rule", None)
    return rule if isinstance(rule, SizeRule) else SizeRule(multiple=1, minimum=1)
