"""Learning rates, random numbers and held-out photographs."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from blur2blur.training import loop, sources
from blur2blur.training.sections import OptimiserSettings


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rate_warms_up_decays_and_never_stops(schedule):
    checked = OptimiserSettings(warmup_steps=10, schedule=schedule, constant_fraction=0.5)
    rates = [loop.learning_rate(checked, 1.0, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:50] == [1.0] * 40
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[-1] > 0


def test_step_schedule_falls_to_a_tenth_every_so_many_steps():
    checked = OptimiserSettings(schedule="step", decay_every=10, constant_fraction=0.2)
    rates = [loop.learning_rate(checked, 1.0, step, 100) for step in range(100)]
    assert rates[:20] == [1.0] * 20
    assert rates[20:30] == [1.0] * 10
    assert rates[30:40] == pytest.approx([0.1] * 10)
    assert rates[-1] == pytest.approx(1e-7)


def test_plateau_is_five_validations_without_a_gain_of_one_percent():
    position = loop._Position()
    for score in (-1.0, -0.995, -0.991, -0.9905, -1.2):
        position.record(score)
    assert position.plateaus == 0
    position.record(-0.995)
    assert position.plateaus == 1
    for score in (-0.98, -0.975, -0.975, -0.975, -0.975):  # a gain first: counting begins anew
        position.record(score)
    assert position.plateaus == 1
    checked = OptimiserSettings(schedule="plateau", warmup_steps=2)
    rates = [loop.learning_rate(checked, 1.0, step, 9, plateaus=2) for step in (0, 5, 8)]
    assert rates == pytest.approx([0.5, 0.04, 0.04])


def test_random_numbers_differ_between_steps_ranks_and_seeds():
    drawn = {
        float(torch.rand(1, generator=loop.step_generator(seed, step, rank)))
        for seed in range(3)
        for step in range(3)
        for rank in range(3)
    }
    assert len(drawn) == 27


def test_validation_photographs_are_not_trained_on():
    paths = [Path(f"{number}.png") for number in range(10)]
    split = sources.split({"known_sharp": paths}, 0.2)
    assert split.validation["known_sharp"] == paths[8:]
    assert split.train["known_sharp"] == paths[:8]
