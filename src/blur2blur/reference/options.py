"""Every option of the published `train.py` and `test.py`, and what becomes of it here.

An option is mapped onto settings, and refused beyond the values that are possible; or it is
accepted without effect, and one line says why where its value asks for something else. The options
themselves are in options.toml.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from blur2blur.settings import Settings

Script = Literal["train", "test"]
Value = bool | int | float | str | list[str]


class Option(Settings):
    """One option that has an effect."""

    name: str
    """Without dashes."""
    scripts: tuple[Script, ...] = ("train", "test")
    """Where it exists."""
    default: Value
    """Its value where it is not given; its type is the option's. A list collects repeated uses."""
    here: str
    """What it does here."""
    choices: tuple[str, ...] = ()
    """The possible values, where they are few."""
    way_out: str = ""
    """What to do instead of a value that is not possible."""
    own: bool = False
    """It is this project's, not the published code's."""


class Idle(Settings):
    """Options that have no effect."""

    why: str
    """They do nothing here."""
    scripts: tuple[Script, ...] = ("train", "test")
    """Where they exist."""
    values: Mapping[str, tuple[bool | str, ...]]
    """Of each, those that ask for what happens anyway, the default first."""


class _Table(Settings):
    option: tuple[Option, ...]
    idle: tuple[Idle, ...]


_TABLE = _Table.model_validate(
    tomllib.loads(Path(__file__).with_name("options.toml").read_text(encoding="utf-8"))
)
OPTIONS, IDLE = _TABLE.option, _TABLE.idle

GENERATORS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "mimounet": ("mimo_unet", {}),
    "mimounetp": ("mimo_unet_plus", {}),
    "unet_128": ("unet", {"levels": 7}),
    "unet_256": ("unet", {"levels": 8}),
    "resnet_6blocks": ("resnet", {"blocks": 6}),
    "resnet_9blocks": ("resnet", {"blocks": 9}),
}
"""Values of --netG: the network here and the options that make it that one."""


def of_script(script: Script) -> list[Option]:
    """Return the options of one script that have an effect."""
    return [option for option in OPTIONS if script in option.scripts]


def idle_of_script(script: Script) -> dict[str, Idle]:
    """Return the options of one script that have none, by name."""
    return {name: idle for idle in IDLE if script in idle.scripts for name in idle.values}
