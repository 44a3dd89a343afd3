"""Ways to train a deblurrer of the known blur, each given the same seconds of one core.

`python benchmarks/candidates.py --data DIR --choose DIR --seconds 3600 --out DIR NAME...`

Each candidate trains on `--data` in one thread until its process has used that many seconds of CPU,
making its crops included; an interrupted one goes on where it stopped. Then its averaged weights
deblur crops of `--choose`, photographs that nothing was trained on, under blur of several extents.
`--measure FILE...` does only that, with weights that are there.
"""

import argparse
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from blur2blur import images, settings, tensors
from blur2blur.training import launch, sources
from blur2blur.training.settings import DeblurrerSettings
from blur2blur.weights import zoo
from blur2blur.weights.checkpoints import load_network
from machine import describe

CANDIDATES = {
    "coarse": [],
    "mimo": ["network={name='mimo_unet', options={base_channels=16, blocks=4}}"],
    "dense": ["network={name='residual_unet', options={}}"],
    "gated": [
        "network={name='residual_unet', options={block='gated', widths=[32,64,128,208]}}",
    ],
    "nafnet": [
        "network={name='nafnet', options={width=16, encoder_blocks=[1,1,1,28]}}",
    ],
    "l1": ["loss.frequency=0"],
}
EXTENTS_PX = ((1, 3), (3, 6), (6, 12), (12, 24))
CROPS = 48


def train(name: str, data: Path, out: Path, seconds: float, overrides: Sequence[str]) -> None:
    """Train one candidate in the run folder `out`."""
    checked = settings.load(
        DeblurrerSettings,
        "known-blur",
        [
            "init=",
            "data.workers=0",
            "optimiser.schedule=constant",
            "run.steps=10000000",
            "run.validate_every=500",
            "run.checkpoint_every=100",
            "run.samples_every=10000",
            *CANDIDATES[name],
            *overrides,
        ],
    )
    spent = out / "cpu_seconds"
    before = float(spent.read_text()) if spent.exists() else 0.0
    start = time.process_time()

    def progress(step: int, values: dict[str, float]) -> None:
        used = before + time.process_time() - start
        if step % checked.run.checkpoint_every == 0 and out.exists():
            spent.write_text(str(used))
        if used > seconds:
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does: saved, and the loop returns

    if before < seconds:
        launch.train_deblurrer(data, checked, out, progress)


@torch.inference_mode()
def gains_db(weights: Path, photos: Path) -> list[float]:
    """Return the gains over the blurry crops, of all crops together, for each of EXTENTS_PX."""
    network, _ = load_network(weights, role="deblurrer")
    data = settings.load(DeblurrerSettings, "known-blur").data
    data = data.model_copy(update={"validation_crops": CROPS, "crop_px": 192, "shrink": (1, 1)})
    streams = {"known_sharp": images.find_images(photos)}
    gains: list[float] = []
    for extents in EXTENTS_PX:
        overrides = [f"extent_px={list(extents)}", "still=0"]
        known = sources.KnownBlur(
            sources.KnownBlurSettings(overrides=overrides), torch.device("cpu")
        )
        blurry, sharp = known.held_out(streams, data, seed=0, device=torch.device("cpu"))
        deblurred = torch.cat([network.restore(part) for part in blurry.split(8)]).clamp(0, 1)
        before, after = (tensors.psnr_db(each, sharp) for each in (blurry, deblurred))
        gains.append(after - before)
    return gains


def report(name: str, weights: Path, photos: Path) -> None:
    """Print the gains of a deblurrer."""
    _, header = load_network(weights, role="deblurrer")
    gains = zip(EXTENTS_PX, gains_db(weights, photos), strict=True)
    shown = ", ".join(f"{low}-{high} px {gain:+.2f} dB" for (low, high), gain in gains)
    print(f"{name}: {header.step} steps: {shown}", flush=True)


def main() -> None:
    """Read the options, train and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CANDIDATES))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--choose", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs="+", default=[], metavar="FILE", help="or a name")
    parser.add_argument("--set", action="append", default=[], help="a setting for all of them")
    options = parser.parse_args()
    if unknown := set(options.names) - CANDIDATES.keys():
        parser.error(f"no candidate {', '.join(sorted(unknown))}; choose {', '.join(CANDIDATES)}")
    if options.names and not (options.data and options.out):
        parser.error("to train needs --data and --out")
    torch.set_num_threads(1)
    print(describe(), f"seconds   {options.seconds:.0f} of one core", sep="\n", flush=True)
    for weights in options.measure:
        report(weights, zoo.resolve(weights, role="deblurrer"), options.choose)
    for name in options.names:
        out = options.out / name
        train(name, options.data, out, options.seconds, options.set)
        report(name, out / "last.safetensors", options.choose)


if __name__ == "__main__":
    main()
