"""`train.py`: the published training command, as a run of `blur2blur train converter`."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from blur2blur.cli.main import guard
from blur2blur.cli.train import run
from blur2blur.errors import ConfigError
from blur2blur.reference import settings, weight_files
from blur2blur.reference.parser import Options, choose_gpu, parse, run_folder_of
from blur2blur.settings import parse_json

if TYPE_CHECKING:
    from blur2blur.training.loop import Progress
    from blur2blur.training.settings import ConverterSettings

OPTIONS_FILE = "train_opt.txt"

# Content beside adversarial weight in the preset "converter-pairs", where that loss was measured,
# for the published weight of the VGG loss.
_PYRAMID_WEIGHT = 20.0 / 0.8


def main() -> None:
    """Run the command line. A user's mistake exits with 2."""
    guard(lambda: train(sys.argv[1:]))


def train(arguments: Sequence[str]) -> None:
    """Train or resume a converter.

    Args:
        arguments: the command line, without the script's name.

    Raises:
        Blur2BlurError: a user's mistake. typer.Exit: Ctrl-C stopped the run.
    """
    options = parse("train", arguments)
    folder = run_folder_of(options)
    device, notes = choose_gpu(options)

    from blur2blur.data.folders import layout

    found = layout.find(Path(options.text("dataroot")))
    pace = settings.rhythm(options, found)
    known, known_notes = settings.known_blur(found, options.text("extractor"))
    _tell([*options.notes, *_resumption(options, folder), *known_notes, *notes])
    checked = _checked(
        [
            f"run.device={device}",
            *settings.settings(options, pace),
            *known,
            *_content(options, folder),
            *options.several("set"),
        ]
    )
    _refuse_another_pace(checked, pace, options.whole("batch_size"))

    def training(report: "Callable[[int, int, dict[str, float]], None]") -> bool:
        def show(step: int, values: dict[str, float]) -> None:
            report(step, checked.run.steps, values)

        finished = _train(found.root, checked, folder, options, pace, show)
        if _is_first_process() and (folder / "last.safetensors").exists():
            at_end = pace.prefixes(checked.run.steps) if finished else []
            weight_files.write_networks(folder, list(dict.fromkeys(["latest", *at_end])))
        return finished

    try:
        run(training, folder)
    except ConfigError as error:
        raise ConfigError(str(error).replace("--out", "--name")) from error


def _train(
    data: Path,
    settings: "ConverterSettings",
    folder: Path,
    options: Options,
    pace: settings.Rhythm,
    show: "Progress",
) -> bool:
    """Train; write the published files whenever a checkpoint that they are due for is complete."""
    from blur2blur.training.launch import train_converter

    def report(step: int, values: dict[str, float]) -> None:
        if not (folder / OPTIONS_FILE).exists():
            write_options(folder / OPTIONS_FILE, options)
        prefixes = pace.prefixes(step - 1) if step > 1 else []
        if prefixes:
            weight_files.write_networks(folder, prefixes)
        show(step, values)

    return train_converter(
        data,
        settings,
        folder,
        report,
        checkpoint_at=lambda step: bool(pace.prefixes(step)),
    )


def _checked(overrides: Sequence[str]) -> "ConverterSettings":
    from blur2blur.settings import load
    from blur2blur.training.settings import ConverterSettings

    return load(ConverterSettings, "reference", overrides)


def _refuse_another_pace(
    checked: "ConverterSettings", pace: settings.Rhythm, batch_size: int
) -> None:
    """Raise a ConfigError for a --set that epochs and weight files would not follow."""
    for name, value, counted, option in (
        ("run.steps", checked.run.steps, pace.steps, "--n_epochs and --n_epochs_decay"),
        (
            "run.checkpoint_every",
            checked.run.checkpoint_every,
            pace.checkpoint_every,
            "--save_latest_freq",
        ),
        ("data.batch_size", checked.data.batch_size, batch_size, "--batch_size"),
    ):
        if value != counted:
            raise ConfigError(
                f"{name} cannot be --set here, epochs are counted by it: use {option}"
            )


def _resumption(options: Options, folder: Path) -> list[str]:
    """Return notes on resuming. Raises ConfigError where there is nothing to go on with."""
    begun = _stored(folder) is not None
    if not options.flag("continue_train"):
        return (
            [f"{folder} holds a run already; it goes on only with the same settings"]
            if begun
            else []
        )
    if begun:
        idle = "epoch_count" in options.given
        return ["--epoch_count has no effect: the run knows where it stands"] if idle else []
    published = sorted(folder.glob("*_net_G.pth"))
    if published:
        raise ConfigError(
            f"{folder} holds weights of the published code, which kept no optimiser to go on with; "
            f"begin a run from them: another --name, and --set init={published[-1]}"
        )
    raise ConfigError(f"there is no run in {folder} to continue; leave --continue_train away")


def _content(options: Options, folder: Path) -> list[str]:
    """Return what the content loss is: VGG-16 where its weights can be had, else the pyramid.

    A run that was begun keeps the one it has.
    """
    weight = settings.content_weight(options)
    published = ["loss.content=vgg16", f"loss.content_weight={weight}"]
    fallback = [
        "loss.content=pyramid",
        f"loss.content_weight={_PYRAMID_WEIGHT * options.number('lambda_Perc')}",
    ]
    if any(override.startswith("loss.content=") for override in options.several("set")):
        return published
    stored = _stored(folder)
    if stored is not None:
        return fallback if stored.get("loss", {}).get("content") == "pyramid" else published
    from blur2blur.losses.content import vgg_loss

    try:
        vgg_loss(16)
    except ConfigError as error:
        reason = str(error).partition(", or use the perceptual loss")[0]
        _tell(
            [
                f"the content loss 'pyramid' takes the place of the published one: {reason}; a run "
                "keeps the loss it was begun with"
            ]
        )
        return fallback
    return published


def _stored(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the run in `folder`, None where there is none or it is damaged."""
    try:
        stored = parse_json((folder / "settings.json").read_bytes())["settings"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return stored if isinstance(stored, dict) else None


def write_options(path: Path, options: Options) -> None:
    """Write every option, its value and whether it was given. Raises InputError if it cannot."""
    from blur2blur.files import write_text

    lines = [
        f"{name}: {value}{'' if name in options.given else '  (default)'}"
        for name, value in sorted(options.values.items())
    ]
    write_text(path, "\n".join(lines) + "\n")


def _tell(notes: Sequence[str]) -> None:
    if _is_first_process():
        for note in notes:
            typer.echo(f"note: {note}", err=True)


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"
