"""Sharing a camera: there and back by file and by hub, and what strangers' files may hold."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blur2blur import networks, tensors
from blur2blur.cli import main
from blur2blur.errors import Blur2BlurError, CheckpointError
from blur2blur.weights import checkpoints, headers, packing, zoo
from conftest import crops
from loopback_hub import serving


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder, as far as it is shared."""
    network = networks.build("mimo_unet", base_channels=4, blocks=1)
    header = headers.Header(
        role="converter", network=network.name, options=network.options.model_dump(), step=7,
        metrics={"psnr": 30.25}, settings={"deblurrer": "known-blur"}, version="0.1.0",
    )  # fmt: skip
    checkpoints.save_network(tmp_path / "run/best.safetensors", network, header)
    tensors.write_rgb(tmp_path / "run/samples/0000007.png", crops("coffee", 1, 32)[0])
    return tmp_path / "run"


def command(*words: object) -> str:
    result = CliRunner().invoke(main.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


@pytest.mark.parametrize("sample", [True, False])
def test_a_camera_goes_there_and_back(run: Path, tmp_path: Path, sample: bool):
    packed = tmp_path / "camera.b2b"
    command(
        "models", "pack", run, "-o", packed, "--licence", "cc-by-4.0",
        "--sample" if sample else "--no-sample",
    )  # fmt: skip
    weights = (run / "best.safetensors").read_bytes()
    assert zoo.resolve(str(packed), role="converter").read_bytes() == weights
    with zipfile.ZipFile(packed) as archive:
        card = archive.read(packing.CARD).decode()
        assert (packing.SAMPLE in archive.namelist()) == sample == ("sample.png" in card)
    told = ('license: "cc-by-4.0"', "mimo_unet", "7 steps", "| psnr | 30.25 |", "known-blur")
    assert all(each in card for each in told)
    with pytest.raises(CheckpointError, match="is a converter, not a deblurrer"):
        zoo.resolve(str(packed), role="deblurrer")


def test_a_camera_is_pushed_and_used_by_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    packed = tmp_path / "camera.b2b"
    command("models", "pack", run, "-o", packed)
    with serving(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_TOKEN", "other")
        hub.token = "secret"
        with pytest.raises(CheckpointError, match="not open to you"):
            packing.push(packed, "me/camera", private=True)
        monkeypatch.setenv("HF_TOKEN", "secret")
        assert "--converter hf:me/camera" in command("models", "push", packed, "me/camera")
        assert set(hub.files) == {
            f"me/camera/{name}"
            for name in (packing.TOLD, packing.CARD, packing.SAMPLE, "converter.safetensors")
        }
        assert b"--converter hf:me/camera " in hub.files[f"me/camera/{packing.CARD}"]
        tensors.write_rgb(tmp_path / "photo.png", crops("chelsea", 1, 64)[0])
        command(
            "deblur", tmp_path / "photo.png", "-o", tmp_path / "out", "--converter", "hf:me/camera"
        )
        assert (tmp_path / "out/photo.png").is_file()


def rewritten(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def told(**values: object) -> Callable[[dict[str, bytes]], object]:
    def change(parts: dict[str, bytes]) -> None:
        parts[packing.TOLD] = json.dumps({**json.loads(parts[packing.TOLD]), **values}).encode()

    return change


SPOILED: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "no table": (lambda parts: parts.update({packing.TOLD: b"[]"}), "no table"),
    "no JSON": (lambda parts: parts.update({packing.TOLD: b"{"}), "is damaged"),
    "without": (lambda parts: parts.pop(packing.TOLD), "lacks a camera.json"),
    "large": (lambda parts: parts.update({packing.TOLD: bytes(2_000_000)}), "of fit size"),
    "no weights": (lambda parts: parts.pop("converter.safetensors"), "missing"),
    "tampered": (
        lambda parts: parts.update({"converter.safetensors": b"other"}), "not those that it tells",
    ),
    "bomb": (lambda parts: parts.update({packing.CARD: bytes(2_000_000)}), "too large"),
    "stranger": (lambda parts: parts.update({"../evil.py": b""}), "'../evil.py' is no part"),
    "newer": (told(format=2), "no camera that this blur2blur shares"),
    "role": (told(role="discriminator"), "no camera that this blur2blur shares"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILED)
def test_files_of_strangers_are_checked(run: Path, tmp_path: Path, kind: str):
    change, message = SPOILED[kind]
    path = tmp_path / "camera.b2b"
    packing.pack(run, path, licence="unknown", sample=True)
    rewritten(path, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        zoo.resolve(str(path), role="converter")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off(run: Path, tmp_path: Path, share: float):
    path = tmp_path / "camera.b2b"
    packing.pack(run, path, licence="unknown", sample=True)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="is damaged"):
        zoo.resolve(str(path), role="converter")


@pytest.mark.parametrize("out", ["camera.zip", "there.b2b"])
def test_what_cannot_be_packed(run: Path, tmp_path: Path, out: str):
    (tmp_path / "there.b2b").touch()
    with pytest.raises(Blur2BlurError, match=out):
        packing.pack(run, tmp_path / out, licence="unknown", sample=True)
    with pytest.raises(CheckpointError, match=r"holds no weights"):
        packing.pack(tmp_path, tmp_path / "new.b2b", licence="unknown", sample=True)
