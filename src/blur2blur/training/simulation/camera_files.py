"""What the files of a camera tell of it without a look at their pixels."""

from collections.abc import Sequence
from pathlib import Path

from blur2blur import images
from blur2blur.blur.camera_settings import JpegSettings
from blur2blur.blur.isp import Subsampling

_SUBSAMPLINGS: tuple[Subsampling, ...] = ("4:4:4", "4:2:2", "4:2:0")


def jpeg_of(photographs: Sequence[Path]) -> JpegSettings | None:
    """Return the compression of all photographs; of their subsamplings of colour the finest.

    None where one of them is no JPEG file: it may have been one before it was stored otherwise;
    and where none tells of colour, as grey ones do not.

    Args:
        photographs: files of one camera, at least one.

    Raises:
        InputError: a file that cannot be read.
    """
    found = [images.compression_of(path) for path in photographs]
    qualities = [each.quality for each in found if each is not None and each.quality is not None]
    of_colour = [each.jpeg_subsampling for each in found if each is not None]
    subsamplings = [each for each in of_colour if each is not None]
    if len(qualities) < len(found) or not subsamplings:
        return None
    return JpegSettings(
        quality=(min(qualities), max(qualities)), subsampling=_SUBSAMPLINGS[min(subsamplings)]
    )
