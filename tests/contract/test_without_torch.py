"""Deblurring, measuring and sorting photographs need no torch; what does says how to get it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from blur2blur import extras, images, networks
from blur2blur.weights import checkpoints, headers, tracing
from conftest import crops, make_camera_folder

# a module that is None cannot be imported
BLOCKED = ("torch", "torchvision", "torchmetrics", "lightning", "scipy", "skimage", "cv2")
MAIN = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))
from blur2blur.cli.main import main
main()
"""


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-W", "error", "-c", MAIN, *map(str, arguments)]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def _done(*arguments: object) -> str:
    result = _run(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, the truth of them, and a deblurrer with a graph and one without."""
    root = tmp_path_factory.mktemp("place")
    make_camera_folder(root / "phone")
    for index, crop in enumerate(crops("chelsea", 2, 96)):
        pixels = crop.permute(1, 2, 0).numpy()
        images.write_rgb(root / "truth" / f"{index}.png", pixels)
        blurry = torch.nn.functional.avg_pool2d(crop[None], 3, 1, 1)[0]
        images.write_rgb(root / "photos" / f"{index}.png", blurry.permute(1, 2, 0).numpy())
    network = networks.build("resnet", base_channels=4, blocks=1)
    header = headers.Header(
        role="deblurrer", network="resnet", options=network.options.model_dump()
    )
    for name in ("graph", "bare"):
        checkpoints.save_network(root / f"{name}.safetensors", network, header)
    tracing.attach_graph(root / "graph.safetensors")
    torch.save(network.state_dict(), root / "published.pth")
    return root


def test_photographs_are_deblurred_and_measured(place: Path, tmp_path: Path) -> None:
    """By the pair that ships, at a scale that is estimated, and both ways the same."""
    options = ["--device", "cpu", "--precision", "fp32"]
    out = tmp_path / "out"
    told = _done("deblur", place / "photos", "-o", out, "--scale", "auto", *options)
    assert "2 of 2 photographs deblurred" in told
    told = _done("evaluate", out, "--truth", place / "truth", "--report", tmp_path / "report")
    assert "PSNR" in told
    assert (tmp_path / "report" / "scores.json").is_file()
    own = tmp_path / "own"
    _done("deblur", place / "photos", "-o", own, "--deblurrer", place / "graph.safetensors")
    with Image.open(own / "0.png") as image:
        assert image.size == (96, 96)


def test_photographs_are_split(place: Path, tmp_path: Path) -> None:
    _done("data", "split", place / "phone" / "trainA", "-o", tmp_path / "data", "--ratio", "1:1")
    assert (tmp_path / "data").is_dir()


def test_clips_are_deblurred(place: Path, tmp_path: Path) -> None:
    made_clips = pytest.importorskip("made_clips")
    source = made_clips.make(tmp_path / "clip.mp4")
    deblurrer = ["--deblurrer", place / "graph.safetensors"]
    _done("deblur", source, "-o", tmp_path / "out.mp4", *deblurrer)
    assert (tmp_path / "out.mp4").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ["deblur", "photos", "-o", "out", "--deblurrer", "bare.safetensors"],
        ["deblur", "photos", "-o", "out", "--deblurrer", "published.pth"],
        ["deblur", "photos", "-o", "out", "--backend", "eager"],
        ["deblur", "photos", "-o", "out", "--device", "cuda"],
        ["train", "deblurrer", "--data", "phone", "-o", "out"],
        ["export", "known-blur", "-o", "out/x.onnx"],
        ["models", "import", "published.pth", "-o", "out/x.safetensors"],
        ["blur", "synth", "photos", "-o", "out"],
    ],
    ids=lambda arguments: " ".join(arguments[::4]),
)
def test_what_needs_torch_names_the_extra_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    result = _run(*arguments)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert " needs " in line
    assert line.endswith(extras.install("train"))
    assert sorted(place.rglob("*")) == before
