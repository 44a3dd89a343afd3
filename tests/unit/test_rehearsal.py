"""Pairs that a converter rehearses on: what they are, and what its losses do."""

from contextlib import nullcontext

import pytest
import torch

from blur2blur import networks
from blur2blur.blur import Camera, convolve, load_camera
from blur2blur.errors import ConfigError
from blur2blur.images import to_linear, to_srgb
from blur2blur.training.rehearsal import JPEG_PERIOD_PX, Rehearsal, most_alike
from blur2blur.training.settings import KnownBlurSettings, RehearsalSettings

KNOWN = KnownBlurSettings(camera="known-small")
# a camera that lays a blur over the photograph and does nothing else
CLEAN = """
[shake]
length_px = [4, 12]
wander = [0.3, 2]
"""


def rehearsal(tmp_path, toml: str = CLEAN, deblurrer=None, **weights: float) -> Rehearsal:
    (tmp_path / "made-up.toml").write_text(toml)
    settings = RehearsalSettings(cameras=[str(tmp_path / "made-up.toml")], **weights)
    return Rehearsal(settings, KNOWN, deblurrer)


def photograph(side_px: int) -> torch.Tensor:
    rows = torch.linspace(0, 40, side_px)
    waves = (rows[:, None].sin() * (0.7 * rows[None]).cos() + 1) / 2
    return waves.expand(2, 3, -1, -1).contiguous()


def test_most_alike_finds_the_kernel_itself_whatever_it_is_padded_to():
    generator = torch.Generator().manual_seed(0)
    candidates = Camera(load_camera("known-small")).sample_kernels(6, generator)
    wanted = torch.nn.functional.pad(candidates[[4, 1]], (3,) * 4)
    found = most_alike(wanted, candidates[None].expand(2, -1, -1, -1, -1))
    assert torch.equal(found, candidates[[4, 1]])


def test_most_alike_minds_coarse_differences_more_than_fine_ones():
    kernel = torch.zeros(1, 1, 21, 21)
    kernel[..., 10, 10] = 1.0
    checked = kernel.clone()  # changes high frequencies alone
    checked[..., 10, 10], checked[..., 10, 11], checked[..., 10, 9] = 0.6, 0.2, 0.2
    wide = torch.zeros_like(kernel)
    wide[..., 10, ::5] = 0.2
    found = most_alike(kernel, torch.stack([wide, checked], dim=1))
    assert torch.equal(found, checked)


def test_a_pair_shows_one_photograph_in_one_place(tmp_path):
    made = rehearsal(tmp_path)
    sharp = photograph(64 + 2 * made.margin_px)
    unknown, known, clean = made.pair(sharp, torch.Generator().manual_seed(1))
    assert unknown.shape == known.shape == clean.shape == (2, 3, 64, 64)
    places = [
        (top, left)
        for top in range(JPEG_PERIOD_PX)
        for left in range(JPEG_PERIOD_PX)
        for reach in [made.margin_px - JPEG_PERIOD_PX // 2]
        if torch.allclose(
            clean,
            sharp[..., reach + top : reach + top + 64, reach + left : reach + left + 64],
            atol=1e-5,
        )
    ]
    assert len(places) == 1
    # no kernel moves the photograph: what is blurred alike stays in its place
    for blurred in (unknown, known):
        still = (blurred - clean).abs().mean()
        assert still < (blurred.roll(4, dims=-1) - clean).abs().mean()


def test_the_known_blur_of_a_pair_is_the_known_cameras(tmp_path):
    straight = "linear.length_px=[7, 7]", "linear.angle_degrees=[0, 0]", "shake.length_px=[0, 0]"
    known_settings = KnownBlurSettings(camera="known-small", overrides=list(straight))
    (tmp_path / "made-up.toml").write_text(CLEAN)
    settings = RehearsalSettings(cameras=[str(tmp_path / "made-up.toml")])
    made = Rehearsal(settings, known_settings, None)
    sharp = photograph(64 + 2 * made.margin_px)
    _, known, clean = made.pair(sharp, torch.Generator().manual_seed(1))
    kernel = Camera(load_camera("known-small", straight)).sample_kernels(1, torch.Generator())
    expected = to_srgb(convolve(to_linear(clean), kernel).clamp(0, 1))
    inside = (..., slice(8, -8), slice(8, -8))  # beyond, the blur reaches past the crop
    assert torch.allclose(known[inside], expected[inside], atol=1e-4)


def test_pairs_depend_on_the_generator_alone(tmp_path):
    made = rehearsal(tmp_path, CLEAN + "[noise]\nread = 0.01\n[jpeg]\nquality = 60\n")
    sharp = photograph(64 + 2 * made.margin_px)
    first, again, other = (
        made.pair(sharp, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_losses_reach_the_converter_but_not_the_deblurrer(tmp_path):
    deblurrer = networks.build("mimo_unet", base_channels=4, blocks=1)
    made = rehearsal(tmp_path, CLEAN, deblurrer, converted=0.5, deblurred=1.0)
    converter = networks.build("mimo_unet", base_channels=4, blocks=1)
    sharp = photograph(64 + 2 * made.margin_px)
    losses = made.losses(converter, sharp, torch.Generator().manual_seed(0), nullcontext)
    assert set(losses) == {"rehearsal_converted", "rehearsal_deblurred"}
    torch.stack(list(losses.values())).sum().backward()
    assert any(p.grad.abs().sum() > 0 for p in converter.parameters())
    assert all(p.grad is None for p in deblurrer.parameters())


def test_a_camera_that_crops_cannot_show_is_refused():
    with pytest.raises(ConfigError, match="'roll' blurs differently from place to place"):
        Rehearsal(RehearsalSettings(cameras=["roll"]), KNOWN, None)


def test_a_deblurrer_that_is_not_there_is_asked_for():
    with pytest.raises(ConfigError, match="set deblurrer=FILE"):
        Rehearsal(RehearsalSettings(cameras=["any-small"], deblurred=1.0), KNOWN, None)


def test_once_it_knows_the_camera_it_keeps_made_up_ones_like_it(tmp_path):
    noisy = rehearsal(tmp_path, "[lens]\nsoftness_px = 1\n[noise]\nread = 0.06\n")
    made = rehearsal(tmp_path, "[lens]\nsoftness_px = 1\n[noise]\nread = [0, 0.2]\n", compared=16)
    sharp = photograph(64 + 2 * made.margin_px).repeat(8, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)

    def noise_energy(camera: Rehearsal) -> float:
        return float(camera.pair(sharp, generator)[0].diff(n=2, dim=-1).square().mean())

    made.resemble(noisy.pair(sharp, generator)[0], sharp, generator)
    for _ in range(4):
        assert 0.5 < noise_energy(made) / noise_energy(noisy) < 2
