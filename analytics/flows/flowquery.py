"""From the native core's raw flows to values: (source, key id, carried bytes, rate) -> keys, merged or per data source.

Raw keys (key id, carried bytes) and key texts are one to one within a definition, so merging works on the raw keys and
texts are made of the result only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from analytics.flows.definitions import Program
from analytics.flows.patterns import Pattern

MANY = 10_000  # flows per data source that are read when a query selects by key

RawFlow = tuple[int, int, bytes, float]  # source index, key id, carried bytes, rate


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
    """One of the largest flows of a data source."""

    key: str
    value: float


class Mode(Enum):
    """How the values of one key on several data sources become one (sFlow-RT's aggMode)."""

    MAX = "max"  # the largest
    SUM = "sum"
    AVG = "avg"  # the mean
    EDGE = "edge"  # the sum over edge ports: each flow enters the fabric once
    CORE = "core"  # the largest over ports that end a link


def merge(
    found: list[RawFlow],
    program: Program,
    sources: Sequence[tuple[str, str]],
    mode: Mode,
    most: int,
    pattern: Pattern | None,
) -> list[ActiveFlow]:
    """At most `most` flows, one per key, largest first; those whose key text `pattern` finds something in."""
    merged: dict[tuple[int, bytes], list[Any]] = {}
    for source, key_id, carried, rate in found:
        entry = merged.setdefault((key_id, carried), [0.0, 0, 0.0, source])
        entry[0] += rate
        entry[1] += 1
        if rate > entry[2]:
            entry[2], entry[3] = rate, source
    flows = []
    for raw, (total, count, largest, source) in merged.items():
        value = total if mode in (Mode.SUM, Mode.EDGE) else total / count if mode is Mode.AVG else largest
        flows.append((value, raw, count, source))
    flows.sort(key=lambda flow: -flow[0])
    answer: list[ActiveFlow] = []
    for value, (key_id, carried), count, source in flows:
        if len(answer) >= most:
            break
        key = program.text(key_id, carried)
        if pattern is None or pattern.is_in(key):
            agent, data_source = sources[source]
            answer.append(ActiveFlow(key, value, agent, data_source, count))
    return answer


def locate(found: list[RawFlow], program: Program, sources: Sequence[tuple[str, str]], key: str) -> list[FlowLocation]:
    """Where one key is seen, largest value first."""
    texts: dict[tuple[int, bytes], bool] = {}
    locations = []
    for source, key_id, carried, rate in found:
        raw = (key_id, carried)
        if raw not in texts:
            texts[raw] = program.text(key_id, carried) == key
        if texts[raw]:
            locations.append(FlowLocation(*sources[source], rate))
    return sorted(locations, key=lambda location: -location.value)


def top_keys(found: list[RawFlow], program: Program) -> dict[int, tuple[TopFlow, ...]]:
    """Data source -> its flows, largest first."""
    by_source: dict[int, list[TopFlow]] = {}
    for source, key_id, carried, rate in sorted(found, key=lambda flow: -flow[3]):
        by_source.setdefault(source, []).append(TopFlow(program.text(key_id, carried), rate))
    return {source: tuple(flows) for source, flows in by_source.items()}
