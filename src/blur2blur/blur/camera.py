"""A simulated camera: motion, lens, sensor and picture processing, batched and seeded."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from blur2blur.blur import isp, kernels, motion, shake
from blur2blur.blur.apply import convolve, convolve_between
from blur2blur.blur.camera_settings import CameraSettings, NoiseSettings
from blur2blur.blur.motion import Movement
from blur2blur.blur.ranges import spread, uniform
from blur2blur.tensors import to_linear, to_srgb

CORNERS = 2
"""The blur of a crop is interpolated between as many places a side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one press of the shutter draws for B photographs, before any pixel is touched."""

    movement: Movement
    defocus_px: Tensor  # B
    softness_px: Tensor  # B
    highlight_gain: Tensor  # B
    lamps: Tensor  # B, expected number in a million pixels
    stops: Tensor  # B
    response: Tensor  # B
    gamma: Tensor  # B
    contrast: Tensor  # B


class Camera:
    """The camera that `settings` describe.

    Images are B x 3 x H x W, sRGB in [0, 1]: whole photographs, rotation and zoom being about their
    centres, or, where `of_crops`, each a part of a larger photograph somewhere around it. Results
    are on the images' device; randomness is drawn on the generator's, and the same seed gives the
    same bytes. In crops, what leaves on one side comes in on the other: `reach_px` pixels along the
    edges are wrong.
    """

    def __init__(self, settings: CameraSettings, *, of_crops: bool = False) -> None:
        self.settings = settings
        self.of_crops = of_crops

    @property
    def reach_px(self) -> int:
        """How many pixels light is carried at most, in crops also by roll, zoom and pan."""
        spatial_px = motion.spatial_reach_px(self.settings) if self.of_crops else 0
        return motion.reach_px(self.settings) + spatial_px + self.lens_reach_px

    def sample_kernels(self, count: int, rng: torch.Generator) -> Tensor:
        """Return kernel_B1KK of shake, straight motion and lens; K is the same on every call.

        What `settings.spatial` adds differs from place to place and is not in them.
        """
        size = 2 * motion.reach_px(self.settings) + 1
        return self._kernels(self.draw(count, rng, 1, 1), size)

    def blur(
        self, sharp_srgb: Tensor, rng: torch.Generator, *, exposure: Exposure | None = None
    ) -> Tensor:
        """Return the images blurred in linear light: no noise, tone curve, rounding or JPEG."""
        exposure = exposure or self.draw(len(sharp_srgb), rng, *sharp_srgb.shape[-2:])
        light = self._bright(to_linear(sharp_srgb), exposure, rng)
        return to_srgb(self.expose(light, exposure).clamp(0, 1))

    def photograph_pair(
        self,
        sharp_srgb: Tensor,
        rng: torch.Generator,
        *,
        exposure: Exposure | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return a blurry and a sharp photograph of each image, 8-bit values in [0, 1].

        Both have the same light, and each its own noise; both pass through the tone curve and the
        compression. An `exposure` from `draw` fixes the blur, so that its kernels can be told.
        """
        exposure = exposure or self.draw(len(sharp_srgb), rng, *sharp_srgb.shape[-2:])
        light = self.light(sharp_srgb, exposure, rng)
        blurry = self.develop(self.expose(light, exposure), exposure, rng)
        sharp = exposure.movement.compose(light)
        return blurry, self.develop(sharp, exposure, rng)

    def draw(self, count: int, rng: torch.Generator, height: int, width: int) -> Exposure:
        """Draw motion and light of `count` photographs of a size, on the generator's device."""
        movement = motion.draw(self.settings, count, rng, height, width, of_crops=self.of_crops)
        return Exposure(movement=movement, **self._draw_optics(count, rng))

    def seeing(self, other: Exposure, rng: torch.Generator) -> Exposure:
        """Return another camera's exposure as this camera would have made it.

        Motion and moving things are the same; lens, light, response and tone are drawn anew.
        """
        return replace(other, **self._draw_optics(len(other.response), rng))

    def _draw_optics(self, count: int, rng: torch.Generator) -> dict[str, Tensor]:
        settings = self.settings
        return {
            "defocus_px": uniform(settings.lens.defocus_px, count, rng),
            "softness_px": uniform(settings.lens.softness_px, count, rng),
            "highlight_gain": uniform(settings.highlights.gain, count, rng),
            "lamps": uniform(settings.highlights.lamps, count, rng),
            "stops": uniform(settings.exposure_stops, count, rng),
            "response": uniform(settings.response, count, rng),
            "gamma": uniform(settings.tone.gamma, count, rng),
            "contrast": uniform(settings.tone.contrast, count, rng),
        }

    def local_kernels(self, exposure: Exposure, height: int, width: int, grid: int) -> Tensor:
        """Return B x G x G x K x K kernels of the photographs' places, moving things left out.

        G is `grid`, cells counted from the top left; 1 where the blur is the same everywhere.
        """
        movement = exposure.movement
        if not movement.motion.varies:
            return self._kernels(exposure)[:, None]
        points = shake.cell_middles(grid, height, width)
        local = movement.local_kernels(points).unflatten(1, (grid, grid))
        if self.settings.lens.sharp:
            return local
        lens = self._lens(exposure).repeat_interleave(grid * grid, dim=0)
        local = kernels.compose(local.flatten(0, 2)[:, None], lens)
        return local.reshape(-1, grid, grid, *local.shape[-2:])

    def light(self, sharp_srgb: Tensor, exposure: Exposure, rng: torch.Generator) -> Tensor:
        """Return the light of the scene, 1 being where the sensor clips, moving things left out."""
        light = self._bright(to_linear(sharp_srgb), exposure, rng)
        return light * (2**exposure.stops).to(light)[:, None, None, None]

    def _bright(self, light: Tensor, exposure: Exposure, rng: torch.Generator) -> Tensor:
        highlights = self.settings.highlights
        if highlights.gain != (1, 1):
            light = isp.brighten_highlights(light, highlights.threshold, exposure.highlight_gain)
        if highlights.lamps != (0, 0):
            light = isp.add_lamps(light, exposure.lamps, rng)
        return light

    def expose(self, light: Tensor, exposure: Exposure) -> Tensor:
        """Return what reaches the sensor of the scene's `light`: linear, blurred, not clipped."""
        if self.settings.response == (1, 1):
            return self._blurred(light, exposure)
        power = exposure.response.to(light)[:, None, None, None]
        # double precision: an FFT's rounding is that of the brightest light, which the root of dark
        # light would make visible
        averaged = self._blurred(light.double() ** power, exposure).clamp(min=0)
        return (averaged ** (1 / power)).to(light)

    def _blurred(self, light: Tensor, exposure: Exposure) -> Tensor:
        movement, height, width = exposure.movement, *light.shape[-2:]

        def lay(image: Tensor, kernel: Tensor) -> Tensor:
            if self.of_crops:
                return convolve_between(image, kernel[:, :, None])
            return convolve(image, kernel)

        if not movement.motion.varies and movement.objects is None:
            return lay(light, self._kernels(exposure))
        if not movement.motion.varies:
            seen = lay(light, shake.path_kernels(movement.motion.path_px))
        elif self.of_crops:
            local = movement.local_kernels(shake.grid_points(CORNERS, height, width))
            seen = convolve_between(light, local.unflatten(1, (CORNERS, CORNERS)))
        else:
            count = shake.frame_count(movement.motion, height, width, movement.focal_px)
            moments = movement.motion.resampled(count)
            seen = shake.average_frames(light, moments, movement.focal_px)
        if movement.objects is not None:
            seen = movement.objects.compose_blurred(seen, light, lay)
        return seen if self.settings.lens.sharp else lay(seen, self._lens(exposure))

    def develop(self, light: Tensor, exposure: Exposure, rng: torch.Generator) -> Tensor:
        """Return the photograph of what reached the sensor: sRGB, 8-bit values in [0, 1]."""
        settings, count = self.settings, len(light)
        # light beyond the clipping point is clipped after its noise: a saturated pixel has none
        light = light.clamp(min=0)
        raw = light if settings.demosaic == "none" else isp.mosaic(light)
        if not settings.noise.none:
            raw = _noisy(raw, settings.noise, rng)
        if settings.demosaic != "none":
            raw = isp.demosaic(raw.clamp(0, 1), settings.demosaic)
        srgb = self.toned(raw, exposure)
        if settings.noise.smoothing != (0, 0):
            srgb = isp.smooth(srgb, uniform(settings.noise.smoothing, count, rng))
        if settings.jpeg.quality is None:
            return isp.quantise(srgb)
        quality = uniform(settings.jpeg.quality, count, rng)
        return isp.jpeg(srgb, quality, settings.jpeg.subsampling)

    def toned(self, light: Tensor, exposure: Exposure) -> Tensor:
        """Return a noiseless photograph of the light: sRGB in [0, 1], with the camera's tone."""
        return isp.tone_curve(to_srgb(light.clamp(0, 1)), exposure.gamma, exposure.contrast)

    def _kernels(self, exposure: Exposure, size: int | None = None) -> Tensor:
        kernel = shake.path_kernels(exposure.movement.motion.path_px, size)
        lens = self.settings.lens
        return kernel if lens.sharp else kernels.compose(kernel, self._lens(exposure))

    def _lens(self, exposure: Exposure) -> Tensor:
        lens = self.settings.lens
        disk = kernels.disk(exposure.defocus_px, 2 * math.ceil(lens.defocus_px[1]) + 1)
        if lens.softness_px == (0, 0):
            return disk
        reach = math.ceil(kernels.GAUSSIAN_REACH * lens.softness_px[1])
        return kernels.compose(disk, kernels.gaussian(exposure.softness_px, 2 * reach + 1))

    @property
    def lens_reach_px(self) -> int:
        """How many pixels the lens alone spreads light, at most."""
        lens = self.settings.lens
        softness = math.ceil(kernels.GAUSSIAN_REACH * lens.softness_px[1])
        return math.ceil(lens.defocus_px[1]) + softness


def _noisy(raw: Tensor, noise: NoiseSettings, rng: torch.Generator) -> Tensor:
    shot = spread(noise.shot, len(raw), rng)
    return isp.add_noise(raw, shot, spread(noise.read, len(raw), rng), rng)
