"""From the native core's raw flows to answers: [(source, verdict, carried bytes, rate)] -> keys, merged or per data
source.

Raw keys (verdict, carried) and key texts are one to one within a definition, so merging works on the raw ones and
text is made only of what is answered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

from analytics.flows.definitions import Program

MANY = 10_000  # flows per data source looked at when a query cannot name them by value

RawFlow = tuple[int, int, bytes, float]


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
    pattern: re.Pattern[str] | None,
) -> list[dict[str, Any]]:
    """At most `most` flows, one per key, largest first; those whose key text `pattern` finds something in."""
    merged: dict[tuple[int, bytes], list[Any]] = {}
    for source, verdict, carried, rate in found:
        entry = merged.setdefault((verdict, carried), [0.0, 0, 0.0, source])
        entry[0] += rate
        entry[1] += 1
        if rate > entry[2]:
            entry[2], entry[3] = rate, source
    flows = []
    for raw, (total, count, largest, source) in merged.items():
        value = total if mode in (Mode.SUM, Mode.EDGE) else total / count if mode is Mode.AVG else largest
        flows.append((value, raw, count, source))
    flows.sort(key=lambda flow: -flow[0])
    answer: list[dict[str, Any]] = []
    for value, (verdict, carried), count, source in flows:
        if len(answer) >= most:
            break
        key = program.text(verdict, carried)
        if pattern is None or pattern.search(key):
            agent, data_source = sources[source]
            answer.append({"agent": agent, "dataSource": data_source, "flowN": count, "key": key, "value": value})
    return answer


def locate(
    found: list[RawFlow], program: Program, sources: Sequence[tuple[str, str]], key: str
) -> list[dict[str, Any]]:
    """The places of one key, largest value first."""
    texts: dict[tuple[int, bytes], bool] = {}
    places = []
    for source, verdict, carried, rate in found:
        raw = (verdict, carried)
        if raw not in texts:
            texts[raw] = program.text(verdict, carried) == key
        if texts[raw]:
            agent, data_source = sources[source]
            places.append({"agent": agent, "dataSource": data_source, "value": rate})
    return sorted(places, key=lambda place: -place["value"])


def top_keys(found: list[RawFlow], program: Program) -> dict[int, tuple[dict[str, Any], ...]]:
    """Per data source its flows as [{key, value}], largest first."""
    by_source: dict[int, list[dict[str, Any]]] = {}
    for source, verdict, carried, rate in sorted(found, key=lambda flow: -flow[3]):
        by_source.setdefault(source, []).append({"key": program.text(verdict, carried), "value": rate})
    return {source: tuple(flows) for source, flows in by_source.items()}
