"""Networks by name: `build("mimo_unet", base_channels=16)`, or `build_any` for all others."""

from blur2blur.networks.base import ImageNetwork, Network, SizeRule, pad_to_rule
from blur2blur.networks.blur_extent import BlurExtent
from blur2blur.networks.kernel_wizard import KernelWizard, KernelWizardOptions
from blur2blur.networks.patchgan import DiscriminatorOptions, MultiScaleDiscriminator
from blur2blur.networks.registry import build, build_any, checked_options, names

__all__ = [
    "BlurExtent",
    "DiscriminatorOptions",
    "ImageNetwork",
    "KernelWizard",
    "KernelWizardOptions",
    "MultiScaleDiscriminator",
    "Network",
    "SizeRule",
    "build",
    "build_any",
    "checked_options",
    "names",
    "pad_to_rule",
]
