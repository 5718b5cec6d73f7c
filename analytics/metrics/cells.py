"""Cells, which metric queries work on: one value per data source and name, of counters and of flows alike.

A flow is a metric of every data source where it counted a sample in the last FLOW_STALE_S seconds; its value is that of
its largest key. What takes long is done in turns (turns.py), each with the pipeline's lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.core.pipeline import Pipeline
from analytics.flows import flowquery
from analytics.metrics.counters import Counters
from analytics.metrics.directory import AGENT_WIDE, GONE, DataSource, Directory
from analytics.metrics.metrics import Cell, Name
from analytics.metrics.numbers import elapsed_ms
from analytics.turns import Turns, pieces

FLOW_STALE_S = 180.0  # a flow metric without samples for so long is gone
TURN = 30  # data sources whose counters are read in one turn: a record is decoded in about 20 us
FLOW_TURN = 2000  # whose flows are looked up


class Cells:
    """Looks values up and keeps nothing."""

    def __init__(
        self, pipeline: Pipeline, directory: Directory, counters: Counters, caches: Mapping[str, FlowCache]
    ) -> None:
        self._pipeline = pipeline
        self._directory, self._counters, self._caches = directory, counters, caches

    def of(self, name: Name, sources: Sequence[DataSource], now: float) -> Turns[list[Cell]]:
        """The cells of a metric of these data sources, or of the one that the name is pinned to."""
        if name.source is not None:
            sources = [source for source in sources if name.source == source[1]]
        cache = self._caches.get(name.metric)
        if cache is not None:
            return (yield from self._flow(name.metric, cache, sources, now))
        cells = []
        for some in pieces(sources, TURN):
            with self._pipeline:
                for agent, source in some:
                    held = self._counters.value(agent, source, name.metric, now)
                    if held is not None:
                        cells.append(Cell(agent, source, name.metric, held[0], held[1]))
            yield
        return cells

    def attribute(self, now: float | None, agent: str, source: str, name: str) -> Any:
        """An attribute of a data source for filters, else of its agent; `now` None: however old. The lock is held."""
        when = now if now is not None else 0.0
        held = self._counters.value(agent, source, name, when) or self._counters.value(agent, AGENT_WIDE, name, when)
        return None if held is None else held[0]

    def ages(self, now: float) -> Turns[dict[str, int]]:
        """Metric names -> ms since last seen anywhere."""
        newest: dict[str, float] = {}
        for first in range(0, len(self._directory.sources), TURN):
            with self._pipeline:
                for agent, source in self._counters.sources(first, TURN):
                    for name, (_, updated) in self._counters.metrics(agent, source, now).items():
                        newest[name] = max(newest.get(name, updated), updated)
            yield
        for name, cache in list(self._caches.items()):
            fresh = yield from self._fresh(cache, list(self._directory.index), now)
            if fresh:
                newest[name] = max(newest.get(name, 0.0), *fresh.values())
        return {name: elapsed_ms(now, updated) for name, updated in newest.items()}

    def _fresh(self, cache: FlowCache, sources: Sequence[DataSource], now: float) -> Turns[dict[int, float]]:
        """Data sources that a flow is a metric of -> when a sample last counted there."""
        fresh = {}
        for some in pieces(sources, FLOW_TURN):
            with self._pipeline:
                for data_source in some:
                    source = self._directory.index.get(data_source)
                    updated = 0.0 if source is None else cache.last_seen(source)
                    if source is not None and updated and now - updated <= FLOW_STALE_S:
                        fresh[source] = updated
            yield
        return fresh

    def _flow(self, name: str, cache: FlowCache, sources: Sequence[DataSource], now: float) -> Turns[list[Cell]]:
        fresh = yield from self._fresh(cache, sources, now)
        wanted = bytearray(max(fresh, default=-1) + 1)
        for source in fresh:
            wanted[source] = 1
        found = yield from flowquery.largest(self._pipeline, cache, wanted, cache.program.n, 0.0, now)
        top: dict[int, tuple[flowquery.TopFlow, ...]] = {}
        for some in by_source(found):
            top |= flowquery.top_keys(some, cache.program)
            yield
        cells = []
        for chosen in pieces(list(fresh.items()), FLOW_TURN):
            for source, updated in chosen:
                keys = top.get(source, ())
                data_source = self._directory.sources[source]
                if data_source is not GONE:
                    cells.append(Cell(*data_source, name, keys[0].value if keys else 0.0, updated, keys))
            yield
        return cells


def by_source(found: list[flowquery.RawFlow]) -> list[list[flowquery.RawFlow]]:
    """Flows in order of data sources, in pieces that divide none of these."""
    made: list[list[flowquery.RawFlow]] = []
    for flow in found:
        if not made or (len(made[-1]) >= flowquery.RAW_TURN and made[-1][-1][0] != flow[0]):
            made.append([])
        made[-1].append(flow)
    return made
