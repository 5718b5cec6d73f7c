"""client.baseline: window 4, so the mean and the deviation can be worked out by hand."""

import pytest

from client import Baseline


def test_it_learns_then_judges():
    baseline = Baseline(window=4, sensitivity=2)
    assert [baseline.check(value) for value in (8, 12, 8, 12)] == ["learning"] * 4
    assert baseline.statistics() == {"mean": 10, "sdev": 2, "min": 8, "max": 12, "n": 4}
    assert baseline.check(14) == "normal"  # exactly two deviations
    assert baseline.check(100) == "high"  # of 12, 8, 12, 14
    baseline.reset()
    assert baseline.statistics() == {}
    assert baseline.check(100) == "learning"


def test_low_and_a_new_level_becomes_normal():
    baseline = Baseline(window=4, sensitivity=1)
    for value in (9, 11, 9, 11):
        baseline.check(value)
    assert baseline.check(0) == "low"
    assert [baseline.check(0) for _ in range(3)] == ["low", "normal", "normal"]


def test_repeat_asks_for_several_in_a_row():
    baseline = Baseline(window=4, sensitivity=1, repeat=2)
    for value in (9, 11, 9, 11):
        baseline.check(value)
    assert [baseline.check(value) for value in (50, 200, 9)] == ["normal", "high", "normal"]


@pytest.mark.parametrize("wrong", [{"window": 0}, {"window": 1, "repeat": 0}, {"window": 1, "sensitivity": -1}])
def test_what_cannot_be(wrong):
    with pytest.raises(ValueError, match="no baseline"):
        Baseline(**wrong)
