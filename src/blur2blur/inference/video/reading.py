"""Clips, frame by frame: what is decoded, and what passes by as it is."""

import importlib.util
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from blur2blur import extras
from blur2blur.errors import ConfigError, InputError
from blur2blur.inference.video.times import Times

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

# What is looked for in folders. Files are opened by their content, whatever they are called.
SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"}
    | {".3gp", ".3g2", ".qt", ".wmv", ".asf", ".flv", ".vob", ".m2v", ".mxf", ".dv", ".ogv"}
    | {".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"}
)

ATTACHMENT = "attachment"

_COPIED = ("audio", "subtitle")
# ColorTransfer codes of H.273
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}

_SLACK_SECONDS = Fraction(1, 20)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a clip gives at once: packets to copy, then a frame; None after the last frame."""

    frame: "VideoFrame | None"
    packets: "list[Packet[Stream]]"


@dataclass(slots=True, kw_only=True, eq=False)
class Clip:
    """An open clip.

    Attributes:
        path: its file.
        container: of av.
        video: the stream that is decoded.
        copied: audio and subtitle streams.
        first: its first frame.
        frames: how many the file says it has, or about; None where it says nothing.
    """

    path: Path
    container: "InputContainer"
    video: "VideoStream"
    copied: "list[Stream]"
    first: "VideoFrame"
    frames: int | None
    _steps: "Iterator[Step]" = field(repr=False)
    _first_step: Step = field(repr=False)

    def steps(self) -> "Iterator[Step]":
        """Yield all that the clip holds, once, in the order of the file.

        Raises:
            InputError: damaged or cut short, with the number of the last good frame.
        """
        yield self._first_step
        yield from self._steps


def has_av() -> bool:
    """Tell whether the extra is installed."""
    return importlib.util.find_spec("av") is not None


def require_av() -> None:
    """Raise a ConfigError where the extra is not installed."""
    if not has_av():
        raise ConfigError(f"clips need the package av: {extras.install('video')}")


@contextmanager
def opened(path: Path) -> "Generator[Clip]":
    """Open a clip and decode its first frame; warn of what will not be kept.

    Raises:
        ConfigError: the extra `video` is not installed.
        InputError: no such file, no clip, no frames.
    """
    require_av()
    import av
    from av.error import FFmpegError

    if not path.is_file():
        raise InputError(f"no file {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (zero bytes)")
    try:
        container = av.open(str(path))
    except (FFmpegError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no clip, or is damaged: {reason_of(error)}") from error
    with container:
        video = _choose_video(path, container)
        copied = [stream for stream in container.streams if _is_copied(stream)]
        video.thread_type = "AUTO"
        steps = _decode(path, container, video, copied)
        first = next(steps)
        if first.frame is None:
            raise InputError(f"{path} holds no frames that can be decoded")
        _warn(path, container, video, copied, first.frame)
        yield Clip(
            path=path, container=container, video=video, copied=copied, first=first.frame,
            frames=_count(container, video), _steps=steps, _first_step=first,
        )  # fmt: skip


def reason_of(error: Exception) -> str:
    """Return FFmpeg's words for an error, without its numbers and the names of our functions."""
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__).splitlines()[0]


def _choose_video(path: Path, container: "InputContainer") -> "VideoStream":
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            # a codec that FFmpeg cannot decode has no context
            if getattr(stream, "codec_context", None) is None:
                raise InputError(f"{path} is stored with a codec that cannot be decoded here")
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams}))
    raise InputError(f"{path} holds no video (only: {kinds or 'nothing'})")


def _is_copied(stream: "Stream") -> bool:
    return stream.type in _COPIED and getattr(stream, "codec_context", None) is not None


def _decode(
    path: Path, container: "InputContainer", video: "VideoStream", copied: "list[Stream]"
) -> "Iterator[Step]":
    from av.error import FFmpegError

    copied_indices = {stream.index for stream in copied}
    waiting: list[Packet[Stream]] = []
    good, extent, times = 0, _Extent(), Times(container, video)
    try:
        for packet in container.demux():
            extent.add(packet, video)
            index = packet.stream.index  # the packets that end the streams have no other
            if index in copied_indices and packet.dts is not None:
                waiting.append(packet)
            if index != video.index:
                continue
            times.add(packet)
            for frame in video.decode(packet):
                if frame.is_corrupt or packet.is_corrupt:
                    raise _damaged(path, good, "the next one is damaged")
                good += 1
                times.correct(frame)
                yield Step(frame=frame, packets=waiting)
                waiting = []
    except FFmpegError as error:
        raise _damaged(path, good, reason_of(error)) from error
    if _is_cut_short(container, video, extent):
        raise _damaged(path, good, "the file is cut short")
    yield Step(frame=None, packets=waiting)


def _damaged(path: Path, good: int, why: str) -> InputError:
    return InputError(
        f"{path} is damaged after frame {good}: {why}; repair it, or cut it before that frame"
    )


@dataclass(slots=True)
class _Extent:
    """What was found in a file: its video packets, and seconds from the first to the last end."""

    packets: int = 0
    begin: Fraction | None = None
    end: Fraction = Fraction(0)
    longest: Fraction = Fraction(0)
    _last: Fraction | None = None

    def add(self, packet: "Packet[Stream]", video: "VideoStream") -> None:
        """Count a packet of any stream; `longest` is the longest step between video packets."""
        if packet.pts is None:
            return
        start = packet.pts * packet.time_base
        self.begin = start if self.begin is None else min(self.begin, start)
        self.end = max(self.end, start + (packet.duration or 0) * packet.time_base)
        if packet.stream.index == video.index:
            self.packets += 1
            if self._last is not None:
                self.longest = max(self.longest, abs(start - self._last))
            self._last = start


def _is_cut_short(container: "InputContainer", video: "VideoStream", extent: _Extent) -> bool:
    """Tell whether a file ended before what its header promises.

    FFmpeg ends such a file without an error. MP4 and MOV list their samples, less those that an
    edit leaves out; Matroska and WebM state a duration, but not that of the last frame.
    """
    if "mp4" in container.format.name:
        return extent.packets < len(video.index_entries)
    if "matroska" in container.format.name and container.duration:
        found = extent.end - (extent.begin or 0)
        slack = extent.longest + _SLACK_SECONDS
        return found + slack < Fraction(container.duration, 1_000_000)
    return False


def _count(container: "InputContainer", video: "VideoStream") -> int | None:
    if video.frames:
        return video.frames
    if container.duration and video.average_rate:
        return round(container.duration / 1_000_000 * video.average_rate)
    return None


def _warn(
    path: Path,
    container: "InputContainer",
    video: "VideoStream",
    copied: "list[Stream]",
    first: "VideoFrame",
) -> None:
    kept = {video.index, *(stream.index for stream in copied)}
    kept |= {stream.index for stream in container.streams if stream.type == ATTACHMENT}
    # what a time code's stream says stands in the metadata of the video, too
    lost = [
        stream.type
        for stream in container.streams
        if stream.index not in kept and not (stream.type == "data" and "timecode" in video.metadata)
    ]
    if lost:
        _log.warning("%s: left out, as they cannot be copied: %s", path, ", ".join(lost))
    if any(component.is_alpha for component in first.format.components):
        _log.warning("%s: its transparency is not kept", path)
    if first.interlaced_frame:
        _log.warning(
            "%s is interlaced: each frame mixes two moments, which blurs it further; deinterlace "
            "it first", path
        )  # fmt: skip
    transfer = _HDR_TRANSFERS.get(int(first.color_trc))
    if transfer is not None:
        _log.warning(
            "%s has high dynamic range (%s); the networks know standard range, and see its values "
            "as they are stored", path, transfer
        )  # fmt: skip
