"""Test-time ensembling: the mean over the eight ways to turn and mirror an image.

Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016
(enhanced prediction); Lim et al., "Enhanced deep residual networks for single image
super-resolution", CVPR workshops 2017 (geometric self-ensemble).
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from blur2blur.tiling import Pixels, SizeRule, pad_to_rule

EIGHT = list(product(range(4), (False, True)))
"""Quarter turns, and whether the image is mirrored after them: the dihedral group of the square."""


def of_eight(
    function: Callable[[Pixels], Pixels], size_rule: SizeRule
) -> Callable[[Pixels], Pixels]:
    """Wrap a function of tiles, so that it sees them turned and mirrored in every way.

    Tiles are padded before they are turned: a network with strides then always finds them on the
    pixel grid of the whole image, and tiled equals untiled as it does without. For tiles whose
    size the rule allows, the result turns and is mirrored as they are (to float rounding).

    Args:
        function: maps N h w C to N h w C'; called eight times, four of these with w h.
        size_rule: the sides that it takes without padding.

    Returns:
        Maps N h w C of any size to N h w C', the mean of the eight results turned back.
    """

    def mean_of_eight(tiles: Pixels) -> Pixels:
        height, width = tiles.shape[1:3]
        padded = pad_to_rule(tiles, size_rule)
        results = (_turned_back(function(_turned(padded, *way)), *way) for way in EIGHT)
        total = sum(results, start=np.zeros((), np.float32))
        return total[:, :height, :width] / np.float32(len(EIGHT))

    return mean_of_eight


def _turned(image: Pixels, quarter_turns: int, mirrored: bool) -> Pixels:
    turned = np.rot90(image, quarter_turns, (1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if mirrored else turned)


def _turned_back(image: Pixels, quarter_turns: int, mirrored: bool) -> Pixels:
    return np.rot90(image[:, :, ::-1] if mirrored else image, -quarter_turns, (1, 2))
