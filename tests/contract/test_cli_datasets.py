"""What `blur2blur data import`, `download` and `filter` print and return."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import dataset_trees
from blur2blur.cli.data import app
from blur2blur.data.folders import layout
from blur2blur.data.published import download, table
from blur2blur.errors import ConfigError, DataError, InputError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with GoPro as known blur."""
    out = tmp_path / "data"
    result = run("import", "gopro", dataset_trees.make(tmp_path / "in", "gopro"), "-o", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.parametrize("verb", ["import", "download"])
def test_help_names_every_dataset(verb: str):
    words = set(run(verb, "--help").output.replace(",", " ").replace(".", " ").split())
    assert set(table.DATASETS) <= words


@pytest.mark.parametrize(("name", "dataset"), table.DATASETS.items())
def test_documentation_has_every_dataset(name: str, dataset: table.Published):
    page = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    # two cameras have the names of the datasets that they imitate
    page = page.partition("\n## From published datasets\n")[2].partition("\n## ")[0]
    row = f"| `{name}` | <{dataset.page}> | {dataset.licence} | `{dataset.imported_as}` |"
    assert row in page
    assert (f"{row} `data download`" in page) == bool(dataset.archives)
    assert page.count(f"\n| `{name}` | ") == 2


class TestImport:
    def test_known_then_unknown_then_again(self, data: Path, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "rsblur")
        result = run("import", "rsblur", source, "-o", data)
        assert result.exit_code == 0, result.output
        for folder in ("trainA", "trainB", "testA", "testB"):
            assert f"{folder}/rsblur" in result.output
        found = layout.find(data)
        assert len(found.known_pairs()) == 10
        assert len(found.test_pairing().pairs) == 4
        before = sorted(data.rglob("*"))
        assert run("import", "rsblur", source, "-o", data).exit_code == 0
        assert sorted(data.rglob("*")) == before

    def test_dry_run_writes_nothing(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "reds")
        result = run("import", "reds", source, "-o", tmp_path / "out", "--dry-run")
        assert result.exit_code == 0
        lines = [line for line in result.output.splitlines() if line.startswith("trainA\t")]
        assert len(lines) == 6
        assert "would be new" in result.output
        assert not (tmp_path / "out").exists()

    def test_missing_test_split_is_noted(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "rb2v")
        (source / "Street/metadata.json").unlink()
        result = run("import", "rb2v", source, "-o", tmp_path / "out", "--copy")
        assert result.exit_code == 0
        assert "no test split of rb2v-street was found" in result.output

    def test_ratio_and_subset(self, tmp_path: Path):
        source = dataset_trees.make(tmp_path / "in", "rb2v")
        options = ("--ratio", "1:2", "--subset", "face")
        assert run("import", "rb2v", source, "-o", tmp_path / "out", *options).exit_code == 0
        record = json.loads((tmp_path / "out/import-rb2v-face-unknown.json").read_text())
        assert record["folders"]["trainA"]["images"] == 1
        result = run("import", "rb2v", source, "-o", tmp_path / "out", "--ratio", "1:0")
        assert isinstance(result.exception, ConfigError)

    def test_wrong_folder(self, data: Path, tmp_path: Path):
        result = run("import", "reds", tmp_path / "in", "-o", data)
        assert isinstance(result.exception, DataError)


class TestDownload:
    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch: pytest.MonkeyPatch):
        def refuse(*_: object) -> None:
            raise AssertionError("the network was asked")

        monkeypatch.setattr(socket.socket, "connect", refuse)

    @pytest.mark.parametrize(
        "name", [name for name, entry in table.DATASETS.items() if not entry.archives]
    )
    def test_browser_is_needed(self, tmp_path: Path, name: str):
        result = run("download", name, "-o", tmp_path / "out")
        assert isinstance(result.exception, ConfigError)
        message = str(result.exception)
        assert table.DATASETS[name].page in message
        assert f"blur2blur data import {name}" in message
        assert not (tmp_path / "out").exists()

    def test_every_archive_then_what_to_do_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        asked: list[table.Archive] = []

        def obtain(archive: table.Archive, folder: Path, tell: object) -> bool:
            asked.append(archive)
            tell(download.Progress("x", 1, 2))
            return len(asked) > 1

        monkeypatch.setattr(download, "obtain", obtain)
        result = run("download", "reds", "-o", tmp_path)
        assert result.exit_code == 0, result.output
        assert tuple(asked) == table.DATASETS["reds"].archives
        assert "train_blur: was there" in result.output
        assert "val_sharp: unpacked" in result.output
        assert "CC BY 4.0" in result.output
        assert f"blur2blur data import reds {tmp_path} -o DIR" in result.output

    def test_unknown_name(self, tmp_path: Path):
        assert isinstance(run("download", "gopr", "-o", tmp_path).exception, ConfigError)


class TestFilter:
    def test_looks_only(self, data: Path):
        before = sorted(data.parent.rglob("*"))
        result = run("filter", data, "--dry-run")
        assert result.exit_code == 0, result.output
        assert "all: 10 pairs" in result.output
        assert "█" in result.output
        assert sorted(data.parent.rglob("*")) == before

    def test_keeps_a_range(self, data: Path, tmp_path: Path):
        result = run("filter", data, "-o", tmp_path / "out", "--keep", "0.2:0.8")
        assert result.exit_code == 0, result.output
        assert "kept: 6 pairs" in result.output
        bars = [line for line in result.output.splitlines() if "| median" in line]
        assert [line.index("|") for line in bars] == [5, 5]
        assert len(layout.find(tmp_path / "out").known_pairs()) == 6
        assert len(layout.find(data).known_pairs()) == 10

    def test_open_ends(self, data: Path, tmp_path: Path):
        assert run("filter", data, "-o", tmp_path / "out", "--psnr-db", "1:").exit_code == 0
        assert len(layout.find(tmp_path / "out").known_pairs()) == 10

    def test_one_bad_file_is_named_and_the_rest_is_done(self, data: Path, tmp_path: Path):
        bad = sorted((data / "trainC/gopro").iterdir())[0]
        bad.unlink()
        bad.write_bytes(b"")
        result = run("filter", data, "-o", tmp_path / "out", "--keep", "0:1")
        assert result.exit_code == 1
        assert f"{bad.name} is empty" in result.output
        assert len(layout.find(tmp_path / "out").known_pairs()) == 9

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--keep", "0:1", "--psnr-db", "20:30"],
            ["--keep", "0.5"],
            ["--keep", "0.8:0.2"],
            ["--keep", "0:2"],
            ["--keep", "a:b"],
            ["--psnr-db", "nan:30"],
        ],
    )
    def test_what_to_keep_is_unclear(self, data: Path, tmp_path: Path, options: list[str]):
        result = run("filter", data, "-o", tmp_path / "out", *options)
        assert isinstance(result.exception, ConfigError)
        assert not (tmp_path / "out").exists()

    def test_no_place_to_write(self, data: Path, tmp_path: Path):
        result = run("filter", data, "--keep", "0:1")
        assert isinstance(result.exception, ConfigError)
        result = run("filter", data, "--keep", "0:1", "-o", data)
        assert isinstance(result.exception, InputError)
        result = run("filter", tmp_path / "in", "--dry-run")
        assert isinstance(result.exception, DataError)
