"""What a camera does to light after the lens: saturation, noise, demosaicing, tone curve, JPEG.

Legend: `linear` is B x 3 x H x W in linear light, 1 being where the sensor clips; `srgb` is
B x 3 x H x W in [0, 1], sRGB-encoded.
"""

import io
import math
from typing import Literal

import cv2
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from blur2blur.blur.apply import pad

Demosaic = Literal["none", "bilinear", "malvar"]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]

_SMOOTHING_PX = 5
_LAMP_PX = (0.5, 2.0)  # standard deviation of a light's profile
_LAMP_LIGHT = (2.0, 30.0)


def brighten_highlights(linear: Tensor, threshold: float, gain: Tensor) -> Tensor:
    """Guess the light above the clipping point that a photograph has lost.

    Blurring the result and clipping it afterwards gives the hard bright streaks of real lamps;
    blurring the clipped photograph would give faint ones. O. Whyte et al., "Deblurring shaken and
    partially saturated images", IJCV 110, 2014, describes the effect.

    Args:
        linear: B x 3 x H x W in [0, 1].
        threshold: brightest channel from which light grows, in [0, 1).
        gain: B factors by which full white grows, >= 1.

    Returns:
        B x 3 x H x W, not clipped. All channels of a pixel grow alike, which keeps its hue.
    """
    brightest = linear.amax(dim=1, keepdim=True)
    rise = ((brightest - threshold) / (1 - threshold)).clamp(0, 1)
    rise = rise * rise * (3 - 2 * rise)
    return linear * (1 + (gain.to(linear)[:, None, None, None] - 1) * rise)


def add_lamps(linear: Tensor, density: Tensor, rng: torch.Generator) -> Tensor:
    """Add small lights, brighter than white, whose streaks show how the camera moved.

    Args:
        linear: B x 3 x H x W, >= 0.
        density: B expected numbers in a million pixels.
        rng: draws their number, place, size, colour and brightness.
    """
    height, width = linear.shape[-2:]
    numbers = torch.poisson(density * height * width / 1e6, generator=rng)
    lit = linear.clone()
    x = torch.arange(width, device=linear.device)
    y = torch.arange(height, device=linear.device)
    for image, number in zip(lit, numbers.int().tolist(), strict=True):
        drawn = torch.rand(number, 7, generator=rng, device=rng.device).to(linear)
        for lamp in drawn:
            radius = _LAMP_PX[0] + (_LAMP_PX[1] - _LAMP_PX[0]) * lamp[2]
            rows, columns = _around(float(lamp[1]) * height), _around(float(lamp[0]) * width)
            across = ((x[columns] - lamp[0] * width) / radius).square()
            down = ((y[rows] - lamp[1] * height) / radius).square()
            spot = torch.exp(-0.5 * (across + down[:, None]))
            colour = _LAMP_LIGHT[0] * (_LAMP_LIGHT[1] / _LAMP_LIGHT[0]) ** lamp[3]
            image[:, rows, columns] += colour * (0.4 + 0.6 * lamp[4:, None, None]) * spot
    return lit


def _around(centre_px: float) -> slice:
    """Return where a light's profile is visible: outside it is below 2e-8 of its middle."""
    reach_px = 6 * _LAMP_PX[1]
    return slice(max(0, math.floor(centre_px - reach_px)), math.ceil(centre_px + reach_px) + 1)


def add_noise(linear: Tensor, shot: Tensor, read: Tensor, rng: torch.Generator) -> Tensor:
    """Add the noise of photons and read-out: Gaussian, of variance `shot * linear + read ** 2`.

    The model of A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE Trans. Image Processing 17(10), 2008, equation 8.

    Args:
        linear: B x C x H x W, >= 0.
        shot: B variances per unit of light: one over the photons that fill a pixel; 0 is none.
        read: B standard deviations of the read-out.
        rng: gives the randomness, drawn on its device.

    Returns:
        B x C x H x W, not clipped. Where a sample is full, at 1 or above, it has no noise.
    """
    shot, read = (each.to(linear)[:, None, None, None] for each in (shot, read))
    noise = torch.randn(linear.shape, generator=rng, device=rng.device).to(linear)
    noisy = linear + (shot * linear + read.square()).sqrt() * noise
    return torch.where(linear >= 1, linear, noisy)


def mosaic(linear: Tensor) -> Tensor:
    """Return the B x 1 x H x W samples of an RGGB colour filter array."""
    sites = _bayer_sites(linear)
    return (linear * sites).sum(dim=1, keepdim=True)


def demosaic(raw: Tensor, method: Literal["bilinear", "malvar"]) -> Tensor:
    """Return the B x 3 x H x W image of B x 1 x H x W RGGB samples, not clipped.

    "malvar" is H. S. Malvar, L. He and R. Cutler, "High-quality linear interpolation for
    demosaicing of Bayer-patterned color images", ICASSP 2004, figure 2.
    """
    filters = _demosaic_filters(method).to(raw)
    cross, across, down, diagonal = F.conv2d(pad(raw, 2), filters).split(1, dim=1)
    red, green, blue = _bayer_sites(raw).unbind()
    even_row = _even_rows(raw)
    green_in_red_row, green_in_blue_row = green * even_row, green * (1 - even_row)
    return torch.cat(
        (
            red * raw + green_in_red_row * across + green_in_blue_row * down + blue * diagonal,
            green * raw + (red + blue) * cross,
            blue * raw + green_in_blue_row * across + green_in_red_row * down + red * diagonal,
        ),
        dim=1,
    )


def _even_rows(image: Tensor) -> Tensor:
    rows = torch.arange(image.shape[-2], device=image.device)
    return (rows % 2 == 0).to(image)[:, None]


def _bayer_sites(image: Tensor) -> Tensor:
    """Return 3 x H x W masks of where red, green and blue are sampled."""
    even_row = _even_rows(image)
    even_column = (torch.arange(image.shape[-1], device=image.device) % 2 == 0).to(image)
    red = even_row * even_column
    blue = (1 - even_row) * (1 - even_column)
    return torch.stack((red, 1 - red - blue, blue))


def _demosaic_filters(method: Literal["bilinear", "malvar"]) -> Tensor:
    """Return 4 x 1 x 5 x 5 filters: green at red/blue, then the others across, down, diagonal."""
    cross, across, diagonal = torch.zeros(3, 5, 5)
    if method == "bilinear":
        cross[[1, 3, 2, 2], [2, 2, 1, 3]] = 1 / 4
        across[2, [1, 3]] = 1 / 2
        diagonal[[1, 1, 3, 3], [1, 3, 1, 3]] = 1 / 4
    else:
        ends = ([0, 4, 2, 2], [2, 2, 0, 4])
        corners = ([1, 1, 3, 3], [1, 3, 1, 3])
        cross[2, 2], cross[[1, 3, 2, 2], [2, 2, 1, 3]], cross[ends] = 4 / 8, 2 / 8, -1 / 8
        across[2, 2], across[2, [1, 3]], across[corners] = 5 / 8, 4 / 8, -1 / 8
        across[2, [0, 4]], across[[0, 4], 2] = -1 / 8, 0.5 / 8
        diagonal[2, 2], diagonal[corners], diagonal[ends] = 6 / 8, 2 / 8, -1.5 / 8
    return torch.stack((cross, across, across.T, diagonal))[:, None]


def tone_curve(srgb: Tensor, gamma: Tensor, contrast: Tensor) -> Tensor:
    """Return `srgb` to the power `gamma`, then mixed by `contrast` with a smooth S-curve.

    Args:
        srgb: B x 3 x H x W, values in [0, 1].
        gamma: B powers; below 1 brightens the middle tones.
        contrast: B shares; 0 is no S-curve, 1 the whole of it (3 x^2 - 2 x^3).
    """
    gamma, contrast = (each.to(srgb)[:, None, None, None] for each in (gamma, contrast))
    curved = srgb**gamma
    return torch.lerp(curved, curved * curved * (3 - 2 * curved), contrast)


def smooth(srgb: Tensor, strength: Tensor) -> Tensor:
    """Remove noise as cameras do, details of little contrast with it: a bilateral filter.

    C. Tomasi and R. Manduchi, "Bilateral filtering for gray and color images", ICCV 1998.

    Args:
        srgb: B x 3 x H x W in [0, 1].
        strength: B standard deviations in sRGB values; 0 leaves the image as it is.
    """
    smoothed = [
        torch.from_numpy(
            cv2.bilateralFilter(
                image.permute(1, 2, 0).contiguous().numpy(), _SMOOTHING_PX, level, _SMOOTHING_PX / 2
            )
        ).permute(2, 0, 1)
        if level > 0
        else image
        for image, level in zip(srgb.cpu(), strength.tolist(), strict=True)
    ]
    return torch.stack(smoothed).to(srgb)


def quantise(srgb: Tensor) -> Tensor:
    """Return `srgb` clipped to [0, 1] and rounded to 8 bits."""
    return (srgb.clamp(0, 1) * 255).round() / 255


def jpeg(srgb: Tensor, quality: Tensor, subsampling: Subsampling) -> Tensor:
    """Return `srgb` after JPEG compression; `quality` holds B values from 1 to 100."""
    pixels_BHW3 = (srgb.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu()
    decoded = [
        _jpeg_round_trip(pixels, round(float(level)), subsampling)
        for pixels, level in zip(pixels_BHW3, quality, strict=True)
    ]
    return torch.stack(decoded).to(srgb.device).permute(0, 3, 1, 2).to(srgb) / 255


def _jpeg_round_trip(pixels_HW3: Tensor, quality: int, subsampling: Subsampling) -> Tensor:
    file = io.BytesIO()
    image = Image.fromarray(pixels_HW3.numpy())
    image.save(file, format="JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as decoded:
        pixels = bytearray(decoded.tobytes())
    return torch.frombuffer(pixels, dtype=torch.uint8).reshape(pixels_HW3.shape)
