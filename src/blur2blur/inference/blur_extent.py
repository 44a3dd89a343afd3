"""How far the blur of a whole image reaches: read off its busiest patches, at several sizes."""

import torch
from torch import Tensor

from blur2blur.inference.working_scale import reduce
from blur2blur.networks import BlurExtent

PATCH_PX = 128
RELIABLE_PX = 14.0
"""Above that extent, a smaller size is asked: the network has seen blur up to 25 px."""

_SIZES = (1, 2, 4)
_PATCHES = 16
_LEAST_CONTRAST = 0.01  # standard deviation in sRGB values below which a patch tells nothing


@torch.inference_mode()
def estimate_px(network: BlurExtent, image: Tensor) -> float:
    """Return the extent in pixels of the blur of an image; 0 where nothing tells it.

    Args:
        network: reads it off patches.
        image: 3 H W, float, sRGB in [0, 1], on the network's device.
    """
    extent_px = 0.0
    for size in _SIZES:
        patches = busiest_patches(reduce(image[None], size)[0].float())
        if not len(patches):
            break
        octaves, log_error = network(patches).unbind(dim=1)
        extent_px = size * (float(_weighted_median(octaves, (-log_error).exp()).exp2()) - 1)
        if extent_px < RELIABLE_PX * size:
            break
    return max(0.0, extent_px)


def busiest_patches(image: Tensor) -> Tensor:
    """Return up to `_PATCHES` patches N 3 S S of the most detail, of those that have any.

    S is `PATCH_PX`, or the largest multiple of 32 that fits; none where the image is smaller.
    """
    height, width = image.shape[-2:]
    side = min(PATCH_PX, height // 32 * 32, width // 32 * 32)
    if not side:
        return image.new_empty(0, 3, 32, 32)
    rows, columns = (
        torch.linspace(0, length - side, -(-length // side)).long().tolist()
        for length in (height, width)
    )
    patches = [image[:, y : y + side, x : x + side] for y in rows for x in columns]
    grey = [patch.mean(dim=0) for patch in patches]
    detail = torch.stack(
        [each.diff(dim=0).square().mean() + each.diff(dim=1).square().mean() for each in grey]
    )
    contrast = torch.stack([each.std() for each in grey])
    order = detail.where(contrast >= _LEAST_CONTRAST, detail.new_tensor(-1.0)).argsort(
        descending=True
    )
    chosen = [index for index in order[:_PATCHES].tolist() if contrast[index] >= _LEAST_CONTRAST]
    return (
        torch.stack([patches[index] for index in chosen])
        if chosen
        else image.new_empty(0, 3, side, side)
    )


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    order = values.argsort()
    before = weights[order].cumsum(dim=0)
    return values[order][int((before < before[-1] / 2).sum())]
