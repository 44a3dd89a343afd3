"""What is measured of every photograph first: size, sharpness, similarity, time."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blur2blur import images
from blur2blur.errors import InputError

_LONG_SIDE_PX = 768
_TILES = 8
_PERCENTILE = 97
_THUMBNAIL_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """A photograph that could be read.

    Attributes:
        path: the file.
        height: of the upright photograph, in pixels.
        width: of the upright photograph, in pixels.
        sharpness: see `sharpest_part`.
        thumbnail: 256 grey values of mean 0 and length 1; the product of two is their correlation.
        taken: when the shutter was pressed, where the file says it.
    """

    path: Path
    height: int
    width: int
    sharpness: float
    thumbnail: NDArray[np.float32]
    taken: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file that could not be read; the reason is one line that names it."""

    path: Path
    reason: str


def measure_files(
    paths: Sequence[Path], advance: Callable[[], object]
) -> tuple[list[Measured], list[Unreadable]]:
    """Decode and measure every file, in order; `advance` is called after each."""
    measured: list[Measured] = []
    unreadable: list[Unreadable] = []
    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        for result in pool.map(_measure, paths):
            if isinstance(result, Measured):
                measured.append(result)
            else:
                unreadable.append(result)
            advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return measured, unreadable


def _measure(path: Path) -> Measured | Unreadable:
    try:
        pixels = images.read_rgb_uint8(path)
        taken = images.read_time_taken(path)
    except InputError as error:
        return Unreadable(path=path, reason=str(error))
    height, width = pixels.shape[:2]
    return Measured(
        path=path,
        height=height,
        width=width,
        sharpness=sharpest_part(pixels),
        thumbnail=thumbnail(pixels),
        taken=taken,
    )


def sharpest_part(image_uint8: NDArray[np.uint8]) -> float:
    """Return how sharp the sharpest part of a photograph is: uint8 `H W 3`, sRGB.

    The variance of the Laplacian in each of 8 x 8 tiles, their 97th percentile, at a long side of
    768 px (smaller ones stay as they are). A sharp photograph may be soft or empty nearly
    everywhere, a shaken one is sharp nowhere; reducing tames sensor noise, which dividing by
    contrast would raise.
    """
    height, width = image_uint8.shape[:2]
    reduced = _reduced(image_uint8, _LONG_SIDE_PX / max(height, width))
    rows = [band for band in np.array_split(reduced, _TILES, axis=0) if band.size]
    tiles = [
        images.sharpness(np.ascontiguousarray(tile))
        for band in rows
        for tile in np.array_split(band, _TILES, axis=1)
        if tile.size
    ]
    return float(np.percentile(tiles, _PERCENTILE))


def _reduced(image_uint8: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor >= 1:
        return image_uint8
    height, width = image_uint8.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    reduced = cv2.resize(image_uint8, size, interpolation=cv2.INTER_AREA)
    return reduced.astype(np.uint8, copy=False)


def thumbnail(image_uint8: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 256 grey values of mean 0 and length 1 (all 0 for a flat image), for similarity."""
    grey = image_uint8.mean(axis=2, dtype=np.float32)
    small = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    centred = small.astype(np.float32).ravel() - small.mean(dtype=np.float32)
    length = np.linalg.norm(centred)
    return centred / length if length > 1e-3 else np.zeros_like(centred)
