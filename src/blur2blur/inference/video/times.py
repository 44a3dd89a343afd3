"""Time stamps of frames whose files have none of their own, or the same twice."""

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

# AVI tells when packets are decoded; this codec shows frames in another order
_REORDERING = "h264"


class Times:
    """Sets the time stamps of a stream's frames, which come in the order they are shown in.

    A frame without one follows the one before by its duration; one with the same, or with one that
    is less than two frames earlier, by the smallest step. Others stay.
    """

    def __init__(self, container: "InputContainer", video: "VideoStream") -> None:
        codec = video.codec_context.codec.canonical_name
        self._counted = "avi" in container.format.name and codec == _REORDERING
        self._decoded_at = deque[int]()
        self._last: int | None = None

    def add(self, packet: "Packet[Stream]") -> None:
        """Note a packet of the stream, before its frames."""
        if self._counted and packet.dts is not None and packet.size:
            self._decoded_at.append(packet.dts)

    def correct(self, frame: "VideoFrame") -> None:
        """Give the next frame its time."""
        duration = frame.duration or 1
        pts = self._decoded_at.popleft() if self._decoded_at else frame.pts
        if pts is None:
            pts = 0 if self._last is None else self._last + duration
        if self._last is not None and self._last - 2 * duration < pts <= self._last:
            pts = self._last + 1
        frame.pts = self._last = pts
