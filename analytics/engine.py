"""The conductor of analytics: definitions, thresholds and topology go in, datagrams go through the native core,
answers come out.

    feed -> core/pipeline: decode, dissect, key, accumulate, check limits     (native, one turn of the lock per batch)
         -> on_new_source, on_counters, compute_key ...: what needs Python      (once per batch, lock and GIL held)
    tick -> forget what is idle or stale, and whom nothing has come from; their indexes get new owners
    queries.py -> values: flows/flowquery.py, metrics/metrics.py; api/answers.py makes JSON   (short turns of the lock)

Thread-safe: everything public takes the pipeline's lock once; methods with a leading underscore expect it to be
held. `now` is seconds of any one clock and comes from the caller: the monotonic one for what arrives, a capture's own
for what is read from one. Only the time of an event leaves the engine as wall time. Values are rates per second.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.core.flows.flowkeys import FIELDS, slot_of
from analytics.core.listener import Crossing, Metric, Recorded
from analytics.core.pipeline import Pipeline
from analytics.events.elephants import TURN, Change
from analytics.events.log import MAX_EVENTS, MAX_FLOWS, Event
from analytics.events.thresholds import Threshold, parse_threshold
from analytics.events.watches import Watches
from analytics.flows.definitions import FlowDefinition, Program, check_name, compile_flow
from analytics.flows.functions import HOSTS, NAMES, TOPOLOGY, group_table, map_table
from analytics.flows.groups import Group, Map, Spec, check_size, parse_group, parse_map
from analytics.flows.keys import InvalidDefinition
from analytics.flows.records import FlowRecord
from analytics.lookups import Sources, Tables
from analytics.memory import EVENT_BYTES, STATE_BYTES, Budget
from analytics.metrics.cells import Cells
from analytics.metrics.counters import Counters
from analytics.metrics.countertable import tags_of
from analytics.metrics.directory import AGENT_WIDE, Directory
from analytics.metrics.hosts import INDEX_S, Hosts
from analytics.metrics.names import Wanted
from analytics.metrics.numbers import (
    EngineNumbers,
    LostDetail,
    MemoryNumbers,
    Receiving,
    elapsed_ms,
    engine_numbers,
)
from analytics.news import Cursor, News, Piece, Topic
from analytics.queries import Queries
from analytics.topology import InvalidTopology, Topology
from analytics.turns import Grace, Turns, at_once, finished, pieces
from documents.faults import Faults

log = logging.getLogger(__name__)

NAMES_S = 5.0  # between two look-ups of the topology's names,
NAMES_EACH_S = 0.001  # or so much per data source: 2 % of the time
NAMES_MOST_S = 600.0
SWEEP_S = 15.0  # between two sweeps of what goes when it was not used for some of them
UPDATE_S = 5.0  # between two updates of an elephant
AT_ONCE = 2000  # data sources passed through filters, or forgotten, in one turn of the lock


@dataclass(frozen=True)
class EngineSettings:
    """Bounds. `memory`: bytes for the process (memory.Budget), of which every store has its part. `max_entries`: live
    flow keys per definition, and `max_counter_bytes`: of the counter records, where their part is more. What is beyond
    a bound is refused and counted."""

    memory: int = 2 << 30
    max_entries: int = 1 << 20
    max_counter_bytes: int = 1 << 29
    max_events: int = MAX_EVENTS
    max_flows: int = MAX_FLOWS


@dataclass(frozen=True)
class Leaving:
    """So many of the oldest gone agents and data sources, and unused key ids by cache, that nothing has any more but
    work that had begun before `number` (turns.Grace)."""

    number: int
    agents: int
    sources: int
    unused: Mapping[FlowCache, int]


class Engine(Queries):
    """See the module's docstring."""

    def __init__(
        self,
        settings: EngineSettings = EngineSettings(),
        wall: Callable[[float], float] = lambda then: then,
        sources: Sources | None = None,
    ) -> None:
        """`wall`: the epoch seconds of a `now`; a capture's times are so already. `sources`: what key functions look
        up."""
        self._settings = settings
        self.budget = budget = Budget(settings.memory)
        kept = 2 * settings.max_events + settings.max_flows  # elephants change about as often as events come
        if kept * EVENT_BYTES > budget.part("events"):
            raise ValueError(
                f"{settings.max_events} events and {settings.max_flows} flow records take more than their part "
                f"of memory {settings.memory}"
            )
        self._pipeline = Pipeline(
            hash("howdah") & ((1 << 64) - 1),  # str hashes differ per process
            budget.agents,
            budget.sources,
            budget.part("senders") // 4,
            min(settings.max_counter_bytes, budget.part("counters")),
            budget.part("microflows"),
        )
        self._directory = Directory(self._pipeline.ledger)
        self._caches: dict[str, FlowCache] = {}
        self._topology = Topology()
        self._topology_bytes = 0
        self._topology_names = Wanted()
        self._names_due = 0.0
        most_bytes = budget.part("metrics") // 2
        self._counters = Counters(self._pipeline.counters, self._directory, self._speed, most_bytes)
        self._hosts = Hosts(self._counters)
        self._lookups = Tables(self._hosts, sources or Sources(), self._topology)
        self.news = News(settings.max_events, settings.max_flows, wall)
        self._cells = Cells(self._pipeline, self._directory, self._counters, self._caches)
        most_states = min(200_000, most_bytes // STATE_BYTES)
        self._watches = Watches(
            self._directory,
            self._cells,
            self.news.emit,
            self.news.tell,
            wall,
            most_states,
            self._pipeline.classifier.assign,
        )
        self._grace = Grace()
        self._leaving: deque[Leaving] = deque()
        self._sweep_due = self._update_due = self._hosts_due = 0.0
        self.streams = 0  # who reads elephants' updates as they come; set by api/stream.py
        self._ticking = threading.Lock()
        self._headers: dict[int, float] = {}
        self._started: float | None = None
        self.receiving: Receiving | None = None  # set by the collector
        self.on_relay: Callable[[], None] | None = None  # set by the sender
        self.faults = Faults(log)
        self._pipeline.set_listener(self)

    @property
    def pipeline(self) -> Pipeline:
        """The native core, for the collector's receive thread."""
        return self._pipeline

    def close(self) -> None:
        """Release the descriptors of the news."""
        self.news.close()

    # -- input --

    def feed(self, datagrams: Sequence[bytes], now: float, source: str = "-") -> None:
        """Take datagrams that arrived at `now` from `source` (an address, or "-": unknown)."""
        sender = None
        if source != "-":
            address = ip_address(source)
            sender = bytes(10) + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed
        self._pipeline.feed(list(datagrams), now, sender)

    def forget_sequences(self) -> None:
        """All senders begin their numbers anew, and nobody restarted: a capture is played again."""
        with self._pipeline:
            self._pipeline.ledger.forget_sequences()

    def tick(self, now: float) -> None:
        """Forget idle flows, stale metrics and silent senders; call about once a second. Never holds the lock for
        long; one that is still at it lets others do nothing."""
        if self._ticking.acquire(blocking=False):
            try:
                self._tick(now)
            finally:
                self._ticking.release()

    def _tick(self, now: float) -> None:
        with self._pipeline:
            self._note_headers(now)
            self._pipeline.classifier.allow()
        with self._pipeline:
            named = (len(self._pipeline.ledger.gone_agents), len(self._pipeline.ledger.gone_sources))
        self._walk(partial(self._expire_senders, now=now))
        with self._pipeline:
            senders = (len(self._pipeline.ledger.gone_agents), len(self._pipeline.ledger.gone_sources))
            caches = list(self._caches.values())  # one made later takes no sample of those
        for cache in caches:
            self._walk(partial(self._reported, partial(cache.expire, now=now)))
            for limit in range(cache.limits_used):
                self._walk(partial(self._reported, partial(cache.expire_clears, limit, now=now)))
        ledger = self._pipeline.ledger
        for drop, gone, first, last in (
            (self._directory.drop, ledger.gone_sources, named[1], senders[1]),
            (self._directory.drop_agent, ledger.gone_agents, named[0], senders[0]),
        ):
            for some in pieces(gone[first:last], AT_ONCE):
                with self._pipeline:
                    for index in some:
                        drop(index)  # the name, now that all flow records of it are told
        if self.streams and not 0 <= now - self._update_due < UPDATE_S:
            self._update_due = now
            self._update_elephants(now)
        self._walk(partial(self._pipeline.counters.expire, now=now))
        if now >= self._sweep_due or now < self._sweep_due - SWEEP_S:
            self._sweep_due = now + SWEEP_S
            own = ledger.sweep, self._pipeline.classifier.sweep
            for sweep in (*own, *(cache.key_ids.sweep for cache in caches)):
                self._walk(sweep)
        self._reuse(senders, caches)
        self._look_up_names(now)
        self._look_up_anew(now)

    def _look_up_anew(self, now: float) -> None:
        """Compute the keys anew that look up what changes by itself."""
        with self._pipeline:
            tables = frozenset().union(*(cache.program.tables for cache in self._caches.values()))
            names = self._lookups.sources.names
            if NAMES in tables and names is not None and names.has_news():
                self._table_changed(NAMES)
        if HOSTS in tables and not self._hosts_due > now >= self._hosts_due - INDEX_S:
            self._hosts_due = now + INDEX_S
            finished(self._hosts.index(self._pipeline, len(self._directory.sources)))
            with self._pipeline:
                self._table_changed(HOSTS)

    def _walk(self, step: Callable[[int], int]) -> None:
        """All of a walk, each step in a turn of the lock of its own."""
        position = 0
        while True:
            with self._pipeline:
                position = step(position)
            if not position:
                break

    def _reported(self, step: Callable[[int], int], position: int) -> int:
        """One step of a walk that ends flow records and elephants, which are told at once."""
        position = step(position)
        self._pipeline.classifier.report(self)
        return position

    def _update_elephants(self, now: float) -> None:
        for some in pieces(finished(self._grace.during(self._elephants_on_sources(now))), TURN):
            with self._pipeline:
                for found in some:
                    self.news.tell(Change("update", found.threshold, found))

    def _expire_senders(self, position: int, now: float) -> int:
        """One step of the ledger's walk."""
        ledger = self._pipeline.ledger
        sources = len(ledger.gone_sources)
        position = ledger.expire(position, now)
        for source in ledger.gone_sources[sources:]:
            data_source = self._directory.sources[source]
            self._counters.drop(data_source)
            self._watches.counters.forget(data_source)
        return position

    def _reuse(self, senders: tuple[int, int], caches: Sequence[FlowCache]) -> None:
        """Nothing has the indexes of these gone senders any more, nor the key ids that became unused, but for queries
        under way: when those have ended the next owners may have them."""
        before = list(self._leaving)
        agents = senders[0] - sum(leaving.agents for leaving in before)
        sources = senders[1] - sum(leaving.sources for leaving in before)
        unused = {
            cache: cache.key_ids.unused - sum(leaving.unused.get(cache, 0) for leaving in before) for cache in caches
        }
        self._leaving.append(Leaving(self._grace.begin(), agents, sources, unused))
        while self._leaving and self._grace.is_over(self._leaving[0].number):
            leaving = self._leaving.popleft()
            while leaving.agents or leaving.sources:
                agents, sources = min(leaving.agents, AT_ONCE), min(leaving.sources, AT_ONCE)
                with self._pipeline:
                    ledger = self._pipeline.ledger
                    whose = ledger.gone_sources[:sources]
                    self._pipeline.counters.drop(whose)
                    self._pipeline.classifier.forget_sources(whose)
                    ledger.reuse(agents, sources)
                    for store in (self._directory, self._pipeline.counters):
                        store.trim(ledger.indexes())
                    for cache in self._caches.values():
                        cache.trim()
                leaving = replace(leaving, agents=leaving.agents - agents, sources=leaving.sources - sources)
            for cache, count in leaving.unused.items():
                for first in range(0, count, AT_ONCE):
                    with self._pipeline:
                        cache.program.forget(cache.key_ids.take_unused(min(AT_ONCE, count - first)))

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
        if self._watches.filtering:
            for changed in self._directory.by_agent[agent] if name == AGENT_WIDE else (source,):
                self._watches.source_changed(changed)  # agent-wide metrics are attributes of all its data sources
        self._watches.counters_changed(source, self._counters.just_updated(agent, name, now), now)

    def on_named_counters(self, source: int, uptime: int, metrics: list[Metric], now: float) -> None:
        """Metrics of a data source with a name of its own (core/wire/sflow.rtmetric)."""
        agent, name = self._directory.sources[source]
        self._counters.update_named(agent, name, uptime, metrics, now)
        self._watches.source_changed(source)
        self._watches.counters_changed(source, self._counters.just_updated(agent, name, now), now)

    def compute_key(self, cache: FlowCache, agent: int, raw: bytes) -> int | None:
        """Raw fields never seen before -> key id (definitions.Program.compute)."""
        program: Program = cache.program
        return program.compute(raw, self._directory.agent(agent), self._lookups)

    def on_limits_crossed(self, crossings: list[Crossing]) -> None:
        """Limits of flows that were crossed."""
        self._watches.crossed(crossings)

    def on_elephants_ended(self, ended: list[Crossing]) -> None:
        """Flows that are no elephants any more."""
        self._watches.ended(ended)

    def on_elephants_seen_elsewhere(self, seen: list[Crossing]) -> None:
        """Elephants that may have moved."""
        self._watches.seen_elsewhere(seen)

    def on_flows_recorded(self, recorded: list[Recorded]) -> None:
        """Flow records."""
        self.news.record(recorded, self._directory.sources)

    def on_relayed(self) -> None:
        """Datagrams wait to be passed on."""
        if self.on_relay is not None:
            self.on_relay()

    def _watch_counters(self) -> None:
        """Have the pipeline report the counter records that the thresholds need, and no others."""
        names = self._watches.counter_names()
        self._pipeline.counters.watch(set().union(*map(tags_of, names)))

    def _speed(self, agent: str, source: str) -> int | None:
        return self._topology.speed(agent, source)

    # -- flow definitions --

    def set_flow_in_turns(self, name: str, spec: dict[str, Any]) -> Turns[tuple[str, ...]]:
        """Define a flow or replace it (its values start anew); answers what of it is not served. InvalidDefinition
        names the offending word."""
        program = compile_flow(name, spec)
        self._lookups.check(program.tables)
        with self._pipeline:
            self._watches.check_flow(name, program)
            dropped = self._drop_flow(name)  # freed when the lock is not held
            bytes_each = self.budget.flow(len(self._caches) + 1)
            try:
                cache = self._pipeline.classifier.add(program, self._settings.max_entries, bytes_each)
            except OverflowError as error:
                raise InvalidDefinition(f"flow {name!r}: {error}") from None
            self._caches[name] = cache
            self._share()
            filtered = self._watches.flow_set(name, cache)
            self._watch_counters()
        del dropped
        yield from self._filter_all(filtered)
        return program.definition.notes

    set_flow = at_once(set_flow_in_turns)

    def clear_flow(self, name: str) -> bool:
        """Remove a flow; False if there is none."""
        with self._pipeline:
            dropped = self._drop_flow(name)
            self._share()
        return dropped is not None

    def _drop_flow(self, name: str) -> FlowCache | None:
        cache = self._caches.pop(name, None)
        if cache is not None:
            self._pipeline.classifier.drop(cache)
            self._watches.flow_cleared(cache)
            self._watch_counters()
        return cache

    def _share(self) -> None:
        """Each definition has an equal part of the memory for flows and for texts."""
        for cache in self._caches.values():
            cache.bound(self.budget.flow(len(self._caches)))
            cache.program.most_text_bytes = self.budget.part("texts") // len(self._caches)

    def _filter_all(self, filtered: bool) -> Turns[None]:
        """Pass every data source through the filters of the thresholds again, if there are new ones."""
        for first in range(0, len(self._directory.sources) if filtered else 0, AT_ONCE // 20):
            with self._pipeline:
                for source in range(first, min(first + AT_ONCE // 20, len(self._directory.sources))):
                    self._watches.source_changed(source)
            yield

    def flow(self, name: str) -> FlowDefinition | None:
        """A definition with its defaults; None if there is none of this name."""
        return self.flows().get(name)

    def flows(self) -> dict[str, FlowDefinition]:
        """All definitions, by name."""
        with self._pipeline:
            return {name: cache.program.definition for name, cache in self._caches.items()}

    # -- thresholds --

    def set_threshold_in_turns(self, name: str, spec: dict[str, Any]) -> Turns[None]:
        """Define a threshold or replace it (its states start armed). InvalidDefinition names the offending word."""
        threshold = parse_threshold(name, spec)
        with self._pipeline:
            filtered = self._watches.set(threshold, self._caches)
            self._watch_counters()
        yield from self._filter_all(filtered)

    set_threshold = at_once(set_threshold_in_turns)

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
            wanted = None if threshold is None else lambda event: event.threshold == threshold
            return self.news.events.after(after, max_events, wanted)

    def flow_records(self, after: int | None, max_flows: int, name: str | None = None) -> list[FlowRecord]:
        """Flow records newer than id `after` (None: the newest kept), newest first, of one flow if it is named."""
        with self._pipeline:
            wanted = None if name is None else lambda record: record.name == name
            return self.news.flows.after(after, max_flows, wanted)

    def newest(self) -> Cursor:
        """The cursor of one who wants only the news to come."""
        with self._pipeline:
            return self.news.newest()

    def news_since(self, cursor: Cursor, topics: Collection[Topic], most: int) -> Piece:
        """Events, flow records and elephants after a cursor, at most `most` of each."""
        with self._pipeline:
            return self.news.since(cursor, topics, most)

    # -- topology --

    def set_topology_in_turns(self, topology: Topology, size: int = 0) -> Turns[None]:
        """Use other names, links and speeds from now on. Flow values stay; keys are computed anew. What the topology
        knows by name only is looked up now and every so often. `size`: about how many bytes it takes; InvalidTopology
        if these are too many."""
        if size > self.budget.part("topology"):
            raise InvalidTopology(
                f"topology takes {size} bytes of memory, more than its {self.budget.part('topology')}"
            )
        wanted = topology.wanted()
        if wanted:
            topology = topology.named((yield from self.names_in_turns(wanted)))
        with self._pipeline:
            self._topology_names, self._topology_bytes = wanted, size
            self._use(topology)
        yield from self._filter_all(self._watches.filtering)

    set_topology = at_once(set_topology_in_turns)

    def topology(self) -> Topology:
        """The one in use, with what was found by name."""
        return self._topology

    def _use(self, topology: Topology) -> None:
        self._topology = self._lookups.topology = topology
        self._counters.forget_read()
        self._table_changed(TOPOLOGY)

    def _look_up_names(self, now: float) -> None:
        """Find again what the topology knows by name only; the more there is to read, the less often."""
        before, wanted = self._topology, self._topology_names
        if not wanted or (self._names_due - NAMES_MOST_S <= now < self._names_due):
            return
        self._names_due = now + min(NAMES_MOST_S, max(NAMES_S, len(self._directory.sources) * NAMES_EACH_S))
        found = before.named(finished(self.names_in_turns(wanted)))
        with self._pipeline:
            if self._topology is not before or found == before:
                return
            self._use(found)
        finished(self._filter_all(self._watches.filtering))

    # -- groups and maps --

    def set_group_in_turns(self, name: str, spec: object) -> Turns[None]:
        """Make a group of labelled prefixes, or replace it; keys are computed anew. InvalidDefinition says what is
        wrong with its name or one of its prefixes, or that there are too many."""
        check_name("group", name)
        group = yield from parse_group(name, spec, self._names_left(self._lookups.groups.get(name)))
        with self._pipeline:
            check_size("group", name, group.bytes, self._names_left(self._lookups.groups.get(name)))
            self._lookups.groups[name] = group
            self._table_changed(group_table(name))

    set_group = at_once(set_group_in_turns)

    def clear_group(self, name: str) -> bool:
        """Remove a group: nothing has a label in it any more. False if there is none."""
        with self._pipeline:
            self._table_changed(group_table(name))
            return self._lookups.groups.pop(name, None) is not None

    def groups(self) -> dict[str, Spec]:
        """All groups as they were given, by name."""
        with self._pipeline:
            return {name: group.spec for name, group in self._lookups.groups.items()}

    def set_map_in_turns(self, name: str, spec: object) -> Turns[None]:
        """The same of a map, which labels values."""
        check_name("map", name)
        made = yield from parse_map(name, spec, self._names_left(self._lookups.maps.get(name)))
        with self._pipeline:
            check_size("map", name, made.bytes, self._names_left(self._lookups.maps.get(name)))
            self._lookups.maps[name] = made
            self._table_changed(map_table(name))

    set_map = at_once(set_map_in_turns)

    def clear_map(self, name: str) -> bool:
        """The same of a map."""
        with self._pipeline:
            self._table_changed(map_table(name))
            return self._lookups.maps.pop(name, None) is not None

    def maps(self) -> dict[str, Spec]:
        """All maps as they were given, by name."""
        with self._pipeline:
            return {name: made.spec for name, made in self._lookups.maps.items()}

    def vendor(self, mac: str) -> str | None:
        """Who makes devices with such a MAC address (12 hex digits); None: nobody known, or no file of vendors."""
        return self._lookups.vendor(mac)

    def _names_left(self, replaced: Group | Map | None) -> int:
        """Bytes that a group or a map may take in the place of another: asked while it is read, so that no more is,
        and when it is there, because others may have come meanwhile."""
        used = self._lookups.bytes - (replaced.bytes if replaced else 0)
        return self.budget.part("names") - used

    def _table_changed(self, table: str) -> None:
        """Compute the keys anew that look something up in a table; what was counted under the old ones decays."""
        for cache in self._caches.values():
            if table in cache.program.tables:
                cache.key_ids.forget()

    # -- the engine about itself --

    def flow_keys(self, now: float) -> dict[str, int]:
        """Key names that live traffic has -> ms since last seen (to the second)."""
        with self._pipeline:
            self._note_headers(now)
            slots = {name: slot_of(name) for name in FIELDS}
            return {name: elapsed_ms(now, self._headers[slot]) for name, slot in slots.items() if slot in self._headers}

    def lost_detail(self, now: float) -> dict[str, LostDetail]:
        """By name, the flow definitions whose values are incomplete because there were more keys than room."""
        with self._pipeline:
            lost = {name: cache.lost(now) for name, cache in self._caches.items()}
        return {name: LostDetail(*each) for name, each in lost.items() if each is not None and each[0] > 0}

    def numbers(self) -> EngineNumbers:
        """Cumulative numbers of the engine."""
        with self._pipeline:
            caches = [cache.numbers() for cache in self._caches.values()]
            return engine_numbers(
                self._pipeline.numbers(),
                caches,
                agents=self._pipeline.ledger.counts[0],
                events=self.news.events.newest,
                records=self.news.flows.newest,
                records_lost=self.news.records_lost,
                metrics_refused=self._counters.refused,
                states_refused=self._watches.counters.refused,
                receiving=self.receiving,
                faults=self.faults.counts(),
                memory=self._memory(caches),
                started=self._started,
            )

    def _memory(self, caches: Sequence[Mapping[str, int]]) -> MemoryNumbers:
        used = {
            "flows": sum(cache["bytes"] for cache in caches),
            "microflows": self._pipeline.classifier.microflow_bytes,
            "texts": sum(cache.program.text_bytes for cache in self._caches.values()),
            "senders": self._pipeline.ledger.bytes + self._directory.bytes + self._pipeline.counters.table_bytes,
            "counters": self._pipeline.counters.bytes,
            "metrics": self._counters.bytes + self._watches.counters.states * STATE_BYTES,
            "events": len(self.news) * EVENT_BYTES,
            "topology": self._topology_bytes,
            "names": self._lookups.bytes,
        }
        return MemoryNumbers(self.budget.bytes, used, self.budget.parts)
