"""A simulated camera: motion, lens, sensor and picture processing, batched and seeded."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from blur2blur.blur import isp, kernels, shake, trajectories
from blur2blur.blur.apply import Method, convolve
from blur2blur.blur.camera_settings import CameraSettings, SignedRange
from blur2blur.blur.shake import Motion
from blur2blur.images import to_linear, to_srgb


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one press of the shutter draws for B photographs, before any pixel is touched."""

    motion: Motion
    defocus_px: Tensor  # B
    softness_px: Tensor  # B
    highlight_gain: Tensor  # B
    response: Tensor  # B


class Camera:
    """The camera that `settings` describe.

    Images are B x 3 x H x W, sRGB in [0, 1], each one a whole photograph: rotation and zoom are
    about its centre. Results are on the images' device; randomness is drawn on the generator's,
    and the same seed gives the same bytes.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings

    def sample_kernels(self, count: int, generator: torch.Generator) -> Tensor:
        """Return kernel_B1KK of shake, straight motion and lens; K is the same on every call.

        What `settings.spatial` adds differs from place to place and is not in them.
        """
        return self._kernels(self.draw(count, generator))

    def blur(self, sharp_srgb: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images blurred in linear light: no noise, tone curve, rounding or JPEG."""
        exposure = self.draw(len(sharp_srgb), generator)
        return to_srgb(self._expose(self._light(sharp_srgb, exposure), exposure).clamp(0, 1))

    def photograph_pair(
        self,
        sharp_srgb: Tensor,
        generator: torch.Generator,
        *,
        exposure: Exposure | None = None,
        clean_sharp: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return a blurry and a sharp photograph of each image, 8-bit values in [0, 1].

        Both have the same light, and each its own noise; both pass through the tone curve and the
        compression. An `exposure` from `draw` fixes the blur, so that its kernels can be told.
        With `clean_sharp` the sharp one keeps light and tone alone, not rounded to 8 bits.
        """
        count = len(sharp_srgb)
        exposure = exposure or self.draw(count, generator)
        stops = _uniform(self.settings.exposure_stops, count, generator)
        light = self._light(sharp_srgb, exposure) * (2**stops).to(sharp_srgb)[:, None, None, None]
        blurry = self._develop(self._expose(light, exposure), generator)
        if clean_sharp:
            return blurry, self._toned(light)
        return blurry, self._develop(light, generator)

    def draw(self, count: int, generator: torch.Generator) -> Exposure:
        """Draw motion and light of `count` photographs, on the generator's device."""
        settings = self.settings
        path = trajectories.shake_paths(
            _uniform(settings.shake.length_px, count, generator),
            _uniform(settings.shake.wander, count, generator),
            _uniform(settings.shake.pull, count, generator),
            settings.shake.jerks,
            generator,
        )
        path = path + kernels.linear_path(
            _uniform(settings.linear.length_px, count, generator),
            _uniform(settings.linear.angle_degrees, count, generator),
            trajectories.STEPS,
        )
        time = torch.linspace(-0.5, 0.5, trajectories.STEPS + 1, device=generator.device)
        roll = torch.deg2rad(_either_way(settings.spatial.roll_degrees, count, generator))
        zoom = _uniform(settings.spatial.zoom_percent, count, generator) / 100
        pan = torch.deg2rad(_either_way(settings.spatial.pan_degrees, count, generator))
        yaw = pan[:, None] * time
        return Exposure(
            motion=Motion(
                path_px=path,
                roll=roll[:, None] * time,
                zoom=1 + zoom[:, None] * time,
                pan=torch.stack((yaw, torch.zeros_like(yaw)), dim=-1),
            ),
            defocus_px=_uniform(settings.lens.defocus_px, count, generator),
            softness_px=_uniform(settings.lens.softness_px, count, generator),
            highlight_gain=_uniform(settings.highlights.gain, count, generator),
            response=(
                torch.ones(count, device=generator.device)
                if settings.response == (1, 1)
                else _uniform(settings.response, count, generator)
            ),
        )

    def local_kernels(self, exposure: Exposure, height: int, width: int, grid: int) -> Tensor:
        """Return B x G x G x K x K kernels of the photographs' places.

        G is `grid`, cells counted from the top left; 1 where the blur is the same everywhere.
        """
        if not self.settings.spatial.varies:
            return self._kernels(exposure)[:, None]
        focal_px = self._focal_px(height, width)
        local = shake.local_kernels(exposure.motion, height, width, focal_px, grid)
        if self.settings.lens.sharp:
            return local
        lens = self._lens(exposure).repeat_interleave(grid * grid, dim=0)
        local = kernels.compose(local.flatten(0, 2)[:, None], lens)
        return local.reshape(-1, grid, grid, *local.shape[-2:])

    def _light(self, sharp_srgb: Tensor, exposure: Exposure) -> Tensor:
        linear = to_linear(sharp_srgb)
        highlights = self.settings.highlights
        if highlights.gain == (1, 1):
            return linear
        return isp.brighten_highlights(linear, highlights.threshold, exposure.highlight_gain)

    def _expose(self, light: Tensor, exposure: Exposure) -> Tensor:
        if self.settings.response == (1, 1):
            return self._blurred(light, exposure, "auto")
        power = exposure.response.to(light)[:, None, None, None]
        # in space: an FFT's rounding is that of the brightest light, which the root of dark light
        # would make visible
        return self._blurred(light**power, exposure, "space").clamp(min=0) ** (1 / power)

    def _blurred(self, light: Tensor, exposure: Exposure, method: Method) -> Tensor:
        if not self.settings.spatial.varies:
            return convolve(light, self._kernels(exposure), method=method)
        height, width = light.shape[-2:]
        focal_px = self._focal_px(height, width)
        count = shake.frame_count(exposure.motion, height, width, focal_px)
        seen = shake.average_frames(light, exposure.motion.resampled(count), focal_px)
        if self.settings.lens.sharp:
            return seen
        return convolve(seen, self._lens(exposure), method=method)

    def _develop(self, light: Tensor, generator: torch.Generator) -> Tensor:
        settings, count = self.settings, len(light)
        # light beyond the clipping point is clipped after its noise: a saturated pixel has none
        light = light.clamp(min=0)
        raw = light if settings.demosaic == "none" else isp.mosaic(light)
        if not settings.noise.none:
            shot = _uniform(settings.noise.shot, count, generator)
            raw = isp.add_noise(
                raw, shot, _uniform(settings.noise.read, count, generator), generator
            )
        if settings.demosaic != "none":
            raw = isp.demosaic(raw.clamp(0, 1), settings.demosaic)
        srgb = self._toned(raw)
        if settings.jpeg.quality is None:
            return isp.quantise(srgb)
        quality = _uniform(settings.jpeg.quality, count, generator)
        return isp.jpeg(srgb, quality, settings.jpeg.subsampling)

    def _toned(self, linear: Tensor) -> Tensor:
        tone = self.settings.tone
        return isp.tone_curve(to_srgb(linear.clamp(0, 1)), tone.gamma, tone.contrast)

    def _kernels(self, exposure: Exposure) -> Tensor:
        settings = self.settings
        longest = settings.shake.length_px[1] + settings.linear.length_px[1]
        # a path of constant speed stays within half its length of its mean
        size = 2 * math.ceil(longest / 2) + 1
        instants = max(1, math.ceil(longest / shake.KERNEL_SPACING_PX))
        points = trajectories.resample(exposure.motion.path_px, instants)
        kernel = kernels.rasterise(points, size)
        return kernel if settings.lens.sharp else kernels.compose(kernel, self._lens(exposure))

    def _lens(self, exposure: Exposure) -> Tensor:
        lens = self.settings.lens
        disk = kernels.disk(exposure.defocus_px, 2 * math.ceil(lens.defocus_px[1]) + 1)
        if lens.softness_px == (0, 0):
            return disk
        reach = math.ceil(kernels.GAUSSIAN_REACH * lens.softness_px[1])
        return kernels.compose(disk, kernels.gaussian(exposure.softness_px, 2 * reach + 1))

    def _focal_px(self, height: int, width: int) -> float:
        return self.settings.spatial.focal_length * math.hypot(height, width)


def _uniform(limits: SignedRange, count: int, generator: torch.Generator) -> Tensor:
    low, high = limits
    drawn = torch.rand(count, generator=generator, device=generator.device)
    return low + (high - low) * drawn


def _either_way(limits: SignedRange, count: int, generator: torch.Generator) -> Tensor:
    side = torch.randint(0, 2, (count,), generator=generator, device=generator.device)
    return _uniform(limits, count, generator) * (2 * side - 1)
