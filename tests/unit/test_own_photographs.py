"""A camera's own weights are kept where they gain and do no harm."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from blur2blur import settings
from blur2blur.training import own_photographs
from blur2blur.training.run_folder import LOG
from blur2blur.training.settings import SimulatedConverterSettings
from blur2blur.weights import verdict
from blur2blur.weights.headers import HEADER_KEY, Header
from blur2blur.weights.verdict import BEST, LAST

NAMES = ("validation/psnr_db", "validation/own_distance", "validation/own_blur_px")
FIRST = (25.0, 0.4, 3.0)


def finish(run: Path, *, best: tuple[float, ...], last: tuple[float, ...], first=FIRST) -> str:
    """Judge a run by (dB on pairs, distance, blur left in px) and return what is kept."""
    run.mkdir()
    (run / LOG).write_text(json.dumps({"step": 0, **dict(zip(NAMES, first, strict=True))}) + "\n")
    for name, values in ((BEST, best), (LAST, last)):
        metrics = dict(zip(NAMES, values, strict=True))
        header = Header(role="converter", network="mimo_unet", metrics=metrics)
        save_file({}, run / name, {HEADER_KEY: header.model_dump_json()})
    checked = settings.load(SimulatedConverterSettings, "converter", [])
    own_photographs.judge(run, {"unknown_blurry": [Path("a.png")]}, checked)
    told = verdict.read(run)
    assert told is not None
    return told.kept


@pytest.mark.parametrize(
    ("last", "kept"),
    [
        ((25.2, 0.38, 2.8), LAST),
        ((25.2, 0.43, 3.1), LAST),
        ((25.04, 0.38, 2.8), "generic"),  # gains too little
        ((25.2, 0.45, 2.8), "generic"),  # other blur than in the sharp photographs
        ((25.2, 0.38, 3.2), "generic"),  # more blur is left in the own photographs
    ],
)
def test_what_is_kept(tmp_path, last, kept):
    assert finish(tmp_path / "run", best=last, last=last) == kept


def test_the_best_step_is_kept_where_both_scores_prefer_it(tmp_path):
    last = (25.2, 0.38, 2.8)
    assert finish(tmp_path / "both", best=(25.3, 0.37, 2.8), last=last) == BEST
    assert finish(tmp_path / "one", best=(25.3, 0.39, 2.8), last=last) == LAST


def test_a_run_without_photographs_of_a_camera_is_not_judged(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / LOG).write_text(json.dumps({"step": 0, NAMES[0]: 25.0}) + "\n")
    own_photographs.judge(run, {}, settings.load(SimulatedConverterSettings, "converter", []))
    assert verdict.read(run) is None


def test_those_held_out_are_looked_at_where_there_are_some():
    streams = {"unknown_blurry": [Path("a.png")], "test_blurry": [Path("b.png")]}
    assert own_photographs._looked_at(streams) == [Path("b.png")]
    del streams["test_blurry"]
    assert own_photographs._looked_at(streams) == [Path("a.png")]
