"""Blurry and sharp photographs told apart by the valley in the histogram of their sharpness.

The histogram is described by two normal distributions of the logarithm of the sharpness, fitted by
expectation-maximisation (Dempster, Laird and Rubin, Journal of the Royal Statistical Society B
39(1), 1977).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 12
"""Of fewer photographs no two distributions are told."""

LEAST_SHARPNESS = 5.0
"""Per cent. Below it a photograph has no edges to judge by, and no part in the fit."""

_LEAST_SHARE = 0.1
_STARTS = np.linspace(0.1, 0.9, 9)
_STEPS = 200
_LEAST_DEVIATION = 0.04  # octaves; below it a distribution would shrink onto a few equal values
_MORE_PARAMETERS = 3  # two means, two deviations and a share, instead of a mean and a deviation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """Two kinds of photographs, and which is which.

    Attributes:
        blurry: typical sharpness of the blurry ones.
        sharp: typical sharpness of the sharp ones.
        probability_sharp: of each photograph, in the order given; 0.5 where nothing tells.
    """

    blurry: float
    sharp: float
    probability_sharp: NDArray[np.float64]


def fit(sharpness: Sequence[float]) -> Mixture | None:
    """Return the two kinds of `measure.edge_sharpness` values; None where all are of one kind.

    Two distributions must explain the values better than one by more than the Bayesian information
    criterion asks (Schwarz, Annals of Statistics 6(2), 1978), and each kind has a tenth of the
    photographs at least. Beyond the typical sharpness of a
    kind a photograph is of that kind for sure.
    """
    given = np.asarray(sharpness, np.float64)
    told = given >= LEAST_SHARPNESS
    if told.sum() < LEAST:
        return None
    values = np.log2(given[told])
    fits = [_maximise(values, values >= np.quantile(values, start)) for start in _STARTS]
    likelihood, means, probability = max(
        (fit for fit in fits if fit[1][0] < fit[1][1]), key=lambda fit: fit[0], default=fits[0]
    )
    deviation = max(float(values.std()), _LEAST_DEVIATION)
    of_one_kind = _log_likelihood(_density(values, values.mean(), deviation))
    if likelihood - of_one_kind <= _MORE_PARAMETERS / 2 * np.log(len(values)):
        return None
    probability[values <= means[0]] = 0
    probability[values >= means[1]] = 1
    # the softest scenes of a roll of sharp photographs also lie apart, and so do its oddities
    if not _LEAST_SHARE <= float((probability > 0.5).mean()) <= 1 - _LEAST_SHARE:
        return None
    blurry, sharp = (float(2**mean) for mean in means)
    of_all = np.full(len(given), 0.5)
    of_all[told] = probability
    return Mixture(blurry=blurry, sharp=sharp, probability_sharp=of_all)


def _maximise(
    values: NDArray[np.float64], sharp: NDArray[np.bool_]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return log-likelihood, the two means, and each value's probability of the upper one."""
    probability = sharp.astype(np.float64)
    likelihood, means = -np.inf, np.zeros(2)
    for _ in range(_STEPS):
        weights = np.stack([1 - probability, probability]) + 1e-9
        totals = weights.sum(axis=1)
        means = weights @ values / totals
        variances = (weights * (values - means[:, None]) ** 2).sum(axis=1) / totals
        deviations = np.maximum(np.sqrt(variances), _LEAST_DEVIATION)
        densities = (totals / len(values))[:, None] * _density(
            values, means[:, None], deviations[:, None]
        )
        likelihood = _log_likelihood(densities.sum(axis=0))
        probability = densities[1] / densities.sum(axis=0)
    return likelihood, means, probability


def _density(
    values: NDArray[np.float64],
    mean: float | NDArray[np.float64],
    deviation: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the normal density without its constant factor, and never 0."""
    return np.exp(-(((values - mean) / deviation) ** 2) / 2) / deviation + 1e-12


def _log_likelihood(densities: NDArray[np.float64]) -> float:
    return float(np.log(densities).sum())
