"""From the native core's raw flows (RawFlow) to values: keys, merged or per data source.

Raw keys (key id, carried bytes) and key texts are one to one within a definition, so merging works on the raw keys and
texts are made of the result only. All of it in turns (turns.py): there may be a million flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from analytics.core.flows.flowcache import FlowCache
from analytics.core.flows.leaders import Leaders
from analytics.core.flows.ranking import Ranking
from analytics.core.pipeline import Pipeline
from analytics.flows.definitions import Program
from analytics.turns import Turns, in_order, pieces

MANY = 10_000  # flows per data source that are read when a query selects by key
MOST_RAW = 100_000  # of one answer, over all data sources: 20 MB
RAW_TURN = 2000  # of these in one turn: about 1 ms

RawFlow = tuple[int, int, bytes, float, float]  # source index, key id, carried bytes, rate, time of the last sample
MergedFlow = tuple[float, tuple[int, bytes], int, int]  # value, raw key, data sources, the one with the largest rate


@dataclass(frozen=True, slots=True)
class ActiveFlow:
    """One key over `sources` data sources; agent and source are those of the largest observation. Rates per second."""

    key: str
    value: float
    agent: str
    source: str
    sources: int


@dataclass(frozen=True, slots=True)
class FlowLocation:
    """Where one key is seen, and its rate there."""

    agent: str
    source: str
    value: float


@dataclass(frozen=True, slots=True)
class TopFlow:
    """One of the largest flows of a data source; `updated`: when a sample last counted."""

    key: str
    value: float
    updated: float


class Mode(Enum):
    """How the values of one key on several data sources become one (sFlow-RT's aggMode)."""

    MAX = "max"  # the largest
    SUM = "sum"
    AVG = "avg"  # the mean
    EDGE = "edge"  # the sum over edge ports: each flow enters the fabric once
    CORE = "core"  # the largest over ports that end a link


def largest(
    pipeline: Pipeline, cache: FlowCache, wanted: bytearray | None, most: int, minimum: float, now: float
) -> Turns[list[RawFlow]]:
    """The largest flows of each wanted data source (by index; None: of all), at most `most` each, in order of data
    sources; rates decayed to `now`, none below `minimum`. Of more than MOST_RAW the largest half of that at least."""
    with pipeline:
        ranking = Ranking(cache, wanted, most, minimum, now)
    position = 0
    while True:
        with pipeline:
            position = ranking.scan(position)
        if ranking.size > MOST_RAW:
            ranking.prune(MOST_RAW // 2)
        if not position:
            break
        yield
    found: list[RawFlow] = []
    while some := ranking.flows(RAW_TURN):
        found += some
        yield
    return found


def leaders(
    pipeline: Pipeline, cache: FlowCache, wanted: bytearray | None, most: int, minimum: float, now: float
) -> Turns[list[MergedFlow]]:
    """The `most` keys with the largest values at any one of the wanted data sources (by index; None: all), largest
    first; values decayed to `now`, none below `minimum`. Exact, of any number of flows."""
    with pipeline:
        found = Leaders(cache, wanted, most, minimum, now)
    for step in (found.scan, found.count):
        position = 0
        while True:
            with pipeline:
                position = step(position)
            if found.size > 2 * most or not position:
                found.prune()
            if not position:
                break
            yield
    flows: list[MergedFlow] = []
    while some := found.flows(RAW_TURN):
        flows += some
        yield
    return (yield from in_order(flows, _value, descending=True))


def merge(found: list[RawFlow], program: Program, mode: Mode) -> Turns[list[MergedFlow]]:
    """One flow per key, largest first."""
    merged: dict[tuple[int, bytes], list[Any]] = {}
    for some in pieces(found, RAW_TURN):
        for source, key_id, carried, rate, _ in some:
            entry = merged.setdefault((key_id, carried), [0.0, 0, 0.0, source])
            entry[0] += rate
            entry[1] += 1
            if rate > entry[2]:
                entry[2], entry[3] = rate, source
        yield
    flows: list[MergedFlow] = []
    for part in pieces(list(merged.items()), RAW_TURN):
        for raw, (total, count, highest, source) in part:
            value = total if mode in (Mode.SUM, Mode.EDGE) else total / count if mode is Mode.AVG else highest
            flows.append((value, raw, count, source))
        yield
    return (yield from in_order(flows, _value, descending=True))


def _value(flow: MergedFlow) -> float:
    return flow[0]


def top_keys(found: list[RawFlow], program: Program) -> dict[int, tuple[TopFlow, ...]]:
    """Data source -> its flows, largest first."""
    by_source: dict[int, list[TopFlow]] = {}
    for source, key_id, carried, rate, updated in sorted(found, key=lambda flow: -flow[3]):
        key = program.text(key_id, carried)
        if key is not None:
            by_source.setdefault(source, []).append(TopFlow(key, rate, updated))
    return {source: tuple(flows) for source, flows in by_source.items()}
