"""Extras: what is missing is named, with the command that installs it from where this came from."""

import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from blur2blur import extras
from blur2blur.errors import ConfigError


class Installed:
    """An installation, as `importlib.metadata` tells of it."""

    def __init__(self, direct_url: str | None) -> None:
        self.direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.direct_url


def _install(monkeypatch: pytest.MonkeyPatch, direct_url: str | None) -> str:
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(direct_url))
    return extras.install("train")


def test_a_clone_is_named_by_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    url = json.dumps({"url": "file:///home/me/my%20code", "dir_info": {"editable": True}})
    assert _install(monkeypatch, url) == "pip install '/home/me/my code[train]'"


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        "",
        "{}",
        "{",
        json.dumps({"url": "file:///tmp/blur2blur-0.1.0-py3-none-any.whl"}),
        json.dumps({"url": "file:///tmp/blur2blur-0.1.0.tar.gz"}),
        json.dumps({"url": "https://example.org/blur2blur.zip"}),
    ],
)
def test_anything_else_is_named_by_its_name(
    monkeypatch: pytest.MonkeyPatch, direct_url: str | None
) -> None:
    assert _install(monkeypatch, direct_url) == "pip install 'blur2blur[train]'"


def test_code_that_is_not_installed_is_named_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(extras, "distribution", missing)
    assert extras.install("train") == "pip install 'blur2blur[train]'"


def test_what_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError) as error:
        extras.load("onnxruntime", purpose="photo.onnx")
    message = str(error.value)
    assert message == f"photo.onnx needs onnxruntime: {extras.install('export')}"


def test_what_is_there_is_returned() -> None:
    assert extras.load("json", purpose="nothing") is json


def test_a_mistake_of_ours_is_not_taken_for_a_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mistaken.py").write_text("import blur2blur.nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"blur2blur\.nowhere"):
        extras.load("mistaken", purpose="nothing")
