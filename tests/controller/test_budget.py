"""Token buckets: never more than the burst and the rate, one key's spending is not another's."""

from hypothesis import given
from hypothesis import strategies as st

from controller.budget import Budget


def taken(budget, key, times):
    return [at for at in times if budget.take([key], at)]


def test_a_burst_and_then_the_rate():
    budget = Budget(rate=10, burst=3)
    assert taken(budget, "a", [0.0] * 5) == [0.0] * 3
    assert taken(budget, "a", [0.05, 0.1, 0.15, 0.2]) == [0.1, 0.2]
    assert taken(budget, "a", [100.0] * 5) == [100.0] * 3
    assert taken(budget, "b", [100.0]) == [100.0]


def test_where_one_key_has_nothing_left_none_pays():
    budget = Budget(rate=1, burst=1)
    assert budget.take(["a"], 0.0)
    assert not budget.take(["a", "b"], 0.5)
    assert budget.take(["b"], 0.5)
    assert budget.take(["a", "b"], 1.5)


@given(st.lists(st.floats(0, 0.2), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_no_window_has_more_than_its_burst_and_its_rate(gaps, rate, burst):
    budget, now, times = Budget(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        if budget.take(["a"], now):
            times.append(now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + rate * (times[last] - times[first]) + 1e-6
