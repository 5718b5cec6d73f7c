"""Thresholds at work: each is a limit of a flow's cache in the native core, or a CounterWatch; crossings become events.

The engine calls everything here with the pipeline's lock held. A threshold whose metric is not a flow waits for
counters of that name; when a flow of that name is defined, it becomes a limit of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.core.listener import Crossing
from analytics.events.log import Event
from analytics.events.thresholds import CounterWatch, Threshold
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.cells import Cells
from analytics.metrics.directory import DataSource, Directory
from analytics.metrics.metrics import Name, parse_name


@dataclass
class _Watch:
    """One threshold: limit `index` of `cache`, else `counters`."""

    threshold: Threshold
    pin: Name
    counters: CounterWatch | None
    cache: FlowCache | None = None
    index: int = 0

    @property
    def filtered(self) -> bool:
        return bool(self.threshold.filter or self.pin.source)


class Watches:
    """All thresholds. `emit` takes the events, which have no id yet."""

    def __init__(self, directory: Directory, cells: Cells, emit: Callable[[Event], None]) -> None:
        self._directory = directory
        self._cells = cells
        self._emit = emit
        self._watches: dict[str, _Watch] = {}

    def thresholds(self) -> dict[str, Threshold]:
        """Every threshold, by name."""
        return {name: watch.threshold for name, watch in self._watches.items()}

    def set(self, threshold: Threshold, caches: dict[str, FlowCache]) -> None:
        """Watch it, instead of an older threshold of that name."""
        watch = _Watch(threshold, parse_name(threshold.metric), CounterWatch(threshold))
        self.drop(threshold.name)
        if watch.pin.metric in caches:
            self._attach(watch, caches[watch.pin.metric])
        self._watches[threshold.name] = watch

    def drop(self, name: str) -> bool:
        """Stop watching; False if there is no such threshold."""
        watch = self._watches.pop(name, None)
        if watch is not None and watch.cache is not None:
            watch.cache.drop_limit(watch.index)
        return watch is not None

    def flow_set(self, name: str, cache: FlowCache) -> None:
        """A flow begins: its thresholds watch it."""
        for watch in self._watches.values():
            if watch.pin.metric == name:
                self._attach(watch, cache)

    def flow_cleared(self, cache: FlowCache) -> None:
        """A flow ends, and its limits with it."""
        for watch in self._watches.values():
            if watch.cache is cache:
                watch.cache, watch.counters = None, CounterWatch(watch.threshold)

    def _attach(self, watch: _Watch, cache: FlowCache) -> None:
        threshold = watch.threshold
        try:
            index = cache.add_limit(threshold.value, threshold.timeout, threshold.by_flow, watch.filtered)
        except OverflowError as error:
            raise InvalidDefinition(f"threshold {threshold.name!r}: {error}") from None
        watch.cache, watch.index, watch.counters = cache, index, None
        for source in range(len(self._directory.sources)):
            self._filter(watch, source)

    def counter_names(self) -> frozenset[str]:
        """The counter metrics that matter: those with a threshold, and those by which flows' thresholds filter."""
        names = {watch.pin.metric for watch in self._watches.values() if watch.counters is not None}
        for watch in self._watches.values():
            names.update(watch.threshold.filter if watch.cache is not None else ())
        return frozenset(names)

    def source_changed(self, source: int) -> None:
        """A data source is new, or its attributes may have changed: pass it through the filters again."""
        for watch in self._watches.values():
            self._filter(watch, source)

    def _filter(self, watch: _Watch, source: int) -> None:
        if watch.cache is not None and watch.filtered:
            agent, name = self._directory.sources[source]
            accepted = watch.pin.source in (None, name) and self._passes(watch, agent, name)
            watch.cache.accept(watch.index, source, accepted)

    def _passes(self, watch: _Watch, agent: str, name: str) -> bool:
        return watch.threshold.watches(partial(self._cells.attribute, None, agent, name))

    def counters_changed(self, source: int, value: Callable[[str], Any], now: float) -> None:
        """New counter metrics of a data source; `value` gives those updated just now."""
        agent, name = self._directory.sources[source]
        for watch in self._watches.values():
            if watch.counters is None or watch.pin.source not in (None, name):
                continue
            held = value(watch.pin.metric)
            if not isinstance(held, (int, float)) or not self._passes(watch, agent, name):
                continue
            if watch.counters.update(agent, name, held, now):
                self._emit(_event(watch.threshold, held, (agent, name), now))

    def crossed(self, crossings: list[Crossing]) -> None:
        """Limits of flows that were crossed in the core."""
        thresholds = {(id(watch.cache), watch.index): watch.threshold for watch in self._watches.values()}
        for cache, index, source, key_id, carried, value, now in crossings:
            key = cache.program.text(key_id, carried)
            self._emit(_event(thresholds[id(cache), index], value, self._directory.sources[source], now, key))


def _event(threshold: Threshold, value: float, data_source: DataSource, now: float, key: str | None = None) -> Event:
    return Event(threshold.name, threshold.metric, float(threshold.value), value, *data_source, now, key)
