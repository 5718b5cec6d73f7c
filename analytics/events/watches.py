"""Thresholds at work: each is a limit of a flow's cache in the native core, or one of CounterWatches; crossings become
events.

The engine calls everything here with the pipeline's lock held. A threshold whose metric is not a flow waits for
counters of that name; when a flow of that name is defined, it becomes a limit of it. What happens per batch costs by
the thresholds concerned, not by all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from analytics.core.flows.definition import Definition
from analytics.core.flows.flowcache import FlowCache
from analytics.core.listener import Crossing, Evidence, Span
from analytics.events.counterwatches import CounterWatches
from analytics.events.elephants import Change, Elephant, mean_rate
from analytics.events.log import Event, Finding, Location
from analytics.events.thresholds import Threshold
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.cells import Cells
from analytics.metrics.directory import GONE, DataSource, Directory
from analytics.metrics.metrics import Name, parse_name

MAX_THRESHOLDS = 10_000


@dataclass
class _Watch:
    """One threshold: limit `index` of `cache`, else one of the counters'."""

    threshold: Threshold
    pin: Name
    cache: FlowCache | None = None
    index: int = 0

    @property
    def filtered(self) -> bool:
        return bool(self.threshold.filter or self.pin.source)


class Watches:
    """All thresholds. `emit` takes the events, which have no id yet, `tell` what becomes of elephants;
    `wall` gives the epoch seconds of a time; `tests_changed` is called when a limit that is a test comes or goes."""

    def __init__(
        self,
        directory: Directory,
        cells: Cells,
        emit: Callable[[Event], None],
        tell: Callable[[Change], None],
        wall: Callable[[float], float],
        most_states: int,
        tests_changed: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._cells = cells
        self._emit = emit
        self._tell = tell
        self._wall = wall
        self._tests_changed = tests_changed
        self._watches: dict[str, _Watch] = {}
        self._limits: dict[tuple[FlowCache, int], _Watch] = {}
        self.counters = CounterWatches(partial(cells.attribute, None), most_states)

    def thresholds(self) -> dict[str, Threshold]:
        """Every threshold, by name."""
        return {name: watch.threshold for name, watch in self._watches.items()}

    def set(self, threshold: Threshold, caches: dict[str, FlowCache]) -> bool:
        """Watch it, instead of an older threshold of that name. Answers whether data sources must be passed through
        its filter now (`source_changed`)."""
        watch = _Watch(threshold, parse_name(threshold.metric))
        if threshold.name not in self._watches and len(self._watches) == MAX_THRESHOLDS:
            raise InvalidDefinition(f"threshold {threshold.name!r}: more than {MAX_THRESHOLDS} thresholds")
        if threshold.test is not None and watch.pin.metric in caches:
            _check_testable(threshold, caches[watch.pin.metric].program)
        self.drop(threshold.name)
        if watch.pin.metric in caches:
            self._attach(watch, caches[watch.pin.metric])
        else:
            self.counters.add(threshold)
        self._watches[threshold.name] = watch
        return watch.cache is not None and watch.filtered

    def drop(self, name: str) -> bool:
        """Stop watching; False if there is no such threshold."""
        watch = self._watches.pop(name, None)
        if watch is None:
            return False
        self.counters.drop(watch.threshold)
        if watch.cache is not None:
            watch.cache.drop_limit(watch.index)
            self._detach(watch)
            if watch.threshold.test is not None:
                self._tests_changed()
        return True

    def _detach(self, watch: _Watch) -> None:
        """Its flow, or the threshold itself, is gone."""
        assert watch.cache is not None
        del self._limits[watch.cache, watch.index]
        watch.cache = None
        if watch.threshold.by_flow:
            self._tell(Change("dropped", watch.threshold.name))

    def check_flow(self, name: str, program: Definition) -> None:
        """InvalidDefinition: a threshold waits for a flow of this name to test it, and this one cannot be."""
        for watch in self._watches.values():
            if watch.pin.metric == name and watch.threshold.test is not None:
                _check_testable(watch.threshold, program)

    def flow_set(self, name: str, cache: FlowCache) -> bool:
        """A flow begins: its thresholds watch it. Answers as `set` does."""
        attached = [watch for watch in self._watches.values() if watch.pin.metric == name]
        for watch in attached:
            self._attach(watch, cache)
            self.counters.drop(watch.threshold)
        return any(watch.filtered for watch in attached)

    def flow_cleared(self, cache: FlowCache) -> None:
        """A flow ends, and its limits with it."""
        for watch in [watch for limit, watch in self._limits.items() if limit[0] is cache]:
            self._detach(watch)
            self.counters.add(watch.threshold)

    def _attach(self, watch: _Watch, cache: FlowCache) -> None:
        threshold = watch.threshold
        value, timeout, test = threshold.value, threshold.timeout, threshold.test
        try:
            if test is None:
                index = cache.add_limit(value, timeout, threshold.by_flow, watch.filtered)
            else:
                index = cache.add_test(value, timeout, watch.filtered, test)
                self._tests_changed()
        except OverflowError as error:
            raise InvalidDefinition(f"threshold {threshold.name!r}: flow {watch.pin.metric!r}: {error}") from None
        watch.cache, watch.index = cache, index
        self._limits[cache, index] = watch

    @property
    def filtering(self) -> bool:
        """Whether any limit is one for some data sources only."""
        return any(watch.filtered for watch in self._limits.values())

    def counter_names(self) -> frozenset[str]:
        """The counter metrics that matter: those with a threshold, and those by which flows' thresholds filter."""
        return self.counters.metrics.union(*(watch.threshold.filter for watch in self._limits.values()))

    def source_changed(self, source: int) -> None:
        """A data source is new, or its attributes may have changed: pass it through the filters again."""
        agent, name = self._directory.sources[source]
        if (agent, name) == GONE:
            return
        for watch in self._limits.values():
            if watch.filtered and watch.cache is not None:
                accepted = watch.pin.source in (None, name) and self._passes(watch, agent, name)
                watch.cache.accept(watch.index, source, accepted)

    def _passes(self, watch: _Watch, agent: str, name: str) -> bool:
        return watch.threshold.watches(partial(self._cells.attribute, None, agent, name))

    def counters_changed(self, source: int, values: Mapping[str, Any], now: float) -> None:
        """Counter metrics of a data source that were updated just now."""
        data_source = self._directory.sources[source]
        for threshold, value in self.counters.update(data_source, values, now):
            self._emit(_event(threshold, value, data_source, now))

    def crossed(self, crossings: list[Crossing]) -> None:
        """Limits of flows that were crossed in the core."""
        for cache, index, source, key_id, carried, value, first, span, values, evidence in crossings:
            key = cache.program.text(key_id, carried)
            threshold = self._limits[cache, index].threshold
            data_source = self._directory.sources[source]
            found_by_test = self._finding("start", evidence)
            self._emit(_event(threshold, value, data_source, span[0], key, values, found_by_test))
            if threshold.by_flow and key is not None:
                found = self.elephant(threshold, key, data_source, value, value, first, span)
                self._tell(Change("start", threshold.name, found))

    def ended(self, ended: list[Crossing]) -> None:
        """Elephants that were below their limit for its timeout."""
        for cache, index, source, key_id, carried, peak, first, span, _, evidence in ended:
            key = cache.program.text(key_id, carried)
            watch = self._limits.get((cache, index))
            if watch is not None and key is not None:
                data_source = self._directory.sources[source]
                if evidence is not None:
                    found_by_test = self._finding("end", evidence)
                    self._emit(_event(watch.threshold, 0.0, data_source, span[1], key, (), found_by_test))
                found = self.elephant(watch.threshold, key, data_source, 0.0, peak, first, span)
                self._tell(Change("end", watch.threshold.name, found))

    def seen_elsewhere(self, seen: list[Crossing]) -> None:
        """Elephants that were sampled where they had not been lately."""
        for cache, index, source, key_id, carried, rate, first, span, _, evidence in seen:
            key = cache.program.text(key_id, carried)
            watch = self._limits.get((cache, index))
            if watch is not None and key is not None:
                data_source = self._directory.sources[source]
                found_by_test = self._finding("update", evidence)
                self._emit(_event(watch.threshold, rate, data_source, span[1], key, (), found_by_test))
                found = self.elephant(watch.threshold, key, data_source, rate, rate, first, span)
                self._tell(Change("update", watch.threshold.name, found))

    def _finding(self, state: str, evidence: Evidence | None) -> Finding | None:
        """What a test has found, with its names."""
        if evidence is None:
            return None
        confidence, places = evidence
        return Finding(
            state, confidence, tuple(Location(*self._directory.sources[source], *seen) for source, *seen in places)
        )

    def elephant(
        self,
        threshold: Threshold,
        key: str,
        data_source: DataSource,
        rate: float,
        peak: float,
        first: float,
        span: Span,
    ) -> Elephant:
        """What the core knows of an elephant, with its names."""
        start, last, total, samples = span
        times = self._wall(start), self._wall(last)
        mean = mean_rate(first, span, peak)
        return Elephant(threshold.name, threshold.metric, key, *data_source, *times, total, rate, peak, mean, samples)

    def is_at_work(self, threshold: Threshold, cache: FlowCache, index: int) -> bool:
        """Whether limit `index` of `cache` is still the threshold's."""
        watch = self._limits.get((cache, index))
        return watch is not None and watch.threshold is threshold

    def by_flow(self) -> list[tuple[Threshold, FlowCache, int]]:
        """The thresholds that may have elephants: (threshold, its flow, the index of the limit)."""
        return [(watch.threshold, *limit) for limit, watch in self._limits.items() if watch.threshold.by_flow]


def _check_testable(threshold: Threshold, program: Definition) -> None:
    """InvalidDefinition: the values of a flow are not what a test can be made of."""
    if program.statistics or program.dropped or program.value not in (None, "bytes"):
        raise InvalidDefinition(
            f"threshold {threshold.name!r} is a test, which flow {threshold.metric!r} cannot have: "
            "its values are no rates of bytes or frames of packets"
        )


def _event(
    threshold: Threshold,
    value: float,
    data_source: DataSource,
    now: float,
    key: str | None = None,
    values: tuple[float | None, ...] = (),
    found: Finding | None = None,
) -> Event:
    return Event(threshold.name, threshold.metric, float(threshold.value), value, *data_source, now, key, values, found)
