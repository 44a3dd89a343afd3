"""Decoded photographs for the data loaders: from memory where they fit, else from disk."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blur2blur import images

UInt8Image = NDArray[np.uint8]


class DecodedImages:
    """A list of images as uint8 H W 3 sRGB arrays, kept decoded up to a memory budget.

    The budget is spent once, in order, before the loader's worker processes are forked, so the
    workers share the pages of one copy. Images beyond it are decoded at each access.

    Attributes:
        paths: the files.
        file_sizes: (height, width) of each file, upright.
        sizes: (height, width) of each image as it is returned.
    """

    def __init__(self, paths: Sequence[Path], *, cache_gb: float = 0.0, shrink: int = 1) -> None:
        """Read every header, then decode up to `cache_gb` gigabytes (1e9 bytes).

        Args:
            paths: the files.
            cache_gb: memory for decoded images.
            shrink: average the photographs down by this whole factor.

        Raises:
            InputError: a file is missing or is no readable image.
        """
        self.paths = list(paths)
        self._shrink = shrink
        self.file_sizes = [images.read_size(path) for path in self.paths]
        self.sizes = [(height // shrink, width // shrink) for height, width in self.file_sizes]
        self._decoded: dict[int, UInt8Image] = {}
        within_budget: list[int] = []
        budget_bytes = cache_gb * 1e9
        for index, (height, width) in enumerate(self.sizes):
            budget_bytes -= 3 * height * width
            if budget_bytes < 0:
                break
            within_budget.append(index)
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(self._decode, within_budget)
            self._decoded.update(zip(within_budget, decoded, strict=True))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> UInt8Image:
        """Return image `index`. Raises InputError if the file can no longer be read."""
        kept = self._decoded.get(index)
        return kept if kept is not None else self._decode(index)

    def _decode(self, index: int) -> UInt8Image:
        image = images.read_rgb_uint8(self.paths[index])
        if self._shrink == 1:
            return image
        height, width = self.sizes[index]
        image = image[: height * self._shrink, : width * self._shrink]
        reduced = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return reduced.astype(np.uint8, copy=False)
