"""A resumed run is the uninterrupted one, and nothing else is resumed."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch

from blur2blur.errors import CheckpointError, ConfigError
from blur2blur.training.simulation import prepare
from conftest import SMALL_CAMERA
from tiny_runs import TASKS, curve, interrupt_after, same_weights, train


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_run_equals_uninterrupted_bit_for_bit(task, camera_folder, tmp_path):
    assert train(task, camera_folder, tmp_path / "whole")
    # step 3 is between two checkpoints: Ctrl-C itself must save
    assert not train(task, camera_folder, tmp_path / "cut", progress=interrupt_after(3))
    assert train(task, camera_folder, tmp_path / "cut")
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")
    assert same_weights(tmp_path / "whole/best.safetensors", tmp_path / "cut/best.safetensors")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_a_converter_that_is_adapted_is_resumed_too(camera_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "CAMERA_CROPS", 16)
    monkeypatch.setattr(prepare, "SIMULATED_CROPS", 8)
    # beside the generic one: of two simulated cameras that which looks like the camera
    adapted = [f"simulated.cameras=['{SMALL_CAMERA}']", "simulated.compared=2", "data.crop_px=64"]
    assert train("generic", camera_folder, tmp_path / "whole", *adapted)
    stop = interrupt_after(3)
    assert not train("generic", camera_folder, tmp_path / "cut", *adapted, progress=stop)
    assert train("generic", camera_folder, tmp_path / "cut", *adapted)
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")


def test_dropout_is_resumed_too(camera_folder, tmp_path):
    dropout = ["network.name=mimo_unet_plus", "network.options.dropout=0.5"]
    assert train("deblurrer", camera_folder, tmp_path / "whole", *dropout)
    stop = interrupt_after(3)
    assert not train("deblurrer", camera_folder, tmp_path / "cut", *dropout, progress=stop)
    assert train("deblurrer", camera_folder, tmp_path / "cut", *dropout)
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")


def test_a_run_from_before_a_setting_existed_is_resumed(camera_folder, tmp_path):
    run = tmp_path / "run"
    assert not train("converter", camera_folder, run, progress=interrupt_after(3))
    told = json.loads((run / "settings.json").read_text())
    del told["settings"]["discriminator"]["init"], told["settings"]["known"]["extractor"]
    (run / "settings.json").write_text(json.dumps(told))
    assert train("converter", camera_folder, run)


def test_a_run_of_the_older_words_is_resumed(camera_folder, tmp_path):
    run = tmp_path / "run"
    assert train("converter", camera_folder, tmp_path / "whole")
    assert not train("converter", camera_folder, run, progress=interrupt_after(3))
    told = json.loads((run / "settings.json").read_text())
    del told["settings"]["method"]
    told["settings"]["discriminator"]["judge"] = told["settings"]["discriminator"].pop("kind")
    told["settings"]["rehearsal"] = {"cameras": ["any"], "converted": 0.0, "deblurred": 0.0}
    (run / "settings.json").write_text(json.dumps(told))
    state = torch.load(run / "state.pt")
    for section in ("networks", "optimisers"):
        state[section]["generator"] = state[section].pop("network")
    state["networks"]["discriminator"] = {
        name.replace("parts.", "judges.", 1): value
        for name, value in state["networks"]["discriminator"].items()
    }
    torch.save(state, run / "state.pt")
    assert train("converter", camera_folder, run)
    assert same_weights(tmp_path / "whole/last.safetensors", run / "last.safetensors")


def test_a_finished_run_given_more_steps_goes_on_as_a_longer_one(camera_folder, tmp_path):
    constant = ["optimiser.schedule=constant", "optimiser.warmup_steps=0"]
    assert train("deblurrer", camera_folder, tmp_path / "whole", *constant, "run.steps=5")
    assert train("deblurrer", camera_folder, tmp_path / "run", *constant, "run.steps=2")
    assert train("deblurrer", camera_folder, tmp_path / "run", *constant, "run.steps=5")
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "run/last.safetensors")
    with pytest.raises(ConfigError, match=r"run\.steps = 5, not 4; repeat its settings"):
        train("deblurrer", camera_folder, tmp_path / "run", *constant, "run.steps=4")


def test_a_run_of_several_processes_is_not_resumed_by_one(camera_folder, tmp_path):
    train("deblurrer", camera_folder, tmp_path / "run", "run.steps=1")
    told = json.loads((tmp_path / "run/settings.json").read_text())
    assert told["processes"] == 1
    (tmp_path / "run/settings.json").write_text(json.dumps({**told, "processes": 2}))
    with pytest.raises(ConfigError, match="a run of 2 processes, not of 1; start as many"):
        train("deblurrer", camera_folder, tmp_path / "run", "run.steps=1")


@pytest.mark.parametrize("logger", ["tensorboard", "wandb", "none"])
def test_what_the_losses_are_told_beside_the_log(camera_folder, tmp_path, monkeypatch, logger):
    if logger == "wandb":
        pytest.importorskip(logger, reason="extra 'wandb' is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    chosen = [f"run.logger={logger}", "run.log_every=1"]
    train("deblurrer", camera_folder, tmp_path / "run", *chosen, "run.steps=1")
    train("deblurrer", camera_folder, tmp_path / "run", *chosen, "run.steps=2")
    assert '"step": 2' in (tmp_path / "run/log.jsonl").read_text()
    left = {
        "tensorboard": "run/tensorboard/events.*",
        "wandb": "run/wandb/offline-run-*",
    }
    for name, files in left.items():
        assert any(tmp_path.glob(files)) == (name == logger)


def test_a_logger_that_is_not_installed(camera_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"run.logger = 'wandb' needs wandb: pip install"):
        train("deblurrer", camera_folder, tmp_path / "run", "run.logger=wandb")


def test_validations_belong_to_a_run_whose_rate_they_decide(camera_folder, tmp_path):
    plateau = ["optimiser.schedule=plateau", "run.steps=3"]
    train("deblurrer", camera_folder, tmp_path / "run", *plateau, progress=interrupt_after(1))
    with pytest.raises(ConfigError, match=r"run\.validate_every = 3, not 2; repeat its settings"):
        train("deblurrer", camera_folder, tmp_path / "run", *plateau, "run.validate_every=2")
    train("deblurrer", camera_folder, tmp_path / "run", *plateau, "run.samples_every=2")


def test_fresh_batches_of_a_discriminator_are_resumed_too(camera_folder, tmp_path):
    twice = ["discriminator.updates_per_step=2", "known.source=pairs"]
    assert train("converter", camera_folder, tmp_path / "whole", *twice)
    stop = interrupt_after(3)
    assert not train("converter", camera_folder, tmp_path / "cut", *twice, progress=stop)
    assert train("converter", camera_folder, tmp_path / "cut", *twice)
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")


def test_killed_run_resumes_from_its_checkpoint_and_repeats_the_curve(camera_folder, tmp_path):
    class Killed(Exception):
        pass

    def kill(step: int, values: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    assert train("deblurrer", camera_folder, tmp_path / "whole")
    with pytest.raises(Killed):
        train("deblurrer", camera_folder, tmp_path / "cut", progress=kill)
    assert train("deblurrer", camera_folder, tmp_path / "cut")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_worker_processes_do_not_change_a_run(camera_folder, tmp_path):
    train("converter", camera_folder, tmp_path / "here")
    # of which there are no more than cores, or torch would warn
    train("converter", camera_folder, tmp_path / "workers", "data.workers=99", "data.cache_gb=0")
    assert same_weights(tmp_path / "here/last.safetensors", tmp_path / "workers/last.safetensors")


def test_where_shared_memory_is_small_fewer_processes_decode(
    camera_folder, tmp_path, monkeypatch, caplog
):
    train("converter", camera_folder, tmp_path / "here")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=16 << 10))
    train("converter", camera_folder, tmp_path / "small", "data.workers=1")
    assert "only 16 kB free, so that 0 processes decode instead of 1" in caplog.text
    assert same_weights(tmp_path / "here/last.safetensors", tmp_path / "small/last.safetensors")


def test_a_run_resumed_on_a_plateau_equals_the_uninterrupted_one(camera_folder, tmp_path):
    # with so low a rate no validation is a gain
    plateau = ["optimiser.schedule=plateau", "run.validate_every=1", "run.steps=9",
               "optimiser.learning_rate=1e-6", "optimiser.warmup_steps=0"]  # fmt: skip
    train("converter", camera_folder, tmp_path / "whole", *plateau)
    stop = interrupt_after(4)
    assert not train("converter", camera_folder, tmp_path / "cut", *plateau, progress=stop)
    assert train("converter", camera_folder, tmp_path / "cut", *plateau)
    assert torch.load(tmp_path / "cut/state.pt")["position"]["plateaus"] == 1
    assert same_weights(tmp_path / "whole/last.safetensors", tmp_path / "cut/last.safetensors")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_resuming_with_other_settings_is_refused(camera_folder, tmp_path):
    train("deblurrer", camera_folder, tmp_path / "run", "run.steps=2")
    with pytest.raises(ConfigError, match=r"optimiser.learning_rate = 0.001, not 0.01"):
        train(
            "deblurrer", camera_folder, tmp_path / "run", "run.steps=2",
            "optimiser.learning_rate=0.01",
        )  # fmt: skip


def test_foreign_folder_is_no_run(camera_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/holiday.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        train("deblurrer", camera_folder, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["holiday.txt"]


def test_damaged_state_is_refused(camera_folder, tmp_path):
    train("deblurrer", camera_folder, tmp_path / "run", "run.steps=2")
    (tmp_path / "run/state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match=r"state.pt"):
        train("deblurrer", camera_folder, tmp_path / "run", "run.steps=2")
