"""The conductor of analytics: definitions, thresholds and topology go in, datagrams go through the native core,
answers come out.

    feed -> core/pipeline: decode, dissect, key, accumulate, check limits     (native, one turn of the lock per batch)
         -> on_new_source, on_counters, compute_key ...: what needs Python      (once per batch, lock and GIL held)
    tick -> forget what is idle or stale
    queries -> values: flows/flowquery.py, metrics/metrics.py; api/answers.py makes JSON   (short turns of the lock)

Thread-safe: everything public takes the pipeline's lock once; methods with a leading underscore expect it to be
held. `now` is epoch seconds and comes from the caller. Values are rates per second.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.core.flows.flowkeys import FIELDS
from analytics.core.listener import Crossing, Metric
from analytics.core.pipeline import Pipeline
from analytics.events.log import MAX_EVENTS, Event, EventLog
from analytics.events.thresholds import Threshold, parse_threshold
from analytics.events.watches import Watches
from analytics.flows import flowquery
from analytics.flows.definitions import FlowDefinition, Program, compile_flow
from analytics.flows.flowquery import ActiveFlow, FlowLocation, Mode
from analytics.flows.keys import InvalidDefinition
from analytics.flows.patterns import Pattern
from analytics.metrics.cells import Cells
from analytics.metrics.counters import Counters
from analytics.metrics.countertable import tags_of
from analytics.metrics.directory import AGENT_WIDE, DataSource, Directory, NoTopology, Topology
from analytics.metrics.metrics import Cell, Statistic, matches, parse_filters, parse_name, summarise, table_rows
from analytics.metrics.numbers import (
    AgentNumbers,
    EngineNumbers,
    Receiving,
    agent_numbers,
    elapsed_ms,
    engine_numbers,
)
from documents.faults import Faults

log = logging.getLogger(__name__)

TURN = 2000  # metrics of data sources looked up in one turn of the lock: some milliseconds


@dataclass(frozen=True)
class EngineSettings:
    """Bounds. `max_entries`: live flow keys per definition; beyond it new keys are refused and counted.
    `max_counter_bytes`: memory of the counter records; beyond it new ones are refused and counted. A port of Open
    vSwitch takes about 600, and as many data sources as there are do so until they fall silent."""

    max_entries: int = 1 << 20
    max_counter_bytes: int = 1 << 29
    max_events: int = MAX_EVENTS


@dataclass(frozen=True)
class TopologyLookups:
    """What computed keys look up (flows.keys.Lookups), in the topology."""

    topology: Topology

    def link(self, agent: str, port: str) -> str | None:
        """The link at a port."""
        return self.topology.link_name(agent, port)


class Engine:
    """See the module's docstring. KeyError from a flow query means: no such flow."""

    def __init__(self, settings: EngineSettings = EngineSettings()) -> None:
        self._settings = settings
        seed = hash("howdah") & ((1 << 64) - 1)  # str hashes differ per process
        self._pipeline = Pipeline(seed, settings.max_counter_bytes)
        self._directory = Directory(self._pipeline.ledger)
        self._caches: dict[str, FlowCache] = {}
        self._topology: Topology = NoTopology()
        self._counters = Counters(self._pipeline.counters, self._directory, self._speed)
        self._log = EventLog(settings.max_events)
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._cells = Cells(self._directory, self._counters, self._caches)
        self._watches = Watches(self._directory, self._cells, self._emit)
        self._headers: dict[int, float] = {}
        self._started: float | None = None
        self.receiving: Receiving | None = None  # set by the collector
        self.faults = Faults(log)
        self._pipeline.set_listener(self)

    @property
    def pipeline(self) -> Pipeline:
        """The native core, for the collector's receive thread."""
        return self._pipeline

    def close(self) -> None:
        """Release the descriptor of `wait_fd`."""
        if self._event_fd >= 0:
            os.close(self._event_fd)
            self._event_fd = -1

    # -- input --

    def feed(self, datagrams: Sequence[bytes], now: float, source: str = "-") -> None:
        """Take datagrams that arrived at `now` from `source` (an address, or "-": unknown)."""
        sender = None
        if source != "-":
            address = ip_address(source)
            sender = bytes(10) + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed
        self._pipeline.feed(list(datagrams), now, sender)

    def tick(self, now: float) -> None:
        """Forget idle flows and stale metrics; call about once a second. Never holds the lock for long."""
        with self._pipeline:
            caches = list(self._caches.values())
            self._counters.expire(now)
            self._note_headers(now)
        for expire in (*(cache.expire for cache in caches), self._pipeline.counters.expire):
            position = 0
            while True:
                with self._pipeline:
                    position = expire(position, now)
                if not position:
                    break

    def _note_headers(self, now: float) -> None:
        if self._started is None:
            self._started = now
        seen = self._pipeline.classifier.headers_seen()
        self._headers |= {slot: now for slot in range(seen.bit_length()) if seen >> slot & 1}

    # -- what the pipeline calls, with lock and GIL held --

    def on_new_source(self, source: int) -> None:
        """A data source that was never seen before."""
        self._directory.add(source)
        self._watches.source_changed(source)

    def on_counters(self, source: int, now: float) -> None:
        """Counter records that a threshold watches came from a data source."""
        agent, name = self._directory.sources[source]
        for changed in self._directory.by_agent[agent] if name == AGENT_WIDE else (source,):
            self._watches.source_changed(changed)  # agent-wide metrics are attributes of all its data sources
        self._watches.counters_changed(source, partial(self._counters.just_updated, agent, name, now), now)

    def on_named_counters(self, source: int, uptime: int, metrics: list[Metric], now: float) -> None:
        """Metrics of a data source with a name of its own (core/wire/sflow.rtmetric)."""
        agent, name = self._directory.sources[source]
        self._counters.update_named(agent, name, uptime, metrics, now)
        self._watches.source_changed(source)
        self._watches.counters_changed(source, partial(self._counters.just_updated, agent, name, now), now)

    def compute_key(self, cache: FlowCache, agent: int, raw: bytes) -> int:
        """Raw fields never seen before -> key id (definitions.Program.compute)."""
        program: Program = cache.program
        if program.is_full():
            program.forget(cache.key_ids_in_use())
            cache.forget_key_ids()
        return program.compute(raw, self._directory.agent(agent), TopologyLookups(self._topology))

    def on_limits_crossed(self, crossings: list[Crossing]) -> None:
        """Limits of flows that were crossed."""
        self._watches.crossed(crossings)

    def _emit(self, event: Event) -> None:
        self._log.add(event)
        with contextlib.suppress(BlockingIOError):  # readable already, 2^64 - 2 events ago
            os.eventfd_write(self._event_fd, 1)

    def _watch_counters(self) -> None:
        """Have the pipeline report the counter records that the thresholds need, and no others."""
        names = self._watches.counter_names()
        self._pipeline.counters.watch(set().union(*map(tags_of, names)))

    def _speed(self, agent: str, source: str) -> int | None:
        return self._topology.speed(agent, source)

    # -- flow definitions --

    def set_flow(self, name: str, spec: dict[str, Any]) -> None:
        """Define a flow or replace it (its values start anew). InvalidDefinition names the offending word."""
        program = compile_flow(name, spec)
        with self._pipeline:
            self._drop_flow(name)
            try:
                cache = self._caches[name] = self._pipeline.classifier.add(program, self._settings.max_entries)
            except OverflowError as error:
                raise InvalidDefinition(f"flow {name!r}: {error}") from None
            self._watches.flow_set(name, cache)
            self._watch_counters()

    def clear_flow(self, name: str) -> bool:
        """Remove a flow; False if there is none."""
        with self._pipeline:
            return self._drop_flow(name)

    def _drop_flow(self, name: str) -> bool:
        cache = self._caches.pop(name, None)
        if cache is None:
            return False
        self._pipeline.classifier.drop(cache)
        self._watches.flow_cleared(cache)
        self._watch_counters()
        return True

    def flow(self, name: str) -> FlowDefinition | None:
        """A definition with its defaults; None if there is none of this name."""
        return self.flows().get(name)

    def flows(self) -> dict[str, FlowDefinition]:
        """All definitions, by name."""
        with self._pipeline:
            return {name: cache.program.definition for name, cache in self._caches.items()}

    # -- thresholds --

    def set_threshold(self, name: str, spec: dict[str, Any]) -> None:
        """Define a threshold or replace it (its states start armed). InvalidDefinition names the offending word."""
        threshold = parse_threshold(name, spec)
        with self._pipeline:
            self._watches.set(threshold, self._caches)
            self._watch_counters()

    def clear_threshold(self, name: str) -> bool:
        """Remove a threshold; False if there is none."""
        with self._pipeline:
            dropped = self._watches.drop(name)
            self._watch_counters()
            return dropped

    def threshold(self, name: str) -> Threshold | None:
        """A threshold with its defaults; None if there is none of this name."""
        return self.thresholds().get(name)

    def thresholds(self) -> dict[str, Threshold]:
        """All thresholds, by name."""
        with self._pipeline:
            return self._watches.thresholds()

    def events(self, after: int | None, max_events: int, threshold: str | None = None) -> list[Event]:
        """Events newer than id `after` (None: the newest kept), newest first, of one threshold if it is named."""
        with self._pipeline:
            return self._log.after(after, max_events, threshold)

    def wait_fd(self) -> int:
        """An eventfd that is readable whenever there may be new events; its reader empties it."""
        return self._event_fd

    # -- topology --

    def set_topology(self, topology: Topology) -> None:
        """Use other names, links and speeds from now on. Flow values stay; keys are computed anew."""
        with self._pipeline:
            self._topology = topology
            self._counters.forget_read()
            for cache in self._caches.values():
                cache.forget_key_ids()
            for source in range(len(self._directory.sources)):
                self._watches.source_changed(source)

    # -- flow queries --

    def active_flows(
        self,
        agents: Sequence[str],
        name: str,
        now: float,
        max_flows: int = 100,
        min_value: float = 0.0,
        mode: Mode = Mode.MAX,
        pattern: Pattern | None = None,
    ) -> list[ActiveFlow]:
        """The largest flows over the data sources of `agents`, one per key; see flowquery.merge."""
        with self._pipeline:
            cache = self._caches[name]
            wanted = self._wanted(agents, {Mode.EDGE: "EDGE", Mode.CORE: "CORE"}.get(mode))
            most = flowquery.MANY if pattern else max(max_flows, cache.program.n)
            found = cache.top(wanted, most, min_value, now)
            return flowquery.merge(found, cache.program, self._directory.sources, mode, max_flows, pattern)

    def flow_value(self, agents: Sequence[str], data_source: str, name: str, key: str, now: float) -> float | None:
        """The value of one flow on one data source of the first of `agents` that sees it."""
        locations = self.flow_locations(agents, name, key, now)
        return next((found.value for found in locations if found.source == data_source), None)

    def flow_locations(self, agents: Sequence[str], name: str, key: str, now: float) -> list[FlowLocation]:
        """Where a flow is seen, largest value first; looks among the flowquery.MANY largest of each data source."""
        with self._pipeline:
            cache = self._caches[name]
            found = cache.top(self._wanted(agents), flowquery.MANY, 0.0, now)
            return flowquery.locate(found, cache.program, self._directory.sources, key)

    def _wanted(self, agents: Sequence[str], also: str | None = None) -> bytearray:
        """A 1 per data source that a query means."""
        wants, topology = self._directory.wants, self._topology
        return bytearray(
            wants(agents, topology, agent, source) and (also is None or wants([also], topology, agent, source))
            for agent, source in self._directory.sources
        )

    def flow_keys(self, now: float) -> dict[str, int]:
        """Key names that live traffic has -> ms since last seen (to the second)."""
        with self._pipeline:
            self._note_headers(now)
            slots = {name: row[1] for name, row in FIELDS.items()}
            return {name: elapsed_ms(now, self._headers[slot]) for name, slot in slots.items() if slot in self._headers}

    # -- metric queries --

    def metric(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> list[Statistic]:
        """One Statistic per name, in order."""
        with self._pipeline:
            sources = self._chosen(agents, filters, now)
            return [summarise(name, list(self._cells.of(name, sources, now))) for name in map(parse_name, names)]

    def table(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> list[list[Cell]]:
        """Rows of cells, see metrics.table_rows."""
        with self._pipeline:
            sources = self._chosen(agents, filters, now)
            return table_rows(names, sources, partial(self._cells.one, now), now)

    def dump(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> list[Cell]:
        """Every cell of these names (ALL: every name). Gives the lock away in between when there are many."""
        with self._pipeline:
            if "ALL" in names:
                names = list(self._cells.ages(now))
            sources = self._chosen(agents, filters, now)
        found: list[Cell] = []
        wanted = [parse_name(name) for name in names]
        step = max(1, TURN // max(1, len(sources)))
        for start in range(0, len(wanted), step):
            with self._pipeline:
                found += [cell for name in wanted[start : start + step] for cell in self._cells.of(name, sources, now)]
        return found

    def metrics_of(self, agent: str, now: float) -> dict[str, Any] | None:
        """`<data source>.<metric>` -> latest value of one agent; None if it is unknown."""
        with self._pipeline:
            sources = [source for source in self._directory.sources if source[0] == agent]
            if not sources:
                return None
            found = {
                f"{source}.{name}": held[0]
                for _, source in sources
                for name, held in self._counters.metrics(agent, source, now).items()
            }
            for name in self._caches:
                found |= {
                    f"{cell.source}.{name}": cell.value for cell in self._cells.of(parse_name(name), sources, now)
                }
            return found

    def metric_names(self, now: float) -> dict[str, int]:
        """Metric names -> ms since last seen."""
        with self._pipeline:
            return self._cells.ages(now)

    def _chosen(self, agents: Sequence[str], filters: Mapping[str, Sequence[str]], now: float) -> list[DataSource]:
        wanted = self._wanted(agents)
        checked = parse_filters(filters)
        sources = (source for source, want in zip(self._directory.sources, wanted, strict=True) if want)
        return [
            source
            for source in sources
            if not checked or matches(checked, partial(self._cells.attribute, now, *source))
        ]

    # -- the engine about itself --

    def agents(self) -> dict[str, AgentNumbers]:
        """Every agent, by address, and what is known of its stream."""
        with self._pipeline:
            ledger = self._pipeline.ledger
            known = range(ledger.counts[0])
            return {self._directory.agent(agent): agent_numbers(ledger.agent_values(agent)) for agent in known}

    def numbers(self) -> EngineNumbers:
        """Cumulative numbers of the engine."""
        with self._pipeline:
            return engine_numbers(
                self._pipeline.numbers(),
                [cache.numbers() for cache in self._caches.values()],
                agents=self._pipeline.ledger.counts[0],
                events=self._log.generated,
                receiving=self.receiving,
                faults=self.faults.counts(),
                started=self._started,
            )
