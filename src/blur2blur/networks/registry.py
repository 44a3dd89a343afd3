"""Names of networks and how to build them from options."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.networks.base import ImageNetwork
from blur2blur.networks.mimo_unet import MimoUNet, MimoUNetOptions, MimoUNetPlusOptions
from blur2blur.networks.nafnet import NAFNet, NAFNetOptions
from blur2blur.networks.resnet import Resnet, ResnetOptions
from blur2blur.networks.unet import UNet, UNetOptions
from blur2blur.settings import Settings

OptionsT = TypeVar("OptionsT", bound=Settings)


@dataclass(frozen=True, slots=True)
class Entry(Generic[OptionsT]):
    """One network: its options and its constructor."""

    options: type[OptionsT]
    construct: Callable[[OptionsT], ImageNetwork]

    def build(self, name: str, options: dict[str, Any]) -> ImageNetwork:
        """Return the network. Raises ConfigError as `settings.build` does."""
        checked = settings.build(self.options, options, source=f"network '{name}'")
        network = self.construct(checked)
        network.name, network.options = name, checked
        return network


NETWORKS: dict[str, Entry[Any]] = {
    "mimo_unet": Entry(MimoUNetOptions, MimoUNet),
    "mimo_unet_plus": Entry(MimoUNetPlusOptions, MimoUNet),
    "nafnet": Entry(NAFNetOptions, NAFNet),
    "resnet": Entry(ResnetOptions, Resnet),
    "unet": Entry(UNetOptions, UNet),
}


def names() -> list[str]:
    """Return the names `build` knows."""
    return sorted(NETWORKS)


def build(name: str, /, **options: object) -> ImageNetwork:
    """Return a freshly initialised network (random numbers from torch's global generator).

    Args:
        name: one of `names()`.
        options: fields of the network's options class; those left out have their defaults.

    Raises:
        ConfigError: unknown network or option (the nearest known one is named), or a value out of
            range.
    """
    if name not in NETWORKS:
        raise ConfigError(f"unknown network '{name}'{settings.nearest(name, names())}")
    return NETWORKS[name].build(name, options)
