"""The blur of one pair, read as a code and laid over other images of any size.

Tran et al., CVPR 2021, arXiv 2104.00317, section 3.3. Images are never resized: they are padded to
what the network takes and cropped back, and large ones are done tile by tile with one code map.

Legend: C numbers of a code, h w size of a code map, one code for each square of the network's
`size_rule.multiple` pixels.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from blur2blur import tiling
from blur2blur.errors import ConfigError, InputError
from blur2blur.networks import KernelWizard, pad_to_rule
from blur2blur.tensors import to_array, to_tensor
from blur2blur.tiling import Pixels

TILE_PX = 1024
OVERLAP_PX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The blur of a pair: a map of codes C h w, and their deviation where the network has a VAE."""

    mean: Tensor
    deviation: Tensor | None


@torch.inference_mode()
def read_code(sharp: Tensor, blurry: Tensor, network: KernelWizard) -> Code:
    """Read the blur that turns `sharp` into `blurry`, of any size and on any device.

    Args:
        sharp: 3 H W, sRGB in [0, 1].
        blurry: the same shape.
        network: in evaluation mode.

    Raises:
        InputError: two sizes, or a side shorter than the network's least.
    """
    check_pair(sharp, blurry, network)
    device = next(network.parameters()).device
    pair = pad_to_rule(torch.stack([sharp, blurry]).to(device), network.size_rule)
    rows: list[Tensor] = []
    for row in _blocks(pair.shape[-2], network):
        codes: list[Tensor] = []
        for column in _blocks(pair.shape[-1], network):
            mean, deviation = network.extract(pair[:1, :, row, column], pair[1:, :, row, column])
            codes.append(mean[0] if deviation is None else torch.cat([mean[0], deviation[0]]))
        rows.append(torch.cat(codes, dim=2))
    code = torch.cat(rows, dim=1)
    if not network.vae:
        return Code(mean=code, deviation=None)
    mean, deviation = code.chunk(2)
    return Code(mean=mean, deviation=deviation)


def check_pair(sharp: Tensor, blurry: Tensor, network: KernelWizard) -> None:
    """Refuse a pair 3 H W of two sizes, or of a side that is too short. Raises InputError."""
    (height, width), least = sharp.shape[-2:], network.size_rule.minimum
    if sharp.shape != blurry.shape:
        raise InputError(
            f"the sharp image is {width}x{height} but the blurry one "
            f"{blurry.shape[-1]}x{blurry.shape[-2]}; a pair must have one size"
        )
    if min(height, width) < least:
        raise InputError(
            f"a pair of {width}x{height} is too small to read a blur from: this kernel extractor "
            f"needs sides of at least {least} pixels"
        )


def draw_code(mean: Tensor, deviation: Tensor | None, rng: torch.Generator) -> Tensor:
    """Return `mean`, or a draw around it where there is a deviation of the same shape."""
    if deviation is None:
        return mean
    noise = torch.randn(mean.shape, generator=rng, device=rng.device)
    return mean + deviation * noise.to(mean)


def new_code(network: KernelWizard, rng: torch.Generator, temperature: float = 1.0) -> Tensor:
    """Draw a code C 1 1 that no pair has: a blur that is the same everywhere in the image.

    Args:
        network: trained with a VAE, whose codes are about normally distributed.
        rng: draws the code.
        temperature: factor of its deviation; below 1 the blurs are nearer to the average one.

    Raises:
        ConfigError: the network has no VAE.
    """
    if not network.vae:
        raise ConfigError(
            "this kernel extractor was trained without VAE and cannot draw new blurs; train one "
            "with network.options.vae=true and loss.kl above 0, or transfer the blur of pairs"
        )
    drawn = torch.randn(network.code_channels, 1, 1, generator=rng, device=rng.device)
    return temperature * drawn


def fit_code(code: Tensor, height: int, width: int) -> Tensor:
    """Return a code map C h w as C height width: its middle, or the map mirrored beyond its end."""
    for dim, wanted in ((1, height), (2, width)):
        length = code.shape[dim]
        first = max(0, (length - wanted) // 2)
        places = (torch.arange(wanted, device=code.device) + first) % (2 * length)
        mirrored = torch.where(places < length, places, 2 * length - 1 - places)
        code = code.index_select(dim, mirrored)
    return code


@torch.inference_mode()
def lay_blur(sharp: Tensor, code: Tensor, network: KernelWizard) -> Tensor:
    """Lay the blur of a code map over an image of any size.

    Args:
        sharp: 3 H W, sRGB in [0, 1], on any device.
        code: C h w, fitted to the image as `fit_code` does.
        network: in evaluation mode.

    Returns:
        3 H W, sRGB, clamped to [0, 1], on the device of `sharp`.
    """
    stride, device = network.size_rule.multiple, next(network.parameters()).device
    height, width = sharp.shape[-2:]
    padded = pad_to_rule(sharp[None], network.size_rule)
    fitted = fit_code(code, padded.shape[-2] // stride, padded.shape[-1] // stride)

    def adapt(tiles: Pixels, codes: Pixels) -> Pixels:
        planes = (torch.from_numpy(each.transpose(0, 3, 1, 2)) for each in (tiles, codes))
        blurred = network.adapt(*(each.contiguous().to(device) for each in planes)).clamp(0, 1)
        return blurred.permute(0, 2, 3, 1).cpu().numpy()

    blurred = tiling.process_tiles(
        to_array(padded[0]),
        adapt,
        guide=to_array(fitted),
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        align=stride,
    )
    return to_tensor(blurred[:height, :width]).to(sharp.device)


def transfer_blur(
    sharp: Tensor,
    pair: tuple[Tensor, Tensor],
    network: KernelWizard,
    *,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Lay the blur of a pair over another image.

    Args:
        sharp: the image to blur, 3 H W, sRGB in [0, 1].
        pair: (blurry, sharp) of the blur, 3 H' W' each, sRGB in [0, 1].
        network: a kernel extractor in evaluation mode, see `blur2blur.load_kernel_extractor`.
        rng: with a VAE, draws around the code of the pair; None takes its mean.

    Returns:
        3 H W, sRGB in [0, 1].

    Raises:
        InputError: a pair of two sizes, or too small for the network.
    """
    blurry, sharp_of_pair = pair
    code = read_code(sharp_of_pair, blurry, network)
    drawn = code.mean if rng is None else draw_code(code.mean, code.deviation, rng)
    return lay_blur(sharp, drawn, network)


def _blocks(length: int, network: KernelWizard) -> list[slice]:
    """Divide an axis into blocks of about TILE_PX, so that memory does not grow with the image."""
    stride = network.size_rule.multiple
    count = max(1, length // max(TILE_PX, network.size_rule.minimum))
    edges = [length // stride * index // count * stride for index in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
