"""thresholds and events: specs, the state over counter metrics, the numbered log."""

from __future__ import annotations

import pytest

from analytics.events.log import Event, EventLog
from analytics.events.thresholds import CounterWatch, parse_threshold
from analytics.flows.keys import InvalidDefinition


def test_defaults_are_filled_in():
    threshold = parse_threshold("elephant", {"metric": "f", "value": 1000})
    assert (threshold.metric, threshold.value, threshold.by_flow, threshold.timeout) == ("f", 1000, False, 1.0)
    assert threshold.filter == {}


def test_the_filter_is_kept():
    spec = {"metric": "f", "value": 1.5, "byFlow": True, "timeout": 0.2, "filter": {"ifspeed": [1e9]}}
    threshold = parse_threshold("e", spec)
    assert threshold.filter == spec["filter"]
    assert threshold.watches({"ifspeed": 10**9}.get)
    assert not threshold.watches({"ifspeed": 10**8}.get)
    assert not threshold.watches({}.get)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({}, "'metric' is missing"),
        ({"metric": "f"}, "'value' is missing"),
        ({"metric": "f", "value": "5"}, "'value' is missing or not a number: '5'"),
        ({"metric": "f", "value": True}, "not a number: True"),
        ({"metric": "f", "value": float("inf")}, "not a number: inf"),
        ({"metric": "f", "value": 10**400}, "not a number: 1000"),
        ({"metric": 5, "value": 5}, "'metric' is missing or not text: 5"),
        ({"metric": "f", "value": 5, "timeout": -1}, "'timeout' is negative"),
        ({"metric": "f", "value": 5, "byFlow": 1}, "'byFlow' is neither true nor false"),
        ({"metric": "f", "value": 5, "byflow": True}, "unknown attribute 'byflow'"),
        ({"metric": "f", "value": 5, "filter": "ifspeed=1"}, "filter is not an object"),
        ("x", "a threshold is a JSON object"),
    ],
)
def test_wrong_thresholds_are_named(spec, word):
    with pytest.raises(InvalidDefinition) as error:
        parse_threshold("t", spec)
    assert "'t'" in str(error.value)
    assert word in str(error.value)


def test_counter_metrics_fire_once_and_again_after_the_timeout():
    watch = CounterWatch(parse_threshold("t", {"metric": "m", "value": 10, "timeout": 30}))
    story = [(0, 5, False), (10, 11, True), (20, 50, False), (30, 10, False), (40, 9, False), (50, 12, False),
             (60, 3, False), (80, 3, False), (90, 12, True), (100, 12, False)]  # fmt: skip
    assert [(now, value, watch.update("a", "1", value, now)) for now, value, _ in story] == story
    assert watch.update("a", "2", 11, 100)


def event(name: str) -> Event:
    return Event(name, "m", 1.0, 2.0, "10.0.0.1", "5", 1000.0)


def ids(events: list[Event]) -> list[int]:
    return [each.id for each in events]


def test_the_log_is_numbered_newest_first_and_bounded():
    log = EventLog(most=3)
    assert log.after(None, 10) == []
    assert [log.add(event("ab"[number % 2])) for number in range(5)] == [1, 2, 3, 4, 5]
    assert ids(log.after(None, 10)) == ids(log.after(-1, 10)) == [5, 4, 3]
    assert ids(log.after(4, 10)) == [5]
    assert log.after(5, 10) == []
    assert ids(log.after(None, 2)) == [5, 4]
    assert ids(log.after(None, 10, "b")) == [4]
    assert log.after(None, 0) == []


def test_an_id_from_before_a_restart_counts_as_none():
    log = EventLog()
    log.add(event("a"))
    assert ids(log.after(99, 10)) == [1]
