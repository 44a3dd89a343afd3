"""Weights by name: fetched once, checked always, refused in one line."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from blur2blur import networks, tensors
from blur2blur.cli import main
from blur2blur.errors import CheckpointError
from blur2blur.weights import hub as published
from blur2blur.weights import loading, zoo
from conftest import crops
from loopback_hub import COMMIT, Hub, serving

NAME = "nafnet-gopro-32"
ROW = published.PUBLISHED[NAME]


def nafnet_file(width: int = 4, **options: object) -> bytes:
    """Return a file as BasicSR writes it."""
    options = options or {"encoder_blocks": [1], "decoder_blocks": [1]}
    network = networks.build("nafnet", width=width, **options)
    file = io.BytesIO()
    torch.save({"params": network.state_dict()}, file)
    return file.getvalue()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that holds a small file in place of the published one."""
    content = nafnet_file()
    row = replace(
        ROW, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), revision=COMMIT
    )
    monkeypatch.setitem(published.PUBLISHED, NAME, row)
    with serving(tmp_path / "hub") as served:
        served.files = {f"{row.repository}/{row.file}": content, "me/none/README.md": b""}
        yield served


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main.app, ["models", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_photograph_is_deblurred_by_a_name_with_one_download(hub: Hub, tmp_path: Path):
    assert f"{NAME} " in run("list")
    assert "on the hub" in run("list")
    blurry = tmp_path / "photo.png"
    tensors.write_rgb(blurry, crops("chelsea", 1, 64)[0])
    for _ in range(2):
        result = CliRunner().invoke(
            main.app, ["deblur", str(blurry), "-o", str(tmp_path / "out"), "--deblurrer", NAME]
        )
        assert result.exit_code == 0, result.output
    assert (tmp_path / "out/photo.png").is_file()
    assert sum(line.startswith("GET") and line.endswith(ROW.file) for line in hub.asked) == 1
    assert "in the cache" in run("list")
    assert Path(run("get", NAME).strip()).is_file()


def test_what_is_known_of_a_name_is_shown():
    shown = run("show", NAME)
    for told in (ROW.sha256, ROW.licence, ROW.address, str(ROW.size_bytes)):
        assert told in shown
    assert f"--set deblurrer={NAME} --set known.camera={ROW.known_camera}" in shown


def test_training_takes_the_name_for_a_deblurrer(hub: Hub):
    assert loading.load_own(NAME, role="deblurrer").name == "nafnet"
    with pytest.raises(CheckpointError, match="no converter 'nafnet-gopro-32'"):
        zoo.resolve(NAME, role="converter")


@pytest.mark.parametrize(
    ("name", "width", "encoder", "middle", "decoder"),
    [
        ("nafnet-gopro-32", 32, [1, 1, 1, 28], 1, [1, 1, 1, 1]),
        ("nafnet-gopro-64", 64, [1, 1, 1, 28], 1, [1, 1, 1, 1]),
        ("nafnet-reds-64", 64, [1, 1, 1, 28], 1, [1, 1, 1, 1]),
    ],
)
def test_the_published_layouts_have_the_sizes_of_the_table(
    name: str, width: int, encoder: list[int], middle: int, decoder: list[int]
):
    with torch.device("meta"):
        network = networks.build(
            "nafnet", width=width, encoder_blocks=encoder, middle_blocks=middle,
            decoder_blocks=decoder,
        )  # fmt: skip
    numbers = sum(4 * each.numel() for each in network.state_dict().values())
    beside = published.PUBLISHED[name].size_bytes - numbers  # names, shapes, the zip's folders
    assert 0 < beside < 400_000


def _tamper(hub: Hub) -> None:
    name = next(iter(hub.files))
    hub.files[name] = b"x" + hub.files[name][1:]


def _shorten(hub: Hub) -> None:
    name = next(iter(hub.files))
    hub.files[name] = hub.files[name][:-10]


SPOILED: dict[str, tuple[Callable[[Hub], object], str]] = {
    "tampered": (_tamper, "was not what it must be and was removed"),
    "shortened": (_shorten, "was not what it must be and was removed"),
    "truncated": (lambda hub: setattr(hub, "lies", 7), "did not arrive .*size"),
    "gated": (lambda hub: setattr(hub, "refuses", (403, "GatedRepo")), "licence must be accepted"),
    "private": (lambda hub: setattr(hub, "refuses", (401, "")), "not open to you"),
    "missing": (lambda hub: hub.files.clear(), "not there, or not open"),
    "revision": (
        lambda hub: setattr(hub, "refuses", (404, "RevisionNotFound")),
        "no such revision",
    ),
    "busy": (lambda hub: setattr(hub, "refuses", (503, "")), "cannot be reached"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_not_right_is_refused_in_one_line_and_not_kept(kind: str, hub: Hub, tmp_path: Path):
    spoil, message = SPOILED[kind]
    spoil(hub)
    with pytest.raises(CheckpointError, match=message) as caught:
        zoo.resolve(NAME, role="deblurrer")
    assert "\n" not in str(caught.value)
    assert not published.kept(NAME)
    assert not list(tmp_path.rglob("blobs/*"))


def test_a_connection_that_breaks_goes_on(hub: Hub):
    hub.breaks_after = [1000]
    assert zoo.resolve(NAME, role="deblurrer").is_file()
    assert [line.split()[0] for line in hub.asked][-3:] == ["HEAD", "GET", "GET"]


def test_a_file_that_was_changed_in_the_cache_is_fetched_again(hub: Hub):
    path = zoo.resolve(NAME, role="deblurrer")
    path.write_bytes(b"changed")
    with pytest.raises(CheckpointError, match="was removed"):
        zoo.resolve(NAME, role="deblurrer")
    assert zoo.resolve(NAME, role="deblurrer").stat().st_size > 1000


@pytest.mark.parametrize("cached", [True, False])
def test_without_a_hub(hub: Hub, cached: bool, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    if cached:
        zoo.resolve(NAME, role="deblurrer")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        if cached:
            assert loading.load_deblurrer(NAME).name == "nafnet"
            continue
        with pytest.raises(CheckpointError, match=r"cannot be reached.*HF_HUB_OFFLINE"):
            zoo.resolve(NAME, role="deblurrer")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:", "no name of a repository"),
        ("hf:one/two/three", "no name of a repository"),
        ("hf:me/none", "holds no converter.safetensors"),
        ("hf:nobody/nothing", "not there, or not open"),
    ],
)
def test_repositories_that_are_none(hub: Hub, name: str, message: str):
    with pytest.raises(CheckpointError, match=message):
        zoo.resolve(name, role="converter")


@pytest.mark.parametrize("command", ["show", "get"])
def test_a_name_that_is_none_is_told_with_the_nearest(command: str):
    result = CliRunner().invoke(main.app, ["models", command, "nafnet-gopro-23"])
    assert "did you mean 'nafnet-gopro-32'" in str(result.exception)
