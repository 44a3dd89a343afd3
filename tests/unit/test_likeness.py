"""Simulated photographs that look like a camera's own are preferred, whatever they show."""

import skimage.data
import torch
import torch.nn.functional as F

from blur2blur.training.likeness import Likeness, features


def crops(name: str, count: int, noise: torch.Tensor, blur_px: torch.Tensor) -> torch.Tensor:
    """Return crops of a photograph, each with its own noise and width of a box blur."""
    pixels = getattr(skimage.data, name)()
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    corners = torch.randint(0, min(image.shape[1:]) - 96, (count, 2)).tolist()
    cut = [image[:, top : top + 96, left : left + 96][None] for top, left in corners]
    made = [
        F.avg_pool2d(crop, int(px), 1, int(px) // 2, count_include_pad=False)
        + level * torch.randn_like(crop)
        for crop, level, px in zip(cut, noise, blur_px, strict=True)
    ]
    return torch.cat(made).clamp(0, 1)


def test_noise_and_blur_of_the_camera_are_recognised_on_other_scenes():
    count = 160
    camera = crops("astronaut", count, torch.full((count,), 0.02), torch.full((count,), 5.0))
    noise = 0.06 * torch.rand(count)
    blur_px = 1 + 2 * torch.randint(0, 5, (count,)).float()
    likeness = Likeness(camera, crops("coffee", count, noise, blur_px))
    noise = torch.tensor([0.02, 0.06, 0.0, 0.02]).repeat(20)
    blur_px = torch.tensor([5.0, 5.0, 5.0, 1.0]).repeat(20)
    odds = likeness.odds(crops("coffee", 80, noise, blur_px)).log().reshape(20, 4).mean(dim=0)
    assert (odds[0] > odds[1:] + 1).all(), odds


def test_equal_sets_have_even_odds():
    noise, blur_px = torch.full((200,), 0.02), torch.full((200,), 3.0)
    likeness = Likeness(*(crops("coffee", 200, noise, blur_px) for _ in range(2)))
    odds = likeness.odds(crops("coffee", 50, noise[:50], blur_px[:50])).log()
    assert (odds - odds.mean()).abs().mean() < 0.7


def test_where_nothing_looks_like_the_camera_the_nearest_is_preferred():
    count = 160
    camera = crops("astronaut", count, torch.full((count,), 0.2), torch.full((count,), 1.0))
    likeness = Likeness(camera, crops("coffee", count, 0.05 * torch.rand(count), torch.ones(count)))
    noise = torch.tensor([0.0, 0.05]).repeat(20)
    odds = likeness.odds(crops("coffee", 40, noise, torch.ones(40))).log().reshape(20, 2)
    clean, noisy = odds.mean(dim=0)
    assert noisy > clean + 1
    assert odds.max() == 0  # relative to the likeliest, or all of them could sit at the lower bound


def test_a_flat_image_has_finite_features():
    assert torch.isfinite(features(torch.full((1, 3, 64, 64), 0.5))).all()
