"""What the transferred known blur costs in a training step, before and after the bank of codes.

    python benchmarks/transfer_cost.py
    python benchmarks/transfer_cost.py --full

Before: in every step the batch's pairs are decoded and cropped, their codes read and laid over the
sharp crops, in float32. After: codes come from the bank and are laid over in bfloat16. Beside it
stands the converter's whole step with synthetic known blur, for comparison. The extractor is
untrained, which does not matter for speed; the published size with --full.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import skimage.data
import torch
from lightning.fabric import Fabric

import machine
from blur2blur import networks, settings, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.data.samples.datasets import Pairs
from blur2blur.training import code_bank, launch
from blur2blur.training.converter_adversarial import AdversarialConverterTask
from blur2blur.training.settings import ConverterSettings, KernelSettings
from blur2blur.weights import checkpoints, headers

SCENES = ("astronaut", "coffee", "hubble_deep_field", "retina", "rocket")
REPEATS = 7
SHORT_SHAKE = ["shake.length_px=[3, 11]", "lens.defocus_px=0"]


def main() -> None:
    """Time the three and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="published size, crops of 256 px")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    preset, crop_px, batch = ("kernel-full", 256, 2) if arguments.full else ("kernel", 96, 8)
    options = settings.load(KernelSettings, preset).network.options
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "data")
        network = networks.build_any("kernel_wizard", **options).eval().to(device)
        assert isinstance(network, networks.KernelWizard)
        weights = folder / "kernel.safetensors"
        header = headers.Header(role="kernel", network="kernel_wizard", options=options)
        checkpoints.save_network(weights, network, header)
        pairs = dict(launch.known_pairs(folder / "data"))
        os.environ["BLUR2BLUR_CACHE"] = str(folder / "cache")
        started = time.perf_counter()
        bank = code_bank.CodeBank(str(weights), pairs, device)
        read = time.perf_counter() - started
        started = time.perf_counter()
        code_bank.CodeBank(str(weights), pairs, device)
        print(
            f"bank of {len(pairs['known_sharp'])} pairs of 512 px: read in {read:.2f} s, "
            f"{time.perf_counter() - started:.2f} s from disk"
        )
        crops = Pairs(pairs, crop_px=crop_px, seed=0)
        sharp = torch.rand(batch, 3, crop_px, crop_px, device=device)
        rng = torch.Generator().manual_seed(0)
        steps = {
            "before, codes read in each step": lambda: before(network, crops, sharp),
            "after, codes from the bank": lambda: bank.blur(sharp, rng),
            "converter's step, synthetic blur": converter_step(folder / "data", crop_px, batch),
        }
        seconds = {label: times(step) for label, step in steps.items()}
    base = statistics.median(seconds["before, codes read in each step"])
    print(f"{preset}, {batch} crops of {crop_px} px, median of {REPEATS} (least, most):")
    for label, found in seconds.items():
        middle = statistics.median(found)
        print(
            f"{label:34} {middle * 1000:7.0f} ms ({min(found) * 1000:.0f}, {max(found) * 1000:.0f})"
            f"  {middle / base:.2f} of before"
        )


@torch.no_grad()
def before(network: networks.KernelWizard, crops: Pairs, sharp: torch.Tensor) -> torch.Tensor:
    """Decode, read and lay over, as a step without a bank does it."""
    samples = [crops[number] for number in range(len(sharp))]
    blurry, clean = (
        torch.stack([sample[stream] for sample in samples]).to(sharp.device).float() / 255  # pyright: ignore
        for stream in ("known_blurry", "known_sharp")
    )
    mean, _ = network.extract(clean, blurry)
    return network.adapt(sharp, mean)


def converter_step(data: Path, crop_px: int, batch: int) -> Callable[[], object]:
    """Return the whole step of a small converter whose known blur is synthetic."""
    overrides = [
        f"data.crop_px={crop_px}", f"data.batch_size={batch}", "data.workers=0",
        "known.source=synthetic", "known.camera=dusk", f"known.overrides={SHORT_SHAKE}",
        "network.options={ base_channels = 12, blocks = 2 }",
        "discriminator.base_channels=24", "discriminator.layers=2",
    ]  # fmt: skip
    checked = settings.load(ConverterSettings, "converter-pairs", overrides)
    fabric = Fabric(accelerator="auto", devices=1)
    fabric.launch()
    task = AdversarialConverterTask(checked, launch.converter_streams(data, checked), fabric)
    loader = torch.utils.data.DataLoader(task.dataset, batch, sampler=range(batch))
    one = fabric.to_device(next(iter(loader)))
    rng = torch.Generator().manual_seed(0)
    return lambda: task.step(one, rng)


def times(step: Callable[[], object]) -> list[float]:
    """Return seconds of each of several calls."""
    found: list[float] = []
    for _ in range(REPEATS + 2):
        started = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return found[2:]


def write_pairs(data: Path) -> None:
    """Fill trainA to trainD with photographs of 512 px and their blurry versions."""
    camera = Camera(load_camera("dusk", SHORT_SHAKE))
    rng = torch.Generator().manual_seed(0)
    for scene in SCENES:
        pixels = getattr(skimage.data, scene)()[..., :3]
        sharp = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
        sharp = torch.nn.functional.interpolate(sharp, (512, 512), mode="area")
        blurry = camera.blur(sharp, rng)
        for folder, image in zip(
            ("trainA", "trainB", "trainC", "trainD"), (blurry, sharp) * 2, strict=True
        ):
            tensors.write_rgb(data / folder / f"{scene}.png", image[0])


if __name__ == "__main__":
    main()
