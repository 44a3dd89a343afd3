"""`blur2blur deblur`: what it writes, what it keeps, what it says, how it exits."""

import errno
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from click.testing import Result
from PIL import Image, ImageCms
from typer.testing import CliRunner

from blur2blur import images, networks
from blur2blur.cli import main
from blur2blur.cli.deblur import deblur
from blur2blur.errors import CheckpointError, ConfigError, InputError
from blur2blur.images.listing import MANIFEST
from blur2blur.inference import Pipeline
from blur2blur.weights import checkpoints, headers, tracing, zoo

PHOTOGRAPH = skimage.data.chelsea()[100:161, 120:211]  # 61 x 91 pixels
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a deblurrer and a converter that change the image a little."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, role in enumerate(["deblurrer", "converter"]):
        torch.manual_seed(seed)
        network = networks.build("resnet", base_channels=4, blocks=1)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        options = network.options.model_dump()
        header = headers.Header(role=role, network="resnet", options=options)
        checkpoints.save_network(folder / f"{role}.safetensors", network, header)
        tracing.attach_graph(folder / f"{role}.safetensors")
    return folder


def _deblur(weights: Path, *arguments: str | Path) -> Result:
    deblurrer = ["--deblurrer", str(weights / "deblurrer.safetensors"), "--device", "cpu"]
    return CliRunner().invoke(main.app, ["deblur", *map(str, arguments), *deblurrer])


def _written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = orientation
    return exif


def test_output_keeps_name_size_exif_and_profile(tmp_path: Path, weights: Path) -> None:
    source = tmp_path / "in" / "photo.jpg"
    source.parent.mkdir()
    Image.fromarray(PHOTOGRAPH).save(source, quality=95, exif=_exif(6), icc_profile=PROFILE)
    result = _deblur(weights, source, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 of 1 photographs deblurred" in result.stdout
    with Image.open(tmp_path / "out" / "photo.jpg") as image:
        assert image.size == (61, 91)  # upright
        assert image.getexif()[0x010F] == "Maker"
        assert image.getexif().get(0x0112, 1) == 1
        assert image.info["icc_profile"] == PROFILE
        before = images.read_rgb(source)
        after = images.read_rgb(tmp_path / "out" / "photo.jpg")
    assert 0.001 < np.abs(before - after).mean() < 0.2


def test_output_keeps_sixteen_bits_and_alpha(tmp_path: Path, weights: Path) -> None:
    deep = PHOTOGRAPH.astype(np.uint16) * 257
    alpha = np.linspace(0, 65535, 61 * 91).astype(np.uint16).reshape(61, 91, 1)
    source = tmp_path / "photo.tif"
    tifffile.imwrite(
        source,
        np.concatenate([deep, alpha], axis=2),
        photometric="rgb",
        extrasamples=["unassalpha"],
    )
    assert _deblur(weights, source, "-o", tmp_path / "out").exit_code == 0
    written = tifffile.imread(tmp_path / "out" / "photo.tif")
    assert written.dtype == np.uint16
    assert written.shape == (61, 91, 4)
    np.testing.assert_array_equal(written[..., 3:], alpha)
    assert len(np.unique(written[..., :3])) > 256  # truly sixteen bits


def test_output_keeps_one_grey_channel(tmp_path: Path, weights: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(PHOTOGRAPH[..., 1]).save(source)
    assert _deblur(weights, source, "-o", tmp_path / "out").exit_code == 0
    with Image.open(tmp_path / "out" / "photo.png") as image:
        assert (image.mode, image.size) == ("L", (91, 61))


def test_tiles_and_batches_do_not_show(tmp_path: Path, weights: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(PHOTOGRAPH).save(source)
    _deblur(weights, source, "-o", tmp_path / "whole")
    tiles = ["--tile", "48", "--overlap", "32", "--batch", "2", "--precision", "fp32"]
    assert _deblur(weights, source, "-o", tmp_path / "tiled", *tiles).exit_code == 0
    whole, tiled = (images.read_rgb(tmp_path / name / "photo.png") for name in ("whole", "tiled"))
    assert np.abs(whole - tiled).max() < 0.1


def test_converted_images_are_saved(tmp_path: Path, weights: Path) -> None:
    source = tmp_path / "in" / "a" / "photo.png"
    source.parent.mkdir(parents=True)
    Image.fromarray(PHOTOGRAPH).save(source)
    result = _deblur(
        weights,
        *[tmp_path / "in", "-o", tmp_path / "out", "--save-converted"],
        *["--converter", weights / "converter.safetensors"],
    )
    assert result.exit_code == 0, result.output
    converted = images.read_rgb(tmp_path / "out" / "converted" / "a" / "photo.png")
    pipeline = Pipeline(
        weights / "deblurrer.safetensors", weights / "converter.safetensors", device="cpu"
    )
    expected = pipeline.run(images.read_rgb(source))
    np.testing.assert_allclose(converted, expected.converted, rtol=0, atol=0.51 / 255)
    deblurred = images.read_rgb(tmp_path / "out" / "a" / "photo.png")
    np.testing.assert_allclose(deblurred, expected.deblurred, rtol=0, atol=0.51 / 255)


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        ([], ("known-blur", None)),
        (["--converter", "generic"], ("known-blur", "generic")),
    ],
)
def test_weights_that_ship_are_the_default(options, pair, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(PHOTOGRAPH).save(source)
    words = ["deblur", str(source), "-o", str(tmp_path / "out"), "--device", "cpu", *options]
    result = CliRunner().invoke(main.app, words)
    assert result.exit_code == 0, result.output
    expected = Pipeline(*pair, device="cpu")(images.read_rgb(source))
    deblurred = images.read_rgb(tmp_path / "out" / "photo.png")
    np.testing.assert_allclose(deblurred, expected, rtol=0, atol=0.51 / 255)


def _good_and_bad(folder: Path) -> None:
    folder.mkdir()
    for name in ("a.png", "z.png"):
        Image.fromarray(PHOTOGRAPH).save(folder / name)
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:900])


def test_failed_files_are_listed_and_the_rest_is_done(tmp_path: Path, weights: Path) -> None:
    _good_and_bad(tmp_path / "in")
    result = _deblur(weights, tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 of 5 photographs deblurred" in result.stdout
    failed = result.stderr[result.stderr.index("these failed:") :].splitlines()
    assert len(failed) == 4
    assert all(
        any(name in line for line in failed) for name in ("empty.jpg", "text.jpg", "cut.png")
    )
    assert _written(tmp_path / "out") == ["a.png", "z.png"]


def test_an_older_output_is_replaced_whole_or_kept(tmp_path: Path, weights: Path) -> None:
    _good_and_bad(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a.png", "cut.png"):
        (out / name).write_bytes(b"older")
    refused = _deblur(weights, tmp_path / "in", "-o", out)
    assert isinstance(refused.exception, InputError)
    assert "a.png" in str(refused.exception)
    assert "not made by blur2blur" in str(refused.exception)
    assert (out / "a.png").read_bytes() == b"older"
    _deblur(weights, tmp_path / "in", "-o", out, "--overwrite")
    made = (out / "a.png").read_bytes()
    assert made != b"older"
    assert (out / "cut.png").read_bytes() == b"older"
    (out / "cut.png").unlink()
    (out / "a.png").write_bytes(b"ours")  # the manifest tells that this name is a result's
    assert _deblur(weights, tmp_path / "in", "-o", out).exit_code == 1
    assert (out / "a.png").read_bytes() == made


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(PHOTOGRAPH).save(source)

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = _deblur(weights, source, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST]


def test_another_kind_of_file_among_the_inputs(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    result = _deblur(weights, tmp_path / "notes.txt", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "notes.txt cannot be read: it is not an image of a known kind" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["empty", "-o", "out"], InputError, "no images in"),
        (["in/*.tif", "-o", "out"], InputError, "no images in"),
        (["missing.jpg", "-o", "out"], InputError, "no file or folder"),
        (["in", "-o", "in"], InputError, "is an input and would be overwritten"),
        (["in", "-o", "out", "--save-converted"], ConfigError, "needs --converter"),
        (["in", "-o", "out", "--tile", "8"], ConfigError, "tile 8 and overlap 96"),
        (["in", "-o", "out", "--precision", "int3"], ConfigError, "'int3' is not possible"),
        (["in", "-o", "out", "--device", "tpu"], ConfigError, "no device 'tpu'"),
        (["in", "-o", "out", "--converter", "none.pth"], CheckpointError, "none.pth"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    _good_and_bad(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    options = [] if "--device" in arguments else ["--device", "cpu"]
    deblurrer = ["--deblurrer", str(weights / "deblurrer.safetensors")]
    result = CliRunner().invoke(main.app, ["deblur", *deblurrer, *options, *arguments])
    assert isinstance(result.exception, kind)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mistake_exits_with_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["blur2blur", "deblur", "missing.jpg", "-o", "out"])
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "error: no file or folder missing.jpg\n"


def test_defaults_are_those_of_the_pipeline() -> None:
    """The command states them itself, so that its help loads nothing."""
    command = inspect.signature(deblur).parameters
    pipeline = inspect.signature(Pipeline).parameters
    names = {"tile": "tile_px", "overlap": "overlap_px", "batch": "batch_size"}
    same = ("deblurrer", "device", "backend", "precision", "ensemble", "scale", "strength")
    for name in (*same, *names):
        assert command[name].default == pipeline[names.get(name, name)].default
    # which is what None is to the pipeline, as the tests above see
    assert command["converter"].default == zoo.NONE
