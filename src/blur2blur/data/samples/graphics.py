"""Text and thin lines on photographs: what signs, screens and pages have and landscapes lack."""

import math
import string

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_LETTERS = string.ascii_letters + string.digits + " .,:;-+/&%()!?"
_TEXT_PX = (8, 48)
_MOST_LINES = 8


def draw_graphics(image_uint8: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a copy of an H W 3 image with a random panel, lines of text and thin strokes."""
    canvas = Image.fromarray(image_uint8)
    draw = ImageDraw.Draw(canvas)
    height, width = image_uint8.shape[:2]
    if rng.random() < 0.5:
        corners = np.sort(rng.uniform(0, (height, width), (2, 2)), axis=0)
        (top, left), (bottom, right) = corners.tolist()
        draw.rectangle((left, top, right, bottom), fill=_colour(rng))
    for _ in range(int(rng.integers(1, _MOST_LINES))):
        size_px = math.exp(rng.uniform(*np.log(_TEXT_PX)))
        letters = "".join(rng.choice(list(_LETTERS), int(rng.integers(3, 24))))
        place = rng.uniform((-0.2 * width, 0), (0.8 * width, height)).tolist()
        draw.text(place, letters, fill=_colour(rng), font=ImageFont.load_default(size_px))
    for _ in range(int(rng.integers(_MOST_LINES))):
        points = rng.uniform(0, (width, height), (2, 2)).ravel().tolist()
        draw.line(points, fill=_colour(rng), width=int(rng.integers(1, 4)))
    return np.array(canvas)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Return black, white or any colour, each as likely as the others."""
    kind = int(rng.integers(3))
    red, green, blue = rng.integers(256, size=3).tolist() if kind == 2 else [255 * kind] * 3
    return red, green, blue
