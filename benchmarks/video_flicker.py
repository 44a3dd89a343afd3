"""Flicker: how much more a deblurred static clip changes from frame to frame than its input.

    python benchmarks/video_flicker.py

A clip is one photograph, blurred once, under noise that is drawn anew for every frame (a sensor's),
stored without loss. Flicker is the mean absolute difference of consecutive frames, in levels of
255: of a static scene, all of it is noise. Seconds per frame are printed too: deblurring, reading
and writing.
"""

import argparse
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
import torch
from torch import Tensor

from blur2blur.blur import Camera, load_camera
from blur2blur.inference import Pipeline
from blur2blur.inference.video import clips
from blur2blur.inference.video.codecs import Quality
from blur2blur.weights import zoo
from machine import describe

PHOTOGRAPHS = ("chelsea", "coffee", "rocket")


def photograph(name: str, side_px: int, camera: Camera | None, seed: int) -> Tensor:
    """Return the middle of a photograph, float32 3 H W, blurred by the camera if there is one."""
    pixels = torch.from_numpy(getattr(skimage.data, name)()[..., :3].copy())
    image = pixels.permute(2, 0, 1).float() / 255
    if camera is not None:
        image = camera.blur(image[None], torch.Generator().manual_seed(seed))[0]
    top, left = ((side - side_px) // 2 for side in image.shape[1:])
    return image[:, top : top + side_px, left : left + side_px]


def write_clip(path: Path, still: Tensor, *, frames: int, noise_levels: float, seed: int) -> None:
    """Store noisy copies of a still as RGB, without loss."""
    rng = torch.Generator().manual_seed(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = still.shape[2], still.shape[1], "bgr0"
        for number in range(frames):
            noise = torch.randn(still.shape, generator=rng) * noise_levels
            values = (still * 255 + noise).round().clamp(0, 255).permute(1, 2, 0)
            array = np.ascontiguousarray(values.numpy().astype(np.uint8))
            frame = av.VideoFrame.from_ndarray(array).reformat(format="bgr0")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def flicker(path: Path) -> float:
    """Return the mean absolute difference of consecutive frames, in levels of 255."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb48le") for frame in container.decode(video=0)]
    values = np.stack(frames) / 257
    return float(np.abs(np.diff(values, axis=0)).mean())


def measure(
    pipeline: Pipeline, stills: dict[str, Tensor], *, frames: int, noise_levels: float, seed: int
) -> tuple[float, float, float]:
    """Return flicker before and after, means over the stills, and seconds per frame."""
    before: list[float] = []
    after: list[float] = []
    seconds = 0.0
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "in.mkv"), Path(name, "out.mkv")
        for number, still in enumerate(stills.values()):
            write_clip(
                source, still, frames=frames, noise_levels=noise_levels, seed=1000 * seed + number
            )
            started = time.perf_counter()
            clips.process(pipeline, source, output, quality=Quality(codec="ffv1"))
            seconds += time.perf_counter() - started
            before.append(flicker(source))
            after.append(flicker(output))
    return statistics.fmean(before), statistics.fmean(after), seconds / frames / len(stills)


def main() -> None:
    """Read the options; print a row for each noise and pipeline, mean and deviation over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--converter", default="generic")
    parser.add_argument("--deblurrer", default=zoo.DEFAULT_DEBLURRER)
    parser.add_argument("--camera", default="known", help="of the blur; none for sharp clips")
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0, 2.0, 4.0], help="levels")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--side", type=int, default=192, help="pixels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    print(describe() + f", PyAV {av.__version__}")
    camera = None if options.camera == "none" else Camera(load_camera(options.camera))
    pipelines = {
        options.deblurrer: Pipeline(options.deblurrer, None),
        f"{options.converter}, {options.deblurrer}": Pipeline(options.deblurrer, options.converter),
    }
    print("noise | networks | input flicker | output flicker | ratio | seconds per frame")
    for noise in options.noise:
        for title, pipeline in pipelines.items():
            rows = [
                measure(
                    pipeline,
                    {name: photograph(name, options.side, camera, seed) for name in PHOTOGRAPHS},
                    frames=options.frames,
                    noise_levels=noise,
                    seed=seed,
                )
                for seed in options.seeds
            ]
            ratios = [after / before for before, after, _ in rows]
            means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
            spread = statistics.stdev(ratios) if len(ratios) > 1 else 0.0
            print(
                f"{noise:g} | {title} | {means[0]:.2f} | {means[1]:.2f} | "
                f"{statistics.fmean(ratios):.2f} ± {spread:.2f} | {means[2]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
