"""Practice of the converter on pairs that are made: the blur of made-up cameras over sharp images.

The unknown blur of real photographs has no known counterpart, that of a simulated camera has: the
same photograph under the known blur. Of the known blurs, each unknown one is paired with the most
alike, so that the converter learns to change as little as it must.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blur2blur.blur import Camera, convolve, load_camera
from blur2blur.errors import ConfigError
from blur2blur.images import to_linear, to_srgb
from blur2blur.losses import frequency, reconstruction
from blur2blur.networks import ImageNetwork
from blur2blur.training.likeness import features, narrowed, nearest
from blur2blur.training.settings import KnownBlurSettings, RehearsalSettings

JPEG_PERIOD_PX = 16
"""JPEG's blocks, with halved colours: crops must not always begin at the same place in them."""

_FREQUENCY_WEIGHT = 0.1
_SPECTRUM_PX = 64
_AT_ONCE = 8
# of the cameras compared, one in so many is kept
_COMPARED_PER_KEPT = 8


class Rehearsal:
    """Makes the pairs and tells the losses of a converter on them."""

    def __init__(
        self,
        settings: RehearsalSettings,
        known: KnownBlurSettings,
        deblurrer: ImageNetwork | None,
    ) -> None:
        """Read the cameras.

        Args:
            settings: which cameras, and the weights.
            known: the known blur, synthetic.
            deblurrer: undoes it; frozen here. Needed by `settings.deblurred` alone.

        Raises:
            ConfigError: no deblurrer where one is needed, an unknown camera, or one whose blur
                differs from place to place.
        """
        if settings.deblurred and deblurrer is None:
            raise ConfigError(
                "rehearsal.deblurred looks through a deblurrer: set deblurrer=FILE, weights that "
                "undo the known blur, or rehearsal.deblurred=0"
            )
        self._settings = settings
        self._known = Camera(load_camera(known.camera, known.overrides))
        self._cameras = [Camera(load_camera(name)) for name in settings.cameras]
        for name, camera in zip(settings.cameras, self._cameras, strict=True):
            if camera.settings.spatial.varies:
                raise ConfigError(
                    f"rehearsal.cameras: '{name}' blurs differently from place to place, which "
                    "crops cannot show; choose another camera"
                )
        self._deblurrer = None if deblurrer is None else deblurrer.eval().requires_grad_(False)
        nothing = torch.Generator()
        sizes = [
            camera.sample_kernels(1, nothing).shape[-1] for camera in (*self._cameras, self._known)
        ]
        self._reach_px = max(sizes) // 2
        self.margin_px = self._reach_px + JPEG_PERIOD_PX // 2

    def resemble(self, unknown: Tensor, sharp: Tensor, generator: torch.Generator) -> None:
        """From now on rehearse with cameras whose photographs look like the camera's own.

        Args:
            unknown: crops of its blurry photographs, B 3 H W.
            sharp: crops of its sharp ones, B' 3 H W, with `margin_px` more on each side.
            generator: draws cameras to compare, and their photographs.
        """
        families = self._cameras
        drawn: list[Camera] = []
        for _ in range(self._settings.compared):
            family = families[int(torch.randint(len(families), (), generator=generator))]
            drawn.append(Camera(narrowed(family.settings, generator)))
        simulated = [
            torch.cat(
                [
                    features(self._inside(camera.photograph_pair(part, generator)[0], generator))
                    for part in sharp.split(_AT_ONCE)
                ]
            )
            for camera in drawn
        ]
        count = max(1, len(drawn) // _COMPARED_PER_KEPT)
        self._cameras = [drawn[each] for each in nearest(features(unknown), simulated, count)]

    @torch.no_grad()
    def pair(self, sharp: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return unknown blurry, known blurry and sharp, B 3 H W sRGB in [0,1].

        Args:
            sharp: the same with `margin_px` more on each side.
            generator: draws camera, blur, noise and compression.
        """
        count = len(sharp)
        chosen = int(torch.randint(len(self._cameras), (), generator=generator))
        camera = self._cameras[chosen]
        exposure = camera.draw(count, generator)
        blurry, clean = camera.photograph_pair(
            sharp, generator, exposure=exposure, clean_sharp=True
        )
        unknown_kernels = camera.local_kernels(exposure, sharp.shape[-2], sharp.shape[-1], 1)[:, 0]
        candidates = self._known.sample_kernels(count * self._settings.candidates, generator)
        kernels = most_alike(unknown_kernels, candidates.unflatten(0, (count, -1)))
        known = to_srgb(convolve(to_linear(clean), kernels).clamp(0, 1))
        images = self._inside(torch.cat([blurry, known, clean]), generator)
        unknown, known, clean = images.split(count)
        return unknown, known, clean

    def _inside(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Cut the margin off, at any place of JPEG's blocks."""
        height, width = (side - 2 * self.margin_px for side in images.shape[-2:])
        top, left = torch.randint(JPEG_PERIOD_PX, (2,), generator=generator).tolist()
        first_row, first_column = self._reach_px + top, self._reach_px + left
        inside = images[..., first_row : first_row + height, first_column : first_column + width]
        return inside.contiguous(memory_format=torch.channels_last)

    def losses(
        self,
        converter: nn.Module,
        sharp: Tensor,
        generator: torch.Generator,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> dict[str, Tensor]:
        """Return the weighted losses of `converter` on one batch; arguments as `pair`'s."""
        unknown, known, clean = self.pair(sharp, generator)
        converted = converter(unknown)
        losses: dict[str, Tensor] = {}
        with autocast():
            if self._settings.converted:
                losses["rehearsal_converted"] = self._settings.converted * _distance(
                    converted, known
                )
            if self._settings.deblurred:
                assert self._deblurrer is not None
                losses["rehearsal_deblurred"] = self._settings.deblurred * _distance(
                    self._deblurrer(converted[-1]), clean
                )
        return losses


def _distance(outputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
    return reconstruction(outputs, target) + _FREQUENCY_WEIGHT * frequency(outputs, target)


def most_alike(kernels: Tensor, candidates: Tensor) -> Tensor:
    """Return of each kernel's candidates the one that blurs natural images most like it.

    The difference of the spectra is weighted as natural images' energy is, by the inverse square
    of the frequency (D. J. Field, J. Opt. Soc. Am. A 4(12), 1987).

    Args:
        kernels: B 1 K K, K odd, centred.
        candidates: B N 1 L L, L odd, centred.

    Returns:
        B 1 L L.
    """
    size = max(kernels.shape[-1], candidates.shape[-1])
    shape = (max(size, _SPECTRUM_PX),) * 2
    ours = torch.fft.rfft2(_enlarged(kernels, size), s=shape)[:, None]
    theirs = torch.fft.rfft2(_enlarged(candidates, size), s=shape)
    rows = torch.fft.fftfreq(shape[0])[:, None]
    columns = torch.fft.rfftfreq(shape[1])
    energy = 1 / (rows.square() + columns.square()).clamp(min=1 / shape[0] ** 2)
    distance = ((ours - theirs).abs().square() * energy.to(kernels)).sum(dim=(-3, -2, -1))
    return candidates[torch.arange(len(kernels)), distance.argmin(dim=1)]


def _enlarged(kernels: Tensor, size: int) -> Tensor:
    return F.pad(kernels, ((size - kernels.shape[-1]) // 2,) * 4)
