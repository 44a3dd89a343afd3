"""Blurry to A, sharp to B, and no moment on both sides."""

import errno
import itertools
import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from blur2blur import images
from blur2blur.data.folders import measure, moments, split
from blur2blur.data.folders.measure import Measured
from blur2blur.errors import DataError, InputError


def scene(seed: int, blur_px: float = 0.0, shift: int = 0) -> np.ndarray:
    """Return a picture of its own: coarse shapes, fine texture; `shift` moves the camera."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (6, 6, 3)).astype(np.float32), (160, 128))
    picture = np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.float32)
    if blur_px:
        picture = cv2.GaussianBlur(picture, (0, 0), blur_px)
    return np.ascontiguousarray(picture[:96, shift : shift + 128]).round().astype(np.uint8)


def save(path: Path, pixels: np.ndarray, taken: datetime | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = Image.Exif()
    if taken:
        block.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    Image.fromarray(pixels).save(path, exif=block.tobytes())


def find_sources(folder: Path, out: Path) -> tuple[Path, ...]:
    return split.find_sources(folder, out, lambda: None).photographs


def make_plan(folder: Path, share: float | None = 0.6, gap_seconds: float = 30.0) -> split.Plan:
    sources = find_sources(folder, folder.parent / "out")
    return split.plan(
        folder, sources, blurry_share=share, gap_seconds=gap_seconds, advance=lambda: None
    )


def names(plan: split.Plan, side: split.Side) -> set[str]:
    return {file.source.name for file in plan.on(side)}


class TestEdgeSharpness:
    def test_falls_with_blur(self):
        for values in zip(
            *(measure.edge_sharpness(scene(1, blur)) for blur in (0, 1, 2, 4)), strict=True
        ):
            assert list(values) == sorted(values, reverse=True)

    def test_does_not_follow_contrast(self):
        edges = np.kron(np.random.default_rng(0).integers(0, 2, (8, 8)), np.ones((24, 24)))
        values = [
            measure.edge_sharpness(
                np.full((192, 192, 3), 60 + edges[..., None] * height, np.uint8)
            )[0]
            for height in (60, 180)
        ]
        assert values[0] == pytest.approx(values[1], rel=0.01)
        assert 35 < values[0] < 45

    def test_empty_surroundings_do_not_count_as_blur(self):
        subject = np.full((480, 640, 3), 128, np.uint8)
        subject[120:312, 160:416] = np.tile(scene(1), (2, 2, 1))
        ours = measure.edge_sharpness(subject)[0] / measure.edge_sharpness(scene(1))[0]
        plain = images.sharpness(subject) / images.sharpness(scene(1))
        assert ours > 0.7
        assert plain < 0.3

    @pytest.mark.parametrize("shape", [(1, 1, 3), (5, 900, 3), (3, 3, 3), (2000, 1, 3)])
    def test_odd_sizes(self, shape: tuple[int, int, int]):
        assert measure.edge_sharpness(np.zeros(shape, np.uint8)) == (0, 0)


class TestRanking:
    def test_blurry_goes_to_a(self, tmp_path: Path):
        for number in range(6):
            save(tmp_path / f"in/soft{number}.png", scene(number, 2.0))
        for number in range(4):
            save(tmp_path / f"in/crisp{number}.png", scene(100 + number))
        plan = make_plan(tmp_path / "in")
        assert names(plan, "trainA") == {f"soft{number}.png" for number in range(6)}
        assert names(plan, "trainB") == {f"crisp{number}.png" for number in range(4)}

    @pytest.mark.parametrize(("share", "blurry"), [(0.5, 5), (0.9, 9), (0.01, 1), (0.99, 9)])
    def test_ratio_and_neither_side_empty(self, tmp_path: Path, share: float, blurry: int):
        for number in range(10):
            save(tmp_path / f"in/{number}.png", scene(number, 0.3 * number))
        assert len(make_plan(tmp_path / "in", share).on("trainA")) == blurry

    def test_same_files_same_plan_whatever_their_dates(self, tmp_path: Path):
        for number in range(8):
            save(tmp_path / f"in/{number}.jpg", scene(number, number % 3))
        first = make_plan(tmp_path / "in")
        shutil.copytree(tmp_path / "in", tmp_path / "copy")
        for number, path in enumerate(sorted((tmp_path / "copy").iterdir())):
            os.utime(path, (number * 1000, number * 1000))
        second = make_plan(tmp_path / "copy")
        assert [(f.name, f.side, f.moment) for f in first.files] == [
            (f.name, f.side, f.moment) for f in second.files
        ]


def measured(name: str, *, taken: datetime | None = None, looks: int = 0) -> Measured:
    thumbnail = np.random.default_rng(looks).normal(size=256).astype(np.float32)
    return Measured(
        path=Path(name),
        height=10,
        width=10,
        sharpness=1.0,
        sharpest=1.0,
        thumbnail=thumbnail / np.linalg.norm(thumbnail),
        taken=taken,
    )


class TestMoments:
    def test_by_capture_time(self):
        start = datetime(2024, 1, 1, 12)
        seconds = [0, 20, 45, 100, 3600]
        files = [
            measured(f"{n}.jpg", taken=start + timedelta(seconds=s), looks=n)
            for n, s in enumerate(seconds)
        ]
        assert moments.group(files, gap_seconds=30) == [[0, 1, 2], [3], [4]]
        assert moments.group(files, gap_seconds=60) == [[0, 1, 2, 3], [4]]
        assert moments.group(files[::-1], gap_seconds=30) == [[4, 3, 2], [1], [0]]

    def test_frames_in_natural_order_while_they_look_alike(self):
        files = [measured(f"frame_{n}.png", looks=0 if n < 11 else 1) for n in range(14)]
        by_name = sorted(range(14), key=lambda n: files[n].path.name)
        groups = moments.group([files[n] for n in by_name], gap_seconds=30)
        found = [[by_name[position] for position in group] for group in groups]
        assert found == [list(range(11)), [11, 12, 13]]

    def test_like_pictures_in_other_folders_are_other_moments_unless_equal(self):
        other = measured("b/1.png", looks=9)
        close = 0.9 * measured("", looks=0).thumbnail + 0.436 * other.thumbnail
        alike = replace(other, thumbnail=close)
        one = measured("a/1.png", looks=0)
        assert 0.8 < float(one.thumbnail @ close) < 0.99
        assert moments.group([one, alike], 30) == [[0], [1]]
        assert moments.group([one, measured("c/1.png", looks=0)], 30) == [[0, 1]]

    def test_copies_are_found_among_thousands(self):
        files = [measured(f"a/{n}.jpg", looks=n) for n in range(1100)]
        files += [measured("b/copy.jpg", looks=1070), measured("b/other.jpg", looks=5000)]
        found = [group for group in moments.group(files, 30.0) if len(group) > 1]
        assert found == [[1070, 1100]]

    def test_flat_pictures_are_not_all_one_moment(self):
        flat = measure.thumbnail(np.full((20, 30, 3), 7, np.uint8))
        assert not flat.any()


class TestNoSharedMoments:
    def test_a_burst_gives_the_kind_of_most_of_its_frames(self, tmp_path: Path):
        start = datetime(2024, 1, 1)
        blurred = ["0001", "0111", "1000", "1100", "1110", "0000"]
        for burst, frames in enumerate(blurred):
            for shot, is_blurred in enumerate(frames):
                taken = start + timedelta(hours=burst, seconds=shot)
                name = f"{burst}{shot}{'soft' if is_blurred == '1' else 'crisp'}.png"
                save(tmp_path / "in" / name, scene(burst, 2.0 * int(is_blurred), shot), taken)
        plan = make_plan(tmp_path / "in", share=10 / 24)
        assert (plan.moments, plan.cut_moments) == (6, 0)
        sides = {side: sorted(names(plan, side)) for side in ("trainA", "trainB", "left out")}
        assert {name[0] for name in sides["trainA"]} == set("134")
        assert all("soft" in name for name in sides["trainA"])
        assert {name[0] for name in sides["trainB"]} == set("025")
        assert all("crisp" in name for name in sides["trainB"])
        assert len(sides["left out"]) == 6
        assert {file.reason for file in plan.on("left out")} == {split._MINORITY}

    def test_copies_in_two_folders_stay_together(self, tmp_path: Path):
        for number in range(6):
            save(tmp_path / f"in/original/{number}.png", scene(number))
            save(tmp_path / f"in/blurred/{number}.png", scene(number, 1.0))
        plan = make_plan(tmp_path / "in", share=1 / 4)
        assert plan.moments == 6
        sides = {(file.source.name, file.side) for file in plan.files if not file.reason}
        assert len(sides) == 6

    def test_one_long_video_is_cut_into_runs_with_guards(self, tmp_path: Path):
        for frame in range(40):
            blur = 2.0 if frame // 8 % 2 else 0.0
            save(tmp_path / f"in/frame{frame}.png", scene(3, blur, shift=frame // 2))
        plan = make_plan(tmp_path / "in")
        assert (plan.moments, plan.cut_moments) == (1, 1)
        by_frame = {int(file.source.stem[5:]): file.side for file in plan.files}
        sides = [by_frame[frame] for frame in range(40)]
        for one, other in itertools.pairwise(sides):
            assert {one, other} != {"trainA", "trainB"}
        assert all(side != "trainA" for side in sides[:8])
        assert all(side != "trainB" for side in sides[8:16])

    def test_one_short_moment_cannot_be_split(self, tmp_path: Path):
        for frame in range(5):
            save(tmp_path / f"in/frame{frame}.png", scene(3, shift=frame))
        with pytest.raises(DataError, match="one short moment"):
            make_plan(tmp_path / "in")


class TestHistogram:
    def roll(self, folder: Path, blurs_px: list[float]) -> Path:
        for number, blur_px in enumerate(blurs_px):
            blocks = np.random.default_rng(number).integers(0, 256, (12, 16, 3)).astype(np.float32)
            lens = cv2.GaussianBlur(np.kron(blocks, np.ones((12, 12, 1))), (0, 0), 0.4)
            picture = cv2.GaussianBlur(lens, (0, 0), blur_px) if blur_px else lens
            save(folder / f"{number:02}.png", picture.round().astype(np.uint8))
        return folder

    def test_the_valley_decides_whatever_the_share(self, tmp_path: Path):
        folder = self.roll(tmp_path / "in", [2.0, 2.5, 3.0, 1.5] * 2 + [0.0] * 16)
        plan = make_plan(folder, share=None)
        assert names(plan, "trainA") == {f"{number:02}.png" for number in range(8)}
        assert names(plan, "trainB") == {f"{number:02}.png" for number in range(8, 24)}
        assert plan.kinds is not None
        assert plan.kinds.blurry < 25 < plan.kinds.sharp
        assert plan.expected_purity("trainA") > 0.95
        assert plan.expected_purity("trainB") > 0.95

    def test_a_sharp_subject_before_a_soft_ground_is_not_blurry(self, tmp_path: Path):
        folder = self.roll(tmp_path / "in", [2.0, 2.5] * 6 + [0.0] * 12)
        portrait = np.asarray(Image.open(folder / "00.png")).copy()
        sharp = np.asarray(Image.open(folder / "23.png"))
        portrait[36:108, 48:144] = sharp[36:108, 48:144]
        save(folder / "00.png", portrait)
        plan = make_plan(folder, share=None)
        assert names(plan, "left out") == {"00.png"}
        assert len(plan.on("trainA")) == 11

    @pytest.mark.parametrize(
        ("blur_px", "kind", "other"), [(0.0, "sharp", "blurry"), (2.0, "blurry", "sharp")]
    )
    def test_one_kind_alone_says_what_to_add(self, tmp_path: Path, blur_px, kind, other):
        folder = self.roll(tmp_path / "in", [blur_px] * 24)
        with pytest.raises(DataError, match=f"look {kind}: add {other} .* --ratio 6:4"):
            make_plan(folder, share=None)

    def test_few_photographs_have_no_histogram(self, tmp_path: Path):
        folder = self.roll(tmp_path / "in", [0.0, 2.0] * 3)
        with pytest.raises(DataError, match="6 readable photographs are too few"):
            make_plan(folder, share=None)


class TestBadInput:
    def test_an_unreadable_file_is_reported_and_the_rest_goes_on(self, tmp_path: Path):
        for number in range(4):
            save(tmp_path / f"in/{number}.png", scene(number))
        (tmp_path / "in/broken.jpg").write_bytes(b"no image")
        plan = make_plan(tmp_path / "in")
        assert [bad.path.name for bad in plan.unreadable] == ["broken.jpg"]
        assert len(plan.files) == 4

    def test_nothing_to_split(self, tmp_path: Path):
        (tmp_path / "in").mkdir()
        with pytest.raises(DataError, match="no photographs"):
            make_plan(tmp_path / "in")
        save(tmp_path / "in/1.png", scene(1))
        with pytest.raises(DataError, match="needs 2"):
            make_plan(tmp_path / "in")

    def test_output_in_the_way(self, tmp_path: Path):
        save(tmp_path / "in/1.png", scene(1))
        for out in (tmp_path / "in", tmp_path / "in/deeper/out", tmp_path / "in/../in"):
            with pytest.raises(InputError, match="lies in"):
                find_sources(tmp_path / "in", out)
        (tmp_path / "out").mkdir()
        assert len(find_sources(tmp_path / "in", tmp_path / "out")) == 1
        (tmp_path / "out/x").touch()
        with pytest.raises(InputError, match="not an empty folder"):
            find_sources(tmp_path / "in", tmp_path / "out")
        with pytest.raises(InputError, match="not an empty folder"):
            find_sources(tmp_path / "in", tmp_path / "out/x")


class TestCarryOut:
    @pytest.fixture
    def plan(self, tmp_path: Path) -> split.Plan:
        save(tmp_path / "in/day1/img.png", scene(1))
        save(tmp_path / "in/day2/IMG.png", scene(2, 1.0))
        save(tmp_path / "in/day2/img.jpg", scene(3, 2.0))
        save(tmp_path / "in/other.png", scene(4, 3.0))
        return make_plan(tmp_path / "in", share=0.5)

    def test_copies(self, plan: split.Plan, tmp_path: Path):
        split.carry_out(plan, tmp_path / "out", link=False, advance=lambda: None)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "split.json",
            "trainA",
            "trainB",
        ]
        for file in plan.files:
            copy = tmp_path / "out" / file.side / file.name
            assert not copy.is_symlink()
            assert copy.read_bytes() == file.source.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]

    def test_clashing_names_get_their_folder(self, plan: split.Plan):
        assert {file.name for file in plan.files} == {
            "day1_img.png",
            "day2_IMG.png",
            "img.jpg",
            "other.png",
        }

    def test_names_that_clash_even_so(self, tmp_path: Path):
        paths = [tmp_path / name for name in ("a/b/1.png", "a_b/1.png", "a_b_1.png", "1_2.png")]
        found = split._unique_names(paths, tmp_path)
        assert len({name.casefold() for name in found}) == 4

    def test_symbolic_links(self, plan: split.Plan, tmp_path: Path):
        split.carry_out(plan, tmp_path / "out", link=True, advance=lambda: None)
        link = tmp_path / "out" / plan.files[0].side / plan.files[0].name
        assert link.resolve() == plan.files[0].source.resolve()
        assert link.is_symlink()

    def test_hard_links_where_there_are_no_symbolic_ones(
        self, plan: split.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def refuse(self: Path, target: Path) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "symlink_to", refuse)
        split.carry_out(plan, tmp_path / "out", link=True, advance=lambda: None)
        link = tmp_path / "out" / plan.files[0].side / plan.files[0].name
        assert not link.is_symlink()
        assert link.samefile(plan.files[0].source)

    @pytest.mark.parametrize("out_exists", [False, True])
    def test_full_disk_leaves_nothing(
        self, plan: split.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out_exists: bool
    ):
        copied: list[Path] = []

        def full(source: Path, target: Path) -> None:
            if len(copied) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            copied.append(target)
            target.touch()

        if out_exists:
            (tmp_path / "out").mkdir()
        monkeypatch.setattr(shutil, "copy2", full)
        with pytest.raises(InputError, match="disk is full"):
            split.carry_out(plan, tmp_path / "out", link=False, advance=lambda: None)
        assert len(copied) == 2
        left = ["in", "out"] if out_exists else ["in"]
        assert sorted(path.name for path in tmp_path.iterdir()) == left
