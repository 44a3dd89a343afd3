"""Reads the command lines of the published `train.py` and `test.py`."""

import argparse
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from blur2blur.errors import ConfigError
from blur2blur.reference.options import Idle, Option, Script, Value, idle_of_script, of_script
from blur2blur.settings import nearest

_ALL = -1
"""Default of a number of photographs at most."""


@dataclass(frozen=True, slots=True)
class Options:
    """The values of a command line.

    Attributes:
        values: of every option.
        given: the options that were named.
        notes: lines for the reader, one for each named option that has no effect.
    """

    values: Mapping[str, Value]
    given: frozenset[str]
    notes: list[str] = field(default_factory=list[str])

    def text(self, name: str) -> str:
        """Return the value of an option with a text."""
        value = self.values[name]
        assert isinstance(value, str)
        return value

    def whole(self, name: str) -> int:
        """Return the value of an option with a whole number."""
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        """Return the value of an option with a number."""
        value = self.values[name]
        assert isinstance(value, float)
        return value

    def flag(self, name: str) -> bool:
        """Return whether an option without value was given."""
        return self.values[name] is True

    def several(self, name: str) -> list[str]:
        """Return the values of a repeatable option."""
        value = self.values[name]
        assert isinstance(value, list)
        return value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self.prog} --help lists the options")


def parse(script: Script, arguments: Sequence[str]) -> Options:
    """Read a command line.

    Raises:
        ConfigError: an unknown option (the nearest known one is named), a value that cannot be.
    """
    options, idle = of_script(script), idle_of_script(script)
    found, unknown = _parser(script, options, idle).parse_known_args(arguments)
    defaults = {option.name: option.default for option in options}
    defaults |= {name: each.values[name][0] for name, each in idle.items()}
    if unknown:
        raise ConfigError(_unknown(unknown[0], script, list(defaults)))
    given: dict[str, Value] = vars(found)
    for option in options:
        if option.name in given:
            _refuse_impossible(option, given[option.name])
    notes = [
        f"--{name}{'' if given[name] is True else f' {given[name]}'} has no effect: {each.why}"
        for name, each in idle.items()
        if name in given and given[name] not in each.values[name]
    ]
    values = defaults | given
    if not values["dataroot"]:
        raise ConfigError("--dataroot is missing: the folder with trainA, trainB..., testA")
    return Options(values, frozenset(given), notes)


def _parser(script: Script, options: Sequence[Option], idle: Mapping[str, Idle]) -> _Parser:
    parser = _Parser(
        prog=f"{script}.py",
        description="Takes the options of the published Blur2Blur; docs/from-reference.md.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for option in options:
        flag, text = f"--{option.name}", option.here.replace("%", "%%")
        if isinstance(option.default, bool):
            parser.add_argument(flag, action="store_true", help=text)
        elif isinstance(option.default, list):
            parser.add_argument(flag, action="append", metavar="KEY=VALUE", help=text)
        else:
            kind = str if option.choices else type(option.default)
            read = _count_or_inf if kind is int and option.default == _ALL else kind
            parser.add_argument(flag, type=read, metavar=kind.__name__.upper(), help=text)
    for name, each in idle.items():
        action = "store_true" if each.values[name][0] is False else "store"
        parser.add_argument(f"--{name}", action=action, help=f"no effect: {each.why}")
    return parser


def _count_or_inf(text: str) -> int:
    try:
        return _ALL if text == "inf" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid int value: '{text}'") from error


def _unknown(word: str, script: Script, known: Sequence[str]) -> str:
    if not word.startswith("-"):
        return f"'{word}' belongs to no option"
    name = word.partition("=")[0].lstrip("-")
    other: Script = "test" if script == "train" else "train"
    if name in {*(option.name for option in of_script(other)), *idle_of_script(other)}:
        return f"--{name} is an option of the other script, not of this one"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean '--{close[0]}'?" if close else "--help lists the options"
    return f"unknown option '--{name}'; {hint}"


def _refuse_impossible(option: Option, value: Value) -> None:
    """Raise a ConfigError with the way out where a value is not possible."""
    if option.choices and str(value) not in option.choices:
        hint = f"; {option.way_out}" if option.way_out else nearest(str(value), option.choices)
        raise ConfigError(f"--{option.name} {value} is not possible here{hint}")


def run_folder_of(options: Options) -> Path:
    """Return the folder of the run. Raises ConfigError for a suffix that names no option."""

    def filled(word: re.Match[str]) -> str:
        if word[1] not in options.values:
            hint = nearest(word[1], options.values)
            raise ConfigError(f"--suffix {suffix}: {word[0]} is no option{hint}")
        return str(options.values[word[1]])

    name, suffix = options.text("name"), options.text("suffix")
    if suffix:
        name += "_" + re.sub(r"{([A-Za-z_]\w*)}", filled, suffix)
    return Path(options.text("checkpoints_dir")) / name


def choose_gpu(options: Options) -> tuple[str, list[str]]:
    """Return "cpu" or "auto" and notes for the reader; hides all GPUs but the one named.

    To be called before torch is imported, which looks for GPUs once.

    Raises:
        ConfigError: --gpu_ids is no list of numbers, or names a GPU that the environment hides.
    """
    text = options.text("gpu_ids")
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"--gpu_ids {text}: numbers with commas between them are needed, or -1 for the CPU"
        ) from error
    numbers = [number for number in numbers if number >= 0]
    if not numbers:
        return "cpu", []
    if "LOCAL_RANK" in os.environ:  # torchrun deals the GPUs out
        return "auto", []
    if "gpu_ids" in options.given:
        _show_only(numbers[0])
    notes: list[str] = []
    if len(numbers) > 1:
        notes = [
            f"--gpu_ids {text}: one process uses one GPU, the first; for all of them begin with "
            f"torchrun --nproc-per-node {len(numbers)} instead of python"
        ]
    from blur2blur.device import find_device

    if find_device("auto").type == "cpu":
        notes.append(f"GPU {numbers[0]} was not found; this runs on the CPU")
    return "auto", notes


def _show_only(number: int) -> None:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
    elif visible:  # numbers count within what is visible; an empty list hides all GPUs
        names = visible.split(",")
        if number >= len(names):
            raise ConfigError(
                f"--gpu_ids {number}: CUDA_VISIBLE_DEVICES={visible} shows {len(names)} GPUs, "
                "numbered from 0"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = names[number]
