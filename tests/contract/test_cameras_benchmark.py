"""The benchmark of unknown cameras runs whole from its one command, at a size of seconds."""

import json

import pytest
import skimage.data
import torch
from benchmarks.cameras import adaptation as adaptation_benchmark
from benchmarks.cameras.report import gap_closed
from benchmarks.cameras.runner import main

from blur2blur import tensors
from blur2blur.training import own_photographs
from blur2blur.training.simulation import prepare

SMALL = """
"data.crop_px=64", "data.batch_size=1", "data.workers=0", "data.validation_crops=1",
"run.steps=1", "run.validate_every=1", "run.checkpoint_every=1", "run.samples_every=1",
"run.precision=32-true",
"""
TINY = '"network.options={ base_channels = 4, blocks = 1 }",'
KNOWN = """ "known.overrides=['extent_px=[1,6]']", """
UNPAIRED = """
"discriminator.base_channels=4", "discriminator.layers=2", "loss.content=none",
"known.source=synthetic", "data.curriculum_steps=0",
"""
SIMULATED = """ "simulated.overrides=['extent_px=[1,6]']", """
MATCHED = SIMULATED + """ "simulated.compared=2", """
BOTH = """ "simulated.train_deblurrer=true", """
SCALE = f"""
shrink = 1
known_camera = "known"
[cameras.phone]
camera = "phone"
overrides = ["extent_px=[1, 6]"]
[training.known-only]
preset = "deblurrer"
overrides = [{SMALL} {TINY} {KNOWN}]
[training.generic]
preset = "converter"
overrides = [{SMALL} {TINY} {KNOWN} "init=", "simulated.compared=0", {SIMULATED}]
[training.upper-bound]
preset = "deblurrer"
overrides = [{SMALL} {TINY}]
[training.blur2blur]
preset = "converter"
overrides = [{SMALL} {TINY} {KNOWN} {MATCHED}]
[training.fine-tuned]
preset = "finish"
overrides = [{SMALL} "network.name=mimo_unet", {TINY} {KNOWN} {MATCHED}]
[training.finished]
preset = "converter"
overrides = [{SMALL} {TINY} {KNOWN} {MATCHED} {BOTH}]
[training.direct]
preset = "converter"
overrides = [{SMALL} {TINY} {KNOWN} {MATCHED} {BOTH} "simulated.converted=0"]
[training.oracle]
preset = "converter"
overrides = [{SMALL} {TINY} {KNOWN} "simulated.compared=0"]
[training.reference]
preset = "reference"
overrides = [{SMALL} {TINY} {KNOWN} {UNPAIRED}]
[training.cyclegan]
preset = "reference"
overrides = [{SMALL} {TINY} {KNOWN} {UNPAIRED}]
"""


def test_one_command_makes_rows_tables_and_pictures_and_goes_on(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(prepare, "CAMERA_CROPS", 16)
    monkeypatch.setattr(prepare, "SIMULATED_CROPS", 8)
    monkeypatch.setattr(own_photographs, "_CROPS", 2)
    pixels = torch.from_numpy(skimage.data.astronaut().copy()).permute(2, 0, 1) / 255
    for index in range(10):
        top, left = divmod(index, 4)
        crop = pixels[:, top * 160 : top * 160 + 176, left * 110 : left * 110 + 176]
        tensors.write_rgb(tmp_path / "photos" / f"{index}.png", crop)
    (tmp_path / "tiny.toml").write_text(SCALE)
    words = [
        *("--scale", str(tmp_path / "tiny.toml"), "--photos", str(tmp_path / "photos")),
        *("--seeds", "0", "--jobs", "1", "--out", str(tmp_path / "out")),
    ]
    main([*words, "--without", "finished", "direct", "oracle"])
    rows = json.loads((tmp_path / "out/cameras.json").read_text())
    assert not {"finished", "direct", "oracle"} & {row["method"] for row in rows}
    capfd.readouterr()
    main(words)  # what is missing
    rows = json.loads((tmp_path / "out/cameras.json").read_text())
    assert [row["method"] for row in rows] == [
        "input", "known-only", "generic", "blur2blur", "fine-tuned", "finished", "direct", "oracle",
        "reference", "cyclegan", "upper-bound",
    ]  # fmt: skip
    assert all(row["camera"] == "phone" and row["images"] == 1 for row in rows)
    assert (tmp_path / "out/phone.jpg").exists()
    assert (tmp_path / "out/gap.png").exists()
    first = capfd.readouterr().out
    assert "| upper-bound |" in first
    main(words)  # all is there
    again = capfd.readouterr().out
    assert "blur2blur: " not in again
    assert again.partition("PSNR in dB")[2] == first.partition("PSNR in dB")[2]

    monkeypatch.setattr(
        adaptation_benchmark, "variants", lambda whole: [adaptation_benchmark.Variant(3, whole)]
    )
    adaptation_benchmark.main([*words[:2], "--out", str(tmp_path / "out"), "--seeds", "0"])
    rows = json.loads((tmp_path / "out/adaptation.json").read_text())
    assert [(row["start"], row["photographs"]) for row in rows] == [
        ("generic", 0), ("nothing", 0), ("generic", 3),
    ]  # fmt: skip
    assert (tmp_path / "out/adaptation.png").exists()


def test_gap_closed():
    means = {
        "known-only": {"psnr_db": 20.0},
        "blur2blur": {"psnr_db": 21.5},
        "upper-bound": {"psnr_db": 22.0},
    }
    assert gap_closed(means, "blur2blur", over="known-only") == pytest.approx(0.75)
    means["upper-bound"]["psnr_db"] = 19.0
    assert gap_closed(means, "blur2blur", over="known-only") is None
