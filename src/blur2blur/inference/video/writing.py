"""A clip written as another one was read: time stamps, rotation, colour tags, sound."""

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from blur2blur.errors import InputError
from blur2blur.inference.video.codecs import Encoding
from blur2blur.inference.video.colour import Layout, Planes, write_planes
from blur2blur.inference.video.reading import Clip, reason_of

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.buffer import Buffer
    from av.container import OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

# Above it, what a file says is the unit of its time stamps.
_MOST_FRAMES_PER_SECOND = 480

_log = logging.getLogger(__name__)

# What a file says of its container or encoder, which are others now.
_NOT_KEPT = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "DURATION", "vendor_id"}
)


class Writer:
    """Encodes frames and copies packets into one file; `opened` makes it."""

    def __init__(
        self,
        container: "OutputContainer",
        video: "VideoStream",
        copies: "dict[int, Stream]",
        encoding: Encoding,
        source: Path,
    ) -> None:
        self._source = source
        self._container, self._video, self._copies = container, video, copies
        self._layout = encoding.layout
        self._last_pts: int | None = None

    def write(
        self,
        packets: "Sequence[Packet[Stream]]",
        frame: "VideoFrame",
        planes: Planes,
    ) -> None:
        """Copy packets, then encode planes with the time and the tags of the frame they are of.

        Args:
            packets: of the streams that are copied.
            frame: as it was read, in the layout that is written.
            planes: integer h w planes in that layout.

        Raises:
            InputError: a frame without a time stamp, or with one that is not later than the last.
        """
        if frame.pts is None or (self._last_pts is not None and frame.pts <= self._last_pts):
            raise InputError(
                f"{self._source}: time stamps do not rise at {frame.time or 0:.3f} s; repair the "
                "clip first"
            )
        self._last_pts = frame.pts
        self._copy(packets)
        self._container.mux(self._video.encode(_new_frame(frame, planes, self._layout)))

    def finish(self, packets: "Sequence[Packet[Stream]]") -> None:
        """Copy the last packets and write what the encoder still holds."""
        self._copy(packets)
        self._container.mux(self._video.encode(None))

    def _copy(self, packets: "Sequence[Packet[Stream]]") -> None:
        for packet in packets:
            stream = self._copies.get(packet.stream_index)
            if stream is not None:
                packet.stream = stream
                self._container.mux_one(packet)


@contextmanager
def opened(
    path: Path, output: Path, clip: Clip, first: "VideoFrame", encoding: Encoding
) -> "Generator[Writer]":
    """Open a file for the frames of `clip`; whole only if the block ends without an error.

    Args:
        path: the file that is written.
        output: what it is called in errors.
        clip: as it was read.
        first: its first frame in the layout that is written.
        encoding: how it is encoded.

    Raises:
        InputError: the container cannot hold the sound, or an encoder refuses.
    """
    import av
    from av.error import FFmpegError

    with _explained(output):
        options: dict[str, str] = {}
        if encoding.container in ("mp4", "mov"):
            # else the time of the first frame is rounded to milliseconds
            options["movie_timescale"] = str(_time_base(first).denominator)
        container = av.open(str(path), "w", format=encoding.container, options=options)
        try:
            video = _add_video(container, clip, first, encoding)
            copies = _add_copies(container, clip, output)
            _add_attachments(container, clip, output)
            container.metadata.update(_kept(clip.container.metadata))
            container.set_chapters(clip.container.chapters())
            yield Writer(container, video, copies, encoding, clip.path)
        except BaseException:
            # closing writes the end of a file that nobody will see; the first error counts
            with suppress(FFmpegError):
                container.close()
            raise
        container.close()


@contextmanager
def _explained(output: Path) -> Generator[None]:
    """Raise an InputError that names `output` for an error of FFmpeg that is no OSError."""
    from av.error import FFmpegError

    try:
        yield
    except OSError:
        raise  # the disk's: whoever opened the file explains it
    except FFmpegError as error:
        raise InputError(f"cannot write {output}: {reason_of(error)}") from error


def _add_video(
    container: "OutputContainer", clip: Clip, first: "VideoFrame", encoding: Encoding
) -> "VideoStream":
    from av.codec.context import Flags

    if encoding.encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no other way to be quiet
    source = clip.video
    stream = cast(
        "VideoStream", container.add_stream(encoding.encoder, _rate(source), dict(encoding.options))
    )
    context = stream.codec_context
    context.width, context.height = first.width, first.height
    context.pix_fmt = encoding.layout.name
    stream.time_base = context.time_base = _time_base(first)
    context.flags |= Flags.frame_duration
    if source.sample_aspect_ratio:
        context.sample_aspect_ratio = source.sample_aspect_ratio
    context.color_range, context.colorspace = first.color_range, first.colorspace
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    if encoding.codec == "hevc" and encoding.container in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # the one that Apple's players take
    matrix = _display_matrix(clip.first)
    if matrix is not None:
        stream.set_display_matrix(matrix)
    stream.metadata.update(_kept(source.metadata))
    return stream


def _rate(source: "VideoStream") -> Fraction:
    """Return frames per second, from which encoders choose levels; time stamps do not need it."""
    for rate in (source.average_rate, source.guessed_rate):
        if rate and rate <= _MOST_FRAMES_PER_SECOND:
            return rate
    return Fraction(30)


def _add_copies(container: "OutputContainer", clip: Clip, output: Path) -> "dict[int, Stream]":
    copies: dict[int, Stream] = {}
    for source in clip.copied:
        try:
            copy = container.add_stream_from_template(source)
        except ValueError as error:
            codec = source.codec_context.name
            if source.type == "audio":
                raise InputError(
                    f"{output}: its kind of file does not hold {codec} sound; write an .mkv"
                ) from error
            _log.warning("%s: subtitles (%s) are left out; an .mkv holds them", output, codec)
            continue
        copy.metadata.update(_kept(source.metadata))
        copy.disposition = source.disposition
        copies[source.index] = copy
    return copies


def _add_attachments(container: "OutputContainer", clip: Clip, output: Path) -> None:
    """Copy attached files, such as the fonts of subtitles, where the container has a place."""
    from av.stream import AttachmentStream

    attached = [each for each in clip.container.streams if isinstance(each, AttachmentStream)]
    if attached and container.format.name != "matroska":
        names = ", ".join(each.name or "without a name" for each in attached)
        _log.warning("%s: attached files (%s) are left out; an .mkv holds them", output, names)
        return
    for each in attached:
        kind = each.mimetype or "application/octet-stream"
        container.add_attachment(each.name or "attachment", kind, each.data)


def _new_frame(frame: "VideoFrame", planes: Planes, layout: Layout) -> "VideoFrame":
    from av import VideoFrame

    new = VideoFrame(frame.width, frame.height, layout.name)
    write_planes(new, planes, layout)
    new.pts, new.time_base, new.duration = frame.pts, _time_base(frame), frame.duration
    new.color_range, new.colorspace = frame.color_range, frame.colorspace
    new.color_primaries, new.color_trc = frame.color_primaries, frame.color_trc
    return new


def _time_base(frame: "VideoFrame") -> Fraction:
    if frame.time_base is None:
        raise InputError("its frames have no time base; convert the clip first")
    return frame.time_base


def _display_matrix(frame: "VideoFrame") -> list[int] | None:
    """Return the nine numbers by which players turn or mirror the stored frames."""
    side_data = cast("Mapping[str, Buffer]", frame.side_data).get("DISPLAYMATRIX")
    if side_data is None:
        return None
    return [int(value) for value in np.frombuffer(bytes(side_data), np.int32)]


def _kept(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key not in _NOT_KEPT}
