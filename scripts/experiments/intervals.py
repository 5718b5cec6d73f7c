"""Estimates with 95 % confidence intervals, for the few kinds of figures that experiments give.

`bootstrap`   a mean, a quantile, a ratio over runs: percentiles of RESAMPLES draws (Efron, 1979). Whole runs are drawn,
              because what was measured within one run is not independent; of pairs, runs that hold both sides
`proportion`  a share, k of n: Wilson's score interval (1927), never outside 0..1 and useful at 0 and n of n
`events`      events in a time: exact for Poisson counts (Garwood, 1936)

The draws come from a generator with a fixed seed, so that a report made twice of the same values is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from statistics import NormalDist
from typing import NamedTuple, TypeVar

T = TypeVar("T")

LEVEL = 0.95
RESAMPLES = 2000
SEED = 1


class Estimate(NamedTuple):
    """A value and where it lies with a confidence of 95 %; `n` is how much it rests on."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(runs: Sequence[T], statistic: Callable[[Sequence[T]], float]) -> Estimate:
    """`statistic` of the runs, and of runs drawn from them with replacement. NaN of no runs, and of one no interval."""
    if not runs:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value, rng = statistic(runs), Random(SEED)
    if len(runs) == 1:
        return Estimate(value, math.nan, math.nan, 1)
    draws = (statistic(rng.choices(runs, k=len(runs))) for _ in range(RESAMPLES))
    drawn = sorted(value for value in draws if not math.isnan(value))  # infinities may have no difference
    tail = (1 - LEVEL) / 2
    return Estimate(value, quantile(drawn, tail), quantile(drawn, 1 - tail), len(runs))


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile of nearest rank; NaN of nothing. An infinite value stands for one that was not reached."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(len(ordered) * share) - 1))] if ordered else math.nan


def proportion(successes: int, trials: int) -> Estimate:
    """The share of `successes`; NaN of no trials."""
    if trials == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2)
    share, weight = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half), trials)


def events(count: int, time: float) -> Estimate:
    """Events per unit of `time`."""
    if time <= 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    tail = (1 - LEVEL) / 2
    low = _poisson_mean(lambda mean: 1 - _poisson_at_most(count - 1, mean) - tail) if count else 0.0
    high = _poisson_mean(lambda mean: tail - _poisson_at_most(count, mean))
    return Estimate(count / time, low / time, high / time, count)


def _poisson_at_most(count: int, mean: float) -> float:
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _poisson_mean(rising: Callable[[float], float]) -> float:
    """Where a rising function of a mean is zero, by bisection."""
    low, high = 1e-9, 1.0
    while rising(high) < 0:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return high
