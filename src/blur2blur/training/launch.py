"""From a data folder and settings to a trained run: what the command and scripts call."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import MixedPrecision, Precision
from lightning.fabric.utilities.exceptions import MisconfigurationException

from blur2blur import images
from blur2blur.data.folders import layout
from blur2blur.device import find_device
from blur2blur.errors import CheckpointError, ConfigError, DataError
from blur2blur.memory import is_out_of_memory
from blur2blur.settings import load, nearest
from blur2blur.training import loop, own_photographs, run_folder, sources
from blur2blur.training.blur_extent import BlurExtentTask
from blur2blur.training.converter_adversarial import AdversarialConverterTask
from blur2blur.training.converter_simulated import SimulatedConverterTask
from blur2blur.training.deblurrer import DeblurrerTask
from blur2blur.training.kernel import KernelTask
from blur2blur.training.sections import MatchedCamerasSettings, RunSettings
from blur2blur.training.settings import (
    AdversarialConverterSettings,
    ConverterSettings,
    DeblurrerSettings,
    ExtentSettings,
    KernelSettings,
    SimulatedConverterSettings,
    TaskSettings,
)
from blur2blur.training.task import Task
from blur2blur.weights import graphs, tracing
from blur2blur.weights.headers import read_header

_log = logging.getLogger(__name__)


def train(
    task: str,
    data: Path,
    out: Path,
    preset: str | None,
    overrides: Sequence[str],
    progress: Callable[[int, int, dict[str, float]], None],
) -> bool:
    """Train or resume what the task is called; as `train_deblurrer`.

    Args:
        task: one of TASKS.
        data: folder of photographs.
        out: the run folder.
        preset: name of a preset, or a TOML file; None for the task's own.
        overrides: settings such as "run.steps=100".
        progress: told (step, steps in all, what is logged) of every step.
    """
    if task not in TASKS:
        raise ConfigError(f"no training '{task}'{nearest(task, TASKS)}")
    model, own_preset, function = TASKS[task]
    checked = load(model, preset or own_preset, overrides)
    steps = checked.run.steps

    def report(step: int, values: dict[str, float]) -> None:
        progress(step, steps, values)

    return function(data, checked, out, report)


def train_deblurrer(
    data: Path, settings: DeblurrerSettings, out: Path, progress: loop.Progress
) -> bool:
    """Train or resume a deblurrer in the run folder `out`.

    Returns:
        True when finished, False when interrupted by Ctrl-C.

    Raises:
        ConfigError, DataError, CheckpointError, InputError: see `DeblurrerTask` and `loop.train`.
    """
    streams = deblurrer_streams(data, settings)
    return _train(
        lambda fabric: DeblurrerTask(settings, streams, fabric), settings, data, out, progress
    )


def train_converter(
    data: Path,
    settings: ConverterSettings,
    out: Path,
    progress: loop.Progress,
    *,
    checkpoint_at: Callable[[int], bool] = lambda step: False,
) -> bool:
    """Train or resume a converter in the run folder `out`; as `train_deblurrer`.

    `checkpoint_at` as in `loop.train`.
    """
    streams = converter_streams(data, settings)

    def make_task(fabric: Fabric) -> Task:
        if isinstance(settings, SimulatedConverterSettings):
            return SimulatedConverterTask(settings, streams, fabric)
        assert isinstance(settings, AdversarialConverterSettings)
        return AdversarialConverterTask(settings, streams, fabric)

    finished = _train(make_task, settings, data, out, progress, checkpoint_at)
    if finished and isinstance(settings, SimulatedConverterSettings):
        own_photographs.judge(out, streams, settings)
    return finished


def train_kernel(data: Path, settings: KernelSettings, out: Path, progress: loop.Progress) -> bool:
    """Train or resume a kernel extractor in the run folder `out`; as `train_deblurrer`."""
    streams = deblurrer_streams(data, settings)
    return _train(
        lambda fabric: KernelTask(settings, streams, fabric), settings, data, out, progress
    )


def train_extent(data: Path, settings: ExtentSettings, out: Path, progress: loop.Progress) -> bool:
    """Train or resume an estimator of the extent of blur in `out`; as `train_deblurrer`."""
    streams = {"unknown_sharp": _sharp_photographs(data)}
    return _train(
        lambda fabric: BlurExtentTask(settings, streams, fabric), settings, data, out, progress
    )


TASKS: dict[str, tuple[type[TaskSettings], str, Callable[..., bool]]] = {
    "deblurrer": (DeblurrerSettings, "deblurrer", train_deblurrer),
    "converter": (ConverterSettings, "converter", train_converter),
    "kernel": (KernelSettings, "kernel", train_kernel),
    "extent": (ExtentSettings, "blur-extent", train_extent),
}
"""Name -> its settings, its own preset, and what runs it."""


def deblurrer_streams(data: Path, settings: DeblurrerSettings | KernelSettings) -> sources.Streams:
    """Return the photographs `train deblurrer` and `train kernel` learn from.

    Known pairs where `known.source` says so: trainC and trainD, or `blurry` and `sharp` in a folder
    without the A-D layout, as `blur synth` writes them. Else the sharp photographs that the known
    blur is laid over: the camera's own (trainB), or, in a folder without the layout, every
    photograph in it. With `transfer` both. With simulated cameras as the converter.

    Raises:
        DataError: a folder is missing or empty, or a pair is incomplete.
    """
    if isinstance(settings, DeblurrerSettings) and settings.simulated is not None:
        return _simulated_streams(data, settings.simulated)
    if settings.known.source == "pairs":
        return known_pairs(data)
    if settings.known.source == "transfer":
        found = layout.find(data)
        return {"unknown_sharp": found.require("trainB"), **known_pairs(data)}
    return {"known_sharp": _sharp_photographs(data)}


def _sharp_photographs(data: Path) -> list[Path]:
    if data.is_dir() and not any((data / name).is_dir() for name in layout.FOLDERS):
        photographs = images.find_images(data)
        if not photographs:
            raise DataError(f"{data} holds neither trainB nor photographs")
        return photographs
    return list(layout.find(data).require("trainB"))


def converter_streams(data: Path, settings: ConverterSettings) -> sources.Streams:
    """Return the photographs `train converter` learns from; raises as `deblurrer_streams`.

    For a generic converter, which sees no unknown blur, the sharp ones as `train deblurrer` does.
    """
    if isinstance(settings, SimulatedConverterSettings):
        streams = _simulated_streams(data, settings.simulated)
        looked_at = layout.find(data).test_blurry if "unknown_blurry" in streams else ()
        return {**streams, "test_blurry": looked_at} if looked_at else streams
    found = layout.find(data)
    unknown_blurry = {"unknown_blurry": found.require("trainA")}
    if settings.known.source == "pairs":
        return {**unknown_blurry, **known_pairs(data)}
    unknown = {**unknown_blurry, "unknown_sharp": found.require("trainB")}
    return {**unknown, **known_pairs(data)} if settings.known.source == "transfer" else unknown


def _simulated_streams(data: Path, settings: MatchedCamerasSettings) -> sources.Streams:
    if not settings.compared:
        return {"unknown_sharp": _sharp_photographs(data)}
    found = layout.find(data)
    return {"unknown_blurry": found.require("trainA"), "unknown_sharp": found.require("trainB")}


def known_pairs(data: Path) -> sources.Streams:
    """Return the pairs of a folder as `known_blurry` and `known_sharp`; see `layout.find_pairs`."""
    blurry, sharp = zip(*layout.find_pairs(data), strict=True)
    return {"known_blurry": blurry, "known_sharp": sharp}


def _train(
    make_task: Callable[[Fabric], Task],
    settings: TaskSettings,
    data: Path,
    out: Path,
    progress: loop.Progress,
    checkpoint_at: Callable[[int], bool] = lambda step: False,
) -> bool:
    _refuse_out_inside(data, out)
    fabric = _fabric(settings.run)
    processes = fabric.world_size
    run = run_folder.describe_run(settings, data, processes=processes)
    if fabric.is_global_zero:
        run_folder.refuse_other_run(out, data, settings, processes=processes)
    try:
        task = make_task(fabric)
        if fabric.is_global_zero:
            run_folder.create(out, run)
        fabric.barrier()
        finished = loop.train(task, fabric, out, progress=progress, checkpoint_at=checkpoint_at)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(
            f"{fabric.device} has too little memory; set data.batch_size, data.crop_px or the "
            "network's options lower"
        ) from error
    if finished and fabric.is_global_zero:
        attach_graphs(out)
    return finished


def attach_graphs(run: Path) -> None:
    """Give the weights of a finished run what a CPU needs to run them without torch.

    A network that cannot be traced keeps its weights as they are, which is told.
    """
    for path in sorted(run.glob("*.safetensors")):
        runnable = read_header(path).role in ("converter", "deblurrer", "extent")
        if runnable and graphs.read(path).graph is None:
            try:
                tracing.attach_graph(path)
            except CheckpointError as error:
                _log.warning("%s; a CPU needs torch to run %s", error, path)


def _refuse_out_inside(data: Path, out: Path) -> None:
    """Refuse a run folder whose sample sheets the next run would take for photographs."""
    folders = [data / name for name in layout.FOLDERS if (data / name).is_dir()] or [data]
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{out} lies in {folder}, among the photographs; choose another --out"
            )


class _MixedPrecision(MixedPrecision):
    """Autocasts as Fabric does, but leaves the images as they are.

    Fabric rounds a network's input to half precision, as coarse as 1/256; the pipeline does not.
    """

    def convert_input(self, data: object) -> object:
        return data


def _fabric(run: RunSettings) -> Fabric:
    """Return one device, or, under torchrun, all that it started processes for.

    Raises:
        ConfigError: the device is not there, or cannot do the precision.
    """
    device = find_device("auto").type if run.device == "auto" else run.device
    if run.precision == "16-mixed" and device == "cpu":
        raise ConfigError("run.precision = '16-mixed' needs a GPU; set it to bf16-mixed or 32-true")
    try:
        fabric = Fabric(
            accelerator=device,
            devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
            plugins=Precision()
            if run.precision == "32-true"
            else _MixedPrecision(run.precision, device),
        )
    except (RuntimeError, MisconfigurationException) as error:
        reason = str(error).partition(". ")[0]
        raise ConfigError(
            f"run.device = '{device}' cannot be used here: {reason}; set run.device=auto"
        ) from error
    fabric.launch()
    return fabric
