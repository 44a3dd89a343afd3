"""Sample sheets: named columns of images side by side, for people who would rather look."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import make_grid

_CAPTION_PX = 16
_GAP_PX = 4


def sheet(columns: Mapping[str, Sequence[Tensor]]) -> Tensor:
    """Return one 3 H W sRGB image in [0,1]: a column per name, a row per image, names on top.

    Args:
        columns: name -> 3 h w sRGB images, all of one size and equally many in each column.
    """
    rows = [
        image.float().cpu().clamp(0, 1)
        for row in zip(*columns.values(), strict=True)
        for image in row
    ]
    grid = make_grid(rows, nrow=len(columns), padding=_GAP_PX, pad_value=1.0)
    caption = Image.new("RGB", (grid.shape[2], _CAPTION_PX), "white")
    draw = ImageDraw.Draw(caption)
    step_px = (grid.shape[2] - _GAP_PX) / len(columns)
    for position, name in enumerate(columns):
        draw.text((_GAP_PX + position * step_px, 2), name, fill="black")
    head = torch.from_numpy(np.array(caption)).permute(2, 0, 1).float() / 255
    return torch.cat([head, grid], dim=1)
