"""Cells, which metric queries work on: one value per data source and name, of counters and of flows alike.

A flow is a metric of every data source where it counted a sample in the last FLOW_STALE_S seconds; its value is that of
its largest key. The caller holds the engine's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.flows import flowquery
from analytics.metrics.counters import Counters
from analytics.metrics.directory import AGENT_WIDE, DataSource, Directory
from analytics.metrics.metrics import Cell, Name
from analytics.metrics.numbers import elapsed_ms

FLOW_STALE_S = 180.0  # a flow metric without samples for so long is gone


class Cells:
    """Looks values up and keeps nothing."""

    def __init__(self, directory: Directory, counters: Counters, caches: Mapping[str, FlowCache]) -> None:
        self._directory, self._counters, self._caches = directory, counters, caches

    def of(self, name: Name, sources: Sequence[DataSource], now: float) -> Iterator[Cell]:
        """The cells of a metric of these data sources, or of the one that the name is pinned to."""
        sources = [source for source in sources if name.source in (None, source[1])]
        if name.metric in self._caches:
            yield from self._flow(name.metric, sources, now)
            return
        for agent, source in sources:
            held = self._counters.value(agent, source, name.metric, now)
            if held is not None:
                yield Cell(agent, source, name.metric, held[0], held[1])

    def one(self, now: float, agent: str, source: str, metric: str) -> Cell | None:
        """A single cell, None if there is none."""
        return next(self.of(Name(metric, "max", source, metric), [(agent, source)], now), None)

    def attribute(self, now: float | None, agent: str, source: str, name: str) -> Any:
        """An attribute of a data source for filters, else of its agent; `now` None: however old."""
        when = now if now is not None else 0.0
        held = self._counters.value(agent, source, name, when) or self._counters.value(agent, AGENT_WIDE, name, when)
        return None if held is None else held[0]

    def ages(self, now: float) -> dict[str, int]:
        """Metric names -> ms since last seen anywhere."""
        newest: dict[str, float] = {}
        for agent, source in self._counters.sources():
            for name, (_, updated) in self._counters.metrics(agent, source, now).items():
                newest[name] = max(newest.get(name, 0.0), updated)
        for name in self._caches:
            if fresh := self._fresh(name, self._directory.sources, now):
                newest[name] = max(newest.get(name, 0.0), *fresh.values())
        return {name: elapsed_ms(now, updated) for name, updated in newest.items()}

    def _fresh(self, name: str, sources: Sequence[DataSource], now: float) -> dict[int, float]:
        """Data sources that a flow is a metric of -> when a sample last counted there."""
        cache = self._caches[name]
        fresh = {}
        for data_source in sources:
            source = self._directory.index.get(data_source)
            updated = 0.0 if source is None else cache.last_seen(source)
            if source is not None and updated and now - updated <= FLOW_STALE_S:
                fresh[source] = updated
        return fresh

    def _flow(self, name: str, sources: Sequence[DataSource], now: float) -> Iterator[Cell]:
        cache = self._caches[name]
        fresh = self._fresh(name, sources, now)
        wanted = bytearray(len(self._directory.sources))
        for source in fresh:
            wanted[source] = 1
        top = flowquery.top_keys(cache.top(wanted, cache.program.n, 0.0, now), cache.program)
        for source, updated in fresh.items():
            keys = top.get(source, ())
            agent, data_source = self._directory.sources[source]
            yield Cell(agent, data_source, name, keys[0].value if keys else 0.0, updated, keys)
