"""What pairs of weights do to real and simulated blur, side by side in one run.

`python benchmarks/quality.py --real DIR --photos DIR --pair NAME=CONVERTER,DEBLURRER ...`

`--real` has `blur` and `sharp` folders of equal names; `--photos` sharp photographs that nothing
was trained on. Each set is deblurred by every pair at every scale that is asked for.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.inference import Pipeline
from machine import describe

EXTENTS_PX = (5, 15, 30, 60)
SMALL_CAMERAS: Mapping[str, Sequence[str]] = {
    "phone": ["shake.length_px=[3.3, 14.7]", "lens.defocus_px=[0.2, 0.6]"],
    **dict.fromkeys(("dusk", "night", "dashcam", "roll"), ()),
}
"""Noisy ones, on photographs of half size, and what is changed in them."""
UNCHANGED_DB = 60.0
"""What an image that comes back as it went in counts as."""
WORSE_DB = 0.2

Pairs = Sequence[tuple[str, Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One image by one pair of weights at one scale, in dB."""

    images: str
    name: str
    pair: str
    scale: str
    input_db: float
    output_db: float

    @property
    def gain_db(self) -> float:
        """How much better it became."""
        return self.output_db - self.input_db


def real_pairs(folder: Path) -> Pairs:
    """Return (name, blurry, sharp), 3 H W."""
    return [
        (path.name, tensors.read_rgb(path), tensors.read_rgb(folder / "sharp" / path.name))
        for path in images.find_images(folder / "blur")
    ]


def simulated(
    folder: Path, camera: str, overrides: Sequence[str], *, seed: int, shrink: int = 1
) -> Pairs:
    """Return (name, blurry, sharp) of a camera's photographs; the sharp ones have no noise."""
    taker = Camera(load_camera(camera, overrides))
    pairs: list[tuple[str, Tensor, Tensor]] = []
    for index, path in enumerate(images.find_images(folder)):
        rng = torch.Generator().manual_seed(1000 * seed + index)
        sharp = torch.nn.functional.avg_pool2d(tensors.read_rgb(path)[None], shrink)
        exposure = taker.draw(1, rng, *sharp.shape[-2:])
        light = taker.light(sharp, exposure, rng)
        blurry = taker.develop(taker.expose(light, exposure), exposure, rng)
        pairs.append((path.name, blurry[0], taker.toned(light, exposure)[0]))
    return pairs


def sets(real: Path | None, photos: Path, seed: int) -> Iterator[tuple[str, Callable[[], Pairs]]]:
    """Yield the named sets of images, and what makes them."""
    if real is not None:
        yield "real", partial(real_pairs, real)
    take = partial(simulated, photos, seed=seed)
    plain = ["still=0", "objects.share=0", "spatial.share=0"]
    yield "coded 8-37 px", partial(take, "known", [*plain, "extent_px=[8,37]", "response=0.45"])
    noise = ["noise.shot=[5e-5,3e-4]", "noise.read=[3e-5,9e-4]", "demosaic=malvar"]
    phone = [*plain, *noise, "jpeg.quality=[85,95]"]
    for extent in EXTENTS_PX:
        fixed = f"extent_px={extent}"
        yield f"{extent} px", partial(take, "known", [*plain, fixed])
        yield f"{extent} px, phone", partial(take, "known", [*phone, fixed])
    for camera, changes in SMALL_CAMERAS.items():
        yield camera, partial(take, camera, changes, shrink=2)
    yield "sharp", partial(unblurred, photos)


def unblurred(folder: Path) -> Pairs:
    """Return (name, photograph, the same photograph)."""
    sharp = [(path.name, tensors.read_rgb(path)) for path in images.find_images(folder)]
    return [(name, image, image) for name, image in sharp]


def measure(name: str, pairs: Pairs, pipeline: Pipeline, pair: str, scale: str) -> Iterator[Score]:
    """Yield the scores of one set."""
    for image, blurry, sharp in track(pairs, f"{name} {pair} {scale}", transient=True):
        before, after = (
            min(UNCHANGED_DB, tensors.psnr_db(each, sharp)) for each in (blurry, pipeline(blurry))
        )
        yield Score(
            images=name, name=image, pair=pair, scale=scale, input_db=before, output_db=after
        )


def report(scores: Sequence[Score]) -> None:
    """Print a line for each set, pair and scale, and how far "auto" is from the best scale."""
    rows: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        rows.setdefault((score.images, score.pair, score.scale), []).append(score)
    print("| images | pair | scale | input dB | output dB | gain dB | worst gain | worse by 0.2 |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, pair, scale), row in rows.items():
        gains = [score.gain_db for score in row]
        means = [statistics.fmean(getattr(score, key) for score in row) for key in _SHOWN]
        numbers = " | ".join(f"{value:.2f}" for value in means)
        worse = sum(gain < -WORSE_DB for gain in gains)
        print(f"| {name} | {pair} | {scale} | {numbers} | {min(gains):+.2f} | {worse}/{len(row)} |")
    for (name, pair, scale), row in rows.items():
        others = [rows[key] for key in rows if key[:2] == (name, pair) and key[2] != "auto"]
        if scale == "auto" and len(others) > 1:
            best = [max(score.output_db for score in same) for same in zip(*others, strict=True)]
            short = statistics.fmean(b - s.output_db for b, s in zip(best, row, strict=True))
            print(f"{name}, {pair}: auto is {short:.2f} dB below the best scale of each image")


_SHOWN = ("input_db", "output_db", "gain_db")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument(
        "--pair", action="append", required=True, metavar="NAME=CONVERTER,DEBLURRER"
    )
    parser.add_argument("--scale", action="append", help="auto, 1, 1/2...; repeatable")
    parser.add_argument("--only", action="append", help="names of sets; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON of every image's score")
    options = parser.parse_args()
    print(describe(), f"seed      {options.seed}", sep="\n")
    scores: list[Score] = []
    chosen = [
        (name, make())
        for name, make in sets(options.real, options.photos, options.seed)
        if not options.only or name in options.only
    ]
    for text in options.pair:
        pair, _, files = text.partition("=")
        converter, deblurrer = files.split(",")
        for scale in options.scale or ["auto"]:
            pipeline = Pipeline(deblurrer, None if converter == "none" else converter, scale=scale)
            for name, pairs in chosen:
                scores += measure(name, pairs, pipeline, pair, scale)
    report(scores)
    if options.out:
        options.out.write_text(json.dumps([asdict(score) for score in scores], indent=1))


if __name__ == "__main__":
    main()
