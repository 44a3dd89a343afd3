"""Does decoding and encoding hold a clip up? Pure computation against the whole of `deblur`.

    python benchmarks/video_throughput.py --converter generic
    python benchmarks/video_throughput.py --frames 10 --network mimo_unet

A generated clip, H.264, the same tiles each time: *computation* is the pipeline alone on its frames
in memory, *clip* the command's way with its threads. Resident memory is read after each frame of
*clip* (Linux).
"""

import argparse
import json
import statistics
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
import torch

from blur2blur.files import write_text
from blur2blur.inference import Pipeline
from blur2blur.inference.video import clips
from blur2blur.weights import zoo
from folder_throughput import load, resident_mib, seconds_of, slope_mib
from machine import describe

FRAMES_PER_SECOND = 30
PAN_PX = 2  # from frame to frame


def main() -> None:
    """Make the clip, measure, print, leave a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT, even")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--deblurrer", default=zoo.DEFAULT_DEBLURRER)
    parser.add_argument("--converter")
    parser.add_argument("--network", help="an untrained network of that name instead")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("video_throughput.json"))
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        width, height = map(int, options.size.split("x"))
        write_clip(root / "in.mp4", width, height, options.frames)
        pipeline = load(root, options)
        runs = [measure(pipeline, root) for _ in range(options.repeats)]
    result = {
        "machine": describe(),
        "options": {key: str(value) for key, value in vars(options).items()},
        "runs": runs,
    }
    write_text(options.out, json.dumps(result, indent=1) + "\n")
    ratios = [run["computation_s"] / run["clip_s"] for run in runs]
    print(f"clip      {options.frames} frames of {options.size}")
    for way in ("computation", "clip"):
        seconds = statistics.median(run[f"{way}_s"] for run in runs) / options.frames
        print(f"{way:12s} {seconds:.3f} s per frame")
    print(
        f"computation/clip {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    memory = runs[0]["memory_mib"]
    print(
        f"memory    {memory[0]:.0f} MiB after the first frame, {memory[-1]:.0f} after the last, at "
        f"most {max(memory):.0f}; slope {slope_mib(memory):+.1f} MiB per 100 frames"
    )


def write_clip(path: Path, width: int, height: int, frames: int) -> None:
    """Encode a slow pan over an enlarged photograph."""
    scene = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1)[None].float()
    wide = (height, width + PAN_PX * frames)
    large = torch.nn.functional.interpolate(scene, size=wide, mode="bicubic")[0]
    pixels = np.ascontiguousarray(large.clamp(0, 255).byte().permute(1, 2, 0).numpy())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            part = pixels[:, PAN_PX * number : PAN_PX * number + width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(part))
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(pipeline: Pipeline, root: Path) -> dict:
    """Return seconds of both ways for the whole clip, and MiB of memory after each frame."""
    with av.open(str(root / "in.mp4")) as container:
        arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    pipeline(as_pixels(arrays[0]))
    computation = 0.0
    for array in arrays:
        pixels = as_pixels(array)
        computation += seconds_of(lambda pixels=pixels: pipeline(pixels))
    memory_mib: list[float] = []
    whole = seconds_of(
        lambda: clips.process(
            pipeline,
            root / "in.mp4",
            root / "out.mp4",
            on_frame=lambda *_: memory_mib.append(resident_mib()),
        )
    )
    return {"computation_s": computation, "clip_s": whole, "memory_mib": memory_mib}


def as_pixels(array: np.ndarray) -> torch.Tensor:
    """Return a frame as the pipeline takes it: float32 3 H W in [0, 1]."""
    return torch.from_numpy(array).permute(2, 0, 1).float().contiguous() / 255


if __name__ == "__main__":
    main()
