"""What is refused before it is decoded: sizes that would fill the memory, and animations."""

import threading

from PIL import Image

from blur2blur.errors import InputError

MAX_PIXELS = 500_000_000
MAX_FILE_BYTES = 1 << 32

# Neither deflate nor LZW, run lengths or JPEG says more of so few bytes; files that do are made to
# harm. Codecs of today describe a flat picture with next to nothing: their pixels count less.
_MOST_BYTES_OF_ONE = 4096
_ALWAYS_ALLOWED_PIXELS = 10_000_000
MODERN_CODEC_BITS = 2


def refuse_animation() -> None:
    """Raise InputError that says what to do with an animation."""
    raise InputError(
        "it is an animation; name a clip as the output (-o NAME.mp4), or save its frames as single "
        "images"
    )


def refuse_size(height: int, width: int, *, data_bytes: int | None = None, bits: int = 24) -> None:
    """Raise InputError for a size that is none, too large, or more than a file's bytes can hold.

    Args:
        height: of the picture.
        width: of the picture.
        data_bytes: of the file; None where it holds its pixels uncompressed.
        bits: of one pixel.
    """
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise InputError(f"it says it is {width}x{height}; the limit is {MAX_PIXELS} pixels")
    if height <= 0 or width <= 0:
        raise InputError(f"it says it is {width}x{height}: it holds no pixels")
    if data_bytes is not None and pixels > max(
        _ALWAYS_ALLOWED_PIXELS, 8 * _MOST_BYTES_OF_ONE * data_bytes // max(1, bits)
    ):
        raise InputError(
            f"it says it is {width}x{height}, which its {data_bytes} bytes cannot hold"
        )


class NoPillowLimit:
    """Pillow's own limit of pixels, global, is below today's panoramas: lifted while in use."""

    _lock = threading.Lock()
    _users = 0
    _limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if NoPillowLimit._users == 0:
                NoPillowLimit._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            NoPillowLimit._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            NoPillowLimit._users -= 1
            if NoPillowLimit._users == 0:
                Image.MAX_IMAGE_PIXELS = NoPillowLimit._limit
