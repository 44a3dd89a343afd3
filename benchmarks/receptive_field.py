"""How far a network sees, in pixels: the farthest input column that one output pixel depends on.

Found from the gradient of the middle pixel of a strip, with random positive weights; no
photograph is read.
"""

import torch

from blur2blur import networks
from machine import describe

NETWORKS = (
    ("mimo_unet", {"base_channels": 4, "blocks": 2}),
    ("mimo_unet", {"base_channels": 4, "blocks": 4}),
    ("mimo_unet", {"base_channels": 4, "blocks": 8}),
    ("mimo_unet_plus", {"base_channels": 4}),
    ("resnet", {"base_channels": 4, "blocks": 6}),
    ("resnet", {"base_channels": 4, "blocks": 9}),
)
WIDTH_PX, HEIGHT_PX = 2048, 32


def reach_px(network: networks.ImageNetwork) -> int:
    """Return the largest reach over the 4 positions in the grid of the coarsest scale."""
    farthest = 0
    for offset in range(network.size_rule.multiple):
        image = torch.rand(1, 3, HEIGHT_PX, WIDTH_PX, dtype=torch.float64).requires_grad_()
        middle = WIDTH_PX // 2 + offset
        (gradient,) = torch.autograd.grad(
            network(image)[-1][..., HEIGHT_PX // 2, middle].sum(), image
        )
        (columns,) = gradient.abs().sum((0, 1, 2)).nonzero(as_tuple=True)
        farthest = max(farthest, int((columns - middle).abs().max()))
    return farthest


def main() -> None:
    """Print the reach of each network."""
    print(describe())
    for name, options in NETWORKS:
        torch.manual_seed(0)
        network = networks.build(name, **options, identity_start=False).eval().double()
        for parameter in network.parameters():
            parameter.data.abs_()  # no path through the network is cancelled or cut by a ReLU
        print(f"{name} {options}: {reach_px(network)} px")


if __name__ == "__main__":
    main()
