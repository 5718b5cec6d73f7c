"""What the engine answers: flows, cells and statistics, as values.

Every question takes turns (turns.py): in one it holds the pipeline's lock for some milliseconds at most, however many
flows and data sources there are, and between two the receive thread and other requests go on. So an answer is of no one
moment: what came or went meanwhile may be in it or not; nothing is in it twice. `..._in_turns` is for those who have
others to serve, the same name without it does all turns at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.core.pipeline import Pipeline
from analytics.events import elephants
from analytics.events.elephants import MOST_LISTED, Elephant, Seen
from analytics.events.watches import Watches
from analytics.flows import flowquery
from analytics.flows.definitions import Mode
from analytics.flows.flowquery import ActiveFlow, FlowLocation
from analytics.flows.patterns import Pattern
from analytics.metrics.cells import TURN, Cells
from analytics.metrics.counters import Counters
from analytics.metrics.directory import AGENT_WIDE, GONE, DataSource, Directory, UnknownAgent
from analytics.metrics.metrics import (
    Cell,
    InvalidQuery,
    Statistic,
    matches,
    ordered,
    parse_cell_name,
    parse_columns,
    parse_filters,
    parse_name,
    summarise,
    table_rows,
)
from analytics.metrics.names import SAID, Names, Wanted
from analytics.metrics.numbers import AgentNumbers, agent_numbers
from analytics.topology import Topology
from analytics.turns import Grace, Turns, at_once, batched, in_order, pieces

AGENT_TURN = 100  # agents whose numbers are read in one turn
SOURCE_TURN = 300  # data sources that are looked at one by one, whether a query means them: about 5 us each
NAME_TURN = 5000  # names of data sources that are looked at in one


class Queries:
    """KeyError from a flow query means: no such flow. The engine is one; it makes the parts."""

    _pipeline: Pipeline
    _directory: Directory
    _caches: dict[str, FlowCache]
    _counters: Counters
    _cells: Cells
    _topology: Topology
    _watches: Watches
    _grace: Grace

    # -- flows --

    def active_flows_in_turns(
        self,
        agents: Sequence[str],
        name: str,
        now: float,
        max_flows: int = 100,
        min_value: float = 0.0,
        mode: Mode | None = None,
        pattern: Pattern | None = None,
    ) -> Turns[list[ActiveFlow]]:
        """The largest flows over the data sources of `agents`, one per key, largest first; those whose key text
        `pattern` finds something in. Without a mode they are merged as the definition says."""
        return self._grace.during(self._active_flows(agents, name, now, max_flows, min_value, mode, pattern))

    active_flows = at_once(active_flows_in_turns)

    def _active_flows(
        self,
        agents: Sequence[str],
        name: str,
        now: float,
        max_flows: int,
        min_value: float,
        mode: Mode | None,
        pattern: Pattern | None,
    ) -> Turns[list[ActiveFlow]]:
        cache = self._caches[name]
        mode = mode or cache.program.definition.mode
        wanted = yield from self._wanted(agents, {Mode.EDGE: "EDGE", Mode.CORE: "CORE"}.get(mode))
        if pattern is None and not cache.program.statistics:
            merged = yield from flowquery.leaders(self._pipeline, cache, wanted, max_flows, min_value, now, mode)
        else:
            most = flowquery.MANY if pattern else max(max_flows, cache.program.n)
            found = yield from flowquery.largest(self._pipeline, cache, wanted, most, min_value, now)
            merged = yield from flowquery.merge(found, cache.program, mode)
        answer: list[ActiveFlow] = []
        for number, (value, (key_id, carried), count, source, values) in enumerate(merged):
            if len(answer) >= max_flows:
                break
            if number % flowquery.RAW_TURN == 0:
                yield
            key = cache.program.text(key_id, carried)
            data_source = self._directory.sources[source]
            if key is not None and data_source is not GONE and (pattern is None or pattern.is_in(key)):
                answer.append(ActiveFlow(key, value, *data_source, count, values))
        return answer

    def flow_locations_in_turns(
        self, agents: Sequence[str], name: str, key: str, now: float
    ) -> Turns[list[FlowLocation]]:
        """Where a flow is seen, largest value first; looks among the flowquery.MANY largest of each data source."""
        return self._grace.during(self._flow_locations(agents, name, key, now))

    flow_locations = at_once(flow_locations_in_turns)

    def _flow_locations(self, agents: Sequence[str], name: str, key: str, now: float) -> Turns[list[FlowLocation]]:
        cache = self._caches[name]
        wanted = yield from self._wanted(agents)
        found = yield from flowquery.largest(self._pipeline, cache, wanted, flowquery.MANY, 0.0, now)
        locations = []
        for some in pieces(found, flowquery.RAW_TURN):
            for source, key_id, carried, rate, _, _ in some:
                data_source = self._directory.sources[source]
                if data_source is not GONE and cache.program.text(key_id, carried) == key:
                    locations.append(FlowLocation(*data_source, rate))
            yield
        return (yield from in_order(locations, lambda location: location.value, descending=True))

    def flow_value_in_turns(
        self, agents: Sequence[str], data_source: str, name: str, key: str, now: float
    ) -> Turns[float | None]:
        """The value of one flow on one data source of the first of `agents` that sees it."""
        locations = yield from self.flow_locations_in_turns(agents, name, key, now)
        return next((found.value for found in locations if found.source == data_source), None)

    flow_value = at_once(flow_value_in_turns)

    def _wanted(self, agents: Sequence[str], also: str | None = None) -> Turns[bytearray | None]:
        """A 1 per data source, by index, that a query means; None: all."""
        agents = yield from self._agents(agents)
        if "ALL" in agents and also is None:
            return None
        with self._pipeline:
            wanted = bytearray(len(self._directory.sources))
            meant = self._directory.agents_meant([also] if also and "ALL" in agents else agents, self._topology)
        for some in pieces(meant, AGENT_TURN):
            with self._pipeline:
                sources = [source for agent in some for source in self._directory.by_agent.get(agent, ())]
            for part in pieces(sources, SOURCE_TURN):
                with self._pipeline:
                    for source in part:
                        if source < len(wanted):
                            wanted[source] = self._is_meant(agents, also, *self._directory.sources[source])
                yield
        return wanted

    def _agents(self, words: Sequence[str]) -> Turns[list[str]]:
        """Addresses and groups of agents for what a query calls them; UnknownAgent for a name that none has."""
        meant = {word: self._directory.meaning(word) for word in words}
        hosts = [word for word, meaning in meant.items() if meaning is None]
        if hosts:
            with self._pipeline:
                everyone = [(agent, AGENT_WIDE) for agent in self._directory.by_agent]
            names = yield from self._named(Wanted(hosts=hosts), everyone)
            meant |= names.hosts
        for word, meaning in meant.items():
            if meaning is None:
                raise UnknownAgent(f"no agent '{word}': neither an address nor a known host_name, nor ALL, TOPOLOGY, "
                                   "EDGE or CORE")  # fmt: skip
        return [meaning for meaning in meant.values() if meaning is not None]

    def names_in_turns(self, wanted: Wanted) -> Turns[Names]:
        """What agents and ports have these names."""
        with self._pipeline:
            sources = list(self._directory.sources)
        return (yield from self._named(wanted, sources))

    def _named(self, wanted: Wanted, sources: Sequence[DataSource]) -> Turns[Names]:
        names = Names()
        for some in pieces(sources, TURN):
            with self._pipeline:
                for data_source in some:
                    if data_source is not GONE:
                        held = {name: self._counters.value(*data_source, name, 0.0) for name in SAID}
                        names.note(wanted, data_source, {name: value[0] for name, value in held.items() if value})
            yield
        return names

    def _is_meant(self, agents: Sequence[str], also: str | None, agent: str, source: str) -> bool:
        wants, topology = self._directory.wants, self._topology
        return wants(agents, topology, agent, source) and (also is None or wants([also], topology, agent, source))

    # -- elephants --

    def elephants_in_turns(
        self, now: float, threshold: str | None = None, most: int = MOST_LISTED
    ) -> Turns[list[Seen]]:
        """Flows above a threshold with byFlow (one, if it is named), the largest rate first."""
        return self._grace.during(self._elephants(now, threshold, most))

    elephants = at_once(elephants_in_turns)

    def _elephants(self, now: float, threshold: str | None, most: int) -> Turns[list[Seen]]:
        found = yield from self._elephants_on_sources(now, threshold)
        return (yield from elephants.merge(found, most))

    def _elephants_on_sources(self, now: float, name: str | None = None) -> Turns[list[Elephant]]:
        """Each on each data source that sees it; of a threshold no more than about MOST_LISTED."""
        with self._pipeline:
            limits = [limit for limit in self._watches.by_flow() if name in (None, limit[0].name)]
        found: list[Elephant] = []
        for threshold, cache, index in limits:
            position, most = 0, len(found) + MOST_LISTED
            while True:
                with self._pipeline:
                    if not self._watches.is_at_work(threshold, cache, index):
                        break
                    position, packed = cache.elephants(index, position, now)
                for some in batched(elephants.unpack(packed, cache.carried_bytes), elephants.TURN):
                    for source, key_id, carried, rate, peak, first, span in some:
                        key, data_source = cache.program.text(key_id, carried), self._directory.sources[source]
                        if key is not None and data_source is not GONE:
                            found.append(self._watches.elephant(threshold, key, data_source, rate, peak, first, span))
                    yield
                yield
                if not position or len(found) >= most:
                    break
        return found

    # -- metrics --

    def metric_in_turns(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[Statistic]]:
        """One Statistic per name, in order."""
        return self._grace.during(self._metric(agents, names, filters, now))

    metric = at_once(metric_in_turns)

    def _metric(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[Statistic]]:
        sources = yield from self._chosen(agents, filters, now)
        found = []
        for name in map(parse_name, names):
            cells = yield from self._cells.of(name, sources, now)
            found.append((yield from summarise(name, cells)))
        return found

    def table_in_turns(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[list[Cell]]]:
        """Rows of cells, see metrics.table_rows."""
        return self._grace.during(self._table(agents, names, filters, now))

    table = at_once(table_in_turns)

    def _table(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[list[Cell]]]:
        columns, order = parse_columns(names)
        sources = yield from self._chosen(agents, filters, now)
        of_agents = dict.fromkeys(agent for agent, _ in sources)
        cells: dict[tuple[str, str, str], Cell] = {}
        firsts: dict[str, int] = {}
        for number, column in enumerate(columns):
            also = {AGENT_WIDE, *([column.source] if column.source else [])}
            asked = dict.fromkeys(sources) | {(agent, source): None for agent in of_agents for source in also}
            for cell in (yield from self._cells.of(parse_name(column.metric), list(asked), now)):
                cells[cell.agent, cell.source, column.metric] = cell
                if column.source is None and cell.source != AGENT_WIDE:
                    firsts.setdefault(cell.agent, number)
        rows: list[list[Cell]] = []
        for some in pieces(sources, TURN):
            rows += table_rows(columns, some, firsts, lambda *cell: cells.get(cell), now)
            yield
        return (yield from ordered(rows, order))

    def dump_in_turns(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[Cell]]:
        """Every cell of these names (ALL: every name)."""
        return self._grace.during(self._dump(agents, names, filters, now))

    dump = at_once(dump_in_turns)

    def _dump(
        self, agents: Sequence[str], names: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[Cell]]:
        if "ALL" in names:
            parsed = [parse_name(name) for name in (yield from self._cells.ages(now))]
        else:
            parsed = [parse_cell_name(name) for name in names]
        sources = yield from self._chosen(agents, filters, now)
        found: list[Cell] = []
        for name in parsed:
            found += yield from self._cells.of(name, sources, now)
        return found

    def metrics_of_in_turns(self, agent: str, now: float) -> Turns[dict[str, Any] | None]:
        """`<data source>.<metric>` -> latest value of one agent; None if it is unknown."""
        return self._grace.during(self._metrics_of(agent, now))

    metrics_of = at_once(metrics_of_in_turns)

    def _metrics_of(self, agent: str, now: float) -> Turns[dict[str, Any] | None]:
        (agent,) = yield from self._agents([agent])
        with self._pipeline:
            sources = [self._directory.sources[source] for source in self._directory.by_agent.get(agent, ())]
        if not sources:
            return None
        found: dict[str, Any] = {}
        for some in pieces(sources, TURN):
            with self._pipeline:
                for _, source in some:
                    metrics = self._counters.metrics(agent, source, now)
                    found |= {f"{source}.{name}": held[0] for name, held in metrics.items()}
            yield
        for name in list(self._caches):
            cells = yield from self._cells.of(parse_name(name), sources, now)
            found |= {f"{cell.source}.{name}": cell.value for cell in cells}
        return found

    def metric_names_in_turns(self, now: float) -> Turns[dict[str, int]]:
        """Metric names -> ms since last seen."""
        return self._grace.during(self._cells.ages(now))

    metric_names = at_once(metric_names_in_turns)

    def knows(self, metric: str) -> bool:
        """Whether some counter makes such a metric, seen or not."""
        return self._counters.knows(metric)

    def _chosen(
        self, agents: Sequence[str], filters: Mapping[str, Sequence[str]], now: float
    ) -> Turns[list[DataSource]]:
        checked = parse_filters(filters)
        for name in checked:
            if not self.knows(name):
                raise InvalidQuery(f"filter '{name}': no counter makes such a metric")
        wanted = yield from self._wanted(agents)
        chosen: list[DataSource] = []
        for first in range(0, len(self._directory.sources), NAME_TURN):
            with self._pipeline:
                some = self._directory.sources[first : first + NAME_TURN]
                if wanted is not None:
                    meant = zip(some, wanted[first : first + NAME_TURN], strict=False)
                    some = [source for source, is_wanted in meant if is_wanted]
                chosen += [source for source in some if source is not GONE]
            yield
        if not checked:
            return chosen
        passed: list[DataSource] = []
        for part in pieces(chosen, TURN):
            with self._pipeline:
                passed += [source for source in part if matches(checked, partial(self._cells.attribute, now, *source))]
            yield
        return passed

    # -- agents --

    def agents_in_turns(self, only: Collection[str] = ()) -> Turns[dict[str, AgentNumbers]]:
        """Every agent, or only those of these addresses and host names, by address, and what is known of its stream."""
        only = set((yield from self._agents(list(only)))) - {"ALL"} if only else only
        found: dict[str, AgentNumbers] = {}
        first = 0
        while True:
            with self._pipeline:
                ledger = self._pipeline.ledger
                known = ledger.agents_from(first, AGENT_TURN)
                if known is None:
                    return found
                for agent in known:
                    address = self._directory.agent(agent)
                    if not only or address in only:
                        found[address] = agent_numbers(ledger.agent_values(agent))
            first += AGENT_TURN
            yield

    agents = at_once(agents_in_turns)
