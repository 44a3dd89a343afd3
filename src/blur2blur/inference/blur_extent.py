"""How far the blur of a whole image reaches: read off its busiest patches, at several sizes."""

import math
from collections.abc import Callable

import numpy as np

from blur2blur.inference.working_scale import reduce
from blur2blur.tiling import Pixels
from blur2blur.weights import graphs, openvino, zoo

PATCH_PX = 128
RELIABLE_PX = 5.0
"""Above that extent, a smaller size is asked: the network has seen blur up to 25 px."""

SHARP_PX = {0.5: 1.4, 0.8: 2.0}
"""So large a part of the busiest patches of a sharp photograph has less extent than that. Low, as
blur that is left does more harm than a sharp photograph that is touched:
`python benchmarks/sharp_photographs.py` counts both."""

_SIZES = (1, 2, 4)
_PATCHES = 16
_LEAST_CONTRAST = 0.01  # standard deviation in sRGB values below which a patch tells nothing


def load_estimator() -> Callable[[Pixels], Pixels]:
    """Return the estimator that ships: N 3 h w to N 2, see `networks.BlurExtent`.

    Raises:
        CheckpointError: its weights are missing or damaged.
    """
    file = graphs.read(zoo.resolve(zoo.DEFAULT_BLUR_EXTENT, role="extent"))
    assert file.graph is not None
    return openvino.load(file.graph, file.weights, "fp32")


def estimate_px(estimate: Callable[[Pixels], Pixels], image: Pixels) -> float:
    """Return the extent in pixels of the blur of an image; 0 where nothing tells it.

    Args:
        estimate: as `load_estimator` returns it.
        image: H W 3, float32, sRGB in [0, 1].
    """
    extent_px = 0.0
    for size in _SIZES:
        patches = busiest_patches(reduce(image, size))
        if not len(patches):
            break
        octaves, log_error = estimate(patches.transpose(0, 3, 1, 2)).T
        extent_px = size * (2 ** _weighted_quantile(octaves, np.exp(-log_error), 0.5) - 1)
        if extent_px < RELIABLE_PX * size:
            break
    return max(0.0, extent_px)


def is_sharp(estimate: Callable[[Pixels], Pixels], image: Pixels) -> bool:
    """Tell whether a photograph is sharp already; one that tells little is not.

    Arguments as of `estimate_px`. Little tells a photograph of less than `PATCH_PX`, or without any
    detail.
    """
    patches = busiest_patches(image)
    if min(image.shape[:2]) < PATCH_PX or not len(patches):
        return False
    octaves, log_error = estimate(patches.transpose(0, 3, 1, 2)).T
    return all(
        2 ** _weighted_quantile(octaves, np.exp(-log_error), share) - 1 < limit_px
        for share, limit_px in SHARP_PX.items()
    )


def busiest_patches(image: Pixels) -> Pixels:
    """Return up to `_PATCHES` patches N S S 3 of the most detail, of those that have any.

    S is `PATCH_PX`, or the largest multiple of 32 that fits; none where the image is smaller.
    """
    height, width = image.shape[:2]
    side = min(PATCH_PX, height // 32 * 32, width // 32 * 32)
    if not side:
        return np.empty((0, 32, 32, 3), np.float32)
    rows, columns = (
        np.linspace(0, length - side, math.ceil(length / side)).astype(int)
        for length in (height, width)
    )
    grey = image.mean(axis=2)
    places = [(y, x) for y in rows for x in columns]
    detail: list[float] = []
    for y, x in places:
        patch = grey[y : y + side, x : x + side]
        busy = np.square(np.diff(patch, axis=0)).mean() + np.square(np.diff(patch, axis=1)).mean()
        detail.append(float(busy) if patch.std() >= _LEAST_CONTRAST else -1.0)
    order = np.argsort(detail)[::-1][:_PATCHES]
    chosen = [places[index] for index in order if detail[index] >= 0]
    patches = [image[y : y + side, x : x + side] for y, x in chosen]
    return np.stack(patches) if patches else np.empty((0, side, side, 3), np.float32)


def _weighted_quantile(values: Pixels, weights: Pixels, share: float) -> float:
    order = values.argsort()
    before = weights[order].cumsum()
    return float(values[order][int((before < before[-1] * share).sum())])
