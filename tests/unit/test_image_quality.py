"""Scores: hand-worked values, agreement with other libraries, and what bad sizes get."""

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.metrics
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from blur2blur.errors import DataError
from blur2blur.statistics import image_quality
from blur2blur.tensors import to_tensor
from blur2blur.tiling import Pixels


def _photograph() -> Pixels:
    return skimage.data.chelsea().astype(np.float32) / np.float32(255)


def _blurred(image: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(image, (31, 31), sigma)


def _pairs() -> list[tuple[Pixels, Pixels]]:
    photograph = _photograph()
    noise = np.random.default_rng(0).standard_normal(photograph.shape, np.float32)
    noisy = np.clip(photograph + np.float32(0.1) * noise, 0, 1)
    flat = np.full((11, 23, 3), 0.5, np.float32)
    return [
        (noisy, photograph),
        (_blurred(photograph, 2.0), photograph),
        (flat + np.float32(0.01), flat),
    ]


def test_psnr_of_a_known_error() -> None:
    truth = np.full((8, 8, 3), 0.5, np.float32)
    assert image_quality.psnr_db(truth + np.float32(0.1), truth) == pytest.approx(20, abs=1e-4)
    assert image_quality.psnr_db(truth + np.float32(0.01), truth) == pytest.approx(40, abs=1e-3)


def test_equal_images() -> None:
    photograph = _photograph()
    assert image_quality.psnr_db(photograph, photograph) == float("inf")
    assert image_quality.ssim(photograph, photograph) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("pair", range(3))
def test_agreement_with_scikit_image(pair: int) -> None:
    image, truth = _pairs()[pair]
    expected = skimage.metrics.peak_signal_noise_ratio(truth, image, data_range=1)
    assert image_quality.psnr_db(image, truth) == pytest.approx(expected, abs=1e-4)
    expected = skimage.metrics.structural_similarity(
        truth,
        image,
        data_range=1,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert image_quality.ssim(image, truth) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("pair", range(3))
def test_agreement_with_torchmetrics(pair: int) -> None:
    image, truth = _pairs()[pair]
    theirs = [to_tensor(each).double()[None] for each in (image, truth)]
    expected = float(peak_signal_noise_ratio(*theirs, data_range=1.0))
    assert image_quality.psnr_db(image, truth) == pytest.approx(expected, abs=1e-4)
    options = {"data_range": 1.0, "return_full_image": True}
    _, similarity = structural_similarity_index_measure(*theirs, **options)
    # torchmetrics mirrors the image at its border; those values are no windows of the image
    expected = float(similarity[..., 5:-5, 5:-5].mean())
    assert image_quality.ssim(image, truth) == pytest.approx(expected, abs=1e-4)


def test_ssim_does_not_depend_on_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    image, truth = _pairs()[0]
    whole = image_quality.ssim(image, truth)
    monkeypatch.setattr(image_quality, "_STRIP_ROWS", 37)
    assert image_quality.ssim(image, truth) == pytest.approx(whole, abs=1e-9)


def test_more_blur_is_worse() -> None:
    photograph = _photograph()
    blurred = [_blurred(photograph, sigma) for sigma in (0.5, 1.0, 2.0, 4.0)]
    for metric in (image_quality.psnr_db, image_quality.ssim):
        values = [metric(image, photograph) for image in blurred]
        assert values == sorted(values, reverse=True)


def _black(height: int, width: int) -> Pixels:
    return np.zeros((height, width, 3), np.float32)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match=r"20 x 10 and 10 x 20"):
        image_quality.psnr_db(_black(10, 20), _black(20, 10))
    with pytest.raises(DataError, match=r"20 x 10 and 10 x 20"):
        image_quality.ssim(_black(10, 20), _black(20, 10))


def test_ssim_of_a_tiny_image_is_refused() -> None:
    with pytest.raises(DataError, match=r"at least 11 x 11 pixels, not 40 x 10"):
        image_quality.ssim(_black(10, 40), _black(10, 40))


def test_lpips_without_weights_says_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    reason = image_quality.lpips_missing()
    assert reason is not None
    assert str(folder) in reason
    assert "https://" in reason
    with pytest.raises(DataError, match="LPIPS is left out"):
        image_quality.lpips(_black(64, 64), _black(64, 64))


def test_lpips_without_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_quality, "find_spec", lambda _: None)
    reason = image_quality.lpips_missing()
    assert reason is not None
    assert "[train]'" in reason
