"""Animated GIF, WebP and PNG through a pipeline, frame by frame; Pillow reads and writes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath

from blur2blur import images
from blur2blur.images import Raster
from blur2blur.inference.pipeline import Pipeline
from blur2blur.inference.video.scenes import Scenes


def is_kept(source: Path, output: PurePath) -> bool:
    """Tell whether a file is an animation that stays one, by the name of the output."""
    is_named = output.suffix.lower() in images.ANIMATION_SUFFIXES
    return is_named and images.contents_of(source) == "animation"


def process(
    pipeline: Pipeline,
    source: Path,
    output: Path,
    *,
    on_frame: Callable[[int, int | None], None],
) -> tuple[str, ...]:
    """Deblur an animation; durations, repetition, clear ground and metadata stay.

    Args:
        pipeline: what every frame goes through.
        source: the animation.
        output: its suffix chooses the kind. It appears when it is whole.
        on_frame: told (frames done, frames in all) after each.

    Returns:
        What a user should be told, one line each.

    Raises:
        InputError: damaged, of too many pixels, or an output that cannot be written.
        CheckpointError: the networks fail on a frame.
    """
    animation = images.decode_animation(source)
    scenes = Scenes(pipeline)
    frames: list[Raster] = []
    for done, frame in enumerate(animation.frames, start=1):
        photograph = images.to_photograph(frame)
        pixels = images.working_pixels(photograph)
        factor = scenes.factor(pixels)
        result = images.with_result(photograph, pipeline.process(pixels, factor=factor))
        frames.append(images.to_raster(Path("frame.png"), result))
        on_frame(done, len(animation.frames))
    first = replace(frames[0], compression=animation.frames[0].compression)
    made = replace(animation, frames=[first, *frames[1:]])
    return animation.frames[0].notes + images.encode_animation(output, made)
