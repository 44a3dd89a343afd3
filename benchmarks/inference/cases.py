"""What is measured: networks, parts, sizes, and the ways to run them."""

from dataclasses import dataclass

import numpy as np
import skimage.data
import torch
from torch import Tensor

from blur2blur import networks
from blur2blur.inference.exporting.chain import Chain
from blur2blur.networks import ImageNetwork
from blur2blur.weights import loading, zoo

SHIPPED = "shipped"
NETWORKS = ("mimo_unet", "mimo_unet_plus", "nafnet", SHIPPED)
PARTS = ("converter", "deblurrer", "both")
SIZES = ("256x256", "1280x720", "1920x1080", "4000x3000", "6000x4000")
BASELINE = "published"
# glibc then keeps what torch has freed, and maps nothing anew at every layer
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(2**33),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run networks: a backend of Pipeline, or torch as published code runs it."""

    backend: str
    precision: str
    environment: tuple[tuple[str, str], ...] = ()


WAYS = {
    BASELINE: Way(BASELINE, "fp32"),
    "published-tuned": Way(BASELINE, "fp32", tuple(TUNED.items())),
    "eager-fp32": Way("eager", "fp32"),
    "eager-bf16": Way("eager", "bf16"),
    "eager-fp16": Way("eager", "fp16"),
    "compile-fp32": Way("compile", "fp32"),
    "compile-bf16": Way("compile", "bf16"),
    "onnxruntime-fp32": Way("onnxruntime", "fp32"),
    "openvino-fp32": Way("openvino", "fp32"),
    "openvino-bf16": Way("openvino", "bf16"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement. `size` is "WIDTHxHEIGHT"; `way` a key of WAYS."""

    network: str
    part: str
    size: str
    way: str

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in pixels."""
        width, height = self.size.split("x")
        return int(height), int(width)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        height, width = self.sides
        return height * width


def build(network: str, part: str) -> list[ImageNetwork]:
    """Return the networks in the order they run: untrained, or the weights that ship.

    The converter is `mimo_unet`, whatever the deblurrer. Untrained networks do not start as the
    identity, so that precision can be judged.
    """
    if network == SHIPPED:
        converter = loading.load_own("generic", role="converter")
        deblurrer = loading.load_own(zoo.DEFAULT_DEBLURRER, role="deblurrer")
    else:
        torch.manual_seed(0)
        converter = networks.build("mimo_unet", identity_start=False)
        deblurrer = networks.build(network, identity_start=False)
    chosen = {"converter": [converter], "deblurrer": [deblurrer], "both": [converter, deblurrer]}
    return [each.eval() for each in chosen[part]]


def photograph(height: int, width: int) -> Tensor:
    """Return float32 3 H W, sRGB in [0, 1]: a natural photograph, repeated."""
    pixels = skimage.data.astronaut()
    repeats = (-(-height // pixels.shape[0]), -(-width // pixels.shape[1]), 1)
    tiled = np.tile(pixels, repeats)[:height, :width]
    return torch.from_numpy(tiled).permute(2, 0, 1).contiguous().float() / 255


def count_flops(chain: Chain, height: int, width: int) -> int:
    """Return the floating-point operations of the chain on an image, without computing any."""
    from torch.utils.flop_counter import FlopCounterMode

    sides = chain.size_rule.padded(height, width)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        chain.to("meta")(torch.empty(1, 3, *sides, device="meta"))
    return counter.get_total_flops()
