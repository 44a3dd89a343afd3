"""Pairs to finish a deblurrer on: what a converter makes of made-up cameras, and sharp images.

A converter does not make the known blur exactly, and what is left a deblurrer can learn: made-up
cameras that look like the camera's own photograph its sharp images, and the frozen converter
converts them. Without a converter they are deblurred as they are.
"""

from collections.abc import Mapping

import torch
from lightning.fabric import Fabric
from torch import Tensor

from blur2blur import zoo
from blur2blur.errors import ConfigError
from blur2blur.training import sources
from blur2blur.training.practice import prepare
from blur2blur.training.rehearsal import Rehearsal
from blur2blur.training.settings import DeblurrerSettings, RehearsalSettings
from blur2blur.training.task import channels_last


class ConvertedPairs:
    """Attributes: sharp crops to train on, and a fixed batch of converted and sharp crops."""

    def __init__(self, settings: DeblurrerSettings, roles: sources.Roles, fabric: Fabric) -> None:
        """Load the converter, choose the cameras.

        Args:
            settings: all settings of the run.
            roles: as `practice.prepare` takes them.
            fabric: device and precision.

        Raises:
            ConfigError: no deblurrer to start from, no converter, unknown camera.
            CheckpointError: the converter cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        if not (settings.init and settings.converter):
            raise ConfigError(
                "rehearsal needs init=FILE, a deblurrer, and converter=FILE, or converter=none to "
                "deblur the made-up cameras' photographs as they are"
            )
        self._autocast = fabric.autocast
        self._converter = None
        if settings.converter != zoo.WITHOUT_CONVERTER:
            converter = zoo.load_own(settings.converter, role="converter").to(fabric.device)
            sources.check_crop(settings.data.crop_px, converter.size_rule)
            channels_last(converter)
            self._converter = converter.eval().requires_grad_(False)
        made_up = settings.rehearsal
        self._rehearsal = Rehearsal(
            RehearsalSettings(cameras=made_up.cameras, compared=made_up.compared, candidates=1),
            settings.known,
            None,
        )
        practice = prepare(
            self._rehearsal, roles, settings.data, seed=settings.run.seed, device=fabric.device
        )
        self.dataset = practice.dataset
        unknown, _, sharp = practice.held_out
        self.held_out = self._converted(unknown), sharp

    def pair(
        self, roles: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return converted and sharp, B 3 H W sRGB in [0, 1].

        Args:
            roles: one role of sharp images, B 3 H W, with the margin that `dataset` has.
            generator: draws camera, blur, noise and compression.
        """
        (with_margin,) = roles.values()
        unknown, _, sharp = self._rehearsal.pair(with_margin, generator)
        return self._converted(unknown), sharp

    @torch.no_grad()
    def _converted(self, unknown: Tensor) -> Tensor:
        if self._converter is None:
            return unknown
        with self._autocast():
            return self._converter.restore(unknown).float().clamp(0, 1)
