"""Test-time ensembling: the mean over the eight ways to turn and mirror an image.

Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016
(enhanced prediction); Lim et al., "Enhanced deep residual networks for single image
super-resolution", CVPR workshops 2017 (geometric self-ensemble).
"""

from collections.abc import Callable
from itertools import product

from torch import Tensor

from blur2blur.networks import SizeRule, pad_to_rule

EIGHT = list(product(range(4), (False, True)))
"""Quarter turns, and whether the image is mirrored after them: the dihedral group of the square."""


def of_eight(
    function: Callable[[Tensor], Tensor], size_rule: SizeRule
) -> Callable[[Tensor], Tensor]:
    """Wrap a function of tiles, so that it sees them turned and mirrored in every way.

    Tiles are padded before they are turned: a network with strides then always finds them on the
    pixel grid of the whole image, and tiled equals untiled as it does without. For tiles whose
    size the rule allows, the result turns and is mirrored as they are (to float rounding).

    Args:
        function: maps N C h w to N C' h w; called eight times, of these four with w h.
        size_rule: the sides that it takes without padding.

    Returns:
        Maps N C h w of any size to N C' h w, the mean of the eight results turned back.
    """

    def mean_of_eight(tiles: Tensor) -> Tensor:
        height, width = tiles.shape[-2:]
        padded = pad_to_rule(tiles, size_rule)
        results = (_turned_back(function(_turned(padded, *way)), *way) for way in EIGHT)
        total = sum(results, start=padded.new_zeros(()))
        return total[..., :height, :width] / len(EIGHT)

    return mean_of_eight


def _turned(image: Tensor, quarter_turns: int, mirrored: bool) -> Tensor:
    turned = image.rot90(quarter_turns, (-2, -1))
    return (turned.flip(-1) if mirrored else turned).contiguous()


def _turned_back(image: Tensor, quarter_turns: int, mirrored: bool) -> Tensor:
    return (image.flip(-1) if mirrored else image).rot90(-quarter_turns, (-2, -1))
