"""Random crops, turns and colour jitter, each a pure function of a random generator."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as transform


def random_crop(
    image_size: tuple[int, int], crop_px: int, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Return the rows and columns of a random `crop_px` square inside (height, width)."""
    height, width = image_size
    top = int(rng.integers(height - crop_px + 1))
    left = int(rng.integers(width - crop_px + 1))
    return slice(top, top + crop_px), slice(left, left + crop_px)


def reduced(crop: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Return a square H W 3 crop averaged down to a side of `side_px`."""
    small = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def to_tensor(crop: NDArray[np.uint8], *, turns: int, flip: bool) -> Tensor:
    """Return uint8 3 H W from H W 3, mirrored if `flip`, then turned `turns` times by 90°."""
    if flip:
        crop = crop[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(np.rot90(crop, turns))).permute(2, 0, 1)


def jitter_factors(strength: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw brightness, contrast and saturation factors, each uniform in 1 ± `strength`."""
    low, high = 1 - strength, 1 + strength
    return (
        float(rng.uniform(low, high)),
        float(rng.uniform(low, high)),
        float(rng.uniform(low, high)),
    )


def jitter_colour(image_uint8: Tensor, factors: tuple[float, float, float]) -> Tensor:
    """Scale brightness, contrast and saturation of a uint8 3 H W image by `factors`."""
    brightness, contrast, saturation = factors
    image_uint8 = transform.adjust_brightness(image_uint8, brightness)
    image_uint8 = transform.adjust_contrast(image_uint8, contrast)
    return transform.adjust_saturation(image_uint8, saturation)
