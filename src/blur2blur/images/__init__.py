"""Pixels of photographs: read, written and converted here and nowhere else."""

from blur2blur.images.files import (
    MAX_PIXELS,
    decode,
    encode,
    find_images,
    read,
    read_rgb,
    read_rgb_uint8,
    read_size,
    read_time_taken,
    sharpness,
    write,
    write_rgb,
)
from blur2blur.images.raster import SUFFIXES, Photograph, Raster, to_photograph, to_raster

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Photograph",
    "Raster",
    "decode",
    "encode",
    "find_images",
    "read",
    "read_rgb",
    "read_rgb_uint8",
    "read_size",
    "read_time_taken",
    "sharpness",
    "to_photograph",
    "to_raster",
    "write",
    "write_rgb",
]
