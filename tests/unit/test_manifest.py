"""A folder goes on where it stopped: what is finished is told from what has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from blur2blur.images.listing import MANIFEST
from blur2blur.inference import Pipeline, manifest
from blur2blur.inference.manifest import Manifest

SETTINGS: dict[str, object] = {"deblurrer": "one"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A source, its result, and a manifest that says so."""
    (tmp_path / "source.jpg").write_bytes(b"source")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.jpg").write_bytes(b"result")
    Manifest(tmp_path / "out", SETTINGS).add(
        tmp_path / "source.jpg", tmp_path / "out/a.jpg", [tmp_path / "out/a.jpg"]
    )
    return tmp_path


def state(place: Path, settings: dict[str, object] = SETTINGS, *, sharp: bool = True) -> str:
    record = Manifest(place / "out", settings)
    return record.state(place / "source.jpg", place / "out/a.jpg", may_be_sharp=sharp)


def _cut(place: Path) -> None:
    path = place / "out" / MANIFEST
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda place: None, manifest.DONE_BEFORE),
        (lambda place: (place / "source.jpg").write_bytes(b"longer source"), "source has changed"),
        (lambda place: os.utime(place / "source.jpg", (1, 1)), "source has changed"),
        (lambda place: (place / "source.jpg").unlink(), "source has changed"),
        (lambda place: (place / "out/a.jpg").unlink(), "result is gone"),
        (lambda place: (place / "out" / MANIFEST).unlink(), "not recorded as finished"),
        (_cut, "not recorded as finished"),
        (lambda place: (place / "out" / MANIFEST).write_text('{"run": 3}\n[]\nx'),
         "not recorded as finished"),
    ],
)  # fmt: skip
def test_what_is_finished(place: Path, change: Callable[[Path], object], expected: str) -> None:
    change(place)
    assert state(place) == expected


def test_other_settings_are_told(place: Path) -> None:
    assert state(place, {"deblurrer": "two"}) == "other weights or settings"
    source, result = place / "source.jpg", place / "out/a.jpg"
    Manifest(place / "out", {"deblurrer": "two"}).add(source, result, [result])
    assert state(place, {"deblurrer": "two"}) == manifest.DONE_BEFORE
    assert state(place) == "other weights or settings"


def test_what_was_left_sharp_is_not_finished_where_everything_is_asked(place: Path) -> None:
    source, result = place / "source.jpg", place / "out/a.jpg"
    Manifest(place / "out", SETTINGS).add(source, result, [result], left_sharp=True)
    assert state(place) == manifest.DONE_BEFORE
    assert state(place, sharp=False) == "other weights or settings"


def test_a_line_that_was_cut_short_spoils_no_other(place: Path) -> None:
    _cut(place)
    source, result = place / "source.jpg", place / "out/a.jpg"
    Manifest(place / "out", SETTINGS).add(source, result, [result])
    assert state(place) == manifest.DONE_BEFORE


class Gain(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image


def test_settings_are_those_that_results_depend_on() -> None:
    def settings(gain: float = 0.5, **options: object) -> dict[str, object]:
        return manifest.settings_of(Pipeline(Gain(gain), None, device="cpu", **options))

    assert settings() == settings(tile_px=512, batch_size=2)
    for other in (settings(0.25), settings(scale="1/2"), settings(strength=0.5)):
        assert other != settings()


def test_weights_are_told_by_their_content(tmp_path: Path) -> None:
    pipeline = Pipeline(converter="generic", device="cpu")
    settings = manifest.settings_of(pipeline)
    assert str(settings["deblurrer"]).startswith("known-blur.safetensors ")
    assert str(settings["converter"]).startswith("generic.safetensors ")


def test_exported_weights_are_told_by_both_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<net/>")
    (tmp_path / "a.bin").write_bytes(b"1")
    before = manifest._identity(str(tmp_path / "a.xml"), role="deblurrer")
    (tmp_path / "a.bin").write_bytes(b"2")
    assert manifest._identity(str(tmp_path / "a.xml"), role="deblurrer") != before
