"""Thresholds over counter metrics: one event when the metric rises above the value, the next only after it stayed at or
below the value for `timeout` seconds.

Thresholds of one metric, pinned to one data source or to none, make a group, sorted by value. When a data source has
sent a new value, only the thresholds between that value and the one before it have changed sides: two binary searches
find them, and the many that cannot match cost nothing. All of a group are looked at when one was added, and when an
attribute that their filters ask for has changed. What is remembered is kept by data source and forgotten with it;
beyond `most` nothing new is watched, which is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics.events.thresholds import Threshold
from analytics.metrics.directory import DataSource
from analytics.metrics.metrics import parse_name

Attribute = Callable[[str, str, str], object]  # agent, data source, name of the attribute


@dataclass
class _State:
    """Of a group at a data source: what it was looked at with last. `below_since`: of the thresholds that were
    exceeded there, by number; None: still above."""

    version: int
    value: float
    attributes: tuple[object, ...]
    below_since: dict[int, float | None]


@dataclass
class _Group:
    """Thresholds by number, and sorted by value: their values and numbers."""

    thresholds: dict[int, Threshold] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    attributes: tuple[str, ...] = ()  # which their filters ask for
    version: int = 0

    def sort(self) -> None:
        self.numbers = sorted(self.thresholds, key=lambda number: self.thresholds[number].value)
        self.values = [self.thresholds[number].value for number in self.numbers]
        self.attributes = tuple({name: None for each in self.thresholds.values() for name in each.accepted})
        self.version += 1


class CounterWatches:
    """`attribute` is asked for what filters need; its agent-wide values count too. `most`: (group, data source) pairs,
    and thresholds that were exceeded there, memory.STATE_BYTES each."""

    def __init__(self, attribute: Attribute, most: int) -> None:
        self._attribute = attribute
        self._most = most
        self._groups: dict[str, dict[str | None, _Group]] = {}  # by metric and pinned data source
        self._unsorted: set[tuple[str, str | None]] = set()
        self._numbers: dict[str, int] = {}  # of the thresholds, by name
        self._last = 0
        self._states: dict[DataSource, dict[tuple[str, str | None], _State]] = {}
        self.states = 0
        self.refused = 0

    @property
    def metrics(self) -> frozenset[str]:
        """What is watched."""
        return frozenset(self._groups)

    def add(self, threshold: Threshold) -> None:
        """Watch it; it starts armed everywhere."""
        self._last += 1
        name = parse_name(threshold.metric)
        group = self._groups.setdefault(name.metric, {}).setdefault(name.source, _Group())
        group.thresholds[self._last] = threshold
        self._numbers[threshold.name] = self._last
        self._unsorted.add((name.metric, name.source))

    def drop(self, threshold: Threshold) -> None:
        """Watch it no longer; nothing happens if it was not watched."""
        number = self._numbers.pop(threshold.name, None)
        if number is None:
            return
        name = parse_name(threshold.metric)
        group = self._groups[name.metric][name.source]
        del group.thresholds[number]
        self._unsorted.add((name.metric, name.source))
        if not group.thresholds:
            del self._groups[name.metric][name.source]
            self._unsorted.discard((name.metric, name.source))
        if not self._groups[name.metric]:
            del self._groups[name.metric]

    def forget(self, data_source: DataSource) -> None:
        """A data source is gone."""
        for state in self._states.pop(data_source, {}).values():
            self.states -= 1 + len(state.below_since)

    def update(
        self, data_source: DataSource, values: Mapping[str, Any], now: float
    ) -> Iterator[tuple[Threshold, float]]:
        """New values of a data source, by metric; the thresholds that make an event, and the value."""
        for metric in self._groups.keys() & values.keys():
            if not isinstance(values[metric], (int, float)):
                continue
            for pin in (None, data_source[1]):
                group = self._groups[metric].get(pin)
                if group is not None:
                    if (metric, pin) in self._unsorted:
                        self._unsorted.remove((metric, pin))
                        group.sort()
                    for threshold in self._update(group, (metric, pin), data_source, values[metric], now):
                        yield threshold, values[metric]

    def _update(
        self, group: _Group, key: tuple[str, str | None], data_source: DataSource, value: float, now: float
    ) -> Iterator[Threshold]:
        attributes = tuple(self._attribute(*data_source, name) for name in group.attributes)
        state = self._states.get(data_source, {}).get(key)
        first, last = 0, len(group.numbers)
        if state is None:
            if self.states >= self._most:
                self.refused += 1
                return
            state = self._states.setdefault(data_source, {})[key] = _State(group.version, value, attributes, {})
            self.states += 1
        elif (state.version, state.attributes) == (group.version, attributes):
            first = bisect_left(group.values, min(state.value, value))
            last = bisect_left(group.values, max(state.value, value))
        else:
            gone = [number for number in state.below_since if number not in group.thresholds]
            self.states -= len(gone)
            for number in gone:
                del state.below_since[number]
        state.version, state.value, state.attributes = group.version, value, attributes
        found = dict(zip(group.attributes, attributes, strict=True))
        before = len(state.below_since)
        for number in group.numbers[first:last]:
            threshold = group.thresholds[number]
            if threshold.watches(found.get) and _is_crossed(state.below_since, number, threshold, value, now):
                yield threshold
        self.states += len(state.below_since) - before


def _is_crossed(
    below_since: dict[int, float | None], number: int, threshold: Threshold, value: float, now: float
) -> bool:
    """Whether a new value makes an event; notes on which side it is."""
    if value <= threshold.value:
        if number in below_since and below_since[number] is None:
            below_since[number] = now
        return False
    since = below_since.get(number)
    armed = number not in below_since or (since is not None and now - since >= threshold.timeout)
    below_since[number] = None
    return armed
