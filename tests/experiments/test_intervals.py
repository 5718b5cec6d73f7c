"""Estimates against values worked out otherwise: published tables, and every resample counted."""

import itertools
import math
import statistics

import pytest

from scripts.experiments.intervals import bootstrap, events, proportion, quantile


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_as_newcombe_tabulates_wilsons_interval(successes, trials, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    found = proportion(successes, trials)
    assert found.value == successes / trials
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)])
def test_counts_as_tables_of_the_poisson_distribution_have_them(count, low, high):
    found = events(count, 1.0)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)
    assert events(count, 0.5).high == pytest.approx(2 * found.high)


def test_a_bootstrap_of_few_runs_is_near_what_counting_every_resample_gives():
    runs = [3.0, 5.0, 8.0, 14.0, 15.0]
    every = sorted(statistics.fmean(drawn) for drawn in itertools.product(runs, repeat=len(runs)))
    found = bootstrap(runs, statistics.fmean)
    assert found.value == 9.0
    assert found.low == pytest.approx(quantile(every, 0.025), abs=0.4)
    assert found.high == pytest.approx(quantile(every, 0.975), abs=0.4)
    assert bootstrap(runs, statistics.fmean) == found


def test_runs_are_drawn_whole_so_that_pairs_stay_pairs():
    """Both sides vary tenfold from run to run, their ratio not at all."""
    runs = [(1.0, 2.0), (10.0, 20.0), (5.0, 10.0)]
    found = bootstrap(runs, lambda drawn: sum(b for _, b in drawn) / sum(a for a, _ in drawn))
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_what_never_happened_is_infinite_and_takes_part():
    flows = [10.0, 20.0, math.inf, 30.0]
    assert quantile(flows, 0.5) == 20.0
    assert quantile(flows, 0.95) == math.inf


def test_of_nothing_there_is_no_estimate_and_of_one_run_no_interval():
    assert math.isnan(bootstrap([], statistics.fmean).value)
    assert math.isnan(proportion(0, 0).value)
    assert math.isnan(quantile([], 0.5))
    single = bootstrap([4.0], statistics.fmean)
    assert single.value == 4.0
    assert math.isnan(single.low)
