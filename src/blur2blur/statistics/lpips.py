"""LPIPS as torchmetrics computes it, by AlexNet's features.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from blur2blur.tiling import Pixels


def missing() -> str | None:
    """Say in one line why it cannot be computed here; None where it can."""
    path = _alexnet_path()
    if path.is_file():
        return None
    return f"LPIPS is left out: it needs {AlexNet_Weights.DEFAULT.url} saved as {path}"


@torch.inference_mode()
def distance(image: Pixels, truth: Pixels) -> float:
    """Return the distance of two images `H W 3` of one size, sRGB in [0, 1]."""
    planes = (np.ascontiguousarray(each.transpose(2, 0, 1)[None]) for each in (image, truth))
    return float(_network()(*map(torch.from_numpy, planes)))


def _alexnet_path() -> Path:
    name = AlexNet_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    return Path(torch.hub.get_dir()) / "checkpoints" / name


@cache
def _network() -> LearnedPerceptualImagePatchSimilarity:
    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
