"""Which simulated cameras could be the camera: told by traces of blur, noise and compression.

Cameras are drawn and photograph the camera's own sharp photographs; those are kept whose pictures
are nearest to its blurry ones in a few statistics (rejection sampling of approximate Bayesian
computation: J. K. Pritchard et al., Mol. Biol. Evol. 16(12), 1999). It is the mean over many crops
that is compared, because a single crop tells more of what it shows than of the camera.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from blur2blur.blur import CameraSettings
from blur2blur.blur.ranges import spread, uniform
from blur2blur.pyramid import pyramid
from blur2blur.statistics.gradient_energy import log_gradient_energy

LEAST_PX = 64
"""Least side of the images that are compared."""

_LEVELS = 4
_PATCH_PX = 16
_FLOOR = 1e-7
_QUIET = (0.1, 0.3)  # quantiles of patches: skies and walls, where noise and compression show
_RIDGE = 1e-3


def features(images: Tensor) -> Tensor:
    """Return B x F features of B 3 H W sRGB images in [0,1], sides at least `LEAST_PX`."""
    grey = images.mean(dim=1, keepdim=True)
    opponent = images[:, :1] - images[:, 2:]
    grid = (grey.shape[-2] // _PATCH_PX, grey.shape[-1] // _PATCH_PX)
    energies = torch.stack(
        [_log_energies(level, grid) for level in reversed(pyramid(grey, _LEVELS))], dim=1
    )
    steps = energies[:, :-1] - energies[:, 1:]  # B x levels - 1 x 2 directions x patches
    strength = energies[:, -1].mean(dim=1)
    busy = (strength >= strength.median(dim=1, keepdim=True).values).float()[:, None, None]
    slopes = (steps * busy).sum(dim=-1) / busy.sum(dim=-1)
    quantiles = torch.tensor(_QUIET, device=images.device)
    finest = [energies[:, 0].mean(dim=1), energies[:, 1].mean(dim=1)]
    finest.append(_log_energies(opponent, grid).mean(dim=1))
    quiet = [torch.quantile(each, quantiles, dim=1).T for each in finest]
    lopsided = (slopes[:, :, 0] - slopes[:, :, 1]).abs()
    brightness = (grey.mean(dim=(1, 2, 3)) + 0.01).log()[:, None]
    return torch.cat([slopes.mean(dim=2), lopsided, *quiet, brightness], dim=1)


def _log_energies(image: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return B x 2 directions x patches."""
    return log_gradient_energy(image, grid, floor=_FLOOR).flatten(2)


def nearest(camera: Tensor, simulated: Sequence[Tensor], count: int) -> list[int]:
    """Return which `count` of the simulated cameras are nearest to the camera, nearest first.

    The distance is Mahalanobis's, of the means, under the covariance within the simulated cameras:
    what differs from crop to crop with the scene counts little.

    Args:
        camera: N x F features of crops of the camera's photographs.
        simulated: of each simulated camera, M x F features of crops of its photographs.
        count: how many to return.
    """
    within = torch.stack([each.T.cov() for each in simulated]).mean(dim=0)
    ridge = _RIDGE * within.diagonal().mean().clamp_min(_FLOOR)  # a flat wall has no covariance
    within = within + ridge * torch.eye(len(within)).to(within)
    apart = torch.stack([each.mean(dim=0) for each in simulated]) - camera.mean(dim=0)
    distance = (apart * torch.linalg.solve(within, apart.T).T).sum(dim=1)
    return distance.argsort()[:count].tolist()


def narrowed(camera: CameraSettings, rng: torch.Generator) -> CameraSettings:
    """Return one camera of the many that ranges describe.

    Lens, light, noise and compression stay what they are from photograph to photograph and are
    drawn once; motion is another every time, and keeps its ranges.
    """

    def fixed(
        ends: tuple[float, float], draw: Callable[..., Tensor] = uniform
    ) -> tuple[float, float]:
        value = float(draw(ends, 1, rng))
        return value, value

    lens, noise, jpeg, tone = camera.lens, camera.noise, camera.jpeg, camera.tone
    quality = jpeg.quality and fixed(jpeg.quality)
    return camera.model_copy(
        update={
            "lens": lens.model_copy(
                update={
                    "defocus_px": fixed(lens.defocus_px),
                    "softness_px": fixed(lens.softness_px),
                }
            ),
            "exposure_stops": fixed(camera.exposure_stops),
            "response": fixed(camera.response),
            "noise": noise.model_copy(
                update={
                    "shot": fixed(noise.shot, spread),
                    "read": fixed(noise.read, spread),
                    "smoothing": fixed(noise.smoothing),
                }
            ),
            "tone": tone.model_copy(
                update={"gamma": fixed(tone.gamma), "contrast": fixed(tone.contrast)}
            ),
            "jpeg": jpeg.model_copy(update={"quality": quality}),
        }
    )
