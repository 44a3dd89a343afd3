"""Names of networks and how to build them from options."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from blur2blur import settings
from blur2blur.errors import ConfigError
from blur2blur.networks.base import ImageNetwork, Network
from blur2blur.networks.blur_extent import BlurExtent, BlurExtentOptions
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

    def build(self, name: str, options: dict[str, Any]) -> Network:
        """Return the network. Raises ConfigError as `settings.build` does."""
        checked = settings.build(self.options, options, source=f"network '{name}'")
        network = self.construct(checked)
        network.name, network.options = name, checked
        return network


NETWORKS: dict[str, Entry[Any]] = {
    "blur_extent": Entry(BlurExtentOptions, BlurExtent),
    "discriminator": Entry(DiscriminatorOptions, MultiScaleDiscriminator),
    "kernel_wizard": Entry(KernelWizardOptions, KernelWizard),
    "mimo_unet": Entry(MimoUNetOptions, MimoUNet),
    "mimo_unet_plus": Entry(MimoUNetPlusOptions, MimoUNet),
    "nafnet": Entry(NAFNetOptions, NAFNet),
    "residual_unet": Entry(ResidualUNetOptions, ResidualUNet),
    "resnet": Entry(ResnetOptions, Resnet),
    "unet": Entry(UNetOptions, UNet),
}

_NOT_FOR_IMAGES = {"blur_extent", "discriminator", "kernel_wizard"}


def names() -> list[str]:
    """Return the names of the networks from image to image, which `build` knows."""
    return sorted(NETWORKS.keys() - _NOT_FOR_IMAGES)


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


def build_any(name: str, /, **options: object) -> Network:
    """Return any network that a weight file can name, also one that is not from image to image.

    Raises:
        ConfigError: as `build`.
    """
    if name not in NETWORKS:
        raise ConfigError(f"unknown network '{name}'{settings.nearest(name, NETWORKS)}")
    return NETWORKS[name].build(name, options)
