"""Which photographs a run trains on and which it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import default_collate

from blur2blur.blur import Camera, load_camera
from blur2blur.data.datasets import Pairs, Sample
from blur2blur.errors import ConfigError, DataError
from blur2blur.networks import SizeRule
from blur2blur.training.settings import DataSettings, KnownBlurSettings
from blur2blur.training.task import as_float

Roles = Mapping[str, Sequence[Path]]

VALIDATION_SEED_OFFSET = 1_000_003
"""Keeps validation crops and blurs apart from those of any training seed in use."""


@dataclass(frozen=True)
class Split:
    """Photographs to learn from and photographs to be judged by, by role."""

    train: Roles
    validation: Roles


def split(roles: Roles, fraction: float) -> Split:
    """Hold out the last `fraction` of the files, in the order of their names; never all of them.

    Frames of one scene stand together in that order, so few scenes are in both parts. At least one
    is held out; a single photograph has to serve for both.

    Raises:
        DataError: a role has no photographs.
    """
    for role, paths in roles.items():
        if not paths:
            raise DataError(f"no photographs for {role.replace('_', ' ')}")
    count = len(next(iter(roles.values())))
    kept = max(1, min(count - 1, count - round(count * fraction)))
    return Split(
        train={role: paths[:kept] for role, paths in roles.items()},
        validation={role: paths[kept:] if count > 1 else paths for role, paths in roles.items()},
    )


def validation_batch(
    roles: Roles, settings: DataSettings, *, seed: int, margin_px: int = 0
) -> dict[str, Tensor]:
    """Return fixed crops of held-out photographs: role -> float32 B 3 H W sRGB in [0,1]."""
    crops = Pairs(
        roles,
        crop_px=settings.crop_px,
        margin_px=margin_px,
        seed=seed + VALIDATION_SEED_OFFSET,
        shrink=settings.shrink,
    )
    samples: list[Sample] = [crops[number] for number in range(settings.validation_crops)]
    batch = default_collate(samples)
    return {role: as_float(batch[role]) for role in roles}


def check_crop(crop_px: int, rule: SizeRule, *, least_px: int = 0) -> None:
    """Refuse crops that the networks cannot take. Raises ConfigError with the nearest that fits."""
    fitting = rule.padded(max(crop_px, least_px), 1)[0]
    if fitting != crop_px:
        raise ConfigError(
            f"data.crop_px = {crop_px} does not fit the networks, which need multiples of "
            f"{rule.multiple}, at least {max(rule.minimum, least_px)}; set data.crop_px={fitting}"
        )


class KnownBlur:
    """Where known-blur images come from: pairs as they are, or a camera's blur over sharp ones."""

    def __init__(self, settings: KnownBlurSettings) -> None:
        """Read the camera, if there is one.

        Raises:
            ConfigError: an unknown camera, or one whose blur differs from place to place, which
                cannot be laid over crops.
        """
        self._camera: Camera | None = None
        self.margin_px = 0
        if settings.source == "synthetic":
            camera = load_camera(settings.camera, settings.overrides)
            if camera.spatial.varies:
                raise ConfigError(
                    f"known.camera = '{settings.camera}' blurs differently from place to place, "
                    "which crops cannot show; let 'blur2blur blur synth' make pairs of whole "
                    "photographs and set known.source=pairs"
                )
            self._camera = Camera(camera)
            kernels_B1KK = self._camera.sample_kernels(1, torch.Generator())
            self.margin_px = kernels_B1KK.shape[-1] // 2

    @torch.no_grad()
    def pair(
        self, roles: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return known blurry and known sharp, B 3 H W sRGB in [0,1] (blurry rounded to 8 bits).

        Args:
            roles: `known_blurry` and `known_sharp`, or one role of sharp images with `margin_px`
                more on each side than is returned: the blur reaches that far.
            generator: draws the blur.
        """
        if self._camera is None:
            return roles["known_blurry"], roles["known_sharp"]
        (sharp,) = roles.values()
        # photographs are stored in 8 bits: steps must not tell known from unknown blur
        blurry = (self._camera.blur(sharp, generator) * 255).round() / 255
        end = -self.margin_px or None
        inside = (..., slice(self.margin_px, end), slice(self.margin_px, end))
        return blurry[inside], sharp[inside]
