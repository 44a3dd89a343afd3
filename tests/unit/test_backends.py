"""Backends: all give what torch gives in float32, or say in one line why they cannot run."""

import logging
from pathlib import Path

import pytest
import skimage.data
import torch
from torch import Tensor, nn

import conftest
from blur2blur import networks
from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.inference import Pipeline, backends
from blur2blur.inference.backends import cache, precision
from blur2blur.inference.chain import Chain
from blur2blur.weights import zoo

CPU = torch.device("cpu")

needs_bf16 = pytest.mark.skipif(
    not precision.cpu_computes_bf16(), reason="this processor does not compute in bf16"
)


def _chain(seed: int = 0) -> Chain:
    torch.manual_seed(seed)
    options = {"base_channels": 4, "blocks": 1, "identity_start": False}
    return Chain([networks.build("mimo_unet", **options) for _ in range(2)]).eval()


def _photograph() -> Tensor:
    pixels = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1) / 255
    return pixels[:, 100:228, 150:310]


def _psnr_db(one: Tensor, other: Tensor) -> float:
    return float(-10 * (one - other).square().mean().log10())


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLUR2BLUR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_converted_chain_gives_what_torch_gives(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends.converted, "_PLANNED_VALUES", 2 * 3 * 64 * 160)  # the second image
    chain = _chain()
    engine = backends.build(chain, CPU, backend=backend, precision="fp32")
    for shape in [(1, 3, 64, 96), (2, 3, 64, 160), (1, 3, 128, 64)]:
        image = torch.rand(shape)
        with torch.inference_mode():
            expected = chain(image)
        found = engine.restore(image)
        engine.restore(torch.zeros_like(image))  # must not write over what was returned
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow  # compiling takes half a minute
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch of itself
def test_the_compiled_chain_gives_what_torch_gives() -> None:
    chain = _chain()
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = chain(image)
    engine = backends.build(chain, CPU, backend="compile", precision="fp32")
    torch.testing.assert_close(engine.restore(image), expected, rtol=0, atol=1e-4)


@needs_bf16
@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_bf16_holds_50_db(backend: str) -> None:
    """With the weights that ship, on a photograph, through both networks."""
    files = (zoo.DEFAULT_CONVERTER, zoo.DEFAULT_DEBLURRER)
    exact = Pipeline.from_files(*files, device="cpu", backend="eager", precision="fp32")
    half = Pipeline.from_files(*files, device="cpu", backend=backend, precision="bf16")
    image = _photograph()
    expected, found = exact.run(image), half.run(image)
    assert found.deblurred.dtype == torch.float32
    assert _psnr_db(found.converted, expected.converted) > 50
    assert _psnr_db(found.deblurred, expected.deblurred) > 50


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_processor_computes_in(
    native: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_computes_bf16", lambda: native)
    assert backends.build(_chain(), CPU).precision == chosen
    assert backends.build(_chain(), CPU, backend="eager", precision="fp32").precision == "fp32"
    if not native:
        with pytest.raises(ConfigError, match=r"'bf16' is not possible .* auto, fp32$"):
            backends.build(_chain(), CPU, precision="bf16")


@pytest.mark.parametrize(
    ("options", "device", "message"),
    [
        ({"backend": "tensorrt"}, "cpu", "no backend 'tensorrt'; known: auto, eager"),
        ({"backend": "openvino"}, "cuda", "runs on the device cpu, not on cuda"),
        ({"backend": "onnxruntime", "precision": "bf16"}, "cpu", "possible: auto, fp32$"),
    ],
)
def test_what_is_not_possible_is_one_line(
    options: dict[str, str], device: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        backends.build(_chain(), torch.device(device), **options)


class Asking(nn.Module):
    """What a trace makes a constant of: it cannot be converted."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 0.5 if image.shape[-1] > 100 else image


def test_what_cannot_be_converted_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot be exported .*; use the backend eager"):
        backends.build(Chain([Asking()]).eval(), CPU, backend="openvino")


@pytest.mark.parametrize("factor", [0.8, float("nan")])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_conversion_that_does_something_else_is_refused(precision: str, factor: float) -> None:
    chain, tolerance = _chain(), backends.converted._TRIAL_TOLERANCE[precision]
    backends.converted._compare(chain, chain, tolerance)
    with pytest.raises(CheckpointError, match="answers something else at another size"):
        backends.converted._compare(
            lambda tiles: tuple(factor * t for t in chain(tiles)), chain, tolerance
        )


def test_converting_leaves_the_networks_trainable(own_cache: Path) -> None:
    chain = _chain()
    chain.networks[0].requires_grad_(False)
    backends.build(chain, CPU, backend="openvino", precision="fp32")
    assert [p.requires_grad for p in chain.parameters()] == [
        trained for network, trained in zip(chain.networks, (False, True), strict=True)
        for _ in network.parameters()
    ]  # fmt: skip


def test_auto_takes_openvino_for_networks_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_can_take_over", conftest.can_take_over)
    assert backends.build(_chain(), CPU).backend == "openvino"
    assert backends.build(Chain([Asking()]), CPU).backend == "eager"
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    assert backends.build(_chain(), CPU).backend == "eager"


def test_auto_goes_on_with_eager_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise CheckpointError("these networks cannot be converted")

    monkeypatch.setattr(backends, "_can_take_over", conftest.can_take_over)
    monkeypatch.setattr(backends.converted, "openvino_restore", fail)
    with caplog.at_level(logging.WARNING):
        assert backends.build(_chain(), CPU).backend == "eager"
    assert [record.getMessage() for record in caplog.records] == [
        "these networks cannot be converted; went on with the backend eager"
    ]


def _note(path: Path) -> None:
    path.write_text("converted")
    with (path.parent / "calls").open("a") as file:
        file.write("x")


def _make(chain: Chain, write=_note, runtime: str = "1") -> tuple[Path, str]:
    with cache.model_file(chain, "model.xml", write, runtime=runtime) as path:
        return path, path.read_text()


def test_a_conversion_is_made_once(own_cache: Path) -> None:
    first, _ = _make(_chain())

    def fail(_: Path) -> None:
        raise AssertionError("converted again")

    assert _make(_chain(), fail)[0] == first
    assert first.is_relative_to(own_cache)
    others = [_make(_chain(seed=1))[0], _make(_chain(), runtime="2")[0]]
    chain = _chain()
    chain.networks[0].options = chain.networks[0].options.model_copy(update={"blocks": 2})
    others.append(_make(chain)[0])
    assert len({first, *others}) == 4


def test_networks_that_weights_do_not_tell_are_not_kept(own_cache: Path) -> None:
    path, _ = _make(Chain([Asking()]))
    assert not path.exists()
    assert not own_cache.exists()


def test_out_of_memory_is_told_by_an_errors_cause_too() -> None:
    error = CheckpointError("the exported network failed")
    assert not backends.is_out_of_memory(error)
    error.__cause__ = RuntimeError("std::bad_alloc")
    assert backends.is_out_of_memory(error)
