"""Two kinds of photographs are told apart where there are two, and not where there is one."""

import numpy as np
import pytest

from blur2blur.data.folders import mixture


def roll(seed: int, blurry: int, sharp: int) -> np.ndarray:
    """Return sharpness as cameras have it: sharp photographs lie closer together."""
    rng = np.random.default_rng(seed)
    logarithms = (rng.normal(np.log2(24), 0.2, blurry), rng.normal(np.log2(35), 0.07, sharp))
    return 2 ** np.concatenate(logarithms)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("blurry", "sharp"), [(30, 30), (10, 50), (45, 15), (3000, 1000)])
def test_agrees_with_the_distributions_that_the_values_are_of(seed: int, blurry: int, sharp: int):
    values = roll(seed, blurry, sharp)
    found = mixture.fit(values)
    assert found is not None
    assert found.blurry == pytest.approx(24, rel=0.1)
    assert found.sharp == pytest.approx(35, rel=0.05)
    sure = np.abs(found.probability_sharp - 0.5) > 0.45
    right = (found.probability_sharp > 0.5) == (np.arange(len(values)) >= blurry)
    assert sure.mean() > 0.7
    assert right[sure].mean() > 0.95


@pytest.mark.parametrize("count", [12, 60, 1000])
@pytest.mark.parametrize("spread", [0.0, 0.07, 0.2])
def test_one_kind_stays_one(count: int, spread: float):
    values = 2 ** np.random.default_rng(count).normal(5, spread, count)
    assert mixture.fit(values) is None


def test_a_few_odd_ones_are_no_second_kind():
    assert mixture.fit(roll(0, 3, 57)) is None
    assert mixture.fit(roll(0, 9, 51)) is not None
    assert mixture.fit(roll(0, 60, 1200)) is None  # two kinds by all else


def test_probability_rises_with_sharpness():
    values = np.sort(roll(0, 30, 30))
    found = mixture.fit(values)
    assert found is not None
    assert (np.diff(found.probability_sharp) >= -1e-9).all()


def test_photographs_without_edges_tell_nothing_and_disturb_nothing():
    values = roll(0, 30, 30)
    found, among_empty = mixture.fit(values), mixture.fit([0.0, *values, 0.0])
    assert found is not None
    assert among_empty is not None
    expected = [0.5, *found.probability_sharp, 0.5]
    np.testing.assert_array_equal(among_empty.probability_sharp, expected)
    assert mixture.fit([0.0] * 20) is None
    assert mixture.fit([20.0, 40.0] * 5) is None
