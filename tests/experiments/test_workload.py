"""What a run of mice says of itself: time-outs are counted beside percentiles and are part of none."""

from scripts.experiments.workload import Mice


def test_timeouts_are_counted_and_change_no_percentile():
    times = [float(ms) for ms in range(1, 101)]
    mice = Mice(times, timeouts=25)
    assert str(mice) == "100 requests answered in 50.0 ms (p50), 99.0 ms (p99), 25 timed out"
    assert mice.report() == {"requests": 125, "timeouts": 25, "p50_ms": 50.0, "p99_ms": 99.0}
    assert str(Mice(times, 0)).endswith("99.0 ms (p99), none timed out")


def test_no_answer_has_no_percentile():
    assert str(Mice([], 3)) == "no request answered, 3 timed out"
    assert Mice([], 3).report() == {"requests": 3, "timeouts": 3, "p50_ms": None, "p99_ms": None}
    assert str(Mice([], 0)) == "no requests"
