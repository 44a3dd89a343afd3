"""What networks promise: a size rule, how to build them again; image networks also outputs."""

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from blur2blur.settings import Settings
from blur2blur.tiling import SizeRule


def pad_to_rule(image: Tensor, rule: SizeRule) -> Tensor:
    """Extend an image at the bottom and right to an allowed size; crop back by slicing.

    Mirrors the image where it is large enough to be mirrored, else repeats its last row or column.

    Args:
        image: B C H W.
        rule: the network's size rule.
    """
    height, width = image.shape[-2:]
    padded_height, padded_width = rule.padded(height, width)
    bottom, right = padded_height - height, padded_width - width
    if bottom:
        image = F.pad(image, (0, 0, 0, bottom), mode="reflect" if bottom < height else "replicate")
    if right:
        image = F.pad(image, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    return image


class Network(nn.Module):
    """A network that a weight file can name and rebuild."""

    name: str
    """The name it is registered by."""
    options: Settings
    """The options it was built with; name and options build it again."""
    size_rule: SizeRule


class ImageNetwork(Network):
    """A network from image to image(s).

    Calling it takes B 3 H W, sRGB in [0, 1], sides as `size_rule` says, and returns `scales`
    images of the same range (not clamped), coarse to fine, each twice the one before, the last at
    full size.
    """

    scales: int

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        raise NotImplementedError

    def restore(self, image: Tensor) -> Tensor:
        """Return the last of the images alone; a network that can do it for less does so."""
        return self(image)[-1]

    if TYPE_CHECKING:

        def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
            """See `forward`."""
            ...
