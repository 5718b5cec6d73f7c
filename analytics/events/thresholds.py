"""Thresholds (sflow-rt-api.md 3): what they say, and which data sources they watch.

On flow metrics the native core checks every update (core/flows/flowcache.pyx); counter metrics, which change seldom,
are watched in Python (counterwatches.py).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analytics.flows.definitions import NAME_FORBIDS, check_name
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.metrics import Filters, InvalidQuery, matches, parse_filters, parse_name

DEFAULT_TIMEOUT_S = 1.0
LARGEST = sys.float_info.max  # JSON has no bound for integers
ATTRIBUTES = frozenset({"metric", "value", "filter", "byFlow", "timeout"})


@dataclass(frozen=True, slots=True)
class Threshold:
    """A checked threshold; value in the metric's unit (bytes/s for bytes), timeout in seconds.

    `filter` is as it was given, `accepted` the same in texts: attributes of data sources and the values they may have.
    """

    name: str
    metric: str
    value: float
    by_flow: bool
    timeout: float
    filter: Mapping[str, Any]
    accepted: Filters

    def watches(self, attribute: Callable[[str], object]) -> bool:
        """Whether a data source with these attributes passes the filter."""
        return matches(self.accepted, attribute)


def parse_threshold(name: str, spec: dict[str, Any]) -> Threshold:
    """Check a threshold; InvalidDefinition names the offending word."""
    check_name("threshold", name, NAME_FORBIDS - {"."})
    if not isinstance(spec, dict):
        raise InvalidDefinition(f"threshold {name!r}: a threshold is a JSON object, not {spec!r}")
    for word in spec:
        if word not in ATTRIBUTES:
            raise InvalidDefinition(f"threshold {name!r}: unknown attribute {word!r}")
    metric = spec.get("metric")
    if not isinstance(metric, str) or not metric:
        raise InvalidDefinition(f"threshold {name!r}: attribute 'metric' is missing or not text: {metric!r}")
    if parse_name(metric).has_statistic:
        raise InvalidDefinition(
            f"threshold {name!r}: metric {metric!r}: a threshold watches every data source by itself, not a statistic"
        )
    value = _number(name, "value", spec.get("value"))
    timeout = _number(name, "timeout", spec.get("timeout", DEFAULT_TIMEOUT_S))
    if timeout < 0:
        raise InvalidDefinition(f"threshold {name!r}: attribute 'timeout' is negative: {timeout!r}")
    by_flow = spec.get("byFlow", False)
    by_flow = {"true": True, "false": False}.get(by_flow, by_flow) if isinstance(by_flow, str) else by_flow
    if not isinstance(by_flow, bool):
        raise InvalidDefinition(f"threshold {name!r}: attribute 'byFlow' is neither true nor false: {by_flow!r}")
    filters = spec.get("filter") or {}
    try:
        accepted = parse_filters(filters)
    except InvalidQuery as error:
        raise InvalidDefinition(f"threshold {name!r}: {error}") from None
    return Threshold(name, metric, value, by_flow, timeout, filters, accepted)


def _number(name: str, word: str, value: object) -> float:
    """A number, which may be written as text as HTML forms send it."""
    with contextlib.suppress(ValueError):
        value = float(value) if isinstance(value, str) else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise InvalidDefinition(f"threshold {name!r}: attribute {word!r} is missing or not a number: {value!r}")
    return value
