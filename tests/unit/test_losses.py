"""Losses: values worked by hand, invariances, and agreement with second implementations."""

import cmath
import copy
from collections.abc import Sequence
from typing import get_args

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from blur2blur.errors import ConfigError
from blur2blur.losses import adversarial, content, reconstruction
from blur2blur.pyramid import pyramid

KINDS = get_args(adversarial.AdversarialKind)


def images(batch: int, side: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


# --- reconstruction


@pytest.mark.parametrize("kind", ["l1", "charbonnier"])
@pytest.mark.parametrize("batch", [1, 4])
def test_reconstruction_is_zero_at_the_target_and_positive_elsewhere(kind: str, batch: int) -> None:
    target = images(batch)
    levels = pyramid(target, 3)
    assert reconstruction.reconstruction(levels, target, kind=kind) == pytest.approx(0, abs=1e-7)
    off = tuple(level + 0.1 for level in levels)
    assert reconstruction.reconstruction(off, target, kind=kind) == pytest.approx(0.1, abs=2e-3)


def test_charbonnier_by_hand() -> None:
    target = torch.zeros(1, 3, 2, 2)
    loss = reconstruction.reconstruction([target + 0.75e-3], target, kind="charbonnier")
    assert loss == pytest.approx(0.25e-3, rel=1e-3)


def test_each_scale_counts_alike() -> None:
    target = images(2)
    coarse, half, full = pyramid(target, 3)
    expected = torch.tensor(0.3 / 3)
    torch.testing.assert_close(
        reconstruction.reconstruction([coarse + 0.3, half, full], target), expected
    )
    torch.testing.assert_close(
        reconstruction.reconstruction([coarse, half, full + 0.3], target), expected
    )


def test_frequency_equals_the_written_out_dft() -> None:
    output, target = images(1, 4, seed=1), images(1, 4, seed=2)
    total = 0.0
    for channel in (output - target)[0].tolist():
        for u in range(4):
            for v in range(4):
                coefficient = sum(
                    channel[y][x] * cmath.exp(-2j * cmath.pi * (u * y + v * x) / 4)
                    for y in range(4)
                    for x in range(4)
                )
                total += abs(coefficient.real) + abs(coefficient.imag)
    assert reconstruction.frequency([output], target).item() == pytest.approx(
        total / (3 * 16 * 2), rel=1e-5
    )
    assert reconstruction.frequency(pyramid(target, 1), target) == 0


def test_frequency_accepts_half_precision() -> None:
    target = images(1)
    assert torch.isfinite(reconstruction.frequency([target.bfloat16() * 0.5], target))


# --- adversarial


def test_hinge_by_hand() -> None:
    real = [torch.tensor([2.0, 0.5, -1.0]), torch.tensor([1.0])]
    fake = [torch.tensor([-2.0, 0.5, 0.0]), torch.tensor([-3.0])]
    # scale 1: (0 + 0.5 + 2)/3 + (0 + 1.5 + 1)/3; scale 2: 0
    assert adversarial.discriminator_loss(real, fake, kind="hinge") == pytest.approx(5 / 6)
    # scale 1: 1.5/3; scale 2: 3
    assert adversarial.generator_loss(fake, kind="hinge") == pytest.approx((0.5 + 3) / 2)


def test_least_squares_and_logistic_by_hand() -> None:
    real, fake = [torch.tensor([0.0])], [torch.tensor([2.0])]
    assert adversarial.discriminator_loss(real, fake, kind="least_squares") == pytest.approx(1 + 4)
    assert adversarial.generator_loss(fake, kind="least_squares") == pytest.approx(1)
    cross_entropy = F.binary_cross_entropy_with_logits
    zeros, ones = torch.zeros(1), torch.ones(1)
    expected = cross_entropy(real[0], ones) + cross_entropy(fake[0], zeros)
    torch.testing.assert_close(
        adversarial.discriminator_loss(real, fake, kind="logistic"), expected
    )
    expected = cross_entropy(fake[0], ones)
    torch.testing.assert_close(adversarial.generator_loss(fake, kind="logistic"), expected)


def test_wasserstein_is_the_difference_of_the_means() -> None:
    real, fake = [torch.tensor([1.0, 3.0])], [torch.tensor([-1.0, 2.0])]
    assert adversarial.discriminator_loss(real, fake, kind="wasserstein") == pytest.approx(0.5 - 2)
    assert adversarial.generator_loss(fake, kind="wasserstein") == pytest.approx(-0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relativistic", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_push_logits_the_right_way(kind: str, relativistic: bool, batch: int) -> None:
    real = [torch.zeros(batch, 1, side, side, requires_grad=True) for side in (2, 4)]
    fake = [torch.zeros(batch, 1, side, side, requires_grad=True) for side in (2, 4)]
    adversarial.discriminator_loss(real, fake, kind=kind, relativistic=relativistic).backward()
    assert all((logits.grad < 0).all() for logits in real)
    for logits in fake:
        # least squares wants 0, where these are, unless it is relativistic
        zero_is_wanted = kind == "least_squares" and not relativistic
        assert (logits.grad == 0).all() if zero_is_wanted else (logits.grad > 0).all()
    fake = [logits.detach().requires_grad_() for logits in fake]
    real = [logits.detach() for logits in real]
    adversarial.generator_loss(
        fake, kind=kind, relative_to=real if relativistic else None
    ).backward()
    assert all((logits.grad < 0).all() for logits in fake)


def test_relativistic_loss_ignores_a_common_offset() -> None:
    real, fake = [torch.randn(2, 1, 3, 3)], [torch.randn(2, 1, 3, 3)]
    for kind in KINDS:
        loss = adversarial.discriminator_loss(real, fake, kind=kind, relativistic=True)
        moved = adversarial.discriminator_loss(
            [real[0] + 5], [fake[0] + 5], kind=kind, relativistic=True
        )
        torch.testing.assert_close(loss, moved)


# --- gradient penalties


class Linear(nn.Module):
    """Logits that are a 1x1 convolution of each image: the gradient is known."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight).view(1, 3, 1, 1))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        return [F.conv2d(level, self.weight) for level in levels]


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.Softplus(), nn.Conv2d(4, 1, 4, 1, 1))

    class Levels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
            return [self.net(level) for level in levels]

    return Levels()


@pytest.mark.parametrize("batch", [1, 4])
def test_penalties_of_a_linear_discriminator_by_hand(batch: int) -> None:
    discriminator = Linear([1.0, 2.0, 2.0])
    real, fake = pyramid(images(batch), 3), pyramid(images(batch, seed=1), 3)
    # gradient norm 3 everywhere
    assert adversarial.zero_centred_penalty(discriminator, real).item() == pytest.approx(9)
    penalty = adversarial.interpolation_penalty(discriminator, real, fake, rng=torch.Generator())
    assert penalty.item() == pytest.approx(4)
    penalty.backward()
    # d/dw (|w| - 1)² = 2 (|w| - 1) w / |w|
    expected = torch.tensor([4.0, 8.0, 8.0]).view(1, 3, 1, 1) / 3
    # sums over thousands of pixels in float32, in the order that the processor takes
    torch.testing.assert_close(discriminator.weight.grad, expected, rtol=1e-4, atol=0)


def test_penalty_of_a_single_logit_is_the_published_one() -> None:
    """For one logit per item: the squared norm of its gradient, found here by differences."""
    torch.manual_seed(0)
    weight = torch.randn(1, 3, 4, 4)

    def discriminator(levels: Sequence[Tensor]) -> list[Tensor]:
        return [F.conv2d(levels[0].square(), weight)]

    image = images(1, 4)
    expected = (2 * image * weight).square().sum()
    torch.testing.assert_close(adversarial.zero_centred_penalty(discriminator, [image]), expected)


def test_penalties_do_not_change_when_the_batch_is_repeated() -> None:
    discriminator = convolutional()
    real = pyramid(images(2), 3)
    once = adversarial.zero_centred_penalty(discriminator, real)
    thrice = adversarial.zero_centred_penalty(discriminator, [x.repeat(3, 1, 1, 1) for x in real])
    torch.testing.assert_close(once, thrice)
    # real = fake takes the random share out
    once = adversarial.interpolation_penalty(discriminator, real, real, rng=torch.Generator())
    repeated = [x.repeat(3, 1, 1, 1) for x in real]
    torch.testing.assert_close(
        once,
        adversarial.interpolation_penalty(discriminator, repeated, repeated, rng=torch.Generator()),
    )


def test_penalty_hardly_depends_on_the_crop_size() -> None:
    discriminator = convolutional()
    small = adversarial.zero_centred_penalty(discriminator, [images(1, 64)])
    large = adversarial.zero_centred_penalty(discriminator, [images(1, 256)])
    torch.testing.assert_close(small, large, rtol=0.1, atol=0)


def test_interpolation_is_repeatable_with_a_generator_and_leaves_the_images_alone() -> None:
    discriminator = convolutional()
    real, fake = [images(2).requires_grad_()], [images(2, seed=1).requires_grad_()]

    def penalty() -> Tensor:
        return adversarial.interpolation_penalty(
            discriminator, real, fake, rng=torch.Generator().manual_seed(3)
        )

    assert torch.equal(penalty(), penalty())
    penalty().backward()
    assert real[0].grad is None
    assert fake[0].grad is None
    assert all(parameter.grad is not None for parameter in list(discriminator.parameters())[:1])


# --- perceptual


def test_pyramid_loss_lets_blur_change_and_holds_colour_and_layout() -> None:
    loss = content.pyramid_loss
    photo = torch.nn.functional.avg_pool2d(images(1, 512), 4)
    blurred = torchvision.transforms.functional.gaussian_blur(photo, [7, 7], [1.5, 1.5])
    tinted = photo + torch.tensor([0.05, 0.0, -0.05]).view(1, 3, 1, 1)

    def of(image: Tensor) -> float:
        return loss(pyramid(image, 3), photo).item()

    def pixels(image: Tensor) -> float:
        return (image - photo).abs().mean().item()

    assert of(photo) == 0
    # for their size in pixels, a change of colour costs much more than a change of blur
    assert of(tinted) / pixels(tinted) > 4 * of(blurred) / pixels(blurred)
    assert of(photo.roll(16, 3)) > 2 * of(blurred)


@pytest.mark.parametrize("side", [4, 16, 40])
@pytest.mark.parametrize("scales", [1, 3])
def test_pyramid_loss_works_on_images_smaller_than_its_blocks(side: int, scales: int) -> None:
    output = images(2, side, seed=1).requires_grad_()
    loss = content.pyramid_loss(pyramid(output, scales), images(2, side))
    loss.backward()
    assert output.grad.any()
    assert torch.isfinite(output.grad).all()


@pytest.fixture(scope="module")
def vgg() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.vgg16(weights=None).eval()


def test_vgg_activations_equal_torchvision_before_each_relu(vgg: nn.Module) -> None:
    loss = content.VggLoss(copy.deepcopy(vgg.features))
    normalise = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    image = images(1)
    with torch.no_grad():
        for index, features in zip([7, 14, 17, 21, 24], loss.activations(image), strict=True):
            torch.testing.assert_close(vgg.features[: index + 1](normalise(image)), features)


def test_layers_of_both_vggs_are_named_right() -> None:
    names = {16: [7, 14, 17, 21, 24], 19: [7, 14, 19, 23, 28]}
    for depth, indices in names.items():
        with torch.device("meta"):
            network = getattr(torchvision.models, f"vgg{depth}")(weights=None)
        known = content.layer_indices(network.features)
        assert [known[layer] for layer in content.VGG_LAYERS] == indices


@pytest.mark.parametrize("batch", [1, 4])
def test_vgg_loss_through_the_download_path(
    vgg: nn.Module, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torchvision.models.VGG16_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda *_, **__: vgg.state_dict())
    loss = content.vgg_loss(16)
    target = images(batch, 64)
    assert loss(pyramid(target, 3), target) == 0
    output = images(batch, 64, seed=1).requires_grad_()
    loss(pyramid(output, 3), target).backward()
    assert output.grad.any()
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_missing_network_is_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models.VGG19_Weights, "get_state_dict", fail)
    with pytest.raises(ConfigError, match=r"VGG-19 cannot be downloaded \(no route.*'pyramid'"):
        content.vgg_loss(19)
