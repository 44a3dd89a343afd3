"""Weights of other projects: recognised and run, or refused with one line."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from blur2blur import extras, networks
from blur2blur.errors import Blur2BlurError, CheckpointError, ConfigError
from blur2blur.inference import Pipeline
from blur2blur.networks import pad_to_rule
from blur2blur.weights import third_party
from blur2blur.weights.reference_keys import mimo_unet_to_reference

pytest.importorskip("spandrel", reason="extra 'zoo' is not installed")


def _nafnet() -> torch.nn.Module:
    from spandrel.architectures.NAFNet import NAFNet

    torch.manual_seed(0)
    network = NAFNet(
        img_channel=3, width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]
    )
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):  # zero at first: the blocks would do nothing
            torch.nn.init.constant_(parameter, 0.5)
    return network.eval()


def _foreign() -> torch.nn.Module:
    from spandrel.architectures.FFTformer import FFTformer

    torch.manual_seed(0)
    return FFTformer(dim=8, num_blocks=[1, 1, 1], num_refinement_blocks=1).eval()


def _save(path: Path, weights: Mapping[str, Any]) -> Path:
    if path.suffix == ".safetensors":
        save_file(dict(weights), path)
    else:
        torch.save({"params": dict(weights)}, path)
    return path


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("make", [_nafnet, _foreign])
@torch.inference_mode()
def test_published_file_gives_the_network_back(tmp_path: Path, name: str, make) -> None:
    original = make()
    network = third_party.load(_save(tmp_path / name, original.state_dict()))
    image = torch.rand(1, 3, 32, 64)
    *_, result = network(image)
    torch.testing.assert_close(result.clamp(0, 1), original(image).clamp(0, 1), rtol=0, atol=1e-5)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == sum(
        p.numel() for p in original.parameters()
    )


@pytest.mark.parametrize("name", ["model.pkl", "7_net_G.pth"])
@torch.inference_mode()
def test_published_mimo_unet_becomes_ours(tmp_path: Path, name: str) -> None:
    original = networks.build("mimo_unet", base_channels=4, blocks=1, downsampling="nearest").eval()
    torch.nn.init.normal_(original.head_full.weight, std=0.1)
    published = mimo_unet_to_reference(original.state_dict())
    torch.save({"model": published} if name == "model.pkl" else published, tmp_path / name)
    image = torch.rand(1, 3, 32, 48)
    assert torch.equal(third_party.load(tmp_path / name)(image)[-1], original(image)[-1])


@torch.inference_mode()
def test_size_rule_is_true(tmp_path: Path) -> None:
    network = third_party.load(_save(tmp_path / "net.pth", _foreign().state_dict()))
    padded = pad_to_rule(torch.rand(1, 3, 37, 31), network.size_rule)
    assert network(padded)[-1].shape == padded.shape == (1, 3, 64, 32)


def test_pipeline_takes_the_file(tmp_path: Path) -> None:
    path = _save(tmp_path / "net.pth", _nafnet().state_dict())
    pipeline = Pipeline(path, device="cpu", precision="fp32")
    image = torch.rand(3, 37, 31)
    padded = pad_to_rule(image[None], pipeline.size_rule)
    with torch.inference_mode():
        expected = _nafnet()(padded)[0, :, :37, :31].clamp(0, 1)
    torch.testing.assert_close(pipeline(image), expected, rtol=0, atol=1e-5)


def _line(path: Path) -> str:
    with pytest.raises(Blur2BlurError) as caught:
        third_party.load(path)
    assert isinstance(caught.value, CheckpointError)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_unknown_network_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "net.safetensors", {"some.weight": torch.zeros(3)})
    assert "no network that blur2blur or spandrel knows" in _line(path)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    weights: dict[str, Tensor] = _nafnet().state_dict()
    weights["intro.bias"] = torch.zeros(99)
    assert "is almost nafnet, but intro.bias is (99,)" in _line(_save(tmp_path / "n.pth", weights))
    weights = _foreign().state_dict()
    weights["patch_embed.proj.weight"] = torch.zeros(99)
    assert "fit no network" in _line(_save(tmp_path / "net.pth", weights))


def test_upscaler_is_refused(tmp_path: Path) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    network = ESRGAN(num_filters=8, num_blocks=1, scale=4)
    path = _save(tmp_path / "net.pth", network.state_dict())
    assert "keeps three channels and the size" in _line(path)


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"params": _Evil(marker)}, tmp_path / "net.pth")
    assert "code could run" in _line(tmp_path / "net.pth")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    path = _save(tmp_path / name, _nafnet().state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    assert "damaged" in _line(path)


def test_other_suffix_and_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"onnx")
    assert ".safetensors .pth .pt .pkl .ckpt, not '.onnx'" in _line(tmp_path / "net.onnx")
    assert "no weight file" in _line(tmp_path / "missing.pth")


def test_missing_extra_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "net.pth", {"w": torch.zeros(1)})
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ConfigError, match=re.escape(extras.install("zoo"))):
        third_party.load(path)
