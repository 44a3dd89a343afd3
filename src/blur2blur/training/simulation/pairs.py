"""Simulated pairs: what unknown cameras, and the known one, make of one moment of a sharp scene.

The unknown blur of real photographs has no known counterpart, that of a simulated camera has: the
same scene, moved in the same way, as the camera of the known blur takes it. So the converter
learns to change lens, light, noise and compression, and to leave the motion to the deblurrer.
"""

from dataclasses import replace

import torch
from torch import Tensor

from blur2blur.blur import Camera, CameraSettings, Exposure, load_camera
from blur2blur.blur.apply import quick_length
from blur2blur.blur.camera_settings import JpegSettings
from blur2blur.tensors import to_linear, to_srgb
from blur2blur.training.sections import KnownBlurSettings, SimulatedCamerasSettings
from blur2blur.training.simulation.camera_matching import features, narrowed, nearest

JPEG_PERIOD_PX = 16
"""JPEG's blocks, with halved colours: crops must not always begin at the same place in them."""

_AT_ONCE = 8
# of the cameras compared, one in so many is kept
_COMPARED_PER_KEPT = 16


class Simulation:
    """Makes simulated pairs of crops.

    Attributes:
        margin_px: how much more of the scene is needed on each side.
    """

    def __init__(
        self, simulated: SimulatedCamerasSettings, known: KnownBlurSettings | None
    ) -> None:
        """Read the cameras, by name or file. Raises ConfigError for one that is not known.

        Args:
            simulated: cameras that are simulated.
            known: the camera of the known blur, None where that is not asked for.
        """
        self._cameras = [
            Camera(load_camera(name, simulated.overrides), of_crops=True)
            for name in simulated.cameras
        ]
        every = list(self._cameras)
        self._known = None
        if known is not None:
            self._known = Camera(load_camera(known.camera, known.overrides), of_crops=True)
            every.append(self._known)
        self._lens_reach_px = max(camera.lens_reach_px for camera in every)
        self.margin_px = JPEG_PERIOD_PX // 2 + max(camera.reach_px for camera in every)

    def match(
        self,
        unknown: Tensor,
        sharp: Tensor,
        rng: torch.Generator,
        *,
        compared: int,
        jpeg: JpegSettings | None = None,
    ) -> None:
        """From now on simulate cameras whose photographs look like the camera's own.

        Args:
            unknown: crops of its blurry photographs, B 3 H W.
            sharp: crops of its sharp ones, B' 3 H W, with `margin_px` more on each side.
            rng: draws cameras to compare, and their photographs.
            compared: how many.
            jpeg: the compression of its photographs, where their files tell; else it is drawn, too.
        """
        drawn = [narrowed(self._any_camera(rng).settings, rng) for _ in range(compared)]
        if jpeg is not None:
            drawn = [camera.model_copy(update={"jpeg": jpeg}) for camera in drawn]
        simulated = [
            torch.cat([self._features(settings, part, rng) for part in sharp.split(_AT_ONCE)])
            for settings in drawn
        ]
        count = max(1, len(drawn) // _COMPARED_PER_KEPT)
        self._cameras = [
            Camera(drawn[each], of_crops=True)
            for each in nearest(features(unknown), simulated, count)
        ]

    def _features(self, settings: CameraSettings, sharp: Tensor, rng: torch.Generator) -> Tensor:
        # moving things, which take half of the time, change the means over crops hardly at all
        still = settings.objects.model_copy(update={"share": 0.0})
        camera = Camera(settings.model_copy(update={"objects": still}), of_crops=True)
        return features(self._inside(self._expose(camera, sharp, rng)[0], sharp, rng))

    def _any_camera(self, rng: torch.Generator) -> Camera:
        return self._cameras[int(torch.randint(len(self._cameras), (), generator=rng))]

    @torch.no_grad()
    def pair(self, sharp: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Return `unknown` (blurry), `known` (blurry) and `sharp`, B 3 H W sRGB in [0, 1].

        Without a camera of the known blur there is no `known`.

        Args:
            sharp: the scene, with `margin_px` more on each side.
            rng: draws camera, motion, light, noise and compression; one camera for all.
        """
        camera = self._any_camera(rng)
        unknown, scene, exposure = self._expose(camera, sharp, rng)
        views = {"unknown": unknown}
        if self._known is not None:
            seen = self._known.seeing(exposure, rng)
            views["known"] = self._known.blur(scene, rng, exposure=seen)
        views["sharp"] = to_srgb(exposure.movement.compose(to_linear(scene)))
        images = self._inside(torch.cat(list(views.values())), sharp, rng)
        return dict(zip(views, images.split(len(sharp)), strict=True))

    @torch.no_grad()
    def photograph(self, sharp: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return unknown blurry alone, and the B extents of its blur in pixels; as `pair`."""
        unknown, _, exposure = self._expose(self._any_camera(rng), sharp, rng)
        return self._inside(unknown, sharp, rng), exposure.movement.extent_px

    def _expose(
        self, camera: Camera, sharp: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Exposure]:
        """Return a blurry photograph, the scene as a noiseless, sharp one, and what was drawn.

        Things that move are in the photograph, not in the scene. Of the margin only as much is
        left as the blur that was drawn needs.
        """
        exposure = camera.draw(len(sharp), rng, *sharp.shape[-2:])
        needed_px = exposure.movement.reach_px + self._lens_reach_px + JPEG_PERIOD_PX // 2
        spare_px = _spare(min(sharp.shape[-2:]), self.margin_px - needed_px)
        exposure = replace(exposure, movement=exposure.movement.inside(spare_px))
        height, width = sharp.shape[-2:]
        sharp = sharp[..., spare_px : height - spare_px, spare_px : width - spare_px]
        light = camera.light(sharp, exposure, rng)
        blurry = camera.develop(camera.expose(light, exposure), exposure, rng)
        return blurry, camera.toned(light, exposure), exposure

    def _inside(self, images: Tensor, sharp: Tensor, rng: torch.Generator) -> Tensor:
        """Cut off what is left of the margin around `sharp`, at any place of JPEG's blocks."""
        height, width = (side - 2 * self.margin_px for side in sharp.shape[-2:])
        top, left = torch.randint(JPEG_PERIOD_PX, (2,), generator=rng).tolist()
        top += (images.shape[-2] - height - JPEG_PERIOD_PX) // 2
        left += (images.shape[-1] - width - JPEG_PERIOD_PX) // 2
        inside = images[..., top : top + height, left : left + width]
        return inside.contiguous(memory_format=torch.channels_last)


def _spare(side_px: int, most_px: int) -> int:
    """Return how much is cut off on each side, at most: what is left is quick to transform."""
    for spare in range(max(0, most_px), 0, -1):
        if quick_length(side_px - 2 * spare) == side_px - 2 * spare:
            return spare
    return 0
