"""Reading a blur from a pair and laying it over other images: sizes, tiles, codes, mistakes."""

import pytest
import skimage.data
import torch

from blur2blur import load_kernel_extractor, networks, transfer_blur
from blur2blur.blur import convolve, transfer
from blur2blur.blur.kernels import gaussian
from blur2blur.blur.transfer import draw_code, fit_code, lay_blur, new_code, read_code
from blur2blur.errors import CheckpointError, ConfigError, InputError
from blur2blur.networks import KernelWizard
from blur2blur.tensors import to_linear, to_srgb

TINY = {
    "channels": 4,
    "feature_blocks": 1,
    "levels": 2,
    "code_channels": 4,
    "code_blocks": 1,
    "trunk_blocks": 1,
}


def tiny(**options: object) -> KernelWizard:
    torch.manual_seed(0)
    network = networks.build_any("kernel_wizard", **(TINY | {"identity_start": False} | options))
    assert isinstance(network, KernelWizard)
    return network.eval()


def image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_an_untrained_network_transfers_no_blur():
    sharp = image(37, 31)
    network = tiny(identity_start=True)
    assert torch.equal(transfer_blur(sharp, (image(64, 64, 1), image(64, 64, 2)), network), sharp)


@pytest.mark.parametrize("size", [(64, 64), (37, 131), (16, 16), (1, 1)])
def test_images_of_any_size_keep_it(size: tuple[int, int]):
    made = transfer_blur(image(*size), (image(45, 70, 1), image(45, 70, 2)), tiny())
    assert made.shape == (3, *size)
    assert made.min() >= 0
    assert made.max() <= 1


def test_a_pair_laid_over_its_own_image_is_the_networks_one_pass():
    sharp, blurry, network = image(64, 48), image(64, 48, 1), tiny()
    with torch.no_grad():
        whole, _, _ = network(sharp[None], blurry[None], lambda mean, _: mean)
    made = transfer_blur(sharp, (blurry, sharp), network)
    torch.testing.assert_close(made, whole[0].clamp(0, 1))


def test_large_images_are_read_in_blocks_of_one_code_map(monkeypatch: pytest.MonkeyPatch):
    sharp, blurry, network = image(90, 200), image(90, 200, 1), tiny()
    whole = read_code(sharp, blurry, network).mean
    monkeypatch.setattr(transfer, "TILE_PX", 64)
    blocks = read_code(sharp, blurry, network).mean
    assert blocks.shape == whole.shape == (4, 6, 13)
    assert not torch.equal(blocks, whole)  # there is more than one block


@pytest.mark.parametrize("filter_px", [0, 9])
def test_tiles_agree_with_the_whole_image_and_share_its_code_map(
    filter_px: int, monkeypatch: pytest.MonkeyPatch
):
    sharp, network = image(200, 420), tiny(filter_px=filter_px)
    code = torch.rand(4, 3, 5)
    whole = lay_blur(sharp, code, network)
    monkeypatch.setattr(transfer, "TILE_PX", 256)
    monkeypatch.setattr(transfer, "OVERLAP_PX", 160)
    tiled = lay_blur(sharp, code, network)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0)


def test_a_code_map_is_cut_in_its_middle_or_mirrored_beyond_its_end():
    code = torch.arange(3.0).view(1, 1, 3)
    assert fit_code(code, 1, 1).flatten().tolist() == [1]
    assert fit_code(code, 1, 8).flatten().tolist() == [0, 1, 2, 2, 1, 0, 0, 1]
    assert fit_code(code[..., :1], 2, 2).flatten().tolist() == [0, 0, 0, 0]


def test_with_a_vae_codes_are_drawn_around_the_pairs():
    network, pair = tiny(vae=True), (image(64, 64, 1), image(64, 64, 2))
    first, again, other = (
        transfer_blur(image(64, 64), pair, network, rng=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    code = draw_code(torch.zeros(9999), torch.full((9999,), -2.0), torch.Generator().manual_seed(0))
    assert float(code.std()) == pytest.approx(2, rel=0.05)


def test_with_filters_a_blur_is_transferred_before_any_training():
    torch.manual_seed(0)
    sharp, other = image(128, 128, 1), image(128, 128, 2)
    kernel = torch.zeros(1, 1, 9, 9)
    kernel[..., 4, 1:8] = 1 / 7
    blurry, truth = (to_srgb(convolve(to_linear(each[None]), kernel))[0] for each in (sharp, other))
    network = tiny(filter_px=9, code_channels=81, identity_start=True)
    made = transfer_blur(other, (blurry, sharp), network)
    assert float((made - truth).square().mean()) < 0.05 * float((other - truth).square().mean())


def test_the_extractor_that_ships_beats_every_gaussian():
    photographs = [
        torch.from_numpy(getattr(skimage.data, name)()[100:292, 100:292].copy()) / 255
        for name in ("astronaut", "coffee")
    ]
    sharp, other = (pixels.permute(2, 0, 1).float() for pixels in photographs)
    kernel = torch.zeros(1, 1, 13, 13)
    kernel[..., range(2, 11), range(10, 1, -1)] = 1 / 9
    blurry, truth = (to_srgb(convolve(to_linear(each[None]), kernel))[0] for each in (sharp, other))
    made = transfer_blur(other, (blurry, sharp), load_kernel_extractor("kernel"))
    gaussians = [
        to_srgb(convolve(to_linear(other[None]), gaussian(torch.tensor([sigma]), 25)))[0]
        for sigma in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
    ]
    least = min(float((each - truth).square().mean()) for each in (other, *gaussians))
    assert float((made - truth).square().mean()) < 0.5 * least


@pytest.mark.parametrize(("filter_px", "least_px"), [(9, 32), (47, 32), (49, 48), (63, 48)])
def test_a_long_filter_needs_larger_images(filter_px: int, least_px: int):
    network = tiny(filter_px=filter_px)
    assert network.size_rule.minimum == least_px
    pair = image(least_px, least_px, 1), image(least_px, least_px, 2)
    assert transfer_blur(image(5, 9), pair, network).shape == (3, 5, 9)


def test_new_blurs_are_normal_codes_and_need_a_vae():
    code = new_code(tiny(vae=True, code_channels=512), torch.Generator().manual_seed(0), 0.5)
    assert code.shape == (512, 1, 1)
    assert float(code.std()) == pytest.approx(0.5, rel=0.1)
    with pytest.raises(ConfigError, match=r"without VAE.*network\.options\.vae=true"):
        new_code(tiny(), torch.Generator())


@pytest.mark.parametrize(
    ("sharp", "blurry", "message"),
    [
        ((64, 64), (64, 65), "sharp image is 64x64 but the blurry one 65x64.*one size"),
        ((64, 31), (64, 31), "31x64 is too small.*at least 32 pixels"),
    ],
)
def test_unfit_pairs_are_one_clear_line(sharp, blurry, message):
    with pytest.raises(InputError, match=message):
        transfer_blur(image(64, 64), (image(*blurry), image(*sharp)), tiny())


def test_the_full_extractor_needs_sides_of_256():
    with torch.device("meta"):
        network = networks.build_any("kernel_wizard")
    assert isinstance(network, KernelWizard)
    with pytest.raises(InputError, match="at least 256 pixels"):
        transfer.check_pair(torch.zeros(3, 255, 300), torch.zeros(3, 255, 300), network)


def test_another_network_is_no_kernel_extractor():
    with pytest.raises(CheckpointError, match="no kernel extractor 'known-blur'"):
        load_kernel_extractor("known-blur")
