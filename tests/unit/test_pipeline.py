"""The pipeline: any size, in one pass, the same tiled as untiled, within its memory."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from blur2blur import networks
from blur2blur.device import find_device
from blur2blur.errors import CheckpointError, ConfigError, InputError
from blur2blur.inference import Pipeline
from blur2blur.networks import SizeRule
from blur2blur.weights import checkpoints, zoo


class Strided(nn.Module):
    """Small network with a stride, a size rule and two output scales."""

    def __init__(self, multiple: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.size_rule = SizeRule(multiple=multiple, minimum=2 * multiple)
        torch.manual_seed(seed)
        self.down = nn.Conv2d(3, 8, multiple, stride=multiple)
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 3, multiple, stride=multiple)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(tuple(image.shape))
        assert not any(side % self.size_rule.multiple for side in image.shape[-2:])
        assert min(image.shape[-2:]) >= self.size_rule.minimum
        output = image + self.up(torch.relu(self.middle(self.down(image))))
        return nn.functional.avg_pool2d(output, 2), output


class Affine(nn.Module):
    """One tensor out, no size rule: a network of somebody else."""

    def __init__(self, gain: float, offset: float = 0.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.offset = offset

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gain + self.offset


def _pipeline(*modules: nn.Module, **options: object) -> Pipeline:
    exact = {"device": "cpu", "backend": "eager", "precision": "fp32"}
    return Pipeline(*modules, **{**exact, "tile_px": 64, "overlap_px": 48, **options})


@pytest.mark.parametrize("shape", [(3, 37, 31), (2, 3, 150, 71), (3, 1, 90), (3, 1, 1)])
def test_any_size_keeps_shape_and_range(shape: tuple[int, ...]) -> None:
    pipeline = _pipeline(Strided(4), Strided(8, seed=1))
    image = torch.rand(shape)
    result = pipeline.run(image)
    assert result.converted is not None
    for picture in (pipeline(image), result.deblurred, result.converted):
        assert picture.shape == image.shape
        assert picture.dtype == image.dtype
        assert 0 <= picture.min() <= picture.max() <= 1
    torch.testing.assert_close(result.deblurred, pipeline(image), rtol=0, atol=0)


def test_tiled_equals_untiled() -> None:
    image = torch.rand(1, 3, 149, 131)
    # combined radius: two networks, 3 x 3 at strides 4 and 8: below 30 pixels
    tiled = _pipeline(Strided(8), Strided(4), tile_px=128, overlap_px=80, batch_size=2).run(image)
    whole = _pipeline(Strided(8), Strided(4), tile_px=512).run(image)
    torch.testing.assert_close(tiled.deblurred, whole.deblurred, rtol=0, atol=1e-5)
    torch.testing.assert_close(tiled.converted, whole.converted, rtol=0, atol=1e-5)


def test_converter_comes_before_deblurrer() -> None:
    image = torch.rand(3, 20, 20) * 0.5
    result = _pipeline(Affine(0.5), Affine(1.0, 0.25)).run(image)
    assert result.converted is not None
    torch.testing.assert_close(result.converted, image + 0.25)
    torch.testing.assert_close(result.deblurred, (image + 0.25) / 2)


def test_without_a_converter() -> None:
    image = torch.rand(3, 20, 20)
    result = _pipeline(Affine(2.0)).run(image)
    assert result.converted is None
    torch.testing.assert_close(result.deblurred, (2 * image).clamp(0, 1))


def test_result_can_be_used_in_training() -> None:
    """Tensors of inference mode could not: they are copied into ordinary ones."""
    result = _pipeline(Affine(1.0))(torch.rand(3, 8, 8))
    weight = torch.ones(1, requires_grad=True)
    (result * weight).sum().backward()


def test_tiles_are_bounded_and_batched() -> None:
    network = Strided(4)
    _pipeline(network, batch_size=3)(torch.rand(3, 200, 300))
    assert max(shape[0] for shape in network.seen) == 3
    assert all(max(shape[-2:]) <= 64 for shape in network.seen)


def test_networks_are_in_evaluation_mode() -> None:
    network = nn.Sequential(Affine(1.0), nn.Dropout(0.9))
    image = torch.rand(3, 16, 16)
    torch.testing.assert_close(_pipeline(network)(image), image)


class Greedy(Affine):
    """Runs out of memory above `limit` pixels per side, from the given call on."""

    limit = 40

    def __init__(self, error: Exception, *, good_calls: int = 0) -> None:
        super().__init__(1.0)
        self.error, self.good_calls = error, good_calls

    def forward(self, image: Tensor) -> Tensor:
        self.good_calls -= 1
        if max(image.shape[-2:]) > self.limit and self.good_calls < 0:
            raise self.error
        return super().forward(image)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
    RuntimeError("Exception from src/inference/src/cpp/core.cpp:109:\nstd::bad_alloc"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_out_of_memory_halves_the_tile_and_says_so_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = _pipeline(Greedy(error), tile_px=256, overlap_px=8)
    image = torch.rand(3, 100, 300)
    with caplog.at_level(logging.WARNING):
        torch.testing.assert_close(pipeline(image), image)
        pipeline(image)
    assert [record.getMessage() for record in caplog.records] == [
        "cpu ran out of memory with tiles of 256 pixels; went on with 32"
    ]


def test_out_of_memory_in_the_middle_leaves_what_is_done() -> None:
    """Also where the result is written over the image, which could not be begun again."""
    pipeline = _pipeline(Greedy(MemoryError(), good_calls=3), tile_px=64, overlap_px=8)
    image = torch.rand(3, 100, 150)
    result = image.clone()
    pipeline(result, out=result)
    torch.testing.assert_close(result, image)


def test_another_error_of_a_network_is_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="of its own"):
        _pipeline(Greedy(RuntimeError("an error of its own")))(torch.rand(3, 100, 300))


def test_out_of_memory_with_the_smallest_tile_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="too little memory even for tiles of 64 pixels"):
        _pipeline(Greedy(MemoryError()), tile_px=128, overlap_px=33)(torch.rand(3, 100, 300))


def test_the_result_may_be_written_over_the_image() -> None:
    image = torch.rand(3, 149, 171)
    pipeline = _pipeline(Strided(8), Strided(4))
    expected = pipeline(image)
    assert pipeline(image, out=image) is not None
    assert torch.equal(image, expected)


def test_the_default_tile_fits_every_network_and_overlap() -> None:
    assert _pipeline(Strided(4), tile_px=None).tile_px == 480
    assert _pipeline(Strided(256), tile_px=None).tile_px == 2 * 512
    assert _pipeline(Strided(4), tile_px=None, overlap_px=301).tile_px == 2 * 304


def test_tiles_of_a_photograph_have_one_size() -> None:
    """What runs the network prepares itself for each size anew."""
    network = Strided(4)
    _pipeline(network, overlap_px=16)(torch.rand(3, 149, 203))
    assert len({shape[-2:] for shape in network.seen}) == 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "not torch.uint8"),
        (torch.zeros(1, 8, 8), r"not torch.float32 \(1, 8, 8\)"),
        (torch.zeros(8, 8), r"\(8, 8\)"),
        (torch.zeros(3, 0, 8), r"\(3, 0, 8\)"),
        (torch.full((3, 8, 8), 255.0), "not from 255 to 255"),
        (torch.full((3, 8, 8), float("nan")), "not from nan to nan"),
    ],
)
def test_what_is_no_image_is_refused(image: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _pipeline(Affine(1.0))(image)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Conv2d(3, 3, 3), "no network from image to image"),
        (Affine(float("nan")), "not finite"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _pipeline(network)(torch.rand(3, 16, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu9"}, "no device 'gpu9'"),
        ({"precision": "fp16"}, "'fp16' is not possible .* possible: auto, .*fp32$"),
        ({"precision": "fp8"}, "'fp8' is not possible"),
        ({"tile_px": 64, "overlap_px": 64}, "tile 64 and overlap 64 do not fit"),
        ({"batch_size": 0}, "batch 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _pipeline(Affine(1.0), **options)


def test_a_network_names_the_precisions_it_can_do() -> None:
    network = Affine(1.0)
    network.precisions = ("fp32",)
    assert _pipeline(network, precision="auto").precision == "fp32"
    with pytest.raises(ConfigError, match="'bf16' is not possible"):
        _pipeline(network, precision="bf16")


def test_auto_device_is_found() -> None:
    assert find_device("auto").type in ("cpu", "cuda", "mps")


def test_from_files(tmp_path: Path) -> None:
    modules: list[nn.Module] = []
    for seed, role in enumerate(["deblurrer", "converter"]):
        torch.manual_seed(seed)
        network = networks.build("nafnet", width=4)
        header = checkpoints.Header(
            role=role, network="nafnet", options=network.options.model_dump()
        )
        checkpoints.save_network(tmp_path / f"{role}.safetensors", network, header)
        modules.append(network)
    image = torch.rand(3, 50, 50)
    files = [tmp_path / "converter.safetensors", tmp_path / "deblurrer.safetensors"]
    exact = {"device": "cpu", "backend": "eager", "precision": "fp32"}
    pipeline = Pipeline.from_files(*files, **exact)
    assert pipeline.converts
    torch.testing.assert_close(pipeline(image), Pipeline(*modules, **exact)(image))
    with pytest.raises(CheckpointError, match="is a deblurrer, not a converter"):
        Pipeline.from_files(converter=files[1], deblurrer=files[1])
    with pytest.raises(CheckpointError, match="nowhere"):
        Pipeline.from_files(deblurrer="nowhere")


@pytest.mark.skipif(not zoo.ENTRIES, reason="no weights ship with this copy")
def test_the_default_deblurrer_ships() -> None:
    pipeline = Pipeline.from_files(device="cpu")
    assert not pipeline.converts
    assert pipeline(torch.rand(3, 40, 40)).shape == (3, 40, 40)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_gpu(precision: str) -> None:
    image = torch.rand(3, 100, 100)
    exact = _pipeline(Strided(), device="cuda", precision="fp32")(image)
    half = _pipeline(Strided(), device="cuda", precision=precision)(image)
    assert half.device == image.device
    assert 10 * torch.log10(1 / (half - exact).square().mean()) > 45


@pytest.mark.parametrize(("made", "warned"), [("known", True), ("known-small", False)])
def test_a_converter_for_another_known_blur_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, made: str, warned: bool
) -> None:
    for role, camera in [("converter", made), ("deblurrer", "known-small")]:
        network = networks.build("mimo_unet", base_channels=4, blocks=1)
        header = checkpoints.Header(
            role=role,
            network="mimo_unet",
            options=network.options.model_dump(),
            settings={"known": {"source": "synthetic", "camera": camera}},
        )
        checkpoints.save_network(tmp_path / f"{role}.safetensors", network, header)
    Pipeline.from_files(tmp_path / "converter.safetensors", tmp_path / "deblurrer.safetensors")
    assert ("'known', deblurrer" in caplog.text) == warned
