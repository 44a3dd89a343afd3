"""Images as tensors: the way to arrays and back, files, light, scores."""

from pathlib import Path

import numpy as np
import pytest
import torch

from blur2blur import images, tensors
from blur2blur.statistics import image_quality


def test_arrays_come_back_as_they_were_in_memory_of_their_own() -> None:
    """What changes a tensor in place must not change the photograph that it was made of."""
    pixels = np.random.default_rng(0).random((5, 7, 3), np.float32)
    tensor = tensors.to_tensor(pixels)
    assert tensor.shape == (3, 5, 7)
    assert tensor[1, 2, 3] == pixels[2, 3, 1]
    back = tensors.to_array(tensor)
    assert np.array_equal(back, pixels)
    tensor.zero_()
    assert back.any()
    assert pixels.any()


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 1, 3)])
def test_memory_is_not_shared_where_the_order_fits_already(shape: tuple[int, ...]) -> None:
    """A permuted array is such a tensor, and what is deblurred in place would change it."""
    pixels = np.zeros(shape, np.float32)
    tensors.to_array(torch.from_numpy(pixels).permute(2, 0, 1))[:] = 1
    planes = np.zeros((3, *shape[:2]), np.float32)
    tensors.to_tensor(planes.transpose(1, 2, 0)).fill_(1)
    assert not pixels.any()
    assert not planes.any()


def test_files_are_those_of_images(tmp_path: Path) -> None:
    pixels = torch.rand(3, 5, 7)
    tensors.write_rgb(tmp_path / "a.png", pixels)
    assert np.abs(images.read_rgb(tmp_path / "a.png") - tensors.to_array(pixels)).max() < 1 / 500
    assert torch.equal(
        tensors.read_rgb(tmp_path / "a.png"), tensors.to_tensor(images.read_rgb(tmp_path / "a.png"))
    )


def test_half_precision_and_gradients_can_be_written(tmp_path: Path) -> None:
    pixels = torch.rand(3, 5, 7).to(torch.bfloat16).requires_grad_()
    tensors.write_rgb(tmp_path / "a.png", pixels)
    assert (tensors.read_rgb(tmp_path / "a.png") - pixels.float()).abs().max() < 1 / 500


def test_light_of_known_values() -> None:
    srgb = torch.tensor([0.0, 0.04045, 0.5, 1.0], dtype=torch.float64)
    linear = torch.tensor([0.0, 0.0031308, 0.21404114, 1.0], dtype=torch.float64)
    assert torch.allclose(tensors.to_linear(srgb), linear, atol=1e-7)
    assert torch.allclose(tensors.to_srgb(linear), srgb, atol=1e-6)


def test_light_and_back() -> None:
    values = torch.linspace(0, 1, 4097, dtype=torch.float64)
    assert torch.allclose(tensors.to_srgb(tensors.to_linear(values)), values, atol=1e-6)


def test_gradients_of_light_are_finite_also_at_and_below_zero() -> None:
    values = torch.tensor([-0.1, 0.0, 0.001, 0.5, 1.0, 1.2], requires_grad=True)
    for convert in (tensors.to_linear, tensors.to_srgb):
        (gradient,) = torch.autograd.grad(convert(values).sum(), values)
        assert torch.isfinite(gradient).all()
        assert (gradient > 0).all()


def test_scores_are_those_of_arrays() -> None:
    """And of several images the squared errors count together."""
    truth = torch.rand(2, 3, 16, 20)
    noisy = (truth + 0.1 * torch.randn_like(truth)).clamp(0, 1)
    one, other = tensors.to_array(noisy[0]), tensors.to_array(truth[0])
    assert tensors.psnr_db(noisy[0], truth[0]) == pytest.approx(image_quality.psnr_db(one, other))
    assert tensors.ssim(noisy[0], truth[0]) == pytest.approx(image_quality.ssim(one, other))
    error = (noisy - truth).square().mean()
    assert tensors.psnr_db(noisy, truth) == pytest.approx(float(-10 * error.log10()), abs=1e-3)
