"""The simulated camera and what it does to light behind the lens."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from blur2blur import tensors
from blur2blur.blur import Camera, CameraSettings, isp, load_camera
from blur2blur.blur.camera_settings import HighlightSettings, LinearSettings, ShakeSettings
from blur2blur.errors import ConfigError
from blur2blur.settings import preset_names
from conftest import SMALL_CAMERA

PRESETS = [
    "action",
    "any",
    "any-coded",
    "any-frames",
    "any-light",
    "any-night",
    "any-noisy",
    "dashcam",
    "dusk",
    "gopro",
    "known",
    "night",
    "phone",
    "reds",
    "roll",
]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _photo(height: int = 48, width: int = 64) -> torch.Tensor:
    pixels = skimage.data.astronaut()[80 : 80 + height, 180 : 180 + width]
    return (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).repeat(2, 1, 1, 1)


def test_a_photograph_is_light_exposed_and_developed():
    camera = Camera(load_camera("any-noisy", ["exposure_stops=-1", "tone.gamma=1.2"]))
    exposure = camera.draw(2, _rng(), 48, 64)
    rng = _rng(1)
    light = camera.light(_photo(), exposure, rng)
    blurry = camera.develop(camera.expose(light, exposure), exposure, rng)
    whole, _ = camera.photograph_pair(_photo(), _rng(1), exposure=exposure)
    assert torch.equal(blurry, whole)


def test_a_toned_photograph_has_the_light_and_the_tone_alone():
    overrides = ["highlights.gain=1", "exposure_stops=1", "tone.gamma=1.2"]
    camera = Camera(load_camera("any-noisy", overrides))
    exposure = camera.draw(2, _rng(), 48, 64)
    toned = camera.toned(camera.light(_photo(), exposure, _rng()), exposure)
    expected = tensors.to_srgb((2 * tensors.to_linear(_photo())).clamp(max=1)) ** 1.2
    torch.testing.assert_close(toned, expected, rtol=0, atol=1e-5)


def test_another_camera_sees_the_same_motion_with_its_own_optics():
    camera, known = (Camera(load_camera(name), of_crops=True) for name in ("any", "known"))
    exposure = camera.draw(4, _rng(), 64, 64)
    seen = known.seeing(exposure, _rng(1))
    assert seen.movement is exposure.movement
    assert exposure.defocus_px.all()
    assert not seen.defocus_px.any()
    assert torch.equal(seen.highlight_gain, torch.ones(4))
    assert torch.equal(seen.stops, torch.zeros(4))


def test_the_cameras_that_ship():
    assert preset_names("cameras") == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_camera_photographs_reproducibly(name: str):
    camera = Camera(load_camera(name))
    assert camera.settings.description
    sharp = _photo()

    def everything(seed: int) -> torch.Tensor:
        photographs = camera.photograph_pair(sharp, _rng(seed))
        return torch.cat((*photographs, camera.blur(sharp, _rng(seed))))

    first = everything(5)
    assert torch.equal(first, everything(5))
    assert not torch.equal(first[:4], everything(6)[:4])
    assert not torch.equal(first[4:], everything(6)[4:])
    assert torch.isfinite(first).all()
    assert first.min() >= 0
    assert first.max() <= 1
    blurry, steady = camera.photograph_pair(sharp, _rng())
    for photograph in (blurry, steady):
        assert photograph.shape == sharp.shape
        torch.testing.assert_close(photograph * 255, (photograph * 255).round())
    assert ((blurry - steady) ** 2).mean() > 1e-5


@pytest.mark.parametrize("name", PRESETS)
def test_kernels_of_every_camera(name: str):
    camera = Camera(load_camera(name))
    drawn = camera.sample_kernels(32, _rng())
    assert drawn.shape == (32, 1, drawn.shape[-1], drawn.shape[-1])
    assert camera.sample_kernels(1, _rng(1)).shape[-1] == drawn.shape[-1]
    assert drawn.min() >= 0
    torch.testing.assert_close(drawn.sum(dim=(1, 2, 3)), torch.ones(32))
    places = torch.arange(drawn.shape[-1]) - drawn.shape[-1] // 2.0
    for dim in (2, 3):
        assert (drawn.sum(dim=(1, dim)) @ places).abs().max() < 0.01
    assert torch.equal(drawn, camera.sample_kernels(32, _rng()))
    assert not torch.equal(drawn, camera.sample_kernels(32, _rng(1)))


def test_blur_is_convolution_by_the_sampled_kernels_in_linear_light():
    camera = Camera(load_camera(SMALL_CAMERA))
    sharp = torch.zeros(2, 3, 33, 33)
    sharp[:, :, 16, 16] = 1
    seen = tensors.to_linear(camera.blur(sharp, _rng(4)))[:, :1]
    kernel = camera.sample_kernels(2, _rng(4))
    reach = kernel.shape[-1] // 2
    window = seen[..., 16 - reach : 17 + reach, 16 - reach : 17 + reach]
    torch.testing.assert_close(window, kernel, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PRESETS)
def test_even_surfaces_stay_even(name: str):
    grey = torch.full((1, 3, 32, 32), 0.4)
    settings = load_camera(name, ["highlights.lamps=0"])
    torch.testing.assert_close(Camera(settings).blur(grey, _rng()), grey, atol=1e-4, rtol=0)
    grey = torch.full((1, 3, 160, 160), 0.4)  # no kernel is larger
    seen = Camera(settings, of_crops=True).blur(grey, _rng())
    torch.testing.assert_close(seen, grey, atol=1e-4, rtol=0)


@pytest.mark.parametrize("power", [2, 0.45])
def test_the_response_is_the_power_of_light_that_is_averaged(power: float):
    edge = torch.zeros(1, 3, 64, 64)
    edge[..., 32:] = 0.8
    light = tensors.to_linear(edge).amax()
    plain, seen = (
        tensors.to_linear(Camera(load_camera(SMALL_CAMERA, overrides)).blur(edge, _rng(2)))
        for overrides in ((), (f"response={power}",))
    )
    # a share w of the stroke in the light v: w v, and (w v^power)^(1/power)
    expected = light * (plain / light).clamp(min=0) ** (1 / power)
    torch.testing.assert_close(seen, expected, atol=2e-3, rtol=0)
    assert ((seen - plain) * (1 if power > 1 else -1)).max() > 0.1


def test_a_low_response_averages_stored_values_as_frames_of_a_video_are():
    board = (torch.arange(64) // 4 % 2).float().expand(1, 3, 64, 64) * 0.8
    overrides = ["response=0.45", "linear.length_px=8", "linear.angle_degrees=0"]
    seen = Camera(CameraSettings(), of_crops=True).blur(board, _rng())
    torch.testing.assert_close(seen, board, atol=1e-5, rtol=0)
    empty = load_camera(SMALL_CAMERA, ["shake.length_px=0", *overrides])
    seen = Camera(empty, of_crops=True).blur(board, _rng())
    assert (seen - 0.4).abs().max() < 0.01  # half the value; in linear light it would be 0.59


def test_a_steep_response_leaves_dark_places_as_they_are():
    half = torch.full((1, 3, 96, 160), 8 / 255)
    half[..., :48] = torch.rand(1, 3, 96, 48, generator=_rng())
    frames = load_camera("any-frames", ["response=3", "objects.share=0", "spatial.share=0"])
    seen = Camera(frames).blur(half, _rng())
    assert (seen - half)[..., 80:].abs().max() < 0.1 / 255


def test_a_camera_that_does_nothing_returns_the_photograph():
    sharp = _photo()
    camera = Camera(CameraSettings())
    torch.testing.assert_close(camera.blur(sharp, _rng()), sharp, atol=1e-5, rtol=0)
    for photograph in camera.photograph_pair(sharp, _rng()):
        torch.testing.assert_close(photograph, sharp)


def test_an_exposure_fixes_the_blur_and_tells_its_kernels():
    camera = Camera(load_camera(SMALL_CAMERA))
    exposure = camera.draw(2, _rng(3), 48, 64)
    kernel = camera.local_kernels(exposure, 48, 64, 5)
    assert kernel.shape[:3] == (2, 1, 1)
    sampled = camera.sample_kernels(2, _rng(3))
    margin = (sampled.shape[-1] - kernel.shape[-1]) // 2
    inside = sampled[..., margin : margin + kernel.shape[-1], margin : margin + kernel.shape[-1]]
    torch.testing.assert_close(kernel[:, 0], inside)
    blurry, _ = camera.photograph_pair(_photo(), _rng(9), exposure=exposure)
    torch.testing.assert_close(blurry, isp.quantise(camera.blur(_photo(), _rng(3))))


def test_varying_camera_tells_its_kernels_with_the_lens():
    camera = Camera(load_camera("dashcam"))
    local = camera.local_kernels(camera.draw(1, _rng(), 300, 400), 300, 400, 3)
    assert local.shape[:3] == (1, 3, 3)
    torch.testing.assert_close(local.sum(dim=(-2, -1)), torch.ones(1, 3, 3))
    assert local[0, 1, 1].max() > local[0, 0, 0].max()  # sharper in the middle


def test_rolling_camera_blurs_the_rim_more_than_the_middle():
    camera = Camera(load_camera("roll", ["spatial.roll_degrees=6", "shake.length_px=0"]))
    sharp = torch.rand(1, 3, 96, 96, generator=_rng())
    change = (camera.blur(sharp, _rng()) - sharp).abs().mean(dim=(0, 1))
    assert change[40:56, 40:56].mean() < 0.5 * change[:16, :16].mean()


def test_crops_see_what_the_whole_photograph_sees_at_their_place():
    """Interpolated between the kernels of four corners, beside the mean of moved frames."""
    settings = load_camera("roll", ["spatial.roll_degrees=5", "spatial.zoom_percent=2"])
    whole, crops = Camera(settings), Camera(settings, of_crops=True)
    waves = torch.linspace(0, 90, 384)
    sharp = ((waves[:, None].sin() * (0.8 * waves[None]).cos() + 1) / 2).expand(1, 3, 384, 384)
    exposure = whole.draw(1, _rng(), 384, 384)
    place = torch.tensor([[-108.0, 65.0]])  # of the crop's middle from the photograph's
    crop = sharp[..., 205:309, 32:136]
    inside = (..., slice(20, -20), slice(20, -20))
    expected = whole.blur(sharp, _rng(), exposure=exposure)[..., 225:289, 52:116]

    def error(place_px: torch.Tensor) -> float:
        moved = replace(exposure, movement=replace(exposure.movement, place_px=place_px))
        seen = crops.blur(crop, _rng(), exposure=moved)[inside]
        return float((seen - expected).abs().mean())

    blur = float((crop[inside] - expected).abs().mean())
    assert error(place) < 0.15 * blur
    assert error(torch.zeros(1, 2)) > 0.6 * blur

    moved = replace(exposure.movement, place_px=place)
    points = torch.tensor([[0.0, 0.0], [-10.0, 20.0]])
    of_whole = exposure.movement.local_kernels(points + place)
    torch.testing.assert_close(moved.local_kernels(points), of_whole)


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_carries_light_farther_than_a_crops_margin(name: str):
    camera = Camera(load_camera(name), of_crops=True)
    motion_px = camera.reach_px - camera.lens_reach_px
    drawn = [camera.draw(8, _rng(seed), 200, 200).movement for seed in range(4)]
    # what is scaled to its extent is not quite as long in perspective
    assert max(movement.reach_px for movement in drawn) <= motion_px + 1
    assert max(movement.reach_px for movement in drawn) > 0.4 * motion_px


def test_a_camera_that_stands_still_keeps_the_photograph_sharp():
    sharp = _photo()
    still = Camera(load_camera("known", ["still=1", "objects.share=0"]))
    torch.testing.assert_close(still.blur(sharp, _rng()), sharp, atol=1e-4, rtol=0)


def test_saturated_lights_streak_and_clip():
    sharp = torch.zeros(1, 3, 41, 41)
    sharp[..., 20, 20] = 1
    dark = CameraSettings(shake=ShakeSettings(length_px=(10, 10)))
    lamp = dark.model_copy(
        update={"highlights": dark.highlights.model_copy(update={"gain": (50, 50)})}
    )
    faint, bright = (Camera(settings).blur(sharp, _rng()) for settings in (dark, lamp))
    assert (bright > 0.9999).sum() >= 3 * 8  # a solid streak over some ten pixels
    assert bright.max() <= 1
    assert faint.max() < 0.6
    assert Camera(lamp).photograph_pair(sharp, _rng())[1].max() == 1


def test_lamps_leave_streaks_in_the_blurry_photograph_and_points_in_the_sharp_one():
    camera = Camera(
        CameraSettings(
            linear=LinearSettings(length_px=(40, 40), angle_degrees=(0, 0)),
            highlights=HighlightSettings(lamps=(100, 100)),
        )
    )
    dark = torch.zeros(1, 3, 200, 200)
    blurry, sharp = (shot[0].amax(dim=0) for shot in camera.photograph_pair(dark, _rng(3)))
    assert not ((sharp > 0.3) & (blurry < 0.05)).any()  # every lamp is within its streak
    blurry, sharp = blurry > 0.3, sharp > 0.3
    assert 0 < sharp.sum() < 0.2 * blurry.sum()

    def longest_run(rows: torch.Tensor) -> int:
        text = "|".join("".join(map(str, row)) for row in rows.int().tolist())
        return max(map(len, re.findall("1+", text)))

    assert longest_run(blurry) >= 38
    assert max(longest_run(blurry.T), longest_run(sharp), longest_run(sharp.T)) < 16


def test_lamps_are_as_many_as_expected_and_coloured_light_above_white():
    dark = torch.zeros(2, 3, 400, 500)
    lit = isp.add_lamps(dark, torch.tensor([0.0, 60.0]), _rng())
    assert not lit[0].any()
    assert lit[1].amax() > 2
    bright = lit[1].amax(dim=0, keepdim=True)
    peaks = (bright == torch.nn.functional.max_pool2d(bright, 31, 1, 15)) & (bright > 0.4)
    assert 4 <= peaks.sum() <= 22  # 12 are expected
    assert not dark.any()


def test_highlights_keep_the_rest_and_the_hue():
    light = torch.tensor([[0.5, 0.4, 0.1], [1.0, 0.5, 0.25]]).T[None, :, None]
    seen = isp.brighten_highlights(light, 0.8, torch.tensor([4.0]))
    torch.testing.assert_close(seen[..., 0], light[..., 0])
    torch.testing.assert_close(seen[..., 1], 4 * light[..., 1])


@pytest.mark.parametrize("level", [0.02, 0.3, 0.9])
def test_noise_has_the_variance_of_the_poisson_gaussian_model(level: float):
    shot, read = torch.tensor([0.01, 0.0]), torch.tensor([0.02, 0.01])
    light = torch.full((2, 1, 200, 200), level)
    noisy = isp.add_noise(light, shot, read, _rng())
    torch.testing.assert_close(
        noisy.mean(dim=(1, 2, 3)), torch.full((2,), level), atol=2e-3, rtol=0
    )
    expected = shot * level + read**2
    torch.testing.assert_close(noisy.var(dim=(1, 2, 3)), expected, rtol=0.04, atol=0)


def test_saturated_samples_have_no_noise():
    light = torch.tensor([0.5, 0.999, 1.0, 3.0]).repeat_interleave(100).view(1, 1, 4, 100)
    noisy = isp.add_noise(light, torch.tensor([0.01]), torch.tensor([0.05]), _rng())
    assert torch.equal(noisy[..., 2:, :], light[..., 2:, :])
    assert (noisy != light)[..., :2, :].all()
    white = Camera(load_camera(SMALL_CAMERA, ["noise.read=0.05", "demosaic=malvar"]))
    for photograph in white.photograph_pair(torch.ones(1, 3, 24, 24), _rng()):
        assert photograph.min() == 1


def test_noise_is_drawn_uniformly_in_its_logarithm():
    camera = Camera(load_camera(SMALL_CAMERA, ["noise.read=[0.0005, 0.05]"]))
    grey = torch.full((256, 3, 12, 12), 0.5)
    seen = tensors.to_linear(camera.photograph_pair(grey, _rng())[1])
    deviation = seen.std(dim=(1, 2, 3)).quantile(torch.tensor([0.5, 0.75]))
    torch.testing.assert_close(
        deviation, 0.0005 * 100 ** torch.tensor([0.5, 0.75]), rtol=0.25, atol=0
    )


def test_smoothing_takes_noise_away_and_leaves_edges():
    edge = torch.full((2, 3, 32, 32), 0.2)
    edge[..., 16:] = 0.8
    noisy = edge + 0.02 * torch.randn(edge.shape, generator=_rng())
    kept, smoothed = isp.smooth(noisy, torch.tensor([0.0, 0.06]))
    assert torch.equal(kept, noisy[0])
    assert (smoothed - edge[1])[..., 3:-3, 3:-3].std() < 0.5 * 0.02
    assert (smoothed[..., 16] - smoothed[..., 15]).min() > 0.5
    for overrides in ([], ["noise.smoothing=0.06"]):
        camera = Camera(load_camera(SMALL_CAMERA, ["noise.read=0.01", *overrides]))
        flat = camera.photograph_pair(torch.full((1, 3, 64, 64), 0.5), _rng())[1].std()
        assert flat < 0.005 if overrides else flat > 0.01


def test_blurry_and_sharp_photograph_have_the_same_light_and_their_own_noise():
    camera = Camera(load_camera("known", ["noise.read=0.05", "still=1"]))
    grey = torch.full((1, 3, 64, 64), 0.5)
    blurry, steady = camera.photograph_pair(grey, _rng())
    both = torch.stack((blurry.flatten(), steady.flatten()))
    assert torch.corrcoef(both)[0, 1].abs() < 0.05
    darker = Camera(load_camera("known", ["exposure_stops=-1"])).photograph_pair(grey, _rng())
    for photograph in darker:
        half = tensors.to_srgb(tensors.to_linear(grey) / 2)
        torch.testing.assert_close(photograph, half, atol=1 / 255, rtol=0)


def test_bilinear_demosaicing_equals_opencv():
    raw = torch.randint(0, 256, (1, 1, 24, 30), generator=_rng())
    ours = isp.demosaic(raw.float(), "bilinear")[0].permute(1, 2, 0).numpy()
    theirs = cv2.cvtColor(raw[0, 0].byte().numpy(), cv2.COLOR_BayerRGGB2RGB)
    np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=1)


@pytest.mark.parametrize("method", ["bilinear", "malvar"])
def test_demosaicing_keeps_even_colours_and_what_was_sampled(method: Literal["bilinear", "malvar"]):
    colour = torch.tensor([0.2, 0.5, 0.7])[None, :, None, None].expand(1, 3, 10, 13)
    seen = isp.demosaic(isp.mosaic(colour), method)
    if method == "bilinear":
        torch.testing.assert_close(seen, colour)
    grey = torch.full((1, 3, 10, 13), 0.3)
    torch.testing.assert_close(isp.demosaic(isp.mosaic(grey), method), grey)
    photo = _photo()[:1]
    sampled = isp.mosaic(isp.demosaic(isp.mosaic(photo), method))
    torch.testing.assert_close(sampled, isp.mosaic(photo))


def test_malvar_is_better_than_bilinear_on_a_photograph():
    photo = _photo(200, 200)[:1]

    def error(method: Literal["bilinear", "malvar"]) -> float:
        return float(((isp.demosaic(isp.mosaic(photo), method) - photo) ** 2).mean())

    # the paper reports 5 dB; the photograph decides
    assert error("malvar") < 0.6 * error("bilinear")


def test_tone_curve_rises_and_keeps_black_and_white():
    levels = torch.linspace(0, 1, 101).expand(3, 1, 1, -1)
    gamma, contrast = torch.tensor([0.8, 1.0, 1.2]), torch.tensor([1.0, 0.0, 0.0])
    curved = isp.tone_curve(levels, gamma, contrast)
    assert (curved.diff() >= 0).all()
    assert (curved[..., 0] == 0).all()
    assert (curved[..., -1] == 1).all()
    torch.testing.assert_close(curved[1], levels[1])
    torch.testing.assert_close(curved[2], levels[2] ** 1.2)


def test_every_photograph_has_a_tone_of_its_own():
    camera = Camera(load_camera(SMALL_CAMERA, ["tone.gamma=[0.7, 1.2]"]))
    grey = torch.full((8, 3, 16, 16), 0.5)
    blurry, sharp = camera.photograph_pair(grey, _rng())
    assert torch.equal(blurry[..., 8, 8], sharp[..., 8, 8])
    assert len(sharp[:, 0, 8, 8].unique()) > 4
    assert 0.5**1.2 - 0.01 < sharp.min() < sharp.max() < 0.5**0.7 + 0.01


def test_jpeg_of_worse_quality_is_worse():
    photo = _photo()
    seen = isp.jpeg(photo, torch.tensor([95.0, 20.0]), "4:2:0")
    error = ((seen - photo) ** 2).mean(dim=(1, 2, 3))
    assert 0 < error[0] < 0.3 * error[1]
    fine = isp.jpeg(photo, torch.tensor([95.0, 95.0]), "4:4:4")
    assert ((fine - photo) ** 2).mean() < error[0]


def test_settings_from_a_file_and_overrides(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("[shake]\nlength_px = [2, 5]\n")
    settings = load_camera(str(path), ["lens.defocus_px=1.5", "jpeg.quality=[70, 80]"])
    assert settings.shake.length_px == (2, 5)
    assert settings.lens.defocus_px == (1.5, 1.5)
    assert settings.jpeg.quality == (70, 80)


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("fone", None, "unknown camera 'fone'; did you mean 'phone'"),
        ("phone", "shake.lenght_px=[1,2]", "did you mean 'shake.length_px'"),
        ("phone", "nois.shot=1", "unknown setting 'nois'; did you mean 'noise'"),
        ("phone", "shake.length_px=[9, 3]", "lower end 9.0 is above the upper end 3.0"),
        ("phone", "noise.shot=-1", "must not be negative"),
        ("phone", "jpeg.quality=[0, 50]", "quality goes from 1 to 100"),
        ("phone", "demosaic=cubic", "demosaic = 'cubic'"),
        ("phone", "shake.length_px=inf", "finite"),
        ("phone", "tone.gamma=0", "must be above 0"),
        ("phone", "tone.contrast=[0, 2]", "contrast goes from 0 to 1"),
        ("phone", "response=0", "must be above 0"),
        ("phone", "extent_px=[0, 20]", "must be above 0"),
        ("phone", "still=1.5", "less than or equal to 1"),
        ("phone", "objects.most=0", "greater than or equal to 1"),
        ("phone", "highlights.lamps=-1", "must not be negative"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(name: str, override: str | None, message: str):
    with pytest.raises(ConfigError) as caught:
        load_camera(name, [override] if override else [])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
