"""Animations: every frame goes through, and what plays them finds the same times and ground."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from blur2blur import images
from blur2blur.errors import InputError
from blur2blur.images import animation
from blur2blur.inference import planning
from blur2blur.inference.video import clips
from blur2blur.tiling import Pixels

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DURATIONS_MS = [40, 80, 120, 330]


class Brighter:
    """Stands for a pipeline: what comes out is told from what went in."""

    def choose_factor(self, pixels: Pixels) -> int:
        return 1

    def process(self, pixels: Pixels, *, factor: int) -> Pixels:
        return np.clip(pixels + np.float32(0.2), 0, 1)


def scenes(*, clear: bool) -> list[np.ndarray]:
    down, across = np.mgrid[0:36, 0:48].astype(np.uint8)
    frames = []
    for shift in (0, 9, 18, 27):
        values = np.stack([2 * across + shift, 3 * down, 90 + across], axis=2)
        if clear:
            alpha = np.zeros((36, 48, 1), np.uint8)
            alpha[4:30, shift : shift + 15] = 255
            values = np.concatenate([values, alpha], axis=2)
        frames.append(values)
    return frames


def save(path: Path, frames: list[np.ndarray], **options: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    first, *others = map(Image.fromarray, frames)
    chosen = {"save_all": True, "append_images": others, "duration": DURATIONS_MS} | options
    if path.suffix == ".gif" and frames[0].shape[2] == 4:
        chosen["disposal"] = 2
    first.save(path, **chosen)


def shown(path: Path) -> tuple[list[np.ndarray], list[float], int | None]:
    with Image.open(path) as image:
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGBA")).astype(int))
            durations.append(image.info.get("duration"))
        return frames, durations, image.info.get("loop")


def process(source: Path, output: Path) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    clips.process(Brighter(), source, output, on_frame=lambda *each: told.append(each))  # type: ignore[arg-type]
    return told


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".apng"])
@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("loop", [0, 3])
def test_frames_change_and_the_rest_stays(
    tmp_path: Path, suffix: str, clear: bool, loop: int
) -> None:
    source, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    save(
        source, scenes(clear=clear), loop=loop, **({"lossless": True} if suffix == ".webp" else {})
    )
    assert process(source, out) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    before, after = shown(source), shown(out)
    assert after[1:] == before[1:]
    assert after[1] == DURATIONS_MS
    assert after[2] == loop
    for one, other in zip(before[0], after[0], strict=True):
        seen = one[..., 3] > 0
        assert np.array_equal(one[..., 3], other[..., 3])
        assert np.abs(other[seen] - one[seen] - [51, 51, 51, 0]).mean() < 3


def test_a_gif_that_plays_once_does_so(tmp_path: Path) -> None:
    save(tmp_path / "a.gif", scenes(clear=False))
    process(tmp_path / "a.gif", tmp_path / "b.gif")
    assert shown(tmp_path / "b.gif")[2] is None


def test_frames_laid_over_others_are_whole(tmp_path: Path) -> None:
    """Of a GIF whose later frames hold only what changes."""
    whole = scenes(clear=False)[0]
    part = Image.fromarray(np.full((9, 9, 3), 30, np.uint8))
    second = Image.fromarray(whole)
    second.paste(part, (5, 5))
    save(tmp_path / "a.gif", [whole, np.asarray(second)], duration=50)
    process(tmp_path / "a.gif", tmp_path / "b.gif")
    frames, *_ = shown(tmp_path / "b.gif")
    assert np.abs(frames[1][20:, 20:, :3] - whole[20:, 20:].astype(int) - 51).mean() < 3
    assert np.abs(frames[1][5:14, 5:14, :3] - 81).max() < 9


def test_the_still_of_an_apng_stays_one(tmp_path: Path) -> None:
    save(tmp_path / "a.png", scenes(clear=False), default_image=True, duration=DURATIONS_MS[:3])
    process(tmp_path / "a.png", tmp_path / "b.png")
    assert shown(tmp_path / "b.png")[1] == shown(tmp_path / "a.png")[1]
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["default_image"]


def test_grey_apng_stays_grey(tmp_path: Path) -> None:
    first, second = (Image.fromarray(each[..., 1]) for each in scenes(clear=False)[:2])
    second = second.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    first.save(tmp_path / "a.png", save_all=True, append_images=[second], duration=50)
    process(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert (image.mode, image.n_frames) == ("L", 2)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_metadata_are_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[315] = "Someone"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    options = {"exif": exif, "icc_profile": PROFILE}
    save(tmp_path / f"a{suffix}", scenes(clear=False), **options, xmp=xmp)
    process(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as image:
        image.load()
        assert image.getexif()[315] == "Someone"
        assert image.info["icc_profile"] == PROFILE
        assert (image.info.get("xmp") == xmp) == (suffix == ".webp")


def test_comment_of_gif_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "a.gif", scenes(clear=False), comment=b"by hand")
    process(tmp_path / "a.gif", tmp_path / "b.gif")
    with Image.open(tmp_path / "b.gif") as image:
        assert image.info["comment"] == b"by hand"


def test_another_kind_of_animation_can_be_written(tmp_path: Path) -> None:
    save(tmp_path / "a.gif", scenes(clear=True), loop=0)
    process(tmp_path / "a.gif", tmp_path / "b.webp")
    assert shown(tmp_path / "b.webp")[1] == DURATIONS_MS


@pytest.mark.parametrize(
    ("of_gif", "of_others"), [(None, 1), (0, 0), (1, 2)], ids=["once", "for ever", "twice"]
)
@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_another_kind_is_shown_as_often(
    tmp_path: Path, suffix: str, of_gif: int | None, of_others: int
) -> None:
    """A GIF tells how often it is shown again."""
    save(tmp_path / "a.gif", scenes(clear=False), **({} if of_gif is None else {"loop": of_gif}))
    process(tmp_path / "a.gif", tmp_path / f"b{suffix}")
    process(tmp_path / f"b{suffix}", tmp_path / "c.gif")
    assert shown(tmp_path / f"b{suffix}")[2] == of_others
    assert shown(tmp_path / "c.gif")[2] == of_gif


def test_the_still_of_an_apng_is_no_frame_of_a_gif(tmp_path: Path) -> None:
    save(tmp_path / "a.png", scenes(clear=False), default_image=True, duration=DURATIONS_MS[:3])
    process(tmp_path / "a.png", tmp_path / "b.gif")
    frames, durations, _ = shown(tmp_path / "b.gif")
    assert durations == DURATIONS_MS[:3]
    first = np.clip(scenes(clear=False)[1].astype(int) + 51, 0, 255)
    assert np.abs(frames[0][..., :3] - first).mean() < 6


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_damage_is_told_and_nothing_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    rows = np.random.default_rng(0).integers(0, 255, (3, 36, 48, 3), np.uint8)
    save(path, list(rows), duration=50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match=r"a\.\w+ cannot be read"):
        process(path, tmp_path / f"b{suffix}")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_too_many_pixels_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "MAX_PIXELS", 36 * 48 * 3)
    save(tmp_path / "a.gif", scenes(clear=False))
    with pytest.raises(InputError, match=r"its 4 frames of 48x36 .*-o NAME.mp4"):
        images.decode_animation(tmp_path / "a.gif")


def test_they_keep_their_names_and_need_no_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "has_av", lambda: False)
    for suffix in (".gif", ".webp", ".png", ".apng"):
        save(tmp_path / "in" / f"moving{suffix}", scenes(clear=False))
        Image.fromarray(scenes(clear=False)[0]).save(tmp_path / "in" / f"still{suffix}")
    made = planning.plan([str(tmp_path / "in")], tmp_path / "out")
    names = ["moving.apng", "moving.gif", "moving.png", "moving.webp"]
    assert [job.output.name for job in made.clips] == names
    assert [job.source.stem for job in made.photographs] == ["still"] * 4
    assert made.skipped == []
    one = planning.plan([str(tmp_path / "in" / "moving.gif")], tmp_path / "other.webp")
    assert [job.output for job in one.clips] == [tmp_path / "other.webp"]
