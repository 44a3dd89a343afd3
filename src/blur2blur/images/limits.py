"""What is refused before it is decoded: sizes that would fill the memory, and animations."""

import threading

from PIL import Image

from blur2blur.errors import InputError

MAX_PIXELS = 500_000_000

# No code of JPEG or of run lengths says more of so few bytes; a file that does is made to harm.
_MOST_PIXELS_PER_BYTE = 1024
_ALWAYS_ALLOWED_PIXELS = 10_000_000


def refuse_animation() -> None:
    """Raise InputError that says what to do with an animation."""
    raise InputError(
        "it is an animation; name a clip as the output (-o NAME.mp4), or save its frames as single "
        "images"
    )


def refuse_size(height: int, width: int, *, data_bytes: int | None = None) -> None:
    """Raise InputError for a size that is none, too large, or more than a file's bytes can hold."""
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise InputError(f"it says it is {width}x{height}; the limit is {MAX_PIXELS} pixels")
    if pixels <= 0:
        raise InputError(f"it says it is {width}x{height}: it holds no pixels")
    if data_bytes is not None and pixels > max(
        _ALWAYS_ALLOWED_PIXELS, _MOST_PIXELS_PER_BYTE * data_bytes
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
