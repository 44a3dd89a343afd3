"""Names of networks and how to build them from options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.networks.base import ImageNetwork, Network
from blur2blur.networks.blur_extent import BlurExtent, BlurExtentOptions
from blur2blur.networks.coarse_to_fine import CoarseToFine, CoarseToFineOptions
from blur2blur.networks.kernel_wizard import KernelWizard, KernelWizardOptions
from blur2blur.networks.mimo_unet import MimoUNet, MimoUNetOptions, MimoUNetPlusOptions
from blur2blur.networks.nafnet import NAFNet, NAFNetOptions
from blur2blur.networks.patchgan import DiscriminatorOptions, MultiScaleDiscriminator
from blur2blur.networks.residual_unet import ResidualUNet, ResidualUNetOptions
from blur2blur.networks.resnet import Resnet, ResnetOptions
from blur2blur.networks.unet import UNet, UNetOptions
from blur2blur.settings import Settings

OptionsT = TypeVar("OptionsT", bound=Settings)


@dataclass(frozen=True, slots=True)
class Entry(Generic[OptionsT]):
    """One network: its options and its constructor."""

    options: type[OptionsT]
    construct: Callable[[OptionsT], Network]

    def checked(self, name: str, options: Mapping[str, object]) -> OptionsT:
        """Return all options. Raises ConfigError as `settings.build` does."""
        return settings.build(self.options, options, source=f"network '{name}'")

    def build(self, name: str, options: Mapping[str, object]) -> Network:
        """Return the network; raises as `checked`."""
        checked = self.checked(name, options)
        network = self.construct(checked)
        network.name, network.options = name, checked
        return network


NETWORKS: dict[str, Entry[Any]] = {
    "blur_extent": Entry(BlurExtentOptions, BlurExtent),
    "coarse_to_fine": Entry(CoarseToFineOptions, CoarseToFine),
    "discriminator": Entry(DiscriminatorOptions, MultiScaleDiscriminator),
    "kernel_wizard": Entry(KernelWizardOptions, KernelWizard),
    "mimo_unet": Entry(MimoUNetOptions, MimoUNet),
    "mimo_unet_plus": Entry(MimoUNetPlusOptions, MimoUNet),
    "nafnet": Entry(NAFNetOptions, NAFNet),
    "residual_unet": Entry(ResidualUNetOptions, ResidualUNet),
    "resnet": Entry(ResnetOptions, Resnet),
    "unet": Entry(UNetOptions, UNet),
}

ENTRY_POINTS = "blur2blur.networks"
"""Group of entry points by which installed packages add networks: name -> an `Entry`."""

_NOT_FOR_IMAGES = {"blur_extent", "discriminator", "kernel_wizard"}


def names() -> list[str]:
    """Return the names of the networks from image to image, which `build` knows."""
    return sorted(_known().keys() - _NOT_FOR_IMAGES)


@cache
def _known() -> Mapping[str, Entry[Any]]:
    """Return the networks of this project and of installed packages; no name is taken twice.

    Raises:
        ConfigError: a package's entry point cannot be loaded, or is no `Entry`.
    """
    known = dict(NETWORKS)
    for point in entry_points(group=ENTRY_POINTS):
        try:
            entry = point.load()
        except Exception as error:
            raise ConfigError(f"the network '{point.name}' of {point.value}: {error}") from error
        if not isinstance(entry, Entry):
            raise ConfigError(f"the network '{point.name}' of {point.value} is no Entry")
        known.setdefault(point.name, entry)
    return known


def build(name: str, /, **options: object) -> ImageNetwork:
    """Return a freshly initialised network (random numbers from torch's global generator).

    Args:
        name: one of `names()`.
        options: fields of the network's options class; those left out have their defaults.

    Raises:
        ConfigError: unknown network or option (the nearest known one is named), or a value out of
            range.
    """
    network = build_any(name, **options) if name in names() else None
    if not isinstance(network, ImageNetwork):
        raise ConfigError(f"unknown network '{name}'{settings.nearest(name, names())}")
    return network


def checked_options(name: str, options: Mapping[str, object]) -> Settings:
    """Return all options of a network, those that are not given at their defaults.

    Raises:
        ConfigError: unknown network or option (the nearest known one is named), or a value out of
            range.
    """
    return _entry(name).checked(name, options)


def build_any(name: str, /, **options: object) -> Network:
    """Return any network that a weight file can name, also one that is not from image to image.

    Raises:
        ConfigError: as `build`.
    """
    return _entry(name).build(name, options)


def _entry(name: str) -> Entry[Any]:
    known = _known()
    if name not in known:
        raise ConfigError(f"unknown network '{name}'{settings.nearest(name, known)}")
    return known[name]
