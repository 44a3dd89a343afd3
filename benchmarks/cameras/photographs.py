"""The photographs of a camera: blurry and sharp of different scenes, pairs, and what is tested."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarks.cameras.scale import Scale
from torch import Tensor

from blur2blur import images, tensors
from blur2blur.blur import Camera, load_camera
from blur2blur.data.folders import layout

SCENES = {"video": "reds_tr000", "video-swapped": "reds_tr001"}
"""The real videos, and the scene of each that trains; the other one is reported."""

TESTS = ("choose", "report")
_DONE, _SCENES = "done", "scenes"


@dataclass(frozen=True)
class Sources:
    """Sharp photographs, of scenes apart: for the known blur, a camera, choosing and reporting."""

    known: Sequence[Path]
    camera: Sequence[Path]
    tests: dict[str, Sequence[Path]]
    video: Path | None  # pairs of two scenes, blur/ and sharp/


def from_collection(folder: Path) -> Sources:
    """Return the sources of a folder with photos, cid22/train, cid22/val, kodak and pairs/reds."""
    video = folder / "pairs" / "reds"
    return Sources(
        known=images.find_images(folder / "photos"),
        camera=images.find_images(folder / "cid22" / "train"),
        tests={
            "choose": images.find_images(folder / "cid22" / "val"),
            "report": images.find_images(folder / "kodak"),
        },
        video=video if video.is_dir() else None,
    )


def from_photographs(folder: Path) -> Sources:
    """Return the sources of any folder of photographs: 40, 40, 10 and 10 % by name; no video."""
    paths = images.find_images(folder)
    tenth = len(paths) / 10
    known, camera, choose, report = (
        paths[round(start * tenth) : round(end * tenth)]
        for start, end in ((0, 4), (4, 8), (8, 9), (9, 10))
    )
    return Sources(known, camera, {"choose": choose, "report": report}, None)


def take(sources: Sources, name: str, scale: Scale, seed: int, folder: Path) -> None:
    """Fill `folder` with trainA, trainB, pairs/ (of trainA) and a folder per test, once.

    trainA and trainB share no photograph. A test holds blurry/ and sharp/, both as the camera
    stores them. What stood before the camera for trainB is in scenes/.
    """
    if (folder / _DONE).exists():
        return
    rng = torch.Generator().manual_seed(seed)
    if name in SCENES:
        assert sources.video is not None
        _take_frames(sources.video, SCENES[name], scale.shrink, folder)
    else:
        choice = scale.cameras[name]
        camera = Camera(load_camera(choice.camera, choice.overrides))
        for index, (path, sharp) in enumerate(_shrunken(sources.camera, scale.shrink)):
            blurry, steady = (shot[0] for shot in camera.photograph_pair(sharp[None], rng))
            file = f"{path.stem}.png"
            if index % 2:
                tensors.write_rgb(folder / "trainB" / file, steady)
                tensors.write_rgb(folder / _SCENES / file, sharp)
            else:
                tensors.write_rgb(folder / "trainA" / file, blurry)
                tensors.write_rgb(folder / "pairs" / "blurry" / file, blurry)
                tensors.write_rgb(folder / "pairs" / "sharp" / file, steady)
        for test, paths in sources.tests.items():
            for path, sharp in _shrunken(paths, scale.shrink):
                pair = camera.photograph_pair(sharp[None], rng)
                for kind, shot in zip(("blurry", "sharp"), pair, strict=True):
                    tensors.write_rgb(folder / test / kind / f"{path.stem}.png", shot[0])
    (folder / _DONE).touch()


def scenes(folder: Path) -> Path:
    """Return the folder with what stood before the camera when it took trainB."""
    return folder / _SCENES


def _take_frames(pairs: Path, training_scene: str, shrink: int, folder: Path) -> None:
    """Blurry frames of even number and sharp ones of odd number train; another scene reports."""
    training = 0
    for blurry_path, sharp_path in layout.find_pairs(pairs):
        blurry, sharp = (
            _shrink(tensors.read_rgb(path), shrink) for path in (blurry_path, sharp_path)
        )
        if not blurry_path.name.startswith(training_scene):
            targets = {"report/blurry": blurry, "report/sharp": sharp}
        elif training % 2:
            targets = {"trainB": sharp, "choose/blurry": blurry, "choose/sharp": sharp}
        else:
            targets = {"trainA": blurry, "pairs/blurry": blurry, "pairs/sharp": sharp}
        training += blurry_path.name.startswith(training_scene)
        for target, image in targets.items():
            tensors.write_rgb(folder / target / f"{blurry_path.stem}.png", image)


def _shrunken(paths: Sequence[Path], shrink: int) -> Iterator[tuple[Path, Tensor]]:
    for path in paths:
        yield path, _shrink(tensors.read_rgb(path), shrink)


def _shrink(image: Tensor, factor: int) -> Tensor:
    return torch.nn.functional.avg_pool2d(image, factor)
