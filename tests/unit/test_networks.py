"""Networks: golden values of the published code, a second implementation, and their contract."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file
from torch import Tensor

from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.networks.band_energy import band_energies
from blur2blur.networks.base import ImageNetwork, SizeRule
from blur2blur.networks.kernel_wizard import KernelWizard
from blur2blur.networks.nafnet import LocalMean, NAFNet
from blur2blur.networks.patchgan import (
    DiscriminatorOptions,
    MultiScaleDiscriminator,
    PatchGAN,
    PatchGANOptions,
    spatial_gradient,
)
from blur2blur.networks.residual_unet import GatedBlock
from blur2blur.pyramid import pyramid
from blur2blur.weights import reference_keys
from extractors import kernel_wizard_to_reference

GOLDEN = Path(__file__).parents[1] / "golden"
KEYS: dict[str, dict[str, list[int]]] = json.loads((GOLDEN / "reference_keys.json").read_text())
OUTPUTS = load_file(GOLDEN / "reference_outputs.safetensors")
GAINS = {
    "mimo_unet": 0.5,
    "mimo_unet_plus": 0.35,
    "patchgan_70_instance": 1.0,
    "kernel_wizard": 0.6,
    "kernel_wizard_vae": 0.6,
}
# of the reblurred image, of which the stored part is this
PART = (..., slice(96, 160), slice(96, 160))

SMALL = {
    "mimo_unet": {"base_channels": 8, "blocks": 2},
    "mimo_unet_plus": {"base_channels": 8, "blocks": 2},
    "coarse_to_fine": {"base_channels": 8, "blocks": 1, "levels": 2},
    "nafnet": {
        "width": 8,
        "encoder_blocks": (1, 1, 1),
        "middle_blocks": 1,
        "decoder_blocks": (1, 1, 1),
        "scales": 3,
    },
    "residual_unet": {
        "widths": (8, 12, 16),
        "encoder_blocks": (1, 2),
        "middle_blocks": 2,
        "decoder_blocks": (2, 1),
    },
    "resnet": {"base_channels": 8, "blocks": 2},
    "unet": {"base_channels": 8, "levels": 3},
}


def small(name: str, **options: object) -> ImageNetwork:
    torch.manual_seed(0)
    return networks.build(name, **(SMALL[name] | options)).eval()


def awakened(name: str) -> ImageNetwork:
    """A network whose zero-initialised parameters are not zero."""
    network = small(name, identity_start=False)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith(("beta", "gamma")):
                parameter.fill_(0.5)
    return network


def reference_weights(name: str) -> dict[str, Tensor]:
    """The weights the golden outputs were made with: a formula of name and index."""
    state: dict[str, Tensor] = {}
    for key, shape in KEYS[name].items():
        phase = (zlib.crc32(key.encode()) % 1000) / 1000 * 2 * math.pi
        i = np.arange(math.prod(shape), dtype=np.float64)
        if len(shape) == 1:
            values = 0.01 * np.cos(i + phase)
        else:
            scale = GAINS[name] * math.sqrt(2 / math.prod(shape[1:])) * math.sqrt(2)
            values = scale * np.sin(0.0007 * i * i + 0.7 * i + phase)
        state[key] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return state


def reference_input(height: int, width: int, phase: float = 0.0) -> Tensor:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    channels = [
        0.5
        + 0.25 * np.sin(0.31 * x + 0.17 * y + phase + k)
        + 0.2 * np.cos(0.05 * x * y / (1 + k) + phase)
        for k in range(3)
    ]
    return torch.from_numpy(np.stack(channels).astype(np.float32))[None]


# --- the published networks, number for number


@pytest.mark.parametrize("name", ["mimo_unet", "mimo_unet_plus"])
def test_published_mimo_unet_weights_give_the_published_outputs(name: str) -> None:
    weights = reference_weights(name)
    wrapped = {"model": {f"module.{key}": value for key, value in weights.items()}}
    imported = reference_keys.import_network(wrapped)
    assert imported.name == name
    network = networks.build(name, **imported.options).eval()
    network.load_state_dict(imported.state)
    with torch.no_grad():
        outputs = network(reference_input(48, 64))
    for scale, output in enumerate(outputs):
        torch.testing.assert_close(output, OUTPUTS[f"{name}.out{scale}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("index", "size"), [(0, (64, 96)), (1, (128, 192))])
def test_published_patchgan_weights_give_the_published_outputs(
    index: int, size: tuple[int, int]
) -> None:
    network = PatchGAN(PatchGANOptions(norm="instance"))
    network.load_state_dict(
        reference_keys.patchgan_to_ours(reference_weights("patchgan_70_instance"))
    )
    with torch.no_grad():
        logits = network(reference_input(*size))
    wanted = OUTPUTS[f"patchgan_70_instance.out{index}"]
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters"), [("kernel_wizard", 49_205_187), ("kernel_wizard_vae", 115_265_475)]
)
def test_published_kernel_extractor_weights_give_the_published_outputs(
    name: str, parameters: int
) -> None:
    imported = reference_keys.import_network(reference_weights(name))
    assert imported.name == "kernel_wizard"
    network = networks.build_any(imported.name, **imported.options).eval()
    assert isinstance(network, KernelWizard)
    assert imported.options["vae"] == (name == "kernel_wizard_vae")
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    network.load_state_dict(imported.state)
    with torch.no_grad():
        mean, deviation = network.extract(reference_input(256, 256), reference_input(256, 256, 0.4))
        reblurred = network.adapt(reference_input(256, 256, 0.8), mean)
    torch.testing.assert_close(mean, OUTPUTS[f"{name}.code_mean"], rtol=0, atol=1e-5)
    torch.testing.assert_close(reblurred[PART], OUTPUTS[f"{name}.reblurred"], rtol=0, atol=1e-5)
    if deviation is None:
        assert name == "kernel_wizard"
    else:
        torch.testing.assert_close(deviation, OUTPUTS[f"{name}.code_sigma"], rtol=0, atol=1e-5)


def test_renaming_to_reference_undoes_renaming_to_ours() -> None:
    for name in ("mimo_unet", "mimo_unet_plus"):
        state = {key: torch.zeros(0) for key in KEYS[name]}
        ours = reference_keys.mimo_unet_to_ours(state)
        assert set(ours) == set(networks.build(name).state_dict())
        assert list(reference_keys.mimo_unet_to_reference(ours)) == list(state)
    for name in ("kernel_wizard", "kernel_wizard_vae"):
        state = {key: torch.zeros(0) for key in KEYS[name]}
        ours = reference_keys.kernel_wizard_to_ours(state)
        assert set(ours) == set(networks.build_any("kernel_wizard").state_dict())
        assert list(kernel_wizard_to_reference(ours)) == list(state)
    state = {key: torch.zeros(0) for key in KEYS["patchgan_70_instance"]}
    ours = reference_keys.patchgan_to_ours(state)
    assert list(reference_keys.patchgan_to_reference(ours)) == list(state)


def test_foreign_weights_are_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"'layer1\.weight'"):
        reference_keys.import_network({"layer1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"'extra\.weight' is no parameter of a MIMO-UNet"):
        reference_keys.mimo_unet_to_ours({"extra.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="'epoch' is a int"):
        reference_keys.import_network({"epoch": 3})


def test_nafnet_equals_a_second_implementation() -> None:
    arch = pytest.importorskip("spandrel.architectures.NAFNet")
    options = {"encoder_blocks": (1, 2), "middle_blocks": 2, "decoder_blocks": (2, 1), "width": 8}
    other = arch.NAFNet(width=8, middle_blk_num=2, enc_blk_nums=[1, 2], dec_blk_nums=[2, 1]).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    imported = reference_keys.import_network({"params": other.state_dict()})
    assert imported.name == "nafnet"
    assert {key: tuple(np.atleast_1d(imported.options[key])) for key in options} == {
        key: tuple(np.atleast_1d(value)) for key, value in options.items()
    }
    network = networks.build("nafnet", **imported.options)
    network.load_state_dict(imported.state)
    image = torch.rand(2, 3, 20, 28)
    with torch.no_grad():
        torch.testing.assert_close(network(image)[-1], other(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [32, 64])
def test_the_published_gopro_layouts_are_nafnets_of_that_width(width: int) -> None:
    arch = pytest.importorskip("spandrel.architectures.NAFNet")
    with torch.device("meta"):  # names and shapes alone
        official = arch.NAFNet(
            width=width, middle_blk_num=1, enc_blk_nums=[1, 1, 1, 28], dec_blk_nums=[1, 1, 1, 1]
        )
        ours = networks.build("nafnet", width=width)
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in official.state_dict().items()
    }


# --- the contract of every network


@pytest.mark.parametrize("name", networks.names())
def test_an_untrained_network_is_exactly_the_identity(name: str) -> None:
    image, network = torch.rand(2, 3, 32, 40), small(name)
    for output, level in zip(network(image), pyramid(image, network.scales), strict=True):
        assert torch.equal(output, level)


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("sides", [(1, 1), (3, 2), (5, 4)])
def test_allowed_sizes_run_and_give_the_input_size_halved_per_scale(
    name: str, sides: tuple[int, int]
) -> None:
    network = awakened(name)
    rule = network.size_rule
    height, width = (max(rule.minimum, side * rule.multiple) for side in sides)
    outputs = network(torch.rand(1, 3, height, width))
    assert len(outputs) == network.scales
    for level, output in enumerate(reversed(outputs)):
        assert output.shape == (1, 3, height >> level, width >> level)


@pytest.mark.parametrize("name", networks.names())
def test_a_size_off_the_rule_does_not_work(name: str) -> None:
    """Else the rule would pad for nothing."""
    network = awakened(name)
    side = 2 * network.size_rule.multiple + network.size_rule.multiple // 2
    with pytest.raises(RuntimeError):
        network(torch.rand(1, 3, side, side))


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("size", [(1, 1), (7, 30), (17, 33), (32, 32)])
def test_any_size_works_through_padding(name: str, size: tuple[int, int]) -> None:
    network = awakened(name)
    image = torch.rand(1, 3, *size)
    padded = networks.pad_to_rule(image, network.size_rule)
    assert tuple(padded.shape[-2:]) == network.size_rule.padded(*size)
    assert torch.equal(padded[..., : size[0], : size[1]], image)
    assert torch.isfinite(network(padded)[-1][..., : size[0], : size[1]]).all()


def test_padding_mirrors_where_it_can_and_repeats_where_it_cannot() -> None:
    rule = SizeRule(multiple=4, minimum=4)
    row = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    padded = networks.pad_to_rule(row, rule)
    assert padded[0, 0].tolist() == [[1.0, 2.0, 3.0, 2.0]] * 4
    assert SizeRule(multiple=4, minimum=10).padded(3, 13) == (12, 16)


@pytest.mark.parametrize("name", networks.names())
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    network = awakened(name)
    images = torch.rand(3, 3, 24, 32)
    with torch.no_grad():
        together = network(images)
        alone = network(images[1:2])
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one, many[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", networks.names())
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = awakened(name).train()
    outputs = network(torch.rand(2, 3, 24, 32))
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    missing = [
        key
        for key, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert missing == []


def test_gradients_reach_the_first_blocks_of_a_deep_network() -> None:
    """Normal(0, 0.02), usual for adversarial networks, gives a ratio of about 120 here."""
    network = small("mimo_unet", base_channels=16, blocks=8, identity_start=False)
    outputs = network(torch.rand(2, 3, 32, 32))
    torch.stack([(output - 0.5).abs().mean() for output in outputs]).sum().backward()
    norms = [
        parameter.grad.norm() / parameter.norm()
        for key, parameter in network.named_parameters()
        if key.endswith("conv1.weight")
    ]
    assert max(norms) / min(norms) < 40


def test_untrained_activations_keep_their_size_with_depth() -> None:
    outputs = small("mimo_unet", blocks=20, identity_start=False)(torch.rand(1, 3, 32, 32))
    assert all(0.1 < output.std() < 3 for output in outputs)


@pytest.mark.parametrize("name", networks.names())
def test_options_written_as_json_build_the_network_again(name: str) -> None:
    network = awakened(name)
    options = json.loads(network.options.model_dump_json())
    again = networks.build(network.name, **options).eval()
    again.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 16, 24)
    assert torch.equal(again(image)[-1], network(image)[-1])


@pytest.mark.parametrize("name", networks.names())
def test_channels_last_memory_is_kept(name: str) -> None:
    """The CPU and GPU kernels for it are much faster; one stray operation would undo it."""
    network = awakened(name).to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, 16, 24).contiguous(memory_format=torch.channels_last)
    for output in network(image):
        assert output.is_contiguous(memory_format=torch.channels_last)


def test_dropout_is_active_in_training_only() -> None:
    network = small("mimo_unet_plus", dropout=0.5, identity_start=False)
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(network(image)[-1], network(image)[-1])
    network.train()
    assert not torch.equal(network(image)[-1], network(image)[-1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mimo-unet", {}, "unknown network 'mimo-unet'; did you mean 'mimo_unet'"),
        ("mimo_unet", {"blokcs": 4}, "unknown setting 'blokcs'; did you mean 'blocks'"),
        ("mimo_unet", {"base_channels": 6}, "multiple of 4"),
        ("mimo_unet", {"blocks": 0}, "greater than or equal to 1"),
        ("mimo_unet", {"downsampling": "bicubic"}, "'area' or 'nearest'"),
        ("nafnet", {"encoder_blocks": [1, 1]}, "has 2 levels, decoder_blocks 4"),
        ("residual_unet", {"widths": [32]}, r"widths = \[32\]: at least two levels"),
        ("residual_unet", {"widths": [32, 0]}, "at least two levels of 1 channel"),
        ("residual_unet", {"encoder_blocks": [1]}, r"encoder_blocks = \[1\] must be 3 numbers"),
        ("residual_unet", {"decoder_blocks": [1, 1, -1]}, "must be 3 numbers, none negative"),
        ("residual_unet", {"block": "sparse"}, "'dense' or 'gated'"),
        ("residual_unet", {"unshuffle": 0}, "greater than or equal to 1"),
        (
            "nafnet",
            {"encoder_blocks": [1], "decoder_blocks": [1], "scales": 3},
            "3 scales need at least 2 levels, not 1",
        ),
    ],
)
def test_mistakes_in_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        networks.build(name, **options)


# --- the residual U-Net


def test_a_gated_block_starts_as_the_identity_and_all_of_it_learns() -> None:
    network = small("residual_unet", block="gated", identity_start=False).train()
    blocks = [part for part in network.modules() if isinstance(part, GatedBlock)]
    assert len(blocks) == 8
    features = torch.rand(2, 8, 6, 6)
    assert torch.equal(blocks[0](features), features)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    assert not torch.equal(blocks[0](features), features)
    network(torch.rand(2, 3, 24, 32))[-1].square().mean().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_a_gated_network_learns_from_its_start() -> None:
    """What is zeroed is woken by the first steps."""
    network = small("residual_unet", block="gated").train()
    image = torch.rand(2, 3, 16, 16)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        loss = (network(image)[-1] - image.flip(-1)).abs().mean()
        loss.backward()
        optimiser.step()
    idle = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_the_levels_of_a_residual_u_net_tell_its_sides() -> None:
    assert networks.build("residual_unet").size_rule == SizeRule(multiple=16, minimum=16)
    assert small("residual_unet", unshuffle=4).size_rule == SizeRule(multiple=16, minimum=16)
    unfolded = small("residual_unet", unshuffle=1, middle_blocks=0)
    assert unfolded.size_rule == SizeRule(multiple=4, minimum=4)
    assert unfolded(torch.rand(1, 3, 4, 8))[-1].shape == (1, 3, 4, 8)


# --- the networks of several sizes


def test_one_size_of_coarse_to_fine_is_a_mimo_unet() -> None:
    both = small("coarse_to_fine", levels=1, identity_start=False)
    mimo = small("mimo_unet", blocks=1, identity_start=False)
    state = {key.removeprefix("levels.0."): value for key, value in both.state_dict().items()}
    state["stem.weight"], again = state["stem.weight"].chunk(2, dim=1)
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        # the smallest size begins with the image itself, so that it is seen twice
        state["stem.weight"] = state["stem.weight"] + again
        mimo.load_state_dict(state, strict=False)
        assert torch.allclose(both.restore(image), mimo.restore(image), atol=1e-5)


def test_what_a_small_size_changes_is_kept_by_the_larger_ones() -> None:
    network = small("coarse_to_fine", levels=3)
    with torch.no_grad():
        network.get_submodule("levels.0.head_full").bias.fill_(0.25)
    image = torch.rand(1, 3, 32, 48)
    outputs = network(image)
    for output, blurry in zip(outputs, pyramid(image, 3), strict=True):
        assert torch.allclose(output, blurry + 0.25, atol=1e-6)
    assert torch.equal(network.restore(image), outputs[-1])


# --- networks of one scale


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_instance_normalisation_leaves_no_parameter_without_use(name: str) -> None:
    """A bias before it would be subtracted again: there is none."""
    network = small(name, norm="instance", identity_start=False).train()
    image = torch.rand(2, 3, 24, 32)
    network(image)[-1].square().mean().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None or p.grad.norm() < 1e-7]
    assert idle == []
    # what is normalised does not depend on the contrast of the first features
    assert len(network.state_dict()) < len(small(name).state_dict())


@pytest.mark.parametrize(
    ("name", "options", "millions"),
    [("resnet", {"blocks": 9}, 11.38), ("resnet", {"blocks": 6}, 7.84),
     ("unet", {"levels": 8}, 54.41), ("unet", {"levels": 7}, 41.83)],
)  # fmt: skip
def test_sizes_are_those_of_the_papers(name: str, options: dict, millions: float) -> None:
    with torch.device("meta"):
        network = networks.build(name, **options)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("levels", [2, 8])
def test_a_u_net_halves_down_to_its_bottom(levels: int) -> None:
    network = small("unet", base_channels=2, levels=levels, norm="instance")
    assert network.size_rule == SizeRule(multiple=2**levels, minimum=2**levels)
    image = torch.rand(1, 3, 2**levels, 2 ** (levels + 1))
    assert network(image)[-1].shape == image.shape


# --- NAFNet's local window


def test_moving_mean_is_the_mean_of_a_window_kept_inside() -> None:
    features = torch.rand(2, 3, 9, 11)
    module = LocalMean()
    module.window = 4
    means = module(features)
    for y, x in [(0, 0), (4, 5), (8, 10), (2, 9)]:
        top, left = min(max(y - 2, 0), 5), min(max(x - 2, 0), 7)
        expected = features[..., top : top + 4, left : left + 4].mean((2, 3))
        torch.testing.assert_close(means[..., y, x], expected)


def test_a_window_as_large_as_the_image_is_the_whole_image() -> None:
    network = awakened("nafnet")
    assert isinstance(network, NAFNet)
    image = torch.rand(1, 3, 16, 24)
    whole = network(image)[-1]
    network.set_local_window(24)
    torch.testing.assert_close(network(image)[-1], whole)


def test_with_a_window_the_middle_of_a_tile_agrees_with_the_whole_image() -> None:
    network = small("nafnet", encoder_blocks=(1,), decoder_blocks=(1,), scales=1, middle_blocks=0)
    assert isinstance(network, NAFNet)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    image = torch.rand(1, 3, 96, 96)

    def disagreement() -> float:
        with torch.no_grad():
            whole = network(image)[-1][..., 40:56, 40:56]
            tile = network(image[..., 16:80, 16:80])[-1][..., 24:40, 24:40]
        return (whole - tile).abs().max().item()

    assert disagreement() > 1e-3
    network.set_local_window(16)
    assert disagreement() < 1e-5


# --- discriminators


@pytest.mark.parametrize("norm", ["none", "instance", "spectral"])
@pytest.mark.parametrize("judged", ["rgb", "gradient", "rgb+gradient"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_size_of_a_discriminator_is_true(norm: str, judged: str, layers: int) -> None:
    discriminator = networks.build_any(
        "discriminator", base_channels=4, norm=norm, input=judged, layers=layers
    )
    side = discriminator.size_rule.minimum
    logits = discriminator(pyramid(torch.rand(2, 3, side, side), 3))
    assert logits[0].shape == (2, 1, 1, 1)
    # instance normalisation says it with a ValueError
    with pytest.raises((RuntimeError, ValueError)):
        discriminator(pyramid(torch.rand(2, 3, side - 1, side - 1), 3))


@pytest.mark.parametrize("norm", ["none", "instance", "spectral"])
def test_without_layers_every_pixel_is_judged_alone(norm: str) -> None:
    options = DiscriminatorOptions(base_channels=4, layers=0, norm=norm, scales=1)
    judge = MultiScaleDiscriminator(options).eval()
    (logits,) = judge([torch.rand(2, 3, 2, 2)])
    assert logits.shape == (2, 1, 2, 2)
    if norm == "none":
        image = torch.rand(1, 3, 4, 4)
        turned = judge([image.flip(-1)])[0].flip(-1)
        torch.testing.assert_close(turned, judge([image])[0])


def test_shared_discriminators_have_the_weights_of_one() -> None:
    own = networks.build_any("discriminator", base_channels=4)
    shared = networks.build_any("discriminator", base_channels=4, shared=True)
    assert len(own.state_dict()) == 3 * len(shared.state_dict())
    image = torch.rand(1, 3, 32, 32)
    first, second, third = shared([image, image, image])
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_discriminator_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'norms'; did you mean 'norm'"):
        networks.build_any("discriminator", norms="none")
    with pytest.raises(ConfigError, match="'none', 'instance' or 'spectral'"):
        networks.build_any("discriminator", norm="batch")


def test_spatial_gradient_is_the_difference_to_the_next_pixel() -> None:
    image = torch.tensor([[1.0, 4.0], [2.0, 2.0]]).view(1, 1, 2, 2)
    right, down = spatial_gradient(image)[0]
    assert right.tolist() == [[3.0, 0.0], [0.0, 0.0]]
    assert down.tolist() == [[1.0, -2.0], [0.0, 0.0]]


def test_pyramid_averages_and_does_not_alias() -> None:
    """The finest checkerboard is grey when halved; picking every second pixel would say white."""
    board = (torch.arange(8)[:, None] + torch.arange(8)[None]) % 2
    coarse, half, full = pyramid(board.float().expand(1, 3, 8, 8), 3)
    assert full.shape == (1, 3, 8, 8)
    assert torch.equal(half, torch.full((1, 3, 4, 4), 0.5))
    assert torch.equal(coarse, torch.full((1, 3, 2, 2), 0.5))


def test_band_energies_cancel_contrast_and_tell_blur() -> None:
    sharp = torch.from_numpy(skimage.data.coffee()[:256, :256].copy()).permute(2, 0, 1)[None] / 255
    flat, blurred = 0.5 + 0.5 * (sharp - 0.5), torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
    inside = (..., slice(1, -1), slice(1, -1))  # the blur darkens the border
    energies, of_flat, of_blurred = (band_energies(x)[inside] for x in (sharp, flat, blurred))
    strong = energies[:, 4:] > energies[:, 4:].median()  # elsewhere the floor is what is measured
    finest = energies[:, :2][strong]
    assert (of_flat[:, :2][strong] - finest).abs().mean() < 0.1
    assert (finest - of_blurred[:, :2][strong]).mean() > 0.3


@pytest.mark.parametrize(("kind", "count"), [("patch", 3), ("energy", 3), ("both", 6)])
def test_each_kind_of_discriminator_gives_a_logit_map_per_scale(kind: str, count: int) -> None:
    discriminator = networks.build_any("discriminator", kind=kind, base_channels=4, layers=2)
    side = discriminator.size_rule.minimum
    logits = discriminator(pyramid(torch.rand(2, 3, side, side), 3))
    assert len(logits) == count
    assert all(scale.shape[:2] == (2, 1) and scale.numel() >= 2 for scale in logits)
