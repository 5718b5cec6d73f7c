"""Thresholds (sflow-rt-api.md 3): what they say, and which data sources they watch.

On flow metrics the native core checks every update (core/flows/limits.pyx); counter metrics, which change seldom,
are watched in Python (counterwatches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analytics.flows.definitions import check_name, number_of, truth_of
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.metrics import Filters, InvalidQuery, matches, parse_filters, parse_name

DEFAULT_TIMEOUT_S = 1.0
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
    """Check a threshold; InvalidDefinition names the offending word. null means the default."""
    check_name("threshold", name)
    if not isinstance(spec, dict):
        raise InvalidDefinition(f"threshold {name!r}: a threshold is a JSON object, not {spec!r}")
    for word in spec:
        if word not in ATTRIBUTES:
            raise InvalidDefinition(f"threshold {name!r}: unknown attribute {word!r}")
    spec = {word: value for word, value in spec.items() if value is not None}
    metric = spec.get("metric")
    if not isinstance(metric, str) or not metric:
        raise InvalidDefinition(f"threshold {name!r}: attribute 'metric' is missing or not text: {metric!r}")
    if parse_name(metric).has_statistic:
        raise InvalidDefinition(
            f"threshold {name!r}: metric {metric!r}: a threshold watches every data source by itself, not a statistic"
        )
    if "value" not in spec:
        raise InvalidDefinition(f"threshold {name!r}: attribute 'value' is missing")
    value = number_of(f"threshold {name!r}: attribute 'value'", spec["value"])
    timeout = number_of(f"threshold {name!r}: attribute 'timeout'", spec.get("timeout", DEFAULT_TIMEOUT_S))
    if timeout < 0:
        raise InvalidDefinition(f"threshold {name!r}: attribute 'timeout' is negative: {timeout!r}")
    by_flow = truth_of(f"threshold {name!r}: attribute 'byFlow'", spec.get("byFlow", False))
    filters = spec.get("filter", {})
    try:
        accepted = parse_filters(filters)
    except InvalidQuery as error:
        raise InvalidDefinition(f"threshold {name!r}: {error}") from None
    return Threshold(name, metric, value, by_flow, timeout, filters, accepted)
