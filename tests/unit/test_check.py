"""Every fault that would stop training is found beforehand, and named."""

import shutil
from pathlib import Path

import cv2
import numpy as np

from blur2blur.data.folders import layout
from blur2blur.data.folders.check import Report, check


def save(path: Path, size: tuple[int, int] = (64, 64), seed: int = 0, blur_px: float = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (0, 0), blur_px) if blur_px else pixels)


def report_of(root: Path, crop_px: int = 64) -> Report:
    return check(layout.find(root), crop_px, lambda: None)


def good_data(root: Path) -> None:
    for number in range(3):
        save(root / f"trainA/{number}.png", (64, 80 + number), number, blur_px=2)
        save(root / f"trainB/other{number}.png", seed=10 + number)
        for folder in ("trainC", "trainD", "testA", "testB"):
            save(root / f"{folder}/{number}.png", seed=20 + number)


def test_nothing_wrong(tmp_path: Path):
    good_data(tmp_path)
    seen: list[None] = []
    report = check(layout.find(tmp_path), 64, lambda: seen.append(None))
    assert report.problems == report.hints == ()
    assert len(seen) == 18
    folders = {folder.name: folder for folder in report.folders}
    assert list(folders) == list(layout.FOLDERS)
    blurry = folders["trainA"]
    assert (blurry.files, blurry.smallest, blurry.largest, blurry.distinct_sizes) == (
        3,
        (64, 80),
        (64, 82),
        3,
    )
    assert max(blurry.sharpness) < min(folders["trainB"].sharpness)
    assert [len(pairing.pairs) for pairing in report.pairings] == [3, 3]


def test_unreadable_also_behind_the_header(tmp_path: Path):
    good_data(tmp_path)
    path = tmp_path / "trainD/1.png"
    path.write_bytes(path.read_bytes()[:-2000])
    (problem,) = report_of(tmp_path).problems
    assert problem.startswith("trainD: 1 unreadable")
    assert str(path) in problem


def test_smaller_than_the_crop_where_a_training_cuts_crops(tmp_path: Path):
    good_data(tmp_path)
    save(tmp_path / "testA/1.png", (20, 20))
    save(tmp_path / "testB/1.png", (20, 20))
    (problem,) = report_of(tmp_path).problems
    assert "testA: 1 smaller than the crop of 64 px" in problem  # a converter is judged by it
    shutil.rmtree(tmp_path / "trainA")
    save(tmp_path / "trainB/small.png", (63, 200))
    (problem,) = report_of(tmp_path).problems
    assert "trainB: 1 smaller than the crop of 64 px" in problem
    assert "trainB/small.png" in problem


def test_pairs_of_two_sizes_and_without_partner(tmp_path: Path):
    good_data(tmp_path)
    save(tmp_path / "trainC/2.png", (64, 96))
    save(tmp_path / "trainD/extra.png")
    (tmp_path / "testB/0.png").unlink()
    text = "\n".join(report_of(tmp_path).problems)
    assert "trainC/2.png is 96x64, trainD/2.png 64x64" in text
    assert "trainD/extra.png" in text
    assert "1 files of testA and testB" in text


def test_half_of_the_pairs_and_nothing_to_train_on(tmp_path: Path):
    save(tmp_path / "a/trainC/1.png")
    (tmp_path / "a/trainD").mkdir()
    assert any(
        "trainD" in line and "is empty" in line for line in report_of(tmp_path / "a").problems
    )
    save(tmp_path / "b/trainA/1.png")
    assert any("no known blur" in line for line in report_of(tmp_path / "b").problems)


def test_swapped_folders_are_hinted_at(tmp_path: Path):
    for number in range(2):
        save(tmp_path / f"trainA/{number}.png", seed=number)
        save(tmp_path / f"trainB/{number}.png", seed=number + 5, blur_px=2)
    report = report_of(tmp_path)
    assert report.problems == ()
    assert any("swapped" in hint for hint in report.hints)


def test_a_file_in_both_folders_is_told(tmp_path: Path):
    good_data(tmp_path)
    first = sorted((tmp_path / "trainA").iterdir())[0]
    shutil.copy(first, tmp_path / "trainB/again.png")
    (problem,) = report_of(tmp_path).problems
    assert problem.startswith("trainA and trainB: 1 files are in both")
    assert problem.endswith(f"trainA/{first.name}")
