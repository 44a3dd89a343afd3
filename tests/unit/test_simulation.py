"""Simulated pairs: three views of one moment of a scene, by cameras that look like the own."""

import pytest
import torch

from blur2blur.blur import Camera, load_camera
from blur2blur.blur.camera_settings import JpegSettings
from blur2blur.tensors import to_linear, to_srgb
from blur2blur.training.sections import KnownBlurSettings, SimulatedCamerasSettings
from blur2blur.training.simulation.pairs import JPEG_PERIOD_PX, Simulation

KNOWN = KnownBlurSettings(camera="known")
# a camera that lays a blur over the photograph and does nothing else
CLEAN = """
[shake]
length_px = [4, 12]
wander = [0.3, 2]
"""


def simulation(tmp_path, toml: str = CLEAN, known: KnownBlurSettings | None = KNOWN) -> Simulation:
    (tmp_path / "simulated.toml").write_text(toml)
    cameras = SimulatedCamerasSettings(cameras=[str(tmp_path / "simulated.toml")])
    return Simulation(cameras, known)


def photograph(side_px: int) -> torch.Tensor:
    rows = torch.linspace(0, 40, side_px)
    waves = (rows[:, None].sin() * (0.7 * rows[None]).cos() + 1) / 2
    return waves.expand(2, 3, -1, -1).contiguous()


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_pair_shows_one_photograph_in_one_place(tmp_path):
    made = simulation(tmp_path)
    sharp = photograph(64 + 2 * made.margin_px)
    unknown, known, clean = made.pair(sharp, rng()).values()
    assert unknown.shape == known.shape == clean.shape == (2, 3, 64, 64)
    middle = made.margin_px - JPEG_PERIOD_PX // 2
    places = [
        (top, left)
        for top in range(middle, middle + JPEG_PERIOD_PX)
        for left in range(middle, middle + JPEG_PERIOD_PX)
        if torch.allclose(clean, sharp[..., top : top + 64, left : left + 64], atol=1e-5)
    ]
    assert len(places) == 1
    # no kernel moves the photograph: what is blurred alike stays in its place
    for blurred in (unknown, known):
        still = (blurred - clean).abs().mean()
        assert still < (blurred.roll(4, dims=-1) - clean).abs().mean()


def test_overrides_change_every_simulated_camera():
    cameras = SimulatedCamerasSettings(cameras=["any", "any-coded"], overrides=["extent_px=[1, 3]"])
    made = Simulation(cameras, None)
    sharp = photograph(32 + 2 * made.margin_px)
    extents = torch.cat([made.photograph(sharp, rng(seed))[1] for seed in range(8)])
    assert extents.max() <= 3
    assert made.margin_px < Simulation(SimulatedCamerasSettings(cameras=["any"]), None).margin_px


def test_the_known_camera_takes_the_same_motion_with_its_own_optics(tmp_path):
    # the unknown one adds defocus, noise and JPEG to what the known one sees
    made = simulation(tmp_path, CLEAN)
    sharp = photograph(64 + 2 * made.margin_px)
    unknown, known, clean = made.pair(sharp, rng()).values()
    assert (unknown - known).abs().max() < 0.6 / 255  # but for the rounding, the same
    assert (known - clean).abs().mean() > 0.01
    worse = simulation(tmp_path, CLEAN + "[lens]\ndefocus_px = 2\n[noise]\nread = 0.05\n")
    worst = worse.pair(sharp, rng())
    assert (worst["known"] - clean).abs().mean() > 0.01
    assert (worst["unknown"] - worst["known"]).abs().mean() > 0.01


def test_the_margin_holds_all_that_the_blur_carries_in(tmp_path):
    made = simulation(tmp_path, "extent_px = 25\nobjects.share = 1\n[shake]\nlength_px = 30\n")
    white = torch.ones(1, 3, 64 + 2 * made.margin_px, 64 + 2 * made.margin_px)
    border = (white.shape[-1] - 64) // 2 - JPEG_PERIOD_PX // 2
    white[..., :border, :] = 0  # wraps around to the other side, but not into the crop
    for seed in range(5):
        unknown, _, clean = made.pair(white, rng(seed)).values()
        assert clean[..., 48:, :].min() > 0.999
        assert unknown[..., 48:, :].min() > 0.99


def test_moving_things_are_in_all_three_views(tmp_path):
    toml = "extent_px = 4\nstill = 1\nobjects.share = 1\n[shake]\nlength_px = 4\n"
    made = simulation(tmp_path, toml)
    scene = torch.rand(1, 3, *[64 + 2 * made.margin_px] * 2, generator=rng())
    for seed in range(8):
        unknown, known, clean = made.pair(scene, rng(seed)).values()
        changed = (known - clean).abs().amax(dim=1) > 0.02
        if changed.any() and not changed.all():
            assert (unknown - known).abs().max() < 0.6 / 255
            return
    pytest.fail("nothing moved in front of what stands still")


def test_without_a_known_blur_none_is_made(tmp_path):
    made = simulation(tmp_path, known=None)
    views = made.pair(photograph(64 + 2 * made.margin_px), rng())
    assert {name: view.shape for name, view in views.items()} == dict.fromkeys(
        ("unknown", "sharp"), (2, 3, 64, 64)
    )


def test_pairs_depend_on_the_generator_alone(tmp_path):
    made = simulation(tmp_path, CLEAN + "[noise]\nread = 0.01\n[jpeg]\nquality = 60\n")
    sharp = photograph(64 + 2 * made.margin_px)
    first, again, other = (list(made.pair(sharp, rng(seed)).values()) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_crops_see_what_whole_photographs_see_in_the_middle():
    settings = load_camera("known", ["still=0", "objects.share=0", "spatial.share=0"])
    sharp = photograph(96)
    whole = Camera(settings)
    exposure = whole.draw(2, rng(), 96, 96)
    crops = Camera(settings, of_crops=True).blur(sharp, rng(), exposure=exposure)
    inside = (..., slice(26, -26), slice(26, -26))
    expected = whole.blur(sharp, rng(), exposure=exposure)
    torch.testing.assert_close(crops[inside], expected[inside], atol=1e-5, rtol=0)
    clean = to_srgb(exposure.movement.compose(to_linear(sharp)))
    torch.testing.assert_close(clean, sharp, atol=1e-5, rtol=0)


def test_once_it_knows_the_camera_it_keeps_simulated_ones_like_it(tmp_path):
    noisy = simulation(tmp_path, "[lens]\nsoftness_px = 1\n[noise]\nread = 0.06\n")
    made = simulation(tmp_path, "[lens]\nsoftness_px = 1\n[noise]\nread = [0, 0.2]\n")
    sharp = photograph(64 + 2 * made.margin_px).repeat(8, 1, 1, 1)
    drawn = rng(0)

    def noise_energy(camera: Simulation) -> float:
        return float(camera.pair(sharp, drawn)["unknown"].diff(n=2, dim=-1).square().mean())

    made.match(noisy.pair(sharp, drawn)["unknown"], sharp, drawn, compared=16)
    for _ in range(4):
        assert 0.5 < noise_energy(made) / noise_energy(noisy) < 2


def test_cameras_that_are_compared_compress_as_the_files_tell(tmp_path):
    made = simulation(tmp_path, "[jpeg]\nquality = [90, 98]\n", None)
    sharp = photograph(64 + 2 * made.margin_px)
    error = {}
    for quality in (3, 95):
        told = JpegSettings(quality=(quality, quality))
        made.match(sharp[..., :64, :64], sharp, rng(), compared=2, jpeg=told)
        views = made.pair(sharp, rng())
        error[quality] = float((views["unknown"] - views["sharp"]).square().mean())
    assert error[3] > 20 * error[95]
