"""How well a kernel extractor lays the blur of one pair over another photograph.

    python benchmarks/kernel_transfer.py --photos kodak --seeds 0 1 2
    python benchmarks/kernel_transfer.py --photos kodak --pairs reds --run runs/kernel

Every photograph is blurred by a kernel of its own, as a pair; the next one in the folder is blurred
by the same kernel, as the truth. Compared with that truth are, all given the pair alone: the
photograph left sharp; blurred by the Gaussian, in linear light, that fits the pair best; blurred by
one Gaussian for all pairs; blurred by the least-squares kernel of the pair, which needs no network;
and the pair's blur as the kernel extractor transfers it, untrained and trained, code by code or as
one code for the whole image. Writes a JSON, a sheet of pictures, and with --run the run's curve.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import machine
from blur2blur import images, load_kernel_extractor, networks, tensors
from blur2blur.blur import Camera, convolve, kernels, load_camera
from blur2blur.blur.transfer import lay_blur, read_code
from blur2blur.data.folders import layout
from blur2blur.networks import KernelWizard
from blur2blur.networks.local_filter import estimate_kernels
from blur2blur.tensors import to_linear, to_srgb
from blur2blur.training.sheets import sheet

SIGMAS_PX = np.arange(0.4, 6.01, 0.2)
KNOWN = [
    *("shake.length_px=[4, 16]", "shake.wander=[0, 1.2]", "shake.pull=[0, 4]", "shake.jerks=0"),
    "lens.defocus_px=0",
]
CELL_PX, LEAST_SQUARES_PX = 16, 21
METHODS = (
    "left sharp",
    "one Gaussian for all",
    "Gaussian of the pair",
    "least squares, no network",
    "untrained, code map",
    "untrained, one code",
    "transfer, code map",
    "transfer, one code",
)


def main() -> None:
    """Measure every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="kernel", help="shipped name or weight file")
    parser.add_argument("--photos", type=Path, required=True, help="sharp, never trained on")
    parser.add_argument("--camera", default="dusk")
    parser.add_argument("--set", action="append", help="of the camera; the recipe's if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pairs", type=Path, help="real pairs, blur/ or blurry/ and sharp/")
    parser.add_argument("--run", type=Path, help="run folder of the network, for its curve")
    parser.add_argument("--out", type=Path, default=Path("kernel-transfer"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = load_kernel_extractor(arguments.network)
    camera = Camera(load_camera(arguments.camera, arguments.set or KNOWN))
    photographs = [tensors.read_rgb(path) for path in images.find_images(arguments.photos)]
    print(machine.describe())
    of_seed = [measure(network, camera, photographs, seed) for seed in arguments.seeds]
    result = table(of_seed)
    print(f"{len(photographs)} photographs, seeds {arguments.seeds}: PSNR against the truth")
    for method, row in result.items():
        spread = " ".join(f"{value:.2f}" for value in row["of_seed_db"])
        print(
            f"{method:26} {row['mean_db']:.2f} +- {row['spread_db']:.2f} dB ({spread}); "
            f"better than the pair's Gaussian on {row['beats_gaussian']:.0%}"
        )
    if arguments.pairs is not None:
        print("real pairs, made again from their sharp images, PSNR against the blurry ones:")
        for method, values in again(network, arguments.pairs).items():
            print(f"{method:26} {statistics.mean(values):.2f} dB of {len(values)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "kernel_transfer.json").write_text(json.dumps(result, indent=1) + "\n")
    tensors.write_rgb(
        arguments.out / "kernel_transfer.png",
        picture(network, camera, photographs, arguments.seeds[0]),
    )
    if arguments.run is not None:
        plot_curve(arguments.run / "log.jsonl", arguments.out / "kernel_curve.png")


def gaussian(image: Tensor, sigma_px: float) -> Tensor:
    """Blur 3 H W sRGB in linear light."""
    size = 2 * int(np.ceil(kernels.GAUSSIAN_REACH * sigma_px)) + 1
    kernel_B1KK = kernels.gaussian(torch.tensor([sigma_px]), size)
    return to_srgb(convolve(to_linear(image[None]), kernel_B1KK).clamp(0, 1))[0]


def blurred(image: Tensor, kernel_B1KK: Tensor) -> Tensor:
    """Blur 3 H W sRGB in linear light, stored in 8 bits."""
    light = convolve(to_linear(image[None]), kernel_B1KK)[0]
    return (to_srgb(light.clamp(0, 1)) * 255).round() / 255


def cases(
    camera: Camera, photographs: Sequence[Tensor], seed: int
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return (sharp, blurry) of every pair, and target and truth; all 3 H W sRGB."""
    kernels_B1KK = camera.sample_kernels(len(photographs), torch.Generator().manual_seed(seed))
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for index, sharp in enumerate(photographs):
        target = photographs[(index + 1) % len(photographs)]
        kernel = kernels_B1KK[index : index + 1]
        found.append((sharp, blurred(sharp, kernel), target, blurred(target, kernel)))
    return found


def fitted_sigma(sharp: Tensor, blurry: Tensor) -> float:
    """Return the deviation [px] of the Gaussian that is nearest to the pair's blur."""
    # a middle part tells as much as the whole
    height, width = sharp.shape[-2:]
    rows, columns = (slice(max(0, side // 2 - 160), side // 2 + 160) for side in (height, width))
    sharp, blurry = sharp[:, rows, columns], blurry[:, rows, columns]
    errors = [float((gaussian(sharp, s) - blurry).square().mean()) for s in SIGMAS_PX]
    return float(SIGMAS_PX[int(np.argmin(errors))])


def least_squares(sharp: Tensor, blurry: Tensor) -> Tensor:
    """Return kernel_B1KK that turns `sharp` into `blurry` best, the mean over the image."""
    height, width = (side // CELL_PX * CELL_PX for side in sharp.shape[-2:])
    pair = (to_linear(image[None, :, :height, :width]) for image in (sharp, blurry))
    mean = estimate_kernels(*pair, LEAST_SQUARES_PX, CELL_PX).mean(dim=(2, 3))
    return (mean / mean.sum()).reshape(1, 1, LEAST_SQUARES_PX, LEAST_SQUARES_PX)


def transferred(network: KernelWizard, sharp: Tensor, blurry: Tensor) -> Callable[..., Tensor]:
    """Return a function of (target, whether one code holds for the whole image)."""
    code = read_code(sharp, blurry, network).mean

    def lay(target: Tensor, one_code: bool) -> Tensor:
        return lay_blur(target, code.mean(dim=(1, 2), keepdim=True) if one_code else code, network)

    return lay


def measure(
    network: KernelWizard, camera: Camera, photographs: Sequence[Tensor], seed: int
) -> dict[str, list[float]]:
    """Return method -> PSNR [dB] of every photograph."""
    scores: dict[str, list[float]] = {method: [] for method in METHODS}
    torch.manual_seed(0)
    untrained = networks.build_any(network.name, **network.options.model_dump()).eval()
    assert isinstance(untrained, KernelWizard)
    found = cases(camera, photographs, seed)
    sigmas = [fitted_sigma(sharp, blurry) for sharp, blurry, _, _ in found]
    middle_sigma = statistics.median(sigmas)
    for (sharp, blurry, target, truth), sigma in zip(found, sigmas, strict=True):
        lay, lay_untrained = (transferred(each, sharp, blurry) for each in (network, untrained))
        made = dict(
            zip(
                METHODS,
                (
                    target,
                    gaussian(target, middle_sigma),
                    gaussian(target, sigma),
                    blurred(target, least_squares(sharp, blurry)),
                    lay_untrained(target, one_code=False),
                    lay_untrained(target, one_code=True),
                    lay(target, one_code=False),
                    lay(target, one_code=True),
                ),
                strict=True,
            )
        )
        for method, image in made.items():
            scores[method].append(tensors.psnr_db(image, truth))
    return scores


def again(network: KernelWizard, pairs: Path) -> dict[str, list[float]]:
    """Return method -> PSNR [dB] of the blurry image of each pair, made from its sharp one."""
    scores: dict[str, list[float]] = {}
    for blurry_path, sharp_path in layout.find_pairs(pairs):
        blurry, sharp = tensors.read_rgb(blurry_path), tensors.read_rgb(sharp_path)
        lay = transferred(network, sharp, blurry)
        made = {
            "left sharp": sharp,
            "Gaussian of the pair": gaussian(sharp, fitted_sigma(sharp, blurry)),
            "own code map": lay(sharp, one_code=False),
            "own codes, their mean": lay(sharp, one_code=True),
        }
        for method, image in made.items():
            psnr_db = tensors.psnr_db(image, blurry)
            scores.setdefault(method, []).append(psnr_db)
    return scores


def table(of_seed: Sequence[dict[str, list[float]]]) -> dict[str, dict[str, object]]:
    """Return method -> mean, spread over seeds, and share of images better than the Gaussian's."""
    rows: dict[str, dict[str, object]] = {}
    rival = np.array([scores["Gaussian of the pair"] for scores in of_seed])
    for method in METHODS:
        scores = np.array([scores[method] for scores in of_seed])
        means = scores.mean(axis=1)
        rows[method] = {
            "mean_db": float(means.mean()),
            "spread_db": float(means.std(ddof=1)) if len(means) > 1 else 0.0,
            "of_seed_db": [float(mean) for mean in means],
            "beats_gaussian": float((scores > rival).mean()),
        }
    return rows


def picture(
    network: KernelWizard, camera: Camera, photographs: Sequence[Tensor], seed: int
) -> Tensor:
    """Return a sheet of the pairs with the best, a middle and the worst transfer, 3 H W."""
    found = cases(camera, photographs, seed)
    gains: list[float] = []
    images_of: list[dict[str, Tensor]] = []
    part = (..., slice(160, 352), slice(160, 352))
    for sharp, blurry, target, truth in found:
        made = transferred(network, sharp, blurry)(target, one_code=True)
        gauss = gaussian(target, fitted_sigma(sharp, blurry))
        psnr = [tensors.psnr_db(each, truth) for each in (made, gauss)]
        gains.append(psnr[0] - psnr[1])
        images_of.append(
            {
                "pair, sharp": sharp[part],
                "pair, blurry": blurry[part],
                "another": target[part],
                "transferred": made[part],
                "Gaussian": gauss[part],
                "truth": truth[part],
            }
        )
    order = np.argsort(gains)[::-1]
    rows = [images_of[index] for index in (order[0], order[len(order) // 2], order[-1])]
    return sheet({name: [row[name] for row in rows] for name in rows[0]})


def plot_curve(log: Path, out: Path) -> None:
    """Draw the PSNR of held-out crops over the steps of a run."""
    from matplotlib import pyplot

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines = [line for line in lines if "validation/psnr_db" in line]
    figure, axes = pyplot.subplots(figsize=(7, 4))
    labels = {
        "psnr_db": "own code",
        "moved_psnr_db": "code from elsewhere",
        "sharp_psnr_db": "left sharp",
    }
    for name, label in labels.items():
        axes.plot(
            [line["step"] for line in lines],
            [line[f"validation/{name}"] for line in lines],
            label=label,
        )
    axes.set(xlabel="step", ylabel="PSNR of held-out crops [dB]")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
