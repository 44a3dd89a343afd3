"""The pipeline: any size, in one pass, the same tiled as untiled, within its memory."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError, InputError
from blur2blur.inference import Pipeline
from blur2blur.tiling import Pixels, SizeRule
from blur2blur.weights import checkpoints, headers, zoo


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


def _noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).random((height, width, 3), np.float32)


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


@pytest.mark.parametrize("options", [{}, {"scale": "1/2"}, {"ensemble": "x8"}])
def test_strength_mixes_input_and_result(options: dict[str, object]) -> None:
    image, nets = _noise(70, 90), (Strided(8), Strided(4, seed=1))
    whole, half, none = (
        _pipeline(*nets, strength=strength, **options).process(image, keep_converted=True)
        for strength in (1.0, 0.5, 0.0)
    )
    np.testing.assert_allclose(none[..., 3:], image, atol=1e-6)
    inside = (whole > 0) & (whole < 1)  # clamped values are mixed before they are clamped
    np.testing.assert_allclose(
        half[..., 3:][inside[..., 3:]], ((whole[..., 3:] + image) / 2)[inside[..., 3:]], atol=1e-5
    )
    np.testing.assert_array_equal(half[..., :3], whole[..., :3])  # the converted image is whole
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="it goes from 0, no change, to 1"):
            _pipeline(*nets, strength=wrong)


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
        "cpu ran out of memory with tiles of 256 pixels; going on with 128",
        "cpu ran out of memory with tiles of 128 pixels; going on with 64",
        "cpu ran out of memory with tiles of 64 pixels; going on with 32",
    ]


def test_out_of_memory_in_the_middle_leaves_what_is_done() -> None:
    """Also where the result is written over the image, which could not be begun again."""
    pipeline = _pipeline(Greedy(MemoryError(), good_calls=3), tile_px=64, overlap_px=8)
    image = _noise(100, 150)
    result = image.copy()
    assert pipeline.process(result, out=result) is result
    np.testing.assert_allclose(result, image, rtol=0, atol=1e-6)


def test_another_error_of_a_network_is_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="of its own"):
        _pipeline(Greedy(RuntimeError("an error of its own")))(torch.rand(3, 100, 300))


def test_out_of_memory_with_the_smallest_tile_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="too little memory even for tiles of 64 pixels"):
        _pipeline(Greedy(MemoryError()), tile_px=128, overlap_px=33)(torch.rand(3, 100, 300))


def test_the_result_may_be_written_over_the_image() -> None:
    image = _noise(149, 171)
    pipeline = _pipeline(Strided(8), Strided(4))
    expected = pipeline.process(image)
    assert pipeline.process(image, out=image) is image
    assert np.array_equal(image, expected)


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


def test_auto_device_is_found() -> None:
    assert _pipeline(Affine(1.0), device="auto").device.partition(":")[0] in ("cpu", "cuda", "mps")


def _save(path: Path, role: str, **settings: object) -> networks.ImageNetwork:
    network = networks.build("resnet", base_channels=4, blocks=1, identity_start=False)
    options = network.options.model_dump()
    header = headers.Header(role=role, network="resnet", options=options, settings=settings)
    checkpoints.save_network(path, network, header)
    return network


def test_files_are_their_networks(tmp_path: Path) -> None:
    files = {role: tmp_path / f"{role}.safetensors" for role in ("deblurrer", "converter")}
    modules = [_save(path, role) for role, path in files.items()]
    image = _noise(50, 50)
    exact = {"device": "cpu", "precision": "fp32"}
    pipeline = Pipeline(*files.values(), **exact)
    assert pipeline.converts
    expected = Pipeline(*modules, **exact, backend="eager")(image)
    np.testing.assert_allclose(pipeline(image), expected, rtol=0, atol=1e-4)
    with pytest.raises(CheckpointError, match="is a deblurrer, not a converter"):
        Pipeline(files["deblurrer"], files["deblurrer"])
    with pytest.raises(CheckpointError, match="nowhere"):
        Pipeline("nowhere")


def test_the_deblurrer_that_ships_is_the_default() -> None:
    pipeline = Pipeline(device="cpu", precision="fp32")
    assert not pipeline.converts
    image = _noise(40, 40)
    named = Pipeline(zoo.DEFAULT_DEBLURRER, zoo.NONE, device="cpu", precision="fp32")
    assert np.array_equal(pipeline(image), named(image))


def test_a_converter_brings_the_deblurrer_that_it_was_trained_through(
    tmp_path: Path, other_deblurrer: str
) -> None:
    options = {"device": "cpu", "precision": "fp32"}
    image = _noise(40, 40)
    converter = tmp_path / "converter.safetensors"
    _save(converter, "converter", deblurrer=other_deblurrer)
    both = Pipeline(converter=converter, **options)(image)
    assert np.array_equal(both, Pipeline(other_deblurrer, converter, **options)(image))
    default = Pipeline(zoo.DEFAULT_DEBLURRER, converter, **options)(image)
    assert not np.array_equal(both, default)


def test_the_converter_that_ships_brings_the_deblurrer_that_ships() -> None:
    assert zoo.pair(zoo.DEFAULT, "generic") == (zoo.DEFAULT_DEBLURRER, "generic")


def test_a_pipeline_tells_how_it_was_built_and_can_be_sent_to_other_processes() -> None:
    pipeline = Pipeline("known-blur", None, device="cpu", precision="fp32", tile_px=320)
    text = repr(pipeline)
    assert text.startswith("Pipeline(deblurrer='known-blur', converter=None, device='cpu'")
    assert "tile_px=320" in text
    assert text.endswith(") on cpu by openvino in fp32")
    sent = pickle.loads(pickle.dumps(pipeline))
    assert repr(sent) == text
    image = _noise(40, 40)
    assert np.array_equal(sent(image), pipeline(image))


@pytest.mark.parametrize("backend", ["openvino", "eager"])
def test_threads_may_share_a_pipeline(backend: str) -> None:
    """Each with images of its own, of sizes of their own, all at once."""
    torch.manual_seed(0)
    network = networks.build("resnet", base_channels=4, blocks=1, identity_start=False)
    options = {"device": "cpu", "precision": "fp32", "tile_px": 64, "overlap_px": 32}
    pipeline = Pipeline(network, backend=backend, **options)
    images = [_noise(40 + 9 * number, 90) for number in range(12)]
    expected = [pipeline(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(pipeline, images))
    for result, alone in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, alone, rtol=0, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_gpu(precision: str) -> None:
    image = torch.rand(3, 100, 100)
    exact = _pipeline(Strided(), device="cuda", precision="fp32")(image)
    half = _pipeline(Strided(), device="cuda", precision=precision)(image)
    assert 10 * torch.log10(1 / (half - exact).square().mean()) > 45


@pytest.mark.parametrize(("made", "warned"), [("known", True), ("phone", False)])
def test_a_converter_for_another_known_blur_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, made: str, warned: bool
) -> None:
    files = {role: tmp_path / f"{role}.safetensors" for role in ("deblurrer", "converter")}
    for (role, path), camera in zip(files.items(), ("phone", made), strict=True):
        _save(path, role, known={"source": "synthetic", "camera": camera})
    Pipeline(*files.values(), device="cpu")
    assert ("makes another known blur" in caplog.text) == warned
    assert ("('known', 'phone')" in caplog.text) == warned


def test_a_closed_pipeline_says_so() -> None:
    with Pipeline() as pipeline:
        pipeline(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match="this pipeline is closed"):
        pipeline(np.zeros((8, 8, 3), np.uint8))
