"""Pairs to finish a deblurrer on: what a converter makes of simulated cameras, and sharp images.

A converter does not make the known blur exactly, and what is left a deblurrer can learn: simulated
cameras that look like the camera's own photograph its sharp images, and the frozen converter
converts them. Without a converter they are deblurred as they are.
"""

from collections.abc import Mapping

import torch
from lightning.fabric import Fabric
from torch import Tensor

from blur2blur.errors import ConfigError
from blur2blur.training import sources
from blur2blur.training.sections import MatchedCamerasSettings
from blur2blur.training.settings import DeblurrerSettings
from blur2blur.training.simulation.prepare import prepare
from blur2blur.training.task import channels_last, check_crop
from blur2blur.weights import loading, zoo


class ConvertedPairs:
    """Attributes: sharp crops to train on, and a fixed batch of converted and sharp crops."""

    def __init__(
        self,
        settings: DeblurrerSettings,
        cameras: MatchedCamerasSettings,
        streams: sources.Streams,
        fabric: Fabric,
    ) -> None:
        """Load the converter, choose the cameras.

        Args:
            settings: all settings of the run.
            cameras: those of `simulated`.
            streams: as `prepare.prepare` takes them.
            fabric: device and precision.

        Raises:
            ConfigError: no deblurrer to start from, no converter, unknown camera.
            CheckpointError: the converter cannot be loaded.
            DataError, InputError: unusable photographs.
        """
        if not (settings.init and settings.converter):
            raise ConfigError(
                "simulated cameras need init=FILE, a deblurrer, and converter=FILE, or "
                "converter=none to deblur the simulated cameras' photographs as they are"
            )
        self._autocast = fabric.autocast
        self._converter = None
        if settings.converter != zoo.NONE:
            converter = loading.load_own(settings.converter, role="converter").to(fabric.device)
            check_crop(settings.data.crop_px, converter.size_rule)
            channels_last(converter)
            self._converter = converter.eval().requires_grad_(False)
        pairs = prepare(cameras, None, streams, settings.data, seed=settings.run.seed)
        self.dataset = pairs.dataset
        held_out = {name: images.to(fabric.device) for name, images in pairs.held_out.items()}
        self.held_out = self._converted(held_out["unknown"]), held_out["sharp"]

    def pair(self, streams: Mapping[str, Tensor], _rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return converted and sharp, B 3 H W sRGB in [0, 1], of a batch of `dataset`."""
        return self._converted(streams["unknown"]), streams["sharp"]

    @torch.no_grad()
    def _converted(self, unknown: Tensor) -> Tensor:
        if self._converter is None:
            return unknown
        with self._autocast():
            return self._converter.restore(unknown).float().clamp(0, 1)
