"""Metrics: hand-worked values, agreement with scikit-image, and what bad sizes get."""

import pytest
import skimage.data
import skimage.metrics
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from blur2blur.errors import DataError
from blur2blur.statistics import image_quality


def _photograph() -> Tensor:
    return torch.from_numpy(skimage.data.chelsea().copy()).permute(2, 0, 1).float() / 255


def _pairs() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    photograph = _photograph()
    noisy = (photograph + 0.1 * torch.randn_like(photograph)).clamp(0, 1)
    blurred = gaussian_blur(photograph, [9, 9])
    flat = torch.full((3, 11, 23), 0.5)
    return [(noisy, photograph), (blurred, photograph), (flat + 0.01, flat)]


def test_psnr_of_a_known_error() -> None:
    truth = torch.full((2, 3, 8, 8), 0.5)
    off = truth + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    torch.testing.assert_close(image_quality.psnr_db(off, truth), torch.tensor([20.0, 40.0]))


def test_pooled_psnr_is_that_of_all_squared_errors_together() -> None:
    truth = torch.full((2, 3, 8, 8), 0.5)
    off = truth + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    # mean squared error (0.01 + 0.0001) / 2
    assert image_quality.pooled_psnr_db(off, truth) == pytest.approx(22.967, abs=1e-3)
    assert image_quality.pooled_psnr_db(off[0], truth[0]) == pytest.approx(20, abs=1e-4)
    # one image that is equal does not make the rest of no account
    off[1] = truth[1]
    assert image_quality.pooled_psnr_db(off, truth) == pytest.approx(23.0103, abs=1e-3)
    assert image_quality.pooled_psnr_db(truth, truth) == float("inf")
    noisy = torch.stack([image for image, _ in _pairs()[:2]])
    photographs = torch.stack([image for _, image in _pairs()[:2]])
    error = (noisy - photographs).square().mean()
    pooled = image_quality.pooled_psnr_db(noisy, photographs)
    assert pooled == pytest.approx(float(-10 * error.log10()), abs=1e-3)


def test_equal_images() -> None:
    photograph = _photograph()
    assert image_quality.psnr_db(photograph, photograph).item() == float("inf")
    assert image_quality.ssim(photograph, photograph).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("pair", range(3))
def test_agreement_with_scikit_image(pair: int) -> None:
    image, truth = _pairs()[pair]
    ours, theirs = (x.permute(1, 2, 0).numpy() for x in (image, truth))
    expected = skimage.metrics.peak_signal_noise_ratio(theirs, ours, data_range=1)
    assert image_quality.psnr_db(image, truth).item() == pytest.approx(expected, abs=1e-4)
    expected = skimage.metrics.structural_similarity(
        theirs,
        ours,
        data_range=1,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert image_quality.ssim(image, truth).item() == pytest.approx(expected, abs=1e-4)


def test_ssim_does_not_depend_on_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    image, truth = _pairs()[0]
    whole = image_quality.ssim(image, truth)
    monkeypatch.setattr(image_quality, "_STRIP_ROWS", 37)
    torch.testing.assert_close(image_quality.ssim(image, truth), whole, rtol=0, atol=1e-6)


def test_one_value_per_image() -> None:
    (noisy, photograph), (blurred, _) = _pairs()[:2]
    batch, truth = torch.stack([noisy, blurred]), torch.stack([photograph, photograph])
    for metric in (image_quality.psnr_db, image_quality.ssim):
        alone = torch.cat([metric(noisy, photograph), metric(blurred, photograph)])
        torch.testing.assert_close(metric(batch, truth), alone)


def test_more_blur_is_worse() -> None:
    photograph = _photograph()
    blurred = [gaussian_blur(photograph, [31, 31], [sigma]) for sigma in (0.5, 1.0, 2.0, 4.0)]
    for metric in (image_quality.psnr_db, image_quality.ssim):
        values = [metric(image, photograph).item() for image in blurred]
        assert values == sorted(values, reverse=True)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match=r"20 x 10 and 10 x 20"):
        image_quality.psnr_db(torch.zeros(3, 10, 20), torch.zeros(3, 20, 10))
    with pytest.raises(DataError, match=r"20 x 10 and 10 x 20"):
        image_quality.pooled_psnr_db(torch.zeros(3, 10, 20), torch.zeros(3, 20, 10))


def test_ssim_of_a_tiny_image_is_refused() -> None:
    with pytest.raises(DataError, match=r"at least 11 x 11 pixels, not 40 x 10"):
        image_quality.ssim(torch.zeros(3, 10, 40), torch.zeros(3, 10, 40))


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
        image_quality.lpips(torch.zeros(3, 64, 64), torch.zeros(3, 64, 64))
