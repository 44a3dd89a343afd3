"""`blur2blur export`: what it writes, what it says, how it exits."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blur2blur import networks, tensors
from blur2blur.cli import main
from blur2blur.weights.checkpoints import save_network
from blur2blur.weights.headers import Header
from conftest import crops


def test_a_converter_is_exported_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    network = networks.build("resnet", base_channels=4, blocks=1)
    options = network.options.model_dump()
    for role in ("converter", "deblurrer"):
        header = Header(role=role, network="resnet", options=options)
        save_network(tmp_path / f"{role}.safetensors", network, header)
    result = CliRunner().invoke(main.app, ["export", "converter.safetensors", "-o", "new/c.onnx"])
    assert result.exit_code == 0, result.output
    *lines, last = result.output.splitlines()
    assert lines == [
        "written   new/c.onnx (onnx, opset 18; resnet)",
        "input     image: float32, N 3 H W, sRGB in [0, 1]; H and W multiples of 4, at least 8",
        "outputs   converted",
    ]
    assert last.startswith("compared  largest difference from the original ")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c.onnx"]

    tensors.write_rgb(tmp_path / "photo.png", crops("coffee", 1, 70)[0])
    files = ["--converter", "new/c.onnx", "--deblurrer", "deblurrer.safetensors"]
    arguments = ["deblur", "photo.png", "-o", "out", "--device", "cpu", "--save-converted"]
    result = CliRunner().invoke(main.app, [*arguments, *files])
    assert result.exit_code == 0, result.output
    assert tensors.read_rgb(tmp_path / "out/converted/photo.png").shape == (3, 70, 70)


def test_a_mistake_exits_with_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["blur2blur", "export", "known-blur", "-o", "x.onx"])
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == 2
    known = ".onnx (onnx), .xml (openvino), .pt2 (torch-export)"
    assert capsys.readouterr().err == f"error: x.onx: its suffix names no format; known: {known}\n"
    assert list(tmp_path.iterdir()) == []
