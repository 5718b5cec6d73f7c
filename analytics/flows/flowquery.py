"""From the native core's raw flows to answers: [(source, key id, carried bytes, rate)] -> keys, merged or per data
source.

Raw keys (key id, carried) and key texts are one to one within a definition, so merging works on the raw ones and
text is made only of what is answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from analytics.flows.definitions import Program
from analytics.flows.keys import Invalid

MODES = frozenset({"max", "sum", "avg", "edge", "core"})
MANY = 10_000  # flows per data source looked at when a query cannot name them by value

RawFlow = tuple[int, int, bytes, float]


def pattern_test(pattern: str | None) -> Callable[[str], bool]:
    """A test of key texts: a regular expression found anywhere in the key; Invalid if it is none."""
    if pattern is None:
        return lambda key: True
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise Invalid(f"filter {pattern!r}: bad regular expression: {error}") from None
    return lambda key: compiled.search(key) is not None


def merge(
    found: list[RawFlow],
    program: Program,
    sources: Sequence[tuple[str, str]],
    mode: str,
    most: int,
    keep: Callable[[str], bool],
) -> list[dict[str, Any]]:
    """One element per key, largest first; agent and dataSource are those of the largest observation.

    mode says how the values of one key on several data sources are joined: max and core the largest, sum and edge the
    sum (at the edge each flow enters once), avg the mean. flowN is the number of data sources.
    """
    merged: dict[tuple[int, bytes], list[Any]] = {}
    for source, key_id, carried, rate in found:
        entry = merged.setdefault((key_id, carried), [0.0, 0, 0.0, source])
        entry[0] += rate
        entry[1] += 1
        if rate > entry[2]:
            entry[2], entry[3] = rate, source
    flows = []
    for raw, (total, count, largest, source) in merged.items():
        value = total if mode in ("sum", "edge") else total / count if mode == "avg" else largest
        flows.append((value, raw, count, source))
    flows.sort(key=lambda flow: -flow[0])
    answer: list[dict[str, Any]] = []
    for value, (key_id, carried), count, source in flows:
        if len(answer) >= most:
            break
        key = program.text(key_id, carried)
        if keep(key):
            agent, data_source = sources[source]
            answer.append({"agent": agent, "dataSource": data_source, "flowN": count, "key": key, "value": value})
    return answer


def locate(
    found: list[RawFlow], program: Program, sources: Sequence[tuple[str, str]], key: str
) -> list[dict[str, Any]]:
    """The places of one key, largest value first."""
    texts: dict[tuple[int, bytes], bool] = {}
    places = []
    for source, key_id, carried, rate in found:
        raw = (key_id, carried)
        if raw not in texts:
            texts[raw] = program.text(key_id, carried) == key
        if texts[raw]:
            agent, data_source = sources[source]
            places.append({"agent": agent, "dataSource": data_source, "value": rate})
    return sorted(places, key=lambda place: -place["value"])


def top_keys(found: list[RawFlow], program: Program) -> dict[int, tuple[dict[str, Any], ...]]:
    """Per data source its flows as [{key, value}], largest first."""
    by_source: dict[int, list[dict[str, Any]]] = {}
    for source, key_id, carried, rate in sorted(found, key=lambda flow: -flow[3]):
        by_source.setdefault(source, []).append({"key": program.text(key_id, carried), "value": rate})
    return {source: tuple(flows) for source, flows in by_source.items()}
