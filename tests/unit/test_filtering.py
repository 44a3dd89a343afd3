"""Known pairs are ranked by their PSNR, and a range of them becomes a data folder."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from blur2blur.data.folders import filtering, layout
from blur2blur.data.folders.filtering import Range
from blur2blur.errors import DataError


def save(path: Path, blur_px: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (0, 0), blur_px) if blur_px else pixels)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five pairs, number 4 the most blurred, and photographs of a camera."""
    for number in range(5):
        save(tmp_path / f"data/trainC/set/{number}.png", 0.3 + 0.3 * number)
        save(tmp_path / f"data/trainD/set/{number}.png", 0)
    for folder in ("trainA", "trainB", "testA"):
        save(tmp_path / "data" / folder / "a.png", 0)
    return tmp_path / "data"


def measure(data: Path) -> list[filtering.MeasuredPair]:
    pairs, unreadable = filtering.measure_pairs(layout.find(data), lambda: None)
    assert unreadable == []
    return pairs


def names(pairs: list[filtering.MeasuredPair]) -> list[str]:
    return [pair.blurry.stem for pair in pairs]


def test_mildest_blur_comes_first(data: Path):
    assert names(measure(data)) == ["0", "1", "2", "3", "4"]


def test_psnr_agrees_with_torchmetrics():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (30, 20, 3), np.uint8) for _ in range(2))
    ours = filtering.psnr_db(one, other)
    tensors = [torch.from_numpy(image / 255.0) for image in (one, other)]
    expected = float(peak_signal_noise_ratio(*tensors, data_range=1.0))
    assert ours == pytest.approx(expected, abs=1e-4)
    assert filtering.psnr_db(one, one) == math.inf


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, "01234"), (0.2, 0.8, "123"), (0, 0.4, "01"), (0.8, 1, "4"), (0.5, 1, "234")],
)
def test_range_of_ranks(data: Path, low: float, high: float, expected: str):
    chosen = filtering.choose(measure(data), Range(measure="rank", low=low, high=high))
    assert "".join(names(chosen)) == expected


def test_parts_of_the_ranking_make_the_whole(data: Path):
    pairs = measure(data)
    parts = [
        pair
        for low in (0, 0.25, 0.5, 0.75)
        for pair in filtering.choose(pairs, Range(measure="rank", low=low, high=low + 0.25))
    ]
    assert parts == pairs


def test_range_of_decibels_includes_its_ends(data: Path):
    pairs = measure(data)
    kept = Range(measure="psnr_db", low=pairs[3].psnr_db, high=pairs[1].psnr_db)
    assert names(filtering.choose(pairs, kept)) == ["1", "2", "3"]


def test_empty_range_tells_what_there_is(data: Path):
    with pytest.raises(DataError, match=r"none of 5 pairs .* PSNR is \d+\.\d to \d+\.\d dB"):
        filtering.choose(measure(data), Range(measure="psnr_db", low=1, high=2))


def test_new_folder_is_a_whole_data_folder_of_links(data: Path, tmp_path: Path):
    before = sorted(data.rglob("*"))
    pairs = measure(data)
    kept = Range(measure="psnr_db", low=0, high=pairs[2].psnr_db)
    chosen = filtering.choose(pairs, kept)
    out = tmp_path / "out"
    filtering.carry_out(layout.find(data), pairs, chosen, kept, out, link=True)
    found = layout.find(out)
    assert [path.name for path, _ in found.known_pairs()] == ["2.png", "3.png", "4.png"]
    assert len(found.unknown_blurry) == len(found.unknown_sharp) == len(found.test_blurry) == 1
    assert all(path.is_symlink() for path in out.rglob("*.png"))
    assert sorted(data.rglob("*")) == before
    record = json.loads((out / "filter.json").read_text())
    assert record["measure"] == "psnr_db"
    assert [row["kept"] for row in record["pairs"]] == [False, False, True, True, True]
    assert record["pairs"][0]["blurry"] == "trainC/set/0.png"
    assert record["pairs"][0]["psnr_db"] == pytest.approx(pairs[0].psnr_db, abs=1e-3)


def test_pair_without_blur_is_mildest_and_no_number_in_json(data: Path, tmp_path: Path):
    save(data / "trainC/set/4.png", 0)
    pairs = measure(data)
    assert names(pairs)[0] == "4"
    kept = Range(measure="psnr_db", low=0, high=math.inf)
    filtering.carry_out(layout.find(data), pairs, pairs, kept, tmp_path / "out", link=False)
    record = json.loads((tmp_path / "out/filter.json").read_text())
    assert record["pairs"][0]["psnr_db"] is None
    assert record["high"] is None
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*.png"))


def test_pairs_that_cannot_be_measured_are_named(data: Path):
    (data / "trainC/set/1.png").write_bytes(b"no image")
    cv2.imwrite(str(data / "trainD/set/2.png"), np.zeros((10, 20, 3), np.uint8))
    pairs, unreadable = filtering.measure_pairs(layout.find(data), lambda: None)
    assert names(pairs) == ["0", "3", "4"]
    assert "1.png" in unreadable[0].reason
    assert "differ: 60x40 and 20x10" in unreadable[1].reason
