"""Thresholds (sflow-rt-api.md 3): what they say, and which data sources they watch.

On flow metrics the native core checks every update (core/flows/limits.pyx), or makes a sequential test of every sample
(core/flows/sequential.pyx); counter metrics, which change seldom, are watched in Python (counterwatches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analytics.flows.definitions import check_name, number_of, truth_of
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.metrics import Filters, InvalidQuery, matches, parse_filters, parse_name

DEFAULT_TIMEOUT_S = 1.0
ATTRIBUTES = frozenset({"metric", "value", "filter", "byFlow", "timeout", "test"})
MOST_ERROR = 0.5
MOST_SEPARATION = 1000.0
MOST_SWITCHES = 64
FASTEST = 10.0  # times the value, where nothing is said: an elephant has a tenth of a link


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """How a test decides (core/flows/sequential.pyx): `alpha` is the probability that a flow of value/separation or
    less is taken for an elephant, `beta` that one of `value` or more is taken to have ended; `fastest` the rate of the
    links in the metric's unit, `switches` the most that a path has, 0: not known.
    """

    alpha: float
    beta: float
    separation: float
    fastest: float
    switches: int


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
    test: SequentialTest | None = None

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
    test = _test_of(f"threshold {name!r}: attribute 'test'", spec["test"], value) if "test" in spec else None
    by_flow = truth_of(f"threshold {name!r}: attribute 'byFlow'", spec.get("byFlow", False))
    if test is not None and not by_flow:
        raise InvalidDefinition(f"threshold {name!r}: attribute 'test' decides about flows, but 'byFlow' is not true")
    filters = spec.get("filter", {})
    try:
        accepted = parse_filters(filters)
    except InvalidQuery as error:
        raise InvalidDefinition(f"threshold {name!r}: {error}") from None
    return Threshold(name, metric, value, by_flow, timeout, filters, accepted, test)


def _test_of(what: str, spec: object, value: float) -> SequentialTest:
    """Check a test of a threshold of this value."""
    if not isinstance(spec, dict):
        raise InvalidDefinition(f"{what} is not an object: {spec!r}")
    known = {"alpha": 0.01, "beta": 0.01, "separation": 2.0, "fastest": FASTEST * value, "switches": 0}
    for word in spec:
        if word not in known:
            raise InvalidDefinition(f"{what}: unknown attribute {word!r}")
    numbers = known | {
        word: number_of(f"{what}: {word!r}", number) for word, number in spec.items() if number is not None
    }
    if value <= 0:
        raise InvalidDefinition(f"{what}: 'value' is not above 0: {value!r}")
    for word, accepted, says in (
        ("alpha", 0 < numbers["alpha"] <= MOST_ERROR, f"above 0 and {MOST_ERROR} at most"),
        ("beta", 0 < numbers["beta"] <= MOST_ERROR, f"above 0 and {MOST_ERROR} at most"),
        ("separation", 1.1 <= numbers["separation"] <= MOST_SEPARATION, f"from 1.1 to {MOST_SEPARATION}"),
        ("fastest", numbers["fastest"] >= value, "'value' at least"),
        (
            "switches",
            numbers["switches"] == int(numbers["switches"]) and 0 <= numbers["switches"] <= MOST_SWITCHES,
            f"a whole number from 0 to {MOST_SWITCHES}",
        ),
    ):
        if not accepted:
            raise InvalidDefinition(f"{what}: {word!r} is not {says}: {spec[word]!r}")
    return SequentialTest(**(numbers | {"switches": int(numbers["switches"])}))
