"""One working scale for each scene: within one it must not jump."""

import numpy as np
from PIL import Image

from blur2blur.inference.pipeline import Pipeline
from blur2blur.tiling import Pixels

_THUMBNAIL = (32, 18)  # columns, rows
_SCENE_CHANGE = 0.1  # mean difference of thumbnails in R'G'B' values


class Scenes:
    """Chooses the working scale of a clip's scenes, from the first frame of each."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._before: Pixels | None = None
        self._factor = 1

    def factor(self, frame: Pixels) -> int:
        """Return what the sides of the next frame (H W 3) are divided by."""
        grey = Image.fromarray(frame.mean(axis=2, dtype=np.float32))
        seen = np.asarray(grey.resize(_THUMBNAIL, Image.Resampling.BOX))
        if self._before is None or np.abs(seen - self._before).mean() > _SCENE_CHANGE:
            self._factor = self._pipeline.choose_factor(frame)
        self._before = seen
        return self._factor
