"""Published structures are found, scenes stay apart, and nothing of the user is overwritten."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

import dataset_trees
from blur2blur.data.folders import layout
from blur2blur.data.published import importing, table
from blur2blur.errors import ConfigError, DataError, InputError

DEFAULT_COUNTS = {
    "gopro": {"trainC": 10, "trainD": 10},
    "hide": {"trainC": 2, "trainD": 2},
    "reds": {"trainA": 6, "trainB": 4, "testA": 4, "testB": 4},
    "rsblur": {"trainA": 4, "trainB": 4, "testA": 4, "testB": 4},
    "rb2v": {"trainA": 2, "trainB": 1, "testA": 1, "testB": 1},
    "realblur": {"trainA": 2, "trainB": 1, "testA": 1, "testB": 1},
}


def run(
    source: Path,
    name: str,
    out: Path,
    *,
    imported_as: str | None = None,
    subset: str | None = None,
    share: float | None = None,
    link: bool = True,
) -> importing.Plan:
    plan = importing.plan(source, name, imported_as=imported_as, subset=subset, blurry_share=share)
    new = importing.find_new(plan, out)
    importing.carry_out(plan, new, out, link=link, advance=lambda: None)
    return plan


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every path in a folder with its inode and time of change."""
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def counts(out: Path) -> dict[str, int]:
    found = layout.find(out)
    return {name: len(found.files(name)) for name in layout.FOLDERS if found.files(name)}


@pytest.mark.parametrize("name", table.DATASETS)
class TestPairs:
    def test_pairs_have_equal_names_and_belong_together(self, name: str, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", name)
        run(source, name, tmp_path / "out", imported_as="known")
        run(source, name, tmp_path / "out", imported_as="unknown")
        found = layout.find(tmp_path / "out")
        pairs = [*found.known_pairs(), *found.test_pairing().pairs]
        assert len(pairs) == len(found.known_blurry) + len(found.test_blurry) > 0
        for blurry, sharp in pairs:
            assert blurry.relative_to(blurry.parents[1]) == sharp.relative_to(sharp.parents[1])
            one, other = (self.identity(name, path.resolve()) for path in (blurry, sharp))
            assert one == other

    @staticmethod
    def identity(name: str, path: Path) -> tuple[str, ...]:
        """Return what a blurry image and its own sharp one have in common."""
        digits = tuple(part for part in path.parts if any(c.isdigit() for c in part))
        last = path.stem.replace("blur_", "").replace("gt_", "").removesuffix("_4")
        scene = path.parts[-3] if name not in ("reds", "hide") else path.parts[-2]
        if name == "hide":
            return (last,)
        return (scene, last) if name != "rsblur" else digits

    def test_no_scene_on_two_sides(self, name: str, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", name)
        plan = importing.plan(source, name, imported_as="unknown", subset=None, blurry_share=None)
        sides = set(plan.scenes["trainA"]), set(plan.scenes["trainB"])
        assert all(sides)
        assert not sides[0] & sides[1]


@pytest.mark.parametrize("name", table.DATASETS)
class TestEveryDataset:
    def test_as_it_unpacks(self, name: str, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", name)
        plan = run(source, name, tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS[name]
        assert plan.imported_as == table.DATASETS[name].imported_as
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
        assert all(path.resolve().is_relative_to(source) for path in files)

    def test_blurry_and_sharp_are_on_their_sides(self, name: str, tmp_path: Path):
        run(dataset_trees.make(tmp_path / "in", name), name, tmp_path / "out")
        found = layout.find(tmp_path / "out")
        for folder, imported_as in layout.FOLDERS.items():
            for path in found.files(folder):
                place = path.resolve().as_posix().lower().rpartition("/in/")[2]
                sharp = any(part in place for part in ("sharp", "/gt/"))
                assert sharp == imported_as.endswith("sharp"), place

    def test_from_the_folder_above(self, name: str, tmp_path: Path):
        dataset_trees.make(tmp_path / "in/deeper", name)
        run(tmp_path / "in", name, tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS[name]

    def test_content_directly_in_a_folder_of_another_name(self, name: str, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", name)
        source.rename(tmp_path / "in/data")
        run(tmp_path / "in/data", name, tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS[name]

    def test_again_does_nothing_new(self, name: str, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", name)
        run(source, name, tmp_path / "out")
        before = tree(tmp_path / "out")
        run(source, name, tmp_path / "out")
        assert tree(tmp_path / "out") == before

    def test_nothing_there(self, name: str, tmp_path: Path):
        (tmp_path / "in").mkdir()
        with pytest.raises(DataError, match="no photographs"):
            run(tmp_path / "in", name, tmp_path / "out")

    def test_another_structure_names_what_was_sought_and_found(self, name: str, tmp_path: Path):
        dataset_trees.save(tmp_path / "in/holiday/1.png")
        with pytest.raises(DataError) as error:
            run(tmp_path / "in", name, tmp_path / "out")
        message = str(error.value)
        assert table.DATASETS[name].seeks in message
        assert "1 photographs, the first is holiday/1.png" in message


class TestVariants:
    def test_one_folder_of_gopro(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "gopro")
        run(source / "train", "gopro", tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["gopro"]

    def test_folders_in_upper_case(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "gopro")
        (source / "train").rename(source / "Train")
        run(source, "gopro", tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["gopro"]

    def test_flattened_gopro(self, tmp_path: Path):
        dataset_trees.gopro_flat(tmp_path / "GoPro")
        plan = run(tmp_path / "GoPro", "gopro", tmp_path / "out", imported_as="unknown")
        assert counts(tmp_path / "out") == {"trainA": 2, "trainB": 1, "testA": 3, "testB": 3}
        assert len({*plan.scenes["trainA"], *plan.scenes["trainB"]}) == 3

    def test_blur_not_blur_gamma(self, tmp_path: Path):
        run(dataset_trees.make(tmp_path, "gopro"), "gopro", tmp_path / "out")
        sources = [path.resolve() for path in (tmp_path / "out/trainC").rglob("*.png")]
        assert {path.parent.name for path in sources} == {"blur"}

    def test_reds_unpacked_archive_by_archive(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "reds")
        for split, side in (
            ("train", "blur"),
            ("train", "sharp"),
            ("val", "blur"),
            ("val", "sharp"),
        ):
            target = tmp_path / f"archives/{split}_{side}/{split}/{split}_{side}"
            shutil.copytree(source / split / f"{split}_{side}", target)
        run(tmp_path / "archives", "reds", tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["reds"]

    def test_lists_beside_the_dataset(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "rsblur")
        for file in source.glob("*.txt"):
            file.rename(tmp_path / "in" / file.name)
        run(source, "rsblur", tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["rsblur"]

    def test_lists_in_a_folder_of_their_own(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "rsblur")
        (source / "datalist").mkdir()
        for file in source.glob("*.txt"):
            file.rename(source / "datalist" / file.name)
        run(source, "rsblur", tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["rsblur"]

    def test_subsets_are_told_apart(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "realblur")
        run(source, "realblur", tmp_path / "out", subset="r")
        sources = [str(path.resolve()) for path in (tmp_path / "out/trainA").rglob("*.png")]
        assert all("RealBlur-R_BM3D" in path for path in sources)
        assert [path.name for path in (tmp_path / "out/trainA").iterdir()] == ["realblur-r"]

    def test_one_category_of_rb2v(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "rb2v")
        run(source / "Face", "rb2v", tmp_path / "out", subset="face")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["rb2v"]
        with pytest.raises(DataError, match="subset hand"):
            run(source, "rb2v", tmp_path / "other", subset="hand")

    def test_rb2v_takes_the_middle_of_seven_sharp_frames(self, tmp_path: Path):
        run(dataset_trees.make(tmp_path, "rb2v"), "rb2v", tmp_path / "out", imported_as="known")
        names = {path.resolve().name for path in (tmp_path / "out/trainD").rglob("*.png")}
        assert names == {"0000_4.png"}

    def test_hide_names_with_and_without_mp4(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "hide")
        for path in (source / "GT").iterdir():
            path.rename(path.with_name(path.name.replace(".MP4", "")))
        run(source, "hide", tmp_path / "out")
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["hide"]


class TestRatio:
    @pytest.mark.parametrize(("share", "expected"), [(None, 6), (0.6, 6), (0.2, 2), (0.8, 8)])
    def test_is_met_to_within_a_scene(self, tmp_path: Path, share: float | None, expected: int):
        source = dataset_trees.make(tmp_path, "reds")
        plan = importing.plan(source, "reds", imported_as=None, subset=None, blurry_share=share)
        assert len(plan.of("trainA")) == expected

    def test_where_nothing_is_dealt_out(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "gopro")
        with pytest.raises(ConfigError, match="--ratio"):
            importing.plan(source, "gopro", imported_as="known", subset=None, blurry_share=0.5)

    def test_one_scene_cannot_be_dealt_out(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "reds")
        for side in ("blur", "sharp"):
            for scene in range(1, 5):
                shutil.rmtree(source / f"train/train_{side}/{scene:03d}")
        with pytest.raises(DataError, match="of scene 000"):
            run(source, "reds", tmp_path / "out")

    def test_another_ratio_over_the_first_import_is_refused(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "reds")
        run(source, "reds", tmp_path / "out")
        before = tree(tmp_path / "out")
        with pytest.raises(InputError, match="other options"):
            run(source, "reds", tmp_path / "out", share=0.2)
        assert tree(tmp_path / "out") == before


class TestFaults:
    @pytest.mark.parametrize("side", ["blur", "sharp"])
    def test_incomplete_pairs(self, tmp_path: Path, side: str):
        source = dataset_trees.make(tmp_path, "gopro")
        (source / f"train/GOPR000_07_00/{side}/000001.png").unlink()
        with pytest.raises(DataError, match=r"1 images .*: train/GOPR000_07_00/.*1\.png; unpack"):
            run(source, "gopro", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_incomplete_test_split_does_not_matter_to_known(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "gopro")
        shutil.rmtree(source / "test/GOPR001_07_00/sharp")
        run(source, "gopro", tmp_path / "out")
        with pytest.raises(DataError, match="2 images"):
            run(source, "gopro", tmp_path / "out", imported_as="unknown")

    def test_listed_file_that_is_missing(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "rsblur")
        (source / "0001/000000/gt/gt_sharp.png").unlink()
        with pytest.raises(DataError, match=r"RSBlur_real_train\.txt lists 1 files"):
            run(source, "rsblur", tmp_path / "out")

    @pytest.mark.parametrize("line", ["one.png", "../a/gt.png ../0/1/real_blur/b.png", "/a /b"])
    def test_list_with_a_strange_line(self, tmp_path: Path, line: str):
        source = dataset_trees.make(tmp_path, "rsblur")
        with (source / "RSBlur_real_train.txt").open("a") as file:
            file.write(f"\n{line}\n")
        with pytest.raises(DataError, match=r"RSBlur_real_train\.txt, line 10"):
            run(source, "rsblur", tmp_path / "out")

    def test_only_one_of_the_lists(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "rsblur")
        (source / "RSBlur_real_test.txt").unlink()
        with pytest.raises(DataError, match=r"but not RSBlur_real_test\.txt"):
            run(source, "rsblur", tmp_path / "out")

    def test_dataset_that_is_there_twice(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in/a", "gopro")
        shutil.copytree(source, tmp_path / "in/b/GOPRO_Large")
        with pytest.raises(DataError, match="the same image twice"):
            run(tmp_path / "in", "gopro", tmp_path / "out")

    def test_damaged_partitions(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "rb2v")
        (source / "Street/metadata.json").write_text('{"data": [{"id": 1}]}')
        with pytest.raises(DataError, match=r"metadata\.json does not say"):
            run(source, "rb2v", tmp_path / "out")

    def test_names_that_do_not_exist(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "rb2v")
        with pytest.raises(ConfigError, match="did you mean 'gopro'"):
            run(source, "gopr", tmp_path / "out")
        with pytest.raises(ConfigError, match="known or unknown"):
            run(source, "rb2v", tmp_path / "out", imported_as="none")
        with pytest.raises(ConfigError, match="did you mean 'street'"):
            run(source, "rb2v", tmp_path / "out", subset="streets")
        with pytest.raises(ConfigError, match="no subsets"):
            run(source, "reds", tmp_path / "out", subset="street")
        with pytest.raises(DataError, match="no folder"):
            run(tmp_path / "none", "reds", tmp_path / "out")


class TestDataFolder:
    def test_two_datasets_share_one(self, tmp_path: Path):
        out = tmp_path / "out"
        run(dataset_trees.make(tmp_path / "in", "gopro"), "gopro", out)
        first = tree(out)
        run(dataset_trees.make(tmp_path / "in", "rsblur"), "rsblur", out)
        assert first.items() <= tree(out).items()
        assert counts(out) == DEFAULT_COUNTS["gopro"] | DEFAULT_COUNTS["rsblur"]

    def test_two_known_datasets_with_equal_names(self, tmp_path: Path):
        out = tmp_path / "out"
        for name in ("gopro", "hide", "reds"):
            run(dataset_trees.make(tmp_path / "in", name), name, out, imported_as="known")
        assert len(layout.find(out).known_pairs()) == 10 + 2 + 10

    def test_a_file_of_the_user_is_never_overwritten(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "gopro")
        mine = tmp_path / "out/trainC/gopro/GOPR000_07_00_000001.png"
        mine.parent.mkdir(parents=True)
        mine.write_bytes(b"mine")
        with pytest.raises(InputError, match="is there and is not"):
            run(source, "gopro", tmp_path / "out")
        assert mine.read_bytes() == b"mine"
        assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [mine]

    def test_copies(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "hide")
        run(source, "hide", tmp_path / "out", link=False)
        before = tree(tmp_path / "out")
        assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
        run(source, "hide", tmp_path / "out", link=True)  # copies are as good as links
        assert tree(tmp_path / "out") == before

    def test_hidden_files_are_nobodys(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "hide")
        run(source, "hide", tmp_path / "out", link=False)
        (place,) = {path.parent for path in (tmp_path / "out/trainC").rglob("*.png")}
        for name in (".000001.blur2blur-abc.png", ".DS_Store"):
            (place / name).touch()
        run(source, "hide", tmp_path / "out", link=False)

    def test_a_file_of_equal_length_is_not_the_source(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "hide")
        run(source, "hide", tmp_path / "out", link=False)
        path = next((tmp_path / "out/trainC").rglob("*.png"))
        path.write_bytes(bytes(path.stat().st_size))
        os.utime(path, (1000, 1000))
        with pytest.raises(InputError, match="is there and is not"):
            run(source, "hide", tmp_path / "out", link=False)

    def test_dataset_that_moved(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "hide")
        run(source, "hide", tmp_path / "out")
        source.rename(tmp_path / "in/moved")
        with pytest.raises(InputError, match="remove it"):
            run(tmp_path / "in/moved", "hide", tmp_path / "out")

    def test_in_the_dataset(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "gopro")
        with pytest.raises(InputError, match="lies in"):
            run(source, "gopro", source / "out")

    def test_file_in_the_way(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path, "gopro")
        (tmp_path / "out").write_text("")
        with pytest.raises(InputError, match="is a file"):
            run(source, "gopro", tmp_path / "out")

    @pytest.mark.parametrize("existing", [False, True])
    def test_file_system_without_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
    ):
        def refuse(*_args: object, **_options: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        source = dataset_trees.make(tmp_path / "in", "gopro")
        if existing:
            (tmp_path / "out/trainC").mkdir(parents=True)
        monkeypatch.setattr(Path, "symlink_to", refuse)
        monkeypatch.setattr(os, "link", refuse)
        with pytest.raises(InputError, match="--copy copies instead"):
            run(source, "gopro", tmp_path / "out")
        assert list((tmp_path / "out").rglob("*")) == (
            [tmp_path / "out/trainC"] if existing else []
        )
        run(source, "gopro", tmp_path / "out", link=False)
        assert counts(tmp_path / "out") == DEFAULT_COUNTS["gopro"]

    def test_links_that_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        source = dataset_trees.make(tmp_path / "in", "gopro")
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(InputError, match="cannot be read through its link"):
            run(source, "gopro", tmp_path / "out")
        assert not list((tmp_path / "out").rglob("*"))

    def test_a_failure_midway_leaves_nothing(self, tmp_path: Path):
        def stop() -> None:
            if len(list((tmp_path / "out").rglob("*.png"))) == 3:
                raise KeyboardInterrupt

        plan = importing.plan(
            dataset_trees.make(tmp_path / "in", "gopro"),
            "gopro",
            imported_as=None,
            subset=None,
            blurry_share=None,
        )
        new = importing.find_new(plan, tmp_path / "out")
        with pytest.raises(KeyboardInterrupt):
            importing.carry_out(plan, new, tmp_path / "out", link=True, advance=stop)
        assert not list((tmp_path / "out").rglob("*"))

    def test_record_names_the_scenes(self, tmp_path: Path):
        plan = run(dataset_trees.make(tmp_path / "in", "reds"), "reds", tmp_path / "out")
        record = json.loads((tmp_path / "out/import-reds-unknown.json").read_text())
        assert record["folders"]["trainA"] == {"images": 6, "scenes": list(plan.scenes["trainA"])}
        assert record["blurry_share"] == 0.6
