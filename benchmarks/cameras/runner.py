"""Unknown cameras: what the method gains, beside its baselines and its upper bound.

    python -m benchmarks.cameras --scale mini --collection DIR --out cameras
    python -m benchmarks.cameras --scale full --photos DIR --cameras phone --out cameras-full

Takes photographs with simulated cameras (and frames of a real video), trains every method on each,
measures, and writes rows, tables, plots and pictures. What is there already is not made again, so
the same command goes on after an interruption. `--on choose` measures on the photographs that
settings are chosen by, `--on report` on those that nothing else looks at.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from benchmarks.cameras import measure, methods, photographs, report
from benchmarks.cameras.scale import Scale, load_scale
from benchmarks.machine import describe


def run_camera(
    scale: Scale, sources: photographs.Sources, shared: dict[str, str], job: tuple[str, int],
    out: Path, test: str,
) -> str:  # fmt: skip
    """Take the photographs of one camera and seed, train and measure every method."""
    name, seed = job
    folder = out / name / f"seed_{seed}"
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{name}, seed {seed}: {text}", flush=True)

    photographs.take(sources, name, scale, seed, folder / "data")
    camera = methods.Camera(scale, name, folder, shared, seed)
    camera.train(say)
    measure.measure(camera.pipelines(), folder / "data" / test, scale.known_camera, folder / test)
    return f"{name}, seed {seed}: {(time.monotonic() - started) / 60:.1f} minutes in all"


def main(words: Sequence[str] | None = None) -> None:
    """Read the options (those of the command line if not given) and run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scale", default="mini", help="mini, frozen, full, or a TOML file like those"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--collection", type=Path, help="photos, cid22, kodak and pairs/reds")
    source.add_argument("--photos", type=Path, help="any sharp photographs; no video then")
    parser.add_argument("--cameras", nargs="+", help="all of the scale if not given")
    parser.add_argument("--without", nargs="+", default=[], choices=methods.OPTIONAL,
                        help="methods that are not trained")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--on", choices=photographs.TESTS, default="report")
    parser.add_argument("--jobs", type=int, help="cameras at once; one per core, one on a GPU")
    parser.add_argument("--out", type=Path, default=Path("cameras"))
    options = parser.parse_args(words)
    print(describe())
    scale = load_scale(options.scale)
    kept = {name: how for name, how in scale.training.items() if name not in options.without}
    scale = scale.model_copy(update={"training": kept})
    sources = (
        photographs.from_collection(options.collection)
        if options.collection
        else photographs.from_photographs(options.photos)
    )
    names = options.cameras or [*scale.cameras, *(photographs.SCENES if sources.video else [])]
    shared = methods.train_shared(scale, sources.known, options.out / "shared", print)
    run_all(scale, sources, shared, [(n, s) for s in options.seeds for n in names], options)
    report.write(options.out, options.scale, names, options.seeds, options.on)


def run_all(
    scale: Scale,
    sources: photographs.Sources,
    shared: dict[str, str],
    jobs: Sequence[tuple[str, int]],
    options: argparse.Namespace,
) -> None:
    """Run the cameras side by side, each process on its share of the cores."""
    at_once = options.jobs or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    if at_once == 1:
        for job in jobs:
            print(run_camera(scale, sources, shared, job, options.out, options.on), flush=True)
        return
    with ProcessPoolExecutor(
        at_once,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(max(1, (os.cpu_count() or 1) // at_once),),
    ) as pool:
        running = [
            pool.submit(run_camera, scale, sources, shared, job, options.out, options.on)
            for job in jobs
        ]
        for each in running:
            print(each.result(), flush=True)
