"""Whatever happens to a run folder, in any order: refused in one line, or the run of old."""

import itertools
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from blur2blur.errors import Blur2BlurError, CheckpointError, ConfigError
from blur2blur.training.run_folder import LOG, SETTINGS, STATE
from blur2blur.weights.verdict import BEST, LAST
from tiny_runs import curve, interrupt_after, same_weights, train

QUICK = ["data.batch_size=1", "data.validation_crops=1"]
STEPS = st.integers(1, 5)


class Killed(Exception):
    pass


def kill_after(stop_step: int):
    def progress(step: int, values: dict[str, float]) -> None:
        if step == stop_step:
            raise Killed

    return progress


class RunFolder(RuleBasedStateMachine):
    """A run that is stopped, killed, damaged and given other settings; then finished."""

    data: Path
    whole: Path
    places = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.out = self.whole.with_name(f"run-{next(self.places)}")

    def has(self, name: str) -> bool:
        return (self.out / name).exists()

    def train(self, *overrides: str, **options) -> bool:
        return train("deblurrer", self.data, self.out, *QUICK, *overrides, **options)

    def refused(self, kind: type[Blur2BlurError], name: str, *overrides: str) -> None:
        before = self.contents()
        with pytest.raises(kind) as error:
            self.train(*overrides)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
        assert self.contents() == before

    def contents(self) -> dict[Path, bytes]:
        files = [path for path in self.out.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if path.parent.name != "tensorboard"}

    @rule(step=STEPS)
    def stop(self, step: int) -> None:
        self.train(progress=interrupt_after(step))

    @rule(step=STEPS)
    def kill(self, step: int) -> None:
        with suppress(Killed):
            self.train(progress=kill_after(step))

    @rule(every=st.sampled_from([1, 4]))
    def save_at_other_times(self, every: int) -> None:
        self.train(f"run.checkpoint_every={every}", progress=interrupt_after(every))

    @precondition(lambda self: self.has(SETTINGS))
    @rule(other=st.sampled_from(["run.seed=1", "run.steps=3", "optimiser.learning_rate=1e-4"]))
    def other_settings(self, other: str) -> None:
        self.refused(ConfigError, other.partition("=")[0], other)

    @precondition(lambda self: self.has(SETTINGS))
    @rule(
        content=st.sampled_from([b"", b"[]", b"[" * 9999, b"\xff", b'{"settings": 3, "data": 1}'])
    )
    def damage_settings(self, content: bytes) -> None:
        good = (self.out / SETTINGS).read_bytes()
        (self.out / SETTINGS).write_bytes(content)
        self.refused(ConfigError, SETTINGS)
        (self.out / SETTINGS).write_bytes(good)

    @precondition(lambda self: self.has(STATE))
    @rule(cut=st.floats(0, 0.95), forget=st.booleans())
    def damage_state(self, cut: float, forget: bool) -> None:
        good = (self.out / STATE).read_bytes()
        (self.out / STATE).write_bytes(good[: int(cut * len(good))])
        self.refused(CheckpointError, STATE)
        if forget:
            (self.out / STATE).unlink()
        else:
            (self.out / STATE).write_bytes(good)

    @precondition(lambda self: self.has(LOG))
    @rule(line=st.sampled_from([b'{"step": 99}\n', b'{"step": -5}\n', b"\xff\xfe", b"{", b"[]\n"]))
    def add_to_the_log(self, line: bytes) -> None:
        with (self.out / LOG).open("ab") as log:
            log.write(line)

    @rule(name=st.sampled_from([LAST, "samples", "tensorboard"]))
    def lose(self, name: str) -> None:
        shutil.rmtree(self.out / name, ignore_errors=True)
        if self.has(name):
            (self.out / name).unlink()

    def teardown(self) -> None:
        assert self.train()
        finished = self.has(LAST)  # a run that was at its end makes nothing anew
        assert not finished or same_weights(self.whole / LAST, self.out / LAST)
        assert same_weights(self.whole / BEST, self.out / BEST)
        assert curve(self.out) == curve(self.whole)
        assert not list(self.out.rglob(".*"))
        shutil.rmtree(self.out)


def test_any_order_of_stops_kills_damage_and_other_settings(camera_folder, tmp_path):
    RunFolder.data, RunFolder.whole = camera_folder, tmp_path / "whole"
    assert train("deblurrer", camera_folder, RunFolder.whole, *QUICK)
    few = settings(
        max_examples=4,
        stateful_step_count=7,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # to make a failure shorter takes minutes
    )
    run_state_machine_as_test(RunFolder, settings=few)
