"""Things that move by themselves, in front of what stands still.

The layers of J. Y. A. Wang and E. H. Adelson, "Representing moving images with layers", IEEE Trans.
Image Processing 3(5), 1994: each thing hides what is behind it where its mask is, and mask and
colour are blurred alike, so that what is behind shines through the rim that it swept over.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from blur2blur.blur import shake

_WAVES = 4
_LEAST_RADIUS, _LARGEST_RADIUS = 0.08, 0.4  # of the image's shorter side


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """N things in each of B images, at T moments uniform in time."""

    masks: Tensor  # B x N x 1 x H x W in [0, 1]; 0 everywhere where there is no such thing
    paths_px: Tensor  # B x N x T x 2, (x, y)
    mirrored: Tensor  # B x N: it looks like the image mirrored there, else like the image

    def layers(self, image: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield mask (B 1 H W), colour (B C H W) and path (B T 2) of each thing, back to front."""
        mirrored = image.flip(-1)
        for index in range(self.masks.shape[1]):
            other = self.mirrored[:, index, None, None, None].to(image.device)
            colour = torch.where(other, mirrored, image)
            yield self.masks[:, index].to(image), colour, self.paths_px[:, index]

    def compose(self, behind: Tensor, image: Tensor) -> Tensor:
        """Return the things, with the colours of `image`, before `behind`; B C H W both."""
        for mask, colour, _ in self.layers(image):
            behind = torch.lerp(behind, colour, mask)
        return behind

    def compose_blurred(
        self, behind: Tensor, image: Tensor, convolve: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the moving things before `behind`, which is blurred already.

        Args:
            behind: B C H W in light.
            image: B C H W, sharp, what the things look like.
            convolve: lays B kernels (kernel_B1KK) over B C' H W.
        """
        for mask, colour, path_px in self.layers(image):
            kernel = shake.path_kernels(path_px)
            swept = convolve(torch.cat((mask, mask * colour), dim=1), kernel)
            behind = behind * (1 - swept[:, :1]) + swept[:, 1:]
        return behind


def draw_masks(count: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Draw `count` smooth shapes somewhere in the image: count x 1 x H x W, edges a pixel wide."""

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=rng, device=rng.device)

    side = min(height, width)
    span = math.log(_LARGEST_RADIUS / _LEAST_RADIUS)
    radius = side * _LEAST_RADIUS * (uniform(count) * span).exp()
    orders = torch.arange(1, _WAVES + 1, device=rng.device)
    waves = (uniform(count, _WAVES) - 0.5) / orders
    phases = 2 * math.pi * uniform(count, _WAVES)
    centre_x, centre_y = width * uniform(count), height * uniform(count)
    x = torch.arange(width, device=rng.device) - centre_x[:, None, None]
    y = torch.arange(height, device=rng.device)[:, None] - centre_y[:, None, None]
    angle = torch.atan2(y, x)
    rim = torch.ones_like(angle)
    for order in range(_WAVES):
        wave = torch.cos((order + 1) * angle + phases[:, order, None, None])
        rim = rim + waves[:, order, None, None] * wave
    inside = radius[:, None, None] * rim - torch.hypot(x, y)
    return (inside + 0.5).clamp(0, 1)[:, None]
