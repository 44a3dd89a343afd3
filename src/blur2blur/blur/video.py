"""Blur from video: consecutive sharp frames averaged in linear light."""

import torch
from torch import Tensor

from blur2blur.errors import ConfigError, DataError
from blur2blur.images import to_linear, to_srgb


def average(frames_TCHW: Tensor) -> Tensor:
    """Return the C x H x W mean in linear light of T frames; both sRGB in [0, 1].

    Frames are taken one by one, so that memory does not grow with T.
    """
    total = torch.zeros_like(frames_TCHW[0])
    for frame in frames_TCHW:
        total = total + to_linear(frame)
    return to_srgb(total / len(frames_TCHW))


def average_windows(
    frames_TCHW: Tensor,
    window: int,
    stride: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Average windows of consecutive frames, as the GoPro and REDS pairs were made.

    Args:
        frames_TCHW: T x C x H x W, sRGB in [0, 1].
        window: frames per blurry image, odd, so that a middle frame exists.
        stride: frames from one window to the next; windows do not overlap when not given.

    Returns:
        N x C x H x W blurry images and the N x C x H x W middle frames, sRGB in [0, 1].

    Raises:
        ConfigError: an even or non-positive window, or a non-positive stride.
        DataError: fewer frames than the window.
    """
    stride = window if stride is None else stride
    if window < 1 or window % 2 == 0 or stride < 1:
        raise ConfigError(f"window {window}, stride {stride}: must be positive, the window odd")
    if len(frames_TCHW) < window:
        raise DataError(f"{len(frames_TCHW)} frames do not fill a window of {window}")
    starts = range(0, len(frames_TCHW) - window + 1, stride)
    blurry = torch.stack([average(frames_TCHW[start : start + window]) for start in starts])
    return blurry, torch.stack([frames_TCHW[start + window // 2] for start in starts])
