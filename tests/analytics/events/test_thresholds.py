"""thresholds and events: specs, the state over counter metrics, the numbered log."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.events.counterwatches import CounterWatches
from analytics.events.log import Event, Log
from analytics.events.thresholds import SequentialTest, parse_threshold
from analytics.flows.keys import InvalidDefinition

TESTED = {"metric": "f", "value": 10, "byFlow": True, "test": {}}


def test_defaults_of_a_test_are_filled_in():
    assert parse_threshold("t", TESTED).test == SequentialTest(0.01, 0.01, 2.0, 100.0, 0)
    told = {"alpha": 0.1, "beta": None, "separation": "4", "fastest": 50, "switches": 3}
    assert parse_threshold("t", TESTED | {"test": told}).test == SequentialTest(0.1, 0.01, 4.0, 50.0, 3)
    assert parse_threshold("t", TESTED | {"test": None}).test is None


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
        ({"metric": "f", "value": "five"}, "'value' is not a number: 'five'"),
        ({"metric": "f", "value": "nan"}, "'value' is not a number: 'nan'"),
        ({"metric": "sum:f", "value": 5}, "metric 'sum:f': a threshold watches every data source by itself"),
        ({"metric": "max:5.f", "value": 5}, "metric 'max:5.f': a threshold watches every data source by itself"),
        ({"metric": "f", "value": True}, "not a number: True"),
        ({"metric": "f", "value": float("inf")}, "not a number: inf"),
        ({"metric": "f", "value": 10**400}, "not a number: 1000"),
        ({"metric": 5, "value": 5}, "'metric' is missing or not text: 5"),
        ({"metric": "f", "value": 5, "timeout": -1}, "'timeout' is negative"),
        ({"metric": "f", "value": 5, "byFlow": 1}, "'byFlow' is neither true nor false"),
        ({"metric": "f", "value": 5, "byflow": True}, "unknown attribute 'byflow'"),
        ({"metric": "f", "value": 5, "filter": "ifspeed=1"}, "filter is not an object"),
        ("x", "a threshold is a JSON object"),
        (TESTED | {"test": 5}, "'test' is not an object: 5"),
        (TESTED | {"byFlow": False}, "'test' decides about flows, but 'byFlow' is not true"),
        (TESTED | {"value": 0}, "'test': 'value' is not above 0"),
        (TESTED | {"test": {"gamma": 1}}, "'test': unknown attribute 'gamma'"),
        (TESTED | {"test": {"alpha": "x"}}, "'test': 'alpha' is not a number: 'x'"),
        (TESTED | {"test": {"alpha": 0}}, "'alpha' is not above 0 and 0.5 at most: 0"),
        (TESTED | {"test": {"beta": 0.6}}, "'beta' is not above 0 and 0.5 at most: 0.6"),
        (TESTED | {"test": {"separation": 1}}, "'separation' is not from 1.1 to 1000.0: 1"),
        (TESTED | {"test": {"fastest": 9}}, "'fastest' is not 'value' at least: 9"),
        (TESTED | {"test": {"switches": 2.5}}, "'switches' is not a whole number from 0 to 64: 2.5"),
    ],
)
def test_wrong_thresholds_are_named(spec, word):
    with pytest.raises(InvalidDefinition) as error:
        parse_threshold("t", spec)
    assert "'t'" in str(error.value)
    assert word in str(error.value)


WHERE = ("10.0.0.1", "5")


class Attributes(dict):
    """Attributes of data sources, and how often one was asked for."""

    asked = 0

    def __call__(self, agent: str, source: str, name: str) -> object:
        self.asked += 1
        return self.get(name)


def watching(*specs: dict, attributes: Attributes | None = None, most: int = 1000) -> CounterWatches:
    watches = CounterWatches(Attributes() if attributes is None else attributes, most)
    for number, spec in enumerate(specs):
        watches.add(parse_threshold(f"t{number}", spec))
    return watches


def names(watches: CounterWatches, value: object, now: float, where: tuple[str, str] = WHERE) -> list[str]:
    return sorted(threshold.name for threshold, _ in watches.update(where, {"m": value}, now))


def test_counter_metrics_fire_once_and_again_after_the_timeout():
    watches = watching({"metric": "m", "value": 10, "timeout": 30})
    story = [(0, 5, False), (10, 11, True), (20, 50, False), (30, 10, False), (40, 9, False), (50, 12, False),
             (60, 3, False), (80, 3, False), (90, 12, True), (100, 12, False)]  # fmt: skip
    assert [(now, value, bool(names(watches, value, now))) for now, value, _ in story] == story
    assert names(watches, 11, 100, ("10.0.0.1", "6")) == ["t0"]


def test_a_threshold_that_is_new_looks_at_values_that_stay():
    watches = watching({"metric": "m", "value": 10})
    assert names(watches, 20, 0) == ["t0"]
    watches.add(parse_threshold("late", {"metric": "m", "value": 15}))
    assert names(watches, 20, 1) == ["late"]
    watches.drop(parse_threshold("t0", {"metric": "m", "value": 10}))
    watches.add(parse_threshold("t0", {"metric": "m", "value": 10}))
    assert names(watches, 20, 2) == ["t0"]  # put again: armed again


def test_a_filter_that_begins_to_pass_while_the_value_stays():
    attributes = Attributes()
    watches = watching({"metric": "m", "value": 10, "filter": {"ifname": "eth*"}}, attributes=attributes)
    assert names(watches, 20, 0) == []
    attributes["ifname"] = "eth1"
    assert names(watches, 20, 1) == ["t0"]
    assert names(watches, 20, 2) == []


def test_a_pinned_threshold_looks_at_its_data_source():
    watches = watching({"metric": "5.m", "value": 10}, {"metric": "6.m", "value": 10})
    assert names(watches, 20, 0) == ["t0"]
    assert names(watches, 20, 0, ("10.0.0.2", "6")) == ["t1"]
    assert names(watches, "text", 1) == []


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(1, 2)), min_size=1, max_size=40),
)
def test_events_equal_those_of_every_threshold_alone(thresholds, story):
    specs = [{"metric": "m", "value": value, "timeout": timeout} for value, timeout in thresholds]
    together, alone = watching(*specs), [watching(spec) for spec in specs]
    now = 0
    for pause, value, port in story:
        now += pause
        where = ("10.0.0.1", str(port))
        expected = [f"t{number}" for number, each in enumerate(alone) if names(each, value, now, where)]
        assert names(together, value, now, where) == expected


def test_what_is_not_crossed_costs_nothing():
    """10,000 thresholds: only those between the value before and the new one are looked at."""
    watches = watching(*({"metric": "m", "value": 1000 + number} for number in range(10_000)), most=20_000)
    assert names(watches, 1, 0) == []
    [group] = [group for pins in watches._groups.values() for group in pins.values()]
    looked = Counter()
    group.thresholds = {number: Looked(each, looked) for number, each in group.thresholds.items()}
    for now in range(1, 100):
        assert names(watches, now, now) == []
    assert looked.total() == 0
    assert names(watches, 1003, 100) == ["t0", "t1", "t2"]
    assert looked.total() == 3


class Looked:
    """A threshold that counts how often it was looked at."""

    def __init__(self, threshold, looked):
        self._threshold, self._looked = threshold, looked

    def __getattr__(self, name):
        if name == "watches":
            self._looked[self._threshold.name] += 1
        return getattr(self._threshold, name)


def test_states_are_bounded_counted_and_forgotten_with_their_data_source():
    watches = watching({"metric": "m", "value": 10}, most=4)
    places = [("10.0.0.1", str(port)) for port in range(4)]
    assert [names(watches, 20, 0, where) for where in places] == [["t0"], ["t0"], [], []]
    assert (watches.states, watches.refused) == (4, 2)
    watches.forget(places[0])
    assert watches.states == 2
    assert names(watches, 20, 1, places[2]) == ["t0"]
    assert names(watches, 20, 1, places[1]) == []


def test_more_thresholds_than_the_engine_watches_are_refused(engine, monkeypatch):
    monkeypatch.setattr("analytics.events.watches.MAX_THRESHOLDS", 2)
    for name in ("a", "b", "b"):
        engine.set_threshold(name, {"metric": "m", "value": 1})
    with pytest.raises(InvalidDefinition, match="threshold 'c': more than 2 thresholds"):
        engine.set_threshold("c", {"metric": "m", "value": 1})
    assert engine.clear_threshold("a")
    engine.set_threshold("c", {"metric": "m", "value": 1})


def event(name: str) -> Event:
    return Event(name, "m", 1.0, 2.0, "10.0.0.1", "5", 1000.0)


def ids(events: list[Event]) -> list[int]:
    return [each.id for each in events]


def test_the_log_is_numbered_newest_first_and_bounded():
    log = Log(most=3)
    assert log.after(None, 10) == []
    for number in range(5):
        log.add(replace(event("ab"[number % 2]), id=log.next))
    assert log.newest == 5
    assert ids(log.after(None, 10)) == ids(log.after(-1, 10)) == [5, 4, 3]
    assert ids(log.after(4, 10)) == [5]
    assert log.after(5, 10) == []
    assert ids(log.after(None, 2)) == [5, 4]
    assert ids(log.after(None, 10, lambda event: event.threshold == "b")) == [4]
    assert log.after(None, 0) == []


def test_an_id_from_before_a_restart_counts_as_none():
    log = Log(most=3)
    log.add(replace(event("a"), id=log.next))
    assert ids(log.after(99, 10)) == [1]
    assert log.since(99, 10)[0] == 0
    assert ids(log.since(99, 10)[1]) == [1]


def test_a_reader_gets_all_after_its_cursor_in_order_and_is_told_what_it_missed():
    log = Log(most=4)
    for _ in range(10):
        log.add(replace(event("a"), id=log.next))

    def since(cursor, most):
        lost, found = log.since(cursor, most)
        return lost, ids(found)

    assert since(0, 100) == (6, [7, 8, 9, 10])
    assert since(0, 2) == (6, [7, 8])
    assert since(5, 1) == (1, [7])
    assert since(7, 100) == (0, [8, 9, 10])
    assert since(10, 100) == (0, [])
