"""Pixels of photographs: read, written and converted here and nowhere else."""

from blur2blur.images.animation import SUFFIXES as ANIMATION_SUFFIXES
from blur2blur.images.animation import Animation
from blur2blur.images.colour import with_result, working_pixels
from blur2blur.images.contents import contents_of
from blur2blur.images.encoding import Format, output_name
from blur2blur.images.files import (
    compression_of,
    decode,
    decode_animation,
    encode,
    encode_animation,
    find_images,
    is_animation,
    jpeg_of_rgb,
    read,
    read_rgb,
    read_rgb_uint8,
    read_size,
    read_time_taken,
    sharpness,
    write,
    write_rgb,
)
from blur2blur.images.history import Tag
from blur2blur.images.kinds import SUFFIXES
from blur2blur.images.limits import MAX_PIXELS
from blur2blur.images.raster import (
    WRITTEN_SUFFIXES,
    Photograph,
    Raster,
    to_photograph,
    to_raster,
)

__all__ = [
    "ANIMATION_SUFFIXES",
    "MAX_PIXELS",
    "SUFFIXES",
    "WRITTEN_SUFFIXES",
    "Animation",
    "Format",
    "Photograph",
    "Raster",
    "Tag",
    "compression_of",
    "contents_of",
    "decode",
    "decode_animation",
    "encode",
    "encode_animation",
    "find_images",
    "is_animation",
    "jpeg_of_rgb",
    "output_name",
    "read",
    "read_rgb",
    "read_rgb_uint8",
    "read_size",
    "read_time_taken",
    "sharpness",
    "to_photograph",
    "to_raster",
    "with_result",
    "working_pixels",
    "write",
    "write_rgb",
]
