"""Published datasets in miniature: their folders and file names, with images of a few pixels."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np


def save(path: Path, blurry: bool = False) -> Path:
    """Write an image that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.as_posix().encode()))
    pixels = rng.integers(0, 256, (32, 36, 3), np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (0, 0), 1.0) if blurry else pixels)
    return path


def gopro(root: Path) -> None:
    for split, scenes in {"train": (3, 4, 3), "test": (2,)}.items():
        for scene, count in enumerate(scenes):
            for number in range(count):
                folder = root / split / f"GOPR0{scene}{split == 'test':d}_07_00"
                for side in ("blur", "blur_gamma", "sharp"):
                    save(folder / side / f"{number:06d}.png", side != "sharp")


def gopro_flat(root: Path) -> None:
    for split in ("train", "test"):
        for scene in range(3):
            for side in ("input", "target"):
                save(root / split / side / f"GOPR040{scene}_11_00-000001.png", side == "input")


def reds(root: Path) -> None:
    for split, scenes in {"train": 5, "val": 2}.items():
        for scene in range(scenes):
            for number in range(2):
                for side in ("blur", "sharp"):
                    name = f"{scene:03d}/{number:08d}.png"
                    save(root / split / f"{split}_{side}" / name, side == "blur")
                save(root / split / f"{split}_blur_comp" / f"{scene:03d}/{number:08d}.jpg")


def rsblur(root: Path) -> None:
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for scene in range(4):
        for number in range(3):
            folder = f"{root.name}/{scene:04d}/{number:06d}"
            pair = (f"{folder}/gt/gt_sharp.png", f"{folder}/real_blur/real_blur.png")
            for name in (*pair, f"{folder}/avg65_img/avg_blur.png"):
                save(root.parent / name, "gt" not in name)
            lines["test" if number == 2 else "train"].append(" ".join(pair))
    for split, listed in lines.items():
        (root / f"RSBlur_real_{split}.txt").write_text("\n".join(listed) + "\n")


def rb2v(root: Path) -> None:
    for category in ("Street", "Face"):
        data: list[dict[str, str]] = []
        for scene in range(4):
            blur = f"{scene:05d}/blur/0000.png"
            save(root / category / blur, blurry=True)
            for frame in range(1, 8):
                save(root / category / f"{scene:05d}/sharp/0000_{frame}.png")
            data.append({"blur_path": blur, "partition": "test" if scene == 3 else "train"})
        (root / category / "metadata.json").write_text(json.dumps({"data": data}))


def realblur(root: Path) -> None:
    for letter, middle in (("J", ""), ("R", "BM3D_")):
        folder = f"RealBlur-{letter}_{middle}ECC_IMCORR_centroid_itensity_ref"
        lines: list[str] = []
        for scene in range(4):
            pair = [f"{folder}/scene{scene:03d}/{side}/{side}_7.png" for side in ("gt", "blur")]
            for name in pair:
                save(root / name, "blur_7" in name)
            lines.append(" ".join(pair) + " \n")
        (root / f"RealBlur_{letter}_train_list.txt").write_text("".join(lines[:3]))
        (root / f"RealBlur_{letter}_test_list.txt").write_text("".join(lines[3:]))


def hide(root: Path) -> None:
    for number, place in enumerate(("train", "test/test-close-ups", "test/test-long-shot")):
        for video in (1037, 1040):
            name = f"{number}fromGOPR{video}.MP4.png"
            save(root / place / name, blurry=True)
            save(root / "GT" / name)


TREES: dict[str, Callable[[Path], None]] = {
    "gopro": gopro,
    "reds": reds,
    "rsblur": rsblur,
    "rb2v": rb2v,
    "realblur": realblur,
    "hide": hide,
}
NAMES = {
    "gopro": "GOPRO_Large",
    "reds": "REDS",
    "rsblur": "RSBlur",
    "rb2v": "RB2V",
    "realblur": "RealBlur",
    "hide": "HIDE_dataset",
}


def make(parent: Path, name: str) -> Path:
    """Write a dataset below `parent` as it unpacks; return its top folder."""
    root = parent / NAMES[name]
    TREES[name](root)
    return root
