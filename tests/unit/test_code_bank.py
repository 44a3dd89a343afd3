"""The bank of codes: read once, kept on disk, never trained, the same for the same seed."""

import logging
from pathlib import Path

import pytest
import torch

from blur2blur import networks
from blur2blur.errors import InputError
from blur2blur.training import code_bank
from blur2blur.training.code_bank import CodeBank
from blur2blur.weights import checkpoints, headers
from extractors import write_extractor

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLUR2BLUR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def extractor(tmp_path: Path) -> str:
    return write_extractor(tmp_path / "extractor.safetensors")


def pairs(data: Path) -> dict[str, list[Path]]:
    return {
        "known_blurry": sorted((data / "trainC").iterdir()),
        "known_sharp": sorted((data / "trainD").iterdir()),
    }


def blurred(bank: CodeBank, seed: int = 0, side: int = 64) -> torch.Tensor:
    sharp = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(9))
    return bank.blur(sharp, torch.Generator().manual_seed(seed))


def test_codes_are_read_once_and_then_taken_from_disk(cache, extractor, camera_folder, monkeypatch):
    first = blurred(CodeBank(extractor, pairs(camera_folder), CPU))
    assert len(list((cache / "codes").iterdir())) == 1

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(code_bank, "read_code", refuse)
    assert torch.equal(blurred(CodeBank(extractor, pairs(camera_folder), CPU)), first)


def test_other_weights_pairs_or_reduction_are_other_codes(
    cache, extractor, camera_folder, tmp_path
):
    some = {role: paths[:2] for role, paths in pairs(camera_folder).items()}
    CodeBank(extractor, pairs(camera_folder), CPU)
    CodeBank(extractor, some, CPU)
    CodeBank(extractor, some, CPU, shrink=2)
    CodeBank(write_extractor(tmp_path / "other.safetensors", seed=1), some, CPU)
    assert len(list((cache / "codes").iterdir())) == 4


def test_a_damaged_file_is_read_anew_and_an_unwritable_place_is_no_obstacle(
    cache, extractor, camera_folder, caplog
):
    first = blurred(CodeBank(extractor, pairs(camera_folder), CPU))
    (kept,) = (cache / "codes").iterdir()
    kept.write_bytes(b"damaged")
    assert torch.equal(blurred(CodeBank(extractor, pairs(camera_folder), CPU)), first)
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert torch.equal(blurred(CodeBank(extractor, pairs(camera_folder), CPU)), first)
    assert "codes of the pairs are not kept" in caplog.text


@pytest.mark.parametrize("vae", [False, True])
def test_same_seed_same_blur_other_seed_another(vae, cache, camera_folder, tmp_path):
    bank = CodeBank(
        write_extractor(tmp_path / "x.safetensors", seed=0, vae=vae), pairs(camera_folder), CPU
    )
    assert torch.equal(blurred(bank), blurred(bank))
    assert not torch.equal(blurred(bank), blurred(bank, seed=1))


def test_images_of_any_size_keep_it(cache, extractor, camera_folder):
    bank = CodeBank(extractor, pairs(camera_folder), CPU)
    assert blurred(bank, side=41).shape == (2, 3, 41, 41)
    assert blurred(bank, side=200).shape == (2, 3, 200, 200)  # more codes than any pair has


def test_a_pair_that_is_too_small_is_named(cache, tmp_path, camera_folder):
    torch.manual_seed(0)
    network = networks.build_any("kernel_wizard", channels=4, levels=5, code_channels=4)
    options = network.options.model_dump()
    header = headers.Header(role="kernel", network="kernel_wizard", options=options)
    checkpoints.save_network(tmp_path / "full.safetensors", network, header)
    with pytest.raises(InputError, match=r"trainC/0\.png and .*96x96 is too small.*256"):
        CodeBank(str(tmp_path / "full.safetensors"), pairs(camera_folder), CPU)
