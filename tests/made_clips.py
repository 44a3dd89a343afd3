"""Tiny clips, made with PyAV and numpy."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data

TIME_BASE = Fraction(1, 30_000)
FRAMES = 8
CONSTANT = [1001 * number for number in range(FRAMES)]
VARIABLE = [0, 900, 2800, 3001, 5000, 9999, 10_050, 12_345]


def scenes(width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Return FRAMES crops of a photograph, uint8 H W 3, from dark to light in muted colours."""
    photograph = skimage.data.astronaut()
    return [
        (photograph[4 * n : 4 * n + height, 150 : 150 + width] * 0.7 + 30).astype(np.uint8)
        for n in range(FRAMES)
    ]


def make(
    path: Path,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] = CONSTANT,
    time_base: Fraction = TIME_BASE,
    matrix: int = 1,
    full_range: bool = False,
    transfer: int = 1,
    sound: str | None = None,
    turned: int = 0,
    pictures: Sequence[np.ndarray] | None = None,
) -> Path:
    """Write a clip of FRAMES frames; lossless with libx264 and ffv1."""
    with av.open(str(path), "w") as container:
        options = {"qp": "0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = time_base
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full_range else 1
        context.color_primaries, context.color_trc = 1, transfer
        if turned:
            stream.set_display_rotation(turned)
        audio = container.add_stream(sound, rate=48_000) if sound else None
        for number, (scene, time) in enumerate(zip(pictures or scenes(*size), times, strict=True)):
            frame = av.VideoFrame.from_ndarray(scene).reformat(
                format=pixels,
                dst_colorspace={1: 1, 6: 5, 9: 9}[matrix],
                dst_color_range=2 if full_range else 1,
            )
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
            if audio is not None:
                wave = np.sin(np.arange(1600) * 0.05 * (number + 1)).astype(np.float32)
                samples = av.AudioFrame.from_ndarray(np.stack([wave, -wave]), format="fltp")
                samples.sample_rate, samples.pts = 48_000, 1600 * number
                samples.time_base = Fraction(1, 48_000)
                container.mux(audio.encode(samples))
        container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def decoded(path: Path) -> list[av.VideoFrame]:
    """Return all frames of a clip."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[Fraction]:
    """Return when each frame is shown, in seconds."""
    return [frame.pts * frame.time_base for frame in decoded(path)]


def samples(path: Path) -> list[list[np.ndarray]]:
    """Return the planes of each frame, integers."""
    return [
        [
            np.frombuffer(bytes(plane), np.uint16 if frame.format.components[0].bits > 8 else "B")
            .reshape(plane.height, -1)[:, : plane.width]
            .astype(int)
            for plane in frame.planes
        ]
        for frame in decoded(path)
    ]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return time and content of each packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.dts is not None
        ]
