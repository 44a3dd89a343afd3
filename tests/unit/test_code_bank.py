"""The bank of codes: read once, kept on disk, never trained, the same for the same seed."""

import os
import shutil
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


def test_a_photograph_of_equal_size_and_date_is_another(cache, extractor, camera_folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(camera_folder, data)
    one, other = pairs(data)["known_blurry"][:2]
    size = max(one.stat().st_size, other.stat().st_size)
    one.write_bytes(one.read_bytes().ljust(size, b"\0"))
    date_ns = one.stat().st_mtime_ns
    first = blurred(CodeBank(extractor, pairs(data), CPU))
    one.write_bytes(other.read_bytes().ljust(size, b"\0"))
    os.utime(one, ns=(date_ns, date_ns))
    assert not torch.equal(blurred(CodeBank(extractor, pairs(data), CPU)), first)


def test_a_moved_data_folder_has_the_same_codes(cache, extractor, camera_folder, tmp_path):
    shutil.copytree(camera_folder, tmp_path / "moved")
    CodeBank(extractor, pairs(camera_folder), CPU)
    CodeBank(extractor, pairs(tmp_path / "moved"), CPU)
    assert len(list((cache / "codes").iterdir())) == 1


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
