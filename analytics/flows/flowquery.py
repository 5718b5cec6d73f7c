"""From the native core's raw flows (RawFlow) to values: keys, merged or per data source.

Raw keys (key id, carried bytes) and key texts are one to one within a definition, so merging works on the raw keys and
texts are made of the result only. All of it in turns (turns.py): there may be a million flows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analytics.core.flows.flowcache import FlowCache
from analytics.core.flows.leaders import Leaders
from analytics.core.flows.ranking import Ranking
from analytics.core.pipeline import Pipeline
from analytics.flows.definitions import Mode, Program
from analytics.turns import Turns, in_order, pieces

MANY = 10_000  # flows per data source that are read when a query selects by key
MOST_RAW = 100_000  # of one answer, over all data sources: 20 MB
RAW_TURN = 2000  # of these in one turn: about 1 ms
MERGES: Mapping[Mode, Literal["max", "sum", "avg"]] = {
    Mode.MAX: "max",
    Mode.CORE: "max",
    Mode.SUM: "sum",
    Mode.EDGE: "sum",
    Mode.AVG: "avg",
}

Figures = tuple[tuple[float, float] | None, ...]  # (value, weight) of each value; None: not seen lately
RawFlow = tuple[int, int, bytes, float, float, Figures]
"""Source index, key id, carried bytes, value, time of the last sample, all values of a definition with statistics"""
Values = tuple[float | None, ...]  # of a definition with `values`; None: not seen lately
MergedFlow = tuple[float, tuple[int, bytes], int, int, Values]
"""Value, raw key, data sources, the one with the largest value, the definition's other values"""


@dataclass(frozen=True, slots=True)
class ActiveFlow:
    """One key over `sources` data sources; agent and source are those of the largest observation. Rates per second;
    `values` are those of the definition, in its order."""

    key: str
    value: float
    agent: str
    source: str
    sources: int
    values: Values = ()


@dataclass(frozen=True, slots=True)
class FlowLocation:
    """Where one key is seen, and its rate there."""

    agent: str
    source: str
    value: float


@dataclass(frozen=True, slots=True)
class TopFlow:
    """One of the largest flows of a data source; `updated`: when a sample last counted; `values` as of ActiveFlow."""

    key: str
    value: float
    updated: float
    values: Values = ()


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
    pipeline: Pipeline,
    cache: FlowCache,
    wanted: bytearray | None,
    most: int,
    minimum: float,
    now: float,
    mode: Mode,
) -> Turns[list[MergedFlow]]:
    """The `most` keys with the largest values over the wanted data sources (by index; None: all), largest first; values
    decayed to `now`, none below `minimum`. Exact by the largest observation; by sum or average if there are no more
    than 100,000 keys: of more, one may be missing that was small in what the walk met first."""
    found = Leaders(cache, wanted, most, minimum, now, MERGES[mode])
    for walk in range(2):
        if walk:
            found.count()
            yield
        position = 0
        while True:
            with pipeline:
                position = found.scan(position)
            found.take_in()
            if found.is_full:
                yield
                found.cut_down()
            if not position:
                break
            yield
    found.end()
    flows: list[MergedFlow] = []
    while some := found.flows(RAW_TURN):
        flows += [(*flow, ()) for flow in some]
        yield
    return (yield from in_order(flows, _value, descending=True))


def merge(found: list[RawFlow], program: Program, mode: Mode) -> Turns[list[MergedFlow]]:
    """One flow per key, largest first."""
    if program.statistics:
        return (yield from _merge_statistics(found, program, mode))
    merged: dict[tuple[int, bytes], list[Any]] = {}
    for some in pieces(found, RAW_TURN):
        for source, key_id, carried, rate, _, _ in some:
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
            flows.append((value, raw, count, source, ()))
        yield
    return (yield from in_order(flows, _value, descending=True))


def _merge_statistics(found: list[RawFlow], program: Program, mode: Mode) -> Turns[list[MergedFlow]]:
    """The same for a definition with statistics: in modes that take the largest all values are those of one data
    source, in others each is merged by what it is."""
    statistics = [statistic for statistic, _ in program.statistics]
    best = min if statistics[0] == "min" else max
    merged: dict[tuple[int, bytes], list[RawFlow]] = {}
    for some in pieces(found, RAW_TURN):
        for flow in some:
            merged.setdefault((flow[1], flow[2]), []).append(flow)
        yield
    flows: list[MergedFlow] = []
    for part in pieces(list(merged.items()), RAW_TURN // 4):
        for raw, observed in part:
            chosen = best(observed, key=_observed)
            if mode in (Mode.MAX, Mode.CORE):
                values = _values(chosen[5])
            else:
                columns = zip(*(flow[5] for flow in observed), strict=True)
                values = tuple(
                    _together(statistic, [figure for figure in column if figure is not None], mode)
                    for statistic, column in zip(statistics, columns, strict=True)
                )
            first = chosen[3] if values[0] is None or mode in (Mode.MAX, Mode.CORE) else values[0]
            flows.append((first, raw, len(observed), chosen[0], values[1:]))
        yield
    return (yield from in_order(flows, _value, descending=True))


def _values(figures: Figures) -> Values:
    return tuple(None if figure is None else figure[0] for figure in figures)


def _value(flow: MergedFlow) -> float:
    return flow[0]


def _observed(flow: RawFlow) -> float:
    return flow[3]


def _together(statistic: str, figures: list[tuple[float, float]], mode: Mode) -> float | None:
    """One value of those of several data sources, each with its weight."""
    if not figures:
        return None
    if statistic in ("min", "max"):
        return (min if statistic == "min" else max)(value for value, _ in figures)
    weights = sum(weight for _, weight in figures)
    if statistic == "avg":
        return sum(value * weight for value, weight in figures) / weights if weights else None
    total = sum(value for value, _ in figures)
    return total / len(figures) if mode is Mode.AVG else total


def top_keys(found: list[RawFlow], program: Program) -> dict[int, tuple[TopFlow, ...]]:
    """Data source -> its flows, largest first."""
    by_source: dict[int, list[TopFlow]] = {}
    for source, key_id, carried, rate, updated, figures in sorted(found, key=lambda flow: -flow[3]):
        key = program.text(key_id, carried)
        if key is not None:
            by_source.setdefault(source, []).append(TopFlow(key, rate, updated, _values(figures)[1:]))
    return {source: tuple(flows) for source, flows in by_source.items()}
