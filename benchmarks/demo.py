"""The whole method on photographs that come with scikit-image, at a small scale: `make demo`.

A simulated camera takes blurry photographs of some scenes and sharp ones of others. A converter
learns from those, unpaired, to turn the camera's unknown blur into what the shipped deblurrer
undoes. Photographs held out from all that tell what it gives. All blur is synthetic; all numbers
are printed as they come out.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import skimage.data
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from blur2blur import api, images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.cli.train import run
from blur2blur.errors import ConfigError
from blur2blur.evaluation.report import Comparison, Score, write_report
from blur2blur.files import write_text
from blur2blur.inference.pipeline import Pipeline

CAMERA = "dusk"
PRESET = "converter"
METHODS = ("input", "known-blur", "generic", "blur2blur")
DEBLURRER, CONVERTER = "known-blur", "generic"  # that ship
TEST_SCENES = ("astronaut", "coffee", "chelsea")
TRAIN_SCENES = (
    "motorcycle", "rocket", "camera", "brick", "gravel", "grass", "hubble_deep_field",
    "immunohistochemistry", "retina", "coins",
)  # fmt: skip
BLURRY_SHOTS = 4  # of each scene of trainA
TEST_SHOTS = 3
LONGEST_PX = 800
CELL_PX = 128

Scores = dict[str, dict[str, list[float]]]

console = Console()


def scene(name: str) -> Tensor:
    """Return a photograph of scikit-image as 3 H W sRGB in [0,1], halved where it is large."""
    if name == "motorcycle":
        pixels = skimage.data.stereo_motorcycle()[0]
    else:
        pixels = getattr(skimage.data, name)()
    if pixels.ndim == 2:
        pixels = pixels[..., None].repeat(3, axis=-1)
    image = torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).float() / 255
    while max(image.shape[1:]) > LONGEST_PX:
        image = torch.nn.functional.avg_pool2d(image, 2)
    return image


def cells(photograph: Tensor, parity: int) -> list[Tensor]:
    """Cut every other square of a chessboard of `CELL_PX` squares out of a photograph."""
    rows = photograph.split(CELL_PX, dim=1)
    squares = {
        (row, column): square
        for row, strip in enumerate(rows)
        for column, square in enumerate(strip.split(CELL_PX, dim=2))
    }
    return [
        square
        for (row, column), square in squares.items()
        if (row + column) % 2 == parity and square.shape[1:] == (CELL_PX, CELL_PX)
    ]


def take_photographs(data: Path, *, seed: int) -> None:
    """Let the camera fill trainA, trainB and testA; testB is what stood before its lens.

    scikit-image has few photographs, so each training one is cut like a chessboard: its blurry
    shots give the white squares to trainA, its sharp one the black squares to trainB. A and B
    share no pixel but are alike in what they show, as hundreds of photographs of one camera are.
    """
    camera = Camera(load_camera(CAMERA))
    rng = torch.Generator().manual_seed(seed)
    for name in TRAIN_SCENES:
        for shot in range(BLURRY_SHOTS):
            blurry, sharp = camera.photograph_pair(scene(name)[None], rng)
            for index, square in enumerate(cells(blurry[0], parity=0)):
                tensors.write_rgb(data / "trainA" / f"{name}_{index}_{shot}.png", square)
        for index, square in enumerate(cells(sharp[0], parity=1)):
            tensors.write_rgb(data / "trainB" / f"{name}_{index}.png", square)
    for name in TEST_SCENES:
        for shot in range(TEST_SHOTS):
            blurry, _ = camera.photograph_pair(scene(name)[None], rng)
            tensors.write_rgb(data / "testA" / f"{name}_{shot}.png", blurry[0])
            tensors.write_rgb(data / "testB" / f"{name}_{shot}.png", scene(name))


def run_seed(folder: Path, seed: int, overrides: list[str]) -> Scores:
    """Run the method once in `folder`; return method -> psnr_db and ssim of each test photograph.

    A run that was interrupted is resumed: photographs are the same for the same seed.
    """
    data, shown = folder / "data", folder / "images"
    take_photographs(data, seed=seed)
    # as many pixels in a step as the preset has, of squares that leave room for the blur
    crops = ["data.crop_px=64", "data.batch_size=9"]
    chosen = [f"run.seed={seed}", *crops, *overrides]
    made = folder / "converter"
    run(
        lambda report: api.train(
            "converter", data, made, preset=PRESET, overrides=chosen, on_step=report
        ),
        made,
    )
    known_blur = Pipeline(DEBLURRER)
    generic = Pipeline(DEBLURRER, CONVERTER)
    blur2blur = Pipeline(converter=folder / "converter" / "last.safetensors")
    scores: Scores = {method: {"psnr_db": [], "ssim": []} for method in METHODS}
    paths = images.find_images(data / "testA")
    for path in track(paths, "deblurring the held-out photographs", console=console):
        blurry, truth = tensors.read_rgb(path), tensors.read_rgb(data / "testB" / path.name)
        result = blur2blur.run(blurry)
        assert result.converted is not None
        tensors.write_rgb(shown / "converted" / path.name, result.converted)
        outputs = {
            "input": blurry,
            "known-blur": known_blur(blurry),
            "generic": generic(blurry),
            "blur2blur": result.deblurred,
        }
        for method, output in outputs.items():
            scores[method]["psnr_db"].append(tensors.psnr_db(output, truth))
            scores[method]["ssim"].append(tensors.ssim(output, truth))
            tensors.write_rgb(shown / method / path.name, output)
    return scores


def means(scores: Scores) -> list[Score]:
    """Return the mean of each method over the photographs."""
    return [
        Score(
            method=method,
            psnr_db=statistics.fmean(values["psnr_db"]),
            ssim=statistics.fmean(values["ssim"]),
        )
        for method, values in scores.items()
    ]


def show_table(by_seed: dict[int, list[Score]]) -> None:
    """Print a row per method and a column per seed."""
    console.print("held-out photographs: mean PSNR in dB / SSIM")
    table = Table()
    table.add_column("method")
    for seed in by_seed:
        table.add_column(f"seed {seed}", justify="right")
    for index, method in enumerate(METHODS):
        cells = [f"{rows[index].psnr_db:.2f} / {rows[index].ssim:.3f}" for rows in by_seed.values()]
        table.add_row(method, *cells)
    console.print(table)


def write_page(out: Path, folder: Path, seed: int, scores: Scores, note: str) -> None:
    """Write the page with before/after sliders and the picture for the README."""
    comparisons: list[Comparison] = []
    for index, path in enumerate(images.find_images(folder / "data" / "testA")):
        pictures: dict[str, Tensor | Path] = {
            method: folder / "images" / method / path.name for method in (*METHODS, "converted")
        }
        pictures["truth"] = folder / "data" / "testB" / path.name
        rows = [
            Score(method=method, psnr_db=values["psnr_db"][index], ssim=values["ssim"][index])
            for method, values in scores.items()
        ]
        comparisons.append(Comparison(name=path.stem, pictures=pictures, scores=rows))
    write_report(
        out / "report.html",
        title=f"blur2blur demo, seed {seed}",
        scores=means(scores),
        comparisons=comparisons,
        shown=("input", "blur2blur"),
        notes=[note],
    )
    shown = [tensors.read_rgb(folder / "images" / method / "astronaut_0.png") for method in METHODS]
    truth = tensors.read_rgb(folder / "data" / "testB" / "astronaut_0.png")
    faces = [image[:, 20:212, 130:322] for image in (*shown, truth)]
    tensors.write_rgb(out / "before_after.png", torch.cat(faces, dim=2))


def main() -> None:
    """Read the options, run every seed, leave table, page and results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    started = time.monotonic()
    by_seed: dict[int, list[Score]] = {}
    for seed in options.seeds:
        folder = options.out / f"seed_{seed}"
        console.print(f"[bold]seed {seed}[/]: camera '{CAMERA}', preset '{PRESET}'")
        try:
            scores = run_seed(folder, seed, options.set)
        except ConfigError as error:
            raise SystemExit(f"error: {error} (or remove {folder})") from error
        by_seed[seed] = means(scores)
        note = (
            f"Simulated camera '{CAMERA}'; known-blur is that deblurrer alone, generic the "
            f"converter '{CONVERTER}' before it, blur2blur the camera's own in its place; truth is "
            f"the photograph before the lens; scenes and shots of the test were in no training. "
            f"Seed {seed}."
        )
        if len(by_seed) == 1:
            write_page(options.out, folder, seed, scores, note)
    minutes = (time.monotonic() - started) / 60
    rows = [
        {"method": row.method, "psnr_db": row.psnr_db, "ssim": row.ssim, "seed": seed}
        for seed, scored in by_seed.items()
        for row in scored
    ]
    write_text(options.out / "results.json", json.dumps(rows, indent=2))
    show_table(by_seed)
    console.print(
        f"{minutes:.1f} minutes on {os.cpu_count()} cores ({platform.machine()}), torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads; all blur is synthetic",
        soft_wrap=True,
    )
    console.print(f"pictures: {options.out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    main()
