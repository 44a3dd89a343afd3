"""Clips through a pipeline, frame by frame: memory does not grow with their length."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blur2blur.errors import InputError
from blur2blur.files import atomic_path
from blur2blur.inference.pipeline import Pipeline
from blur2blur.inference.video import animations, codecs, colour, reading, writing
from blur2blur.inference.video.codecs import Encoding, Quality
from blur2blur.inference.video.colour import Layout, Matrix
from blur2blur.inference.video.reading import Clip, Step
from blur2blur.inference.video.scenes import Scenes
from blur2blur.tiling import Pixels

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.stream import Stream

_log = logging.getLogger(__name__)

_LIMITED, _FULL = 1, 2
_BT709 = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A decoded frame on its way.

    Attributes:
        packets: what stands before it in the file and is copied.
        frame: in the layout that is written, with its time and tags.
        planes: its samples.
        matrix: what they mean.
        pixels: float32 H W 3, R'G'B' in [0, 1].
    """

    packets: "list[Packet[Stream]]"
    frame: "VideoFrame"
    planes: list[NDArray[np.int32]]
    matrix: Matrix
    pixels: Pixels


def process(
    pipeline: Pipeline,
    source: Path,
    output: Path,
    *,
    quality: Quality | None = None,
    on_frame: Callable[[int, int | None], None] | None = None,
) -> None:
    """Deblur a clip; the output keeps size, time stamps, rotation, colour tags, sound.

    Frames are taken in the orientation they are stored in, those of a scene at one working scale,
    which its first frame decides where the pipeline's is "auto". While one is computed, the next is
    decoded and the one before encoded; no more than these are held. An animated GIF, WebP or PNG
    that stays one is held whole, and needs no extra.

    Args:
        pipeline: what every frame goes through.
        source: the clip.
        output: its suffix chooses the container. It appears when it is whole.
        quality: codec and quality; the clip's own codec, where it can be written, if not given.
        on_frame: told (frames done, frames in all or None) after each.

    Raises:
        ConfigError: the extra `video` is not installed; a codec or suffix that does not fit.
        InputError: a clip that is no clip, has no frames, is damaged or cut short (nothing is
            written then), an output that is the input or cannot be written.
        CheckpointError: the networks fail on a frame.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{output} is the input and would be overwritten; choose another name")
    on_frame = on_frame or (lambda done, total: None)
    if animations.is_kept(source, output):
        for note in animations.process(pipeline, source, output, on_frame=on_frame):
            _log.warning("%s: %s", source, note)
        return
    with reading.opened(source) as clip:
        encoding = choose_encoding(clip, output, quality or Quality())
        first = in_layout(clip.first, encoding.layout)
        with (
            atomic_path(output) as temporary,
            writing.opened(temporary, output, clip, first, encoding) as writer,
        ):
            _run(pipeline, clip, encoding, writer, on_frame)


def choose_encoding(clip: Clip, output: Path, quality: Quality) -> Encoding:
    """Choose how a clip is encoded; raises ConfigError as `video_codecs.choose`."""
    return codecs.choose(
        quality,
        output,
        codec=clip.video.codec_context.codec.canonical_name,
        pixels=clip.first.format,
        width=clip.first.width,
        height=clip.first.height,
    )


def in_layout(frame: "VideoFrame", layout: Layout) -> "VideoFrame":
    """Return a frame with its samples in that layout; matrix and range stay what they are.

    Of RGB, luma and chroma of BT.709 in limited range are made where the layout has them.
    """
    if frame.format.name.replace("yuvj", "yuv") == layout.name:
        return frame
    if layout.rgb:
        return frame.reformat(format=layout.name)
    if frame.format.is_rgb or frame.format.has_palette:
        return frame.reformat(format=layout.name, dst_colorspace=_BT709, dst_color_range=_LIMITED)
    full = colour.matrix_of(frame).full_range
    kept = _FULL if full else _LIMITED
    return frame.reformat(format=layout.name, src_color_range=kept, dst_color_range=kept)


def _run(
    pipeline: Pipeline,
    clip: Clip,
    encoding: Encoding,
    writer: writing.Writer,
    on_frame: Callable[[int, int | None], None],
) -> None:
    # one thread each, and one frame each: what is ahead or behind is bounded
    with (
        ThreadPoolExecutor(1, "decode") as decoding,
        ThreadPoolExecutor(1, "encode") as encoding_thread,
    ):
        read_next = partial(_read, clip.steps(), encoding.layout, clip)
        upcoming = decoding.submit(read_next)
        written: Future[None] | None = None
        done, scenes = 0, Scenes(pipeline)
        while isinstance(item := upcoming.result(), Frame):
            upcoming = decoding.submit(read_next)
            deblurred = pipeline.process(item.pixels, factor=scenes.factor(item.pixels))
            if written is not None:
                written.result()
            written = encoding_thread.submit(_write, writer, item, deblurred, encoding.layout)
            done += 1
            on_frame(done, clip.frames)
        if written is not None:
            written.result()
        writer.finish(item)


def _read(steps: Iterator[Step], layout: Layout, clip: Clip) -> "Frame | Sequence[Packet[Stream]]":
    """Return the next frame, or after the last the packets that are left."""
    step = next(steps)
    if step.frame is None:
        return step.packets
    size, first = (step.frame.width, step.frame.height), (clip.first.width, clip.first.height)
    if size != first:
        raise InputError(f"{clip.path} changes its size from {first} to {size}; cut it there")
    frame = in_layout(step.frame, layout)
    planes = colour.read_planes(frame)
    matrix = colour.matrix_of(frame)
    pixels = colour.to_rgb(planes, layout, matrix)
    return Frame(packets=step.packets, frame=frame, planes=planes, matrix=matrix, pixels=pixels)


def _write(writer: writing.Writer, item: Frame, deblurred: Pixels, layout: Layout) -> None:
    change = deblurred - item.pixels
    planes = colour.add_change(item.planes, change, layout, item.matrix)
    writer.write(item.packets, item.frame, planes)
