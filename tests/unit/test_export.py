"""Exported files: the same numbers in every format at any size, a header, and nothing by halves."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from blur2blur import networks
from blur2blur.errors import Blur2BlurError, CheckpointError, ConfigError, InputError
from blur2blur.inference import Pipeline
from blur2blur.inference.backends import exported
from blur2blur.inference.exporting import write
from blur2blur.inference.exporting.chain import Chain
from blur2blur.networks import ImageNetwork
from blur2blur.tiling import Pixels, SizeRule
from blur2blur.weights import checkpoints, headers, verdict, zoo
from blur2blur.weights import openvino as openvino_runtime
from blur2blur.weights.quiet_openvino import load_openvino

openvino = load_openvino()

ROOT = Path(__file__).parents[2]
WINDOW_PX = 24
FORMATS = {"onnx": "net.onnx", "openvino": "net.xml", "torch-export": "net.pt2"}
# sizes below, at and above the window, and batches of one and several
SIZES = ((2, 61, 91), (1, 200, 9), (3, 24, 32), (1, 5, 5))


def _network(name: str, **options: object) -> ImageNetwork:
    """A network whose every parameter counts."""
    network = networks.build(name, identity_start=False, **options).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    return network


def _noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).random((height, width, 3), np.float32)


def _mimo(**options: object) -> ImageNetwork:
    return _network("mimo_unet", base_channels=4, blocks=1, **options)


def _unet() -> ImageNetwork:
    return _network("unet", base_channels=4, levels=2, norm="instance")


def _resnet() -> ImageNetwork:
    return _network("resnet", base_channels=4, blocks=1)


def _nafnet(**options: object) -> ImageNetwork:
    stages = {"encoder_blocks": (1,), "middle_blocks": 0, "decoder_blocks": (0,)}
    return _network("nafnet", width=4, **stages, **options)


CHAINS = {
    "mimo_unet": lambda: [_mimo(downsampling="nearest")],
    "unet_resnet": lambda: [
        _network("unet", base_channels=4, levels=2, norm="instance"),
        _resnet(),
    ],
    "nafnets": lambda: [_nafnet(), _nafnet(local_window_px=WINDOW_PX)],
}


def _save(path: Path, network: ImageNetwork, role: str, **settings: object) -> Path:
    options = network.options.model_dump()
    header = headers.Header(role=role, network=network.name, options=options, settings=settings)
    checkpoints.save_network(path, network, header)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a converter and a deblurrer, and what they are exported to."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    known = {"source": "synthetic", "camera": "known"}
    deblurrer = _save(folder / "deblurrer.safetensors", _resnet(), "deblurrer", known=known)
    converter = _save(folder / "converter.safetensors", _resnet(), "converter", known=known)
    write.export(str(deblurrer), folder / "deblurrer.onnx")
    write.export(str(deblurrer), folder / "deblurrer.xml")
    write.export(str(deblurrer), folder / "both.onnx", converter=str(converter))
    write.export(str(converter), folder / "converter.onnx")
    return folder


def _open(path: Path):
    """The rule and the function of a file; torch's own file is loaded by torch itself."""
    if path.suffix != ".pt2":
        file = exported.load(path)
        return file.size_rule, lambda image: tuple(map(torch.from_numpy, file.run(image.numpy())))
    extra = {headers.HEADER_KEY: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(path, extra_files=extra).module()
    header = json.loads(extra[headers.HEADER_KEY])
    return SizeRule(multiple=header["multiple"], minimum=header["minimum"]), program


def _once(function: Callable) -> Callable:
    """Call it once only: tracing is what takes the time here."""
    results: list[object] = []

    def call(*arguments: object) -> object:
        if not results:
            results.append(function(*arguments))
        return results[0]

    return call


@pytest.mark.parametrize("name", CHAINS)
@torch.inference_mode()
def test_every_format_gives_what_the_original_gives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(write, "_traced", _once(write._traced))
    monkeypatch.setattr(write, "_onnx_model", _once(write._onnx_model))
    chain = Chain(CHAINS[name]()).eval()
    for format, file in FORMATS.items():
        write.WRITERS[format](chain, tmp_path / "new" / file)
        rule, run = _open(tmp_path / "new" / file)
        for batch, height, width in SIZES:
            image = torch.rand(batch, 3, *rule.padded(height, width))
            results, expected = run(image), chain(image)
            assert len(results) == len(expected) == len(chain.networks)
            for result, original in zip(results, expected, strict=True):
                torch.testing.assert_close(result, original, rtol=0, atol=1e-4)
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == ["net.bin", "net.onnx", "net.pt2", "net.xml"]
    assert not any(str(ROOT).encode() in file.read_bytes() for file in files)


def test_a_file_tells_what_it_is_without_blur2blur(weights: Path):
    session = onnxruntime.InferenceSession(weights / "both.onnx")
    ports = [*session.get_inputs(), *session.get_outputs()]
    assert [port.name for port in ports] == ["image", "converted", "deblurred"]
    assert all(port.shape == ["batch", 3, "height", "width"] for port in ports)
    assert all(port.type == "tensor(float)" for port in ports)
    opsets = {
        entry.domain: entry.version for entry in onnx.load(weights / "both.onnx").opset_import
    }
    assert opsets == {"": write.ONNX_OPSET}
    assert json.loads(session.get_modelmeta().custom_metadata_map["blur2blur"]) == {
        "outputs": ["converted", "deblurred"],
        "multiple": 4,
        "minimum": 8,
        "range": "[0, 1]",
        "colour": "sRGB RGB",
        "networks": ["resnet", "resnet"],
        "weights": {
            role: hashlib.sha256((weights / f"{role}.safetensors").read_bytes()).hexdigest()
            for role in ("converter", "deblurrer")
        },
        "known_blur": "known",
        "version": exported.load(weights / "both.onnx").header.version,
    }
    model = openvino.Core().read_model(weights / "deblurrer.xml")
    assert json.loads(model.get_rt_info(["blur2blur"]).value)["outputs"] == ["deblurred"]


@pytest.mark.parametrize("file", ["deblurrer.onnx", "deblurrer.xml"])
def test_a_pipeline_takes_an_exported_deblurrer(weights: Path, file: str):
    options = {"device": "cpu", "precision": "fp32", "tile_px": 64, "overlap_px": 32}
    converter = weights / "converter.safetensors"
    image = _noise(75, 101)
    original = Pipeline(weights / "deblurrer.safetensors", converter, **options)
    exported_one = Pipeline(weights / file, converter, **options)
    np.testing.assert_allclose(exported_one(image), original(image), rtol=0, atol=1e-4)
    assert Pipeline(weights / file, device="cpu").precision == "fp32"


def test_a_pipeline_takes_an_exported_converter_and_both_in_one(weights: Path):
    image = _noise(45, 30)
    pair = Pipeline(weights / "deblurrer.onnx", weights / "converter.onnx", device="cpu")
    fused = Pipeline(weights / "both.onnx", device="cpu")
    assert (fused.backend, fused.tile_px) == ("onnxruntime", 768)
    np.testing.assert_allclose(fused(image), pair(image), rtol=0, atol=1e-4)
    one, other = fused.run(image), pair.run(image)
    np.testing.assert_allclose(one.deblurred, other.deblurred, rtol=0, atol=1e-4)


@pytest.mark.parametrize("file", ["deblurrer.onnx", "deblurrer.xml"])
def test_threads_may_share_an_exported_file(weights: Path, file: str):
    pipeline = Pipeline(weights / file, device="cpu", tile_px=64, overlap_px=32)
    images = [_noise(40 + 9 * number, 90) for number in range(8)]
    expected = [pipeline(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(pipeline, images))
    for result, alone in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, alone, rtol=0, atol=1e-6)


def test_an_exported_file_beside_what_torch_alone_runs_is_refused(weights: Path):
    with pytest.raises(ConfigError, match=r"deblurrer.onnx, one is exported and one for torch"):
        Pipeline(weights / "deblurrer.onnx", Least(), device="cpu")


def test_known_blurs_of_exported_files_are_compared(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    other = _save(tmp_path / "other.safetensors", _resnet(), "converter", known={"source": "pairs"})
    Pipeline(weights / "deblurrer.onnx", other, device="cpu")
    assert "the deblurrer undoes ('pairs', 'known')" in caplog.text


def _foreign(path: Path) -> None:
    """Somebody else's ONNX file: the identity."""
    shape = ["n", 3, "h", "w"]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"
    ]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "identity", ports[:1], ports[1:])
    opset = [onnx.helper.make_opsetid("", write.ONNX_OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)


@pytest.fixture
def wrong(weights: Path, tmp_path: Path) -> Path:
    """A folder of files that are no deblurrer."""
    onnx_bytes = (weights / "deblurrer.onnx").read_bytes()
    _foreign(tmp_path / "foreign.onnx")
    (tmp_path / "damaged.onnx").write_bytes(onnx_bytes[: len(onnx_bytes) // 2])
    (tmp_path / "empty.onnx").touch()
    model = onnx.load_from_string(onnx_bytes)
    header = {"outputs": ["other"], "multiple": 4, "minimum": 4}
    onnx.helper.set_model_props(model, {"blur2blur": json.dumps(header)})
    onnx.save(model, tmp_path / "outputs.onnx")
    onnx.helper.set_model_props(model, {"blur2blur": json.dumps({**header, "later": 1})})
    onnx.save(model, tmp_path / "later.onnx")
    (tmp_path / "program.pt2").write_bytes(b"PK")
    for name in ("lonely.xml", "short.xml", "damaged.xml"):
        (tmp_path / name).write_bytes((weights / "deblurrer.xml").read_bytes())
    (tmp_path / "short.bin").write_bytes(b"0" * 8)
    (tmp_path / "damaged.xml").write_text("<net")
    (tmp_path / "damaged.bin").touch()
    (tmp_path / "names.onnx").write_bytes(onnx_bytes.replace(b"deblurred", b"deblurre\xff"))
    xml = (weights / "deblurrer.xml").read_bytes()
    (tmp_path / "opset.xml").write_bytes(xml.replace(b'"opset1"', b'"opset99"'))
    (tmp_path / "opset.bin").write_bytes((weights / "deblurrer.bin").read_bytes())
    (tmp_path / "converter.onnx").write_bytes((weights / "converter.onnx").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.onnx", "no exported file"),
        ("foreign.onnx", "of another program"),
        ("damaged.onnx", "is damaged"),
        ("empty.onnx", "is damaged"),
        ("names.onnx", "is damaged"),
        ("outputs.onnx", "damaged or changed"),
        ("later.onnx", "another version of blur2blur"),
        ("converter.onnx", "is a converter, not a deblurrer"),
        ("program.pt2", "not '.pt2'"),
        ("lonely.xml", "needs its weights"),
        ("short.xml", "is damaged"),
        ("damaged.xml", "is damaged"),
        ("opset.xml", "unsupported opset: opset99"),
    ],
)
def test_a_wrong_file_is_one_clear_line(
    wrong: Path, file: str, message: str, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(CheckpointError, match=message) as error:
        Pipeline(wrong / file, device="cpu")
    assert file in str(error.value)
    assert "\n" not in str(error.value)
    assert ".cpp" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_both_in_one_beside_a_converter_is_refused(weights: Path):
    with pytest.raises(ConfigError, match="converts as well"):
        Pipeline(weights / "both.onnx", weights / "converter.safetensors", device="cpu")


@pytest.mark.parametrize("error", [0.01, float("nan")])
def test_a_file_with_other_numbers_is_not_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float
):
    runner = openvino_runtime.runner

    def wrong(compiled: object) -> Callable[[Pixels], tuple[Pixels, ...]]:
        run = runner(compiled)
        return lambda images: tuple(result + np.float32(error) for result in run(images))

    monkeypatch.setattr(openvino_runtime, "runner", wrong)
    with pytest.raises(CheckpointError, match=rf"differ by {error} .* 0.0001 is allowed"):
        write.export(str(weights / "deblurrer.safetensors"), tmp_path / "x.xml")
    assert list(tmp_path.iterdir()) == []


class Undecided(nn.Module):
    """A network that looks at the image to decide what to do."""

    def forward(self, image: Tensor) -> Tensor:
        return image if image.mean() > 0.5 else 1 - image


@pytest.mark.parametrize("format", FORMATS)
def test_a_network_that_cannot_be_exported_is_one_clear_line(format: str, tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot be exported for") as error:
        write.WRITERS[format](Chain([Undecided()]), tmp_path / FORMATS[format])
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("deblurrer.safetensors", "x.tflite"), {}, "names no format; known: .onnx"),
        (("deblurrer.safetensors", "x.onnx"), {"format": "onyx"}, "did you mean 'onnx'"),
        (("deblurrer.safetensors", "x.onnx"), {"format": "openvino"}, "written as .xml"),
        (("deblurrer.safetensors", "there.xml"), {}, "there.bin exists"),
        (("deblurrer.safetensors", "there.bin/x.onnx"), {}, "there.bin is a file"),
        (("converter.safetensors", "x.onnx"), {"converter": "generic"}, "is a converter"),
        (("deblurrer.safetensors", "x.onnx"), {"converter": "known-blur"}, "no converter"),
        (("kernel", "x.onnx"), {}, "is a kernel"),
        (("nothing", "x.onnx"), {}, "no deblurrer 'nothing'"),
        (("deblurrer.onnx", "x.xml"), {}, "not '.onnx'"),
    ],
)
def test_what_cannot_be_asked_for(
    weights: Path, tmp_path: Path, arguments: tuple[str, str], options: dict, message: str
):
    (tmp_path / "there.bin").touch()
    file, out = arguments
    file = str(weights / file) if "." in file else file
    with pytest.raises(Blur2BlurError, match=message) as error:
        write.export(file, tmp_path / out, **options)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["there.bin"]


@pytest.mark.parametrize(
    ("package", "out"),
    [
        ("onnx", "x.onnx"),
        ("onnxscript", "x.onnx"),
        ("onnxruntime", "x.onnx"),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, out: str
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs {package}: pip install '.*\[export\]'"):
        write.export(zoo.DEFAULT_DEBLURRER, tmp_path / out)
    assert list(tmp_path.iterdir()) == []


def test_loading_names_the_missing_extra(weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"onnxruntime: pip install '.*\[export\]'"):
        Pipeline(weights / "deblurrer.onnx", device="cpu")


def test_nothing_reports_its_use(tmp_path: Path):
    """OpenVINO reports its import and its conversions, under an identity in the home folder."""
    (tmp_path / "home").mkdir()
    code = """
import sys
from blur2blur import Pipeline
assert Pipeline(backend="openvino").backend == "openvino"
assert sys.modules["openvino_telemetry"] is None
"""
    home = {"HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **home})
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_stream(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(openvino, "save_model", full_stream)
    with pytest.raises(InputError, match="the disk is full"):
        write.WRITERS[format](Chain([Least()]).eval(), tmp_path / FORMATS[format])
    assert list(tmp_path.iterdir()) == []


class Least(nn.Module):
    """The least network."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 0.5 + 0.25


@pytest.mark.parametrize(
    ("chain", "quick"),
    [("mimo_unet", True), ("nafnets", False)],  # the moving mean decides by the image's size
)
def test_a_trace_is_used_where_it_is_faithful(chain: str, quick: bool):
    traced = write._openvino_from_trace(Chain(CHAINS[chain]()).eval())
    assert (traced is not None) is quick


def test_what_the_frontend_cannot_convert_goes_through_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise openvino.frontend.OpConversionFailure("no such operator")

    monkeypatch.setattr(openvino.frontend.FrontEnd, "convert", fail)
    write.write_openvino(Chain([_resnet()]).eval(), tmp_path / "x.xml")
    assert exported.load(tmp_path / "x.xml").header.outputs == ("deblurred",)


@pytest.mark.parametrize(("kept", "role"), [("generic", "converter"), ("none", None)])
def test_of_a_run_what_is_kept_is_written(tmp_path: Path, kept: str, role: str | None):
    scores = {
        f"{whose}_{score}": 1.0
        for whose in ("shipped", "own")
        for score in ("psnr_db", "distance", "blur_px")
    }
    told = verdict.Verdict(shipped=kept, photographs=3, held_out=True, kept=kept, **scores)
    verdict.write(tmp_path, told)
    if role:
        assert write._role(str(tmp_path)) == role
    else:
        with pytest.raises(ConfigError, match="none is better than its converter"):
            write.export(str(tmp_path), tmp_path / "x.onnx")
