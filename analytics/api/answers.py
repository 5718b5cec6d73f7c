"""The engine's values in the JSON words of sFlow-RT (sflow-rt-api.md 1 to 3), which stand here and nowhere else.

Answers with a fixed shape are Structs; the flat objects of numbers (/analyzer/json, /agents/json) are plain dicts. Ages
are whole milliseconds before `now`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from analytics.events.elephants import Elephant, Seen
from analytics.events.log import Event
from analytics.events.thresholds import Threshold
from analytics.flows.definitions import FlowDefinition
from analytics.flows.flowquery import ActiveFlow, FlowLocation, TopFlow
from analytics.flows.records import FlowRecord
from analytics.metrics.metrics import Cell, Statistic
from analytics.metrics.numbers import AgentNumbers, EngineNumbers, LostDetail, Tally, elapsed_ms
from analytics.topology import Topology

# Flows


class FlowAnswer(Struct):
    """A definition with its defaults: clients expect `keys` even where there are none."""

    keys: str
    n: int
    t: float
    fs: str
    log: bool
    flowStart: bool
    activeTimeout: float
    dropped: bool
    value: str
    values: str | UnsetType = UNSET
    filter: str | UnsetType = UNSET
    aggMode: str | UnsetType = UNSET
    ipfixCollectors: tuple[str, ...] | UnsetType = UNSET


def flow(definition: FlowDefinition) -> FlowAnswer:
    return FlowAnswer(
        keys=definition.keys,
        n=definition.n,
        t=definition.t,
        fs=definition.fs,
        log=definition.log,
        flowStart=definition.flow_start,
        activeTimeout=definition.active_timeout,
        dropped=definition.dropped,
        value=definition.value,
        values=definition.values or UNSET,
        filter=UNSET if definition.filter is None else definition.filter,
        aggMode=UNSET if definition.aggregation is None else definition.aggregation.value,
        ipfixCollectors=definition.ipfix_collectors or UNSET,
    )


class ActiveFlowAnswer(Struct):
    agent: str
    dataSource: str
    flowN: int
    key: str
    value: float
    values: tuple[float | None, ...] | UnsetType = UNSET


def active_flow(found: ActiveFlow) -> ActiveFlowAnswer:
    return ActiveFlowAnswer(found.agent, found.source, found.sources, found.key, found.value, found.values or UNSET)


class LocationAnswer(Struct):
    agent: str
    dataSource: str
    value: float


def location(found: FlowLocation) -> LocationAnswer:
    return LocationAnswer(found.agent, found.source, found.value)


class FlowRecordAnswer(Struct):
    """`samples` is a word of ours: with it the value is known to 196/sqrt(samples) % at 95 % confidence."""

    flowID: int
    name: str
    flowKeys: str
    value: float
    start: int  # epoch, ms
    end: int
    agent: str
    dataSource: str
    samples: int


def flow_record(known: FlowRecord) -> FlowRecordAnswer:
    return FlowRecordAnswer(
        flowID=known.id,
        name=known.name,
        flowKeys=known.key,
        value=known.value,
        start=int(known.start * 1000),
        end=int(known.end * 1000),
        agent=known.agent,
        dataSource=known.source,
        samples=known.samples,
    )


class TopKey(Struct):
    key: str
    value: float
    lastUpdate: int
    values: tuple[float | None, ...] | UnsetType = UNSET


def _top_keys(top: tuple[TopFlow, ...] | None, now: float) -> list[TopKey] | UnsetType:
    if top is None:
        return UNSET
    return [TopKey(each.key, each.value, elapsed_ms(now, each.updated), each.values or UNSET) for each in top]


# Metrics


class MetricAnswer(Struct):
    agent: str
    dataSource: str
    lastUpdate: int
    metricName: str
    metricValue: Any = UNSET
    topKeys: list[TopKey] | UnsetType = UNSET


def metric(cell: Cell, now: float) -> MetricAnswer:
    """A cell; an empty one of a table has no metricValue."""
    return MetricAnswer(
        agent=cell.agent,
        dataSource=cell.source,
        lastUpdate=elapsed_ms(now, cell.updated),
        metricName=cell.metric,
        metricValue=UNSET if cell.value is None else cell.value,
        topKeys=_top_keys(cell.top, now),
    )


class QuartilesAnswer(Struct):
    min: float
    q1: float
    med: float
    q3: float
    max: float


class StatisticAnswer(Struct):
    metricName: str
    metricN: int
    lastUpdateMin: int | UnsetType = UNSET
    lastUpdateMax: int | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    dataSource: str | UnsetType = UNSET
    lastUpdate: int | UnsetType = UNSET
    metricValue: Any = UNSET
    quartiles: QuartilesAnswer | UnsetType = UNSET
    topKeys: list[TopKey] | UnsetType = UNSET


def statistic(found: Statistic, now: float) -> StatisticAnswer:
    answer = StatisticAnswer(found.name, found.cells)
    if found.cells:
        answer.lastUpdateMin, answer.lastUpdateMax = elapsed_ms(now, found.newest), elapsed_ms(now, found.oldest)
        answer.metricValue = found.value
    if found.chosen is not None:
        answer.agent, answer.dataSource = found.chosen.agent, found.chosen.source
        answer.lastUpdate = elapsed_ms(now, found.chosen.updated)
    if found.quartiles is not None:
        answer.quartiles = QuartilesAnswer(*found.quartiles)
    answer.topKeys = _top_keys(found.top, now)
    return answer


# Topology


def found_links(known: Topology) -> dict[str, Any]:
    """Of a topology that names ports only: the links whose ends are known, and what is missing of the others."""
    places = {name: [known.end(key).place for key in link.ends] for name, link in known.links.items()}
    return {
        "links": {
            name: [{"agent": place[0], "ifindex": place[1]} for place in ends if place is not None]
            for name, ends in places.items()
            if None not in ends
        },
        "missing": known.missing,
    }


# Thresholds and events


class TestAnswer(Struct):
    alpha: float
    beta: float
    separation: float
    fastest: float
    switches: int


class ThresholdAnswer(Struct):
    metric: str
    value: float
    byFlow: bool
    timeout: float
    filter: Mapping[str, Any] | UnsetType = UNSET
    test: TestAnswer | UnsetType = UNSET  # a word of ours


def threshold(known: Threshold) -> ThresholdAnswer:
    return ThresholdAnswer(
        metric=known.metric,
        value=known.value,
        byFlow=known.by_flow,
        timeout=known.timeout,
        filter=known.filter or UNSET,
        test=UNSET if known.test is None else TestAnswer(**asdict(known.test)),
    )


class PathAnswer(Struct):
    agent: str
    dataSource: str
    samplingRate: int
    samples: int
    outputIfIndex: int | UnsetType = UNSET


class EventAnswer(Struct):
    eventID: int
    timestamp: int  # epoch, ms
    thresholdID: str
    metric: str
    threshold: float
    value: float
    agent: str
    dataSource: str
    flowKey: str | UnsetType = UNSET
    values: tuple[float | None, ...] | UnsetType = UNSET
    state: str | UnsetType = UNSET  # from here on: words of ours, in events of a test
    confidence: float | UnsetType = UNSET
    path: list[PathAnswer] | UnsetType = UNSET


def event(known: Event) -> EventAnswer:
    answer = EventAnswer(
        eventID=known.id,
        timestamp=int(known.time * 1000),
        thresholdID=known.threshold,
        metric=known.metric,
        threshold=known.limit,
        value=known.value,
        agent=known.agent,
        dataSource=known.source,
        flowKey=UNSET if known.key is None else known.key,
        values=known.values or UNSET,
    )
    if known.found is not None:
        answer.state, answer.confidence = known.found.state, known.found.confidence
        answer.path = [
            PathAnswer(each.agent, each.source, each.rate, each.samples, each.output or UNSET)
            for each in known.found.path
        ]
    return answer


# The program


def license_of(version: str, bits_per_second: float) -> dict[str, Any]:
    """/license/json: nothing is limited, nothing expires."""
    host = {"host": "", "host_ok": True}
    limits = {"max_bps": 0, "max_bps_ok": True, "expires": "", "expires_ok": True}
    return {
        "license": {"type": "production", **host, "account": "", "product": version, "license": "Apache-2.0", **limits},
        "analyzer": {"host": "", "bps": bits_per_second},
    }


# Elephants: all words are ours


class ElephantAnswer(Struct):
    thresholdID: str
    metric: str
    flowKey: str
    agent: str
    dataSource: str
    start: int  # epoch, ms
    duration: float  # seconds
    value: float  # added up, as of a flow record
    rate: float  # per second, as are the next two
    meanRate: float
    peakRate: float
    samples: int
    confidence: float  # percent


def elephant(known: Elephant) -> ElephantAnswer:
    return ElephantAnswer(
        thresholdID=known.threshold,
        metric=known.metric,
        flowKey=known.key,
        agent=known.agent,
        dataSource=known.source,
        start=int(known.start * 1000),
        duration=known.duration,
        value=known.value,
        rate=known.rate,
        meanRate=known.mean,
        peakRate=known.peak,
        samples=known.samples,
        confidence=known.confidence,
    )


class SeenAnswer(ElephantAnswer):
    locations: list[ElephantAnswer]


def seen(known: Seen) -> SeenAnswer:
    """The numbers are those of the data source with the most samples; the start is the first anywhere."""
    best = msgspec.structs.asdict(elephant(known.best)) | {"start": int(known.start * 1000)}
    return SeenAnswer(**best, locations=[elephant(each) for each in known.everywhere])


# Numbers


def agent(numbers: AgentNumbers, now: float) -> dict[str, Any]:
    """An element of /agents/json. Faults, restarts, skipped samples and discards are words of ours."""
    found: dict[str, Any] = {
        "firstSeen": elapsed_ms(now, numbers.first_seen),
        "lastSeen": elapsed_ms(now, numbers.last_seen),
        "uptime": numbers.uptime_ms,
        "sFlowDatagramSource": numbers.senders,
        "sFlowBytesReceived": numbers.bytes,
        "sFlowRestarts": numbers.restarts,
        "sFlowFaults": numbers.faults,
        "sFlowSkippedSamples": numbers.skipped,
    }
    found |= _tally("sFlowDatagrams{}", "Received", "Duplicates", numbers.datagrams)
    for kind, samples in (("Flow", numbers.flows), ("Counter", numbers.counters), ("Discard", numbers.discards)):
        found |= _tally(f"sFlow{kind}{{}}Samples", "", "Duplicate", samples)
        found[f"sFlow{kind}Datasources"] = samples.sources
        if samples is not numbers.counters:
            found[f"sFlow{kind}Drops"] = samples.drops
    return found


def _tally(form: str, received: str, duplicate: str, tally: Tally) -> dict[str, int]:
    return {
        form.format(received): tally.received,
        form.format("Lost"): tally.lost,
        form.format(duplicate): tally.duplicate,
        form.format("OutOfOrder"): tally.out_of_order,
    }


def lost_detail(found: Mapping[str, LostDetail]) -> dict[str, Any]:
    """A word of ours in /analyzer/json: flow definitions that had more keys than room, and what their values lack."""
    return {"lostDetail": {name: {"rate": each.rate, "bound": each.bound} for name, each in found.items()}}


def analyzer(numbers: EngineNumbers, now: float) -> dict[str, Any]:
    """The engine's part of /analyzer/json.

    Words of ours: faults, flowEntries..., counterRecords..., sFlowKernelDrops, sFlowSourcesRefused (datagrams),
    sFlowDatagramsShed, sFlowAgentsRefused (datagrams of new agents), sFlowDataSourcesRefused (samples of new data
    sources), thresholdValuesRefused, flowSamplesUntested, memory (bytes: the budget, and of every store what it uses
    and may use); sFlowSockets and sFlowReceiveBuffer (bytes of each), which are there when a collector runs.
    """
    receiving = numbers.receiving
    found: dict[str, Any] = {
        "sFlowAgents": numbers.agents,
        "sFlowBytesReceived": numbers.bytes,
        "sFlowDatagramsReceived": numbers.datagrams,
        "sFlowDatagramsDiscarded": (
            numbers.overflow + numbers.agents_refused + receiving.kernel_drops + receiving.shed
        ),
        "sFlowKernelDrops": receiving.kernel_drops,
        "sFlowSourcesRefused": receiving.refused,
        "sFlowDatagramsShed": receiving.shed,
        "sFlowAgentsRefused": numbers.agents_refused,
        "sFlowDataSourcesRefused": numbers.sources_refused,
        "sFlowParseErrors": numbers.not_sflow,
        "sFlowUnsupportedVersion": numbers.other_version,
        "eventsGenerated": numbers.events,
        "eventsLost": numbers.events_lost,
        "flowsGenerated": numbers.records,
        "flowsLost": numbers.records_lost,
        "flowEntries": numbers.flow_entries,
        "flowEntriesRefused": numbers.flow_entries_refused,
        "flowEntriesDisplaced": numbers.flow_entries_displaced,
        "counterRecords": numbers.counter_records,
        "counterRecordsRefused": numbers.counter_records_refused,
        "thresholdValuesRefused": numbers.states_refused,
        "flowSamplesUntested": numbers.untested,
        "memory": {
            "budget": numbers.memory.budget,
            "stores": {
                store: {"used": used, "most": numbers.memory.most[store]} for store, used in numbers.memory.used.items()
            },
        },
        "faults": dict(numbers.faults),
    }
    if receiving.sockets:
        found |= {"sFlowSockets": receiving.sockets, "sFlowReceiveBuffer": receiving.buffer_bytes}
    if numbers.started is not None:
        found["uptime"] = elapsed_ms(now, numbers.started)
    return found
