"""Counter samples -> metrics with sFlow-RT's names (sflow-rt-api.md 4.1).

A counter becomes a rate per second from two samples of the same life of the agent: a wrap is undone, a restart
(sequence or uptime went back) begins anew, and the marker for "unknown" (all ones) never becomes a rate. Gauges and
texts are taken as they are. A metric that was not updated for some polling intervals is stale and disappears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from analytics.core.sflow import COUNTER_RECORDS, counter_records

STALE_INTERVALS = 3.5  # polling intervals without an update
STALE_AT_LEAST_S = 30.0
STALE_AT_FIRST_S = 120.0  # before the interval is known
WORD = 1 << 32
UNKNOWN = WORD - 1

GAUGES = frozenset({"ifindex", "of_port", "ovs_dp_flows", "ovs_dp_masks"})
RATES = {"ovs_dp_hits": "ovs_dp_hitrate", "ovs_dp_misses": "ovs_dp_missrate", "ovs_dp_lost": "ovs_dp_lostrate"} | {
    "ovs_dp_mask_hits": "ovs_dp_maskhitrate"
}
SPECIAL = frozenset({"iftype", "ifspeed", "ifdirection", "ifstatus", "ifpromiscuous", "of_dpid", "ifname"})
WIDTHS = {
    name: WORD if kind == "u" else WORD * WORD
    for rows in COUNTER_RECORDS.values()
    for name, kind in rows
    if kind != "s"
}
IF_TYPES = {
    6: "ethernetCsmacd",
    24: "softwareLoopback",
    53: "propVirtual",
    131: "tunnel",
    135: "l2vlan",
    161: "ieee8023adLag",
}
DIRECTIONS = {1: "full-duplex", 2: "half-duplex", 3: "in", 4: "out"}

Speed = Callable[[str, str], "int | None"]


@dataclass
class _Source:
    """What is known of one data source."""

    metrics: dict[str, tuple[Any, float]] = field(default_factory=dict)  # name -> (value, updated)
    raw: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    uptime: int = 0
    updated: float = 0.0
    stale_after: float = STALE_AT_FIRST_S


class Counters:
    """The counter metrics of all data sources. `speed(agent, source)`: a port's rate in the topology, bits/s."""

    def __init__(self, speed: Speed = lambda agent, source: None) -> None:
        self._sources: dict[tuple[str, str], _Source] = {}
        self.speed = speed

    def update(self, agent: str, source: str, sequence: int, uptime: int, records: int, body: bytes, now: float) -> int:
        """Take the records of one counter sample; answers the number of faults in it."""
        fields, faults = counter_records(body, records)
        if not fields:
            return faults
        state = self._sources.setdefault((agent, source), _Source())
        if sequence < state.sequence or uptime < state.uptime:
            state.raw = {}
        seconds = now - state.updated
        if state.raw and seconds > 0:
            state.stale_after = max(STALE_INTERVALS * seconds, STALE_AT_LEAST_S)
        found = dict(_plain(fields))
        found |= _rates(fields, state.raw, seconds)
        found |= self._derived(agent, source, fields, found)
        state.metrics |= {name: (value, now) for name, value in found.items()}
        state.raw, state.sequence, state.uptime, state.updated = fields, sequence, uptime, now
        return faults

    def update_named(
        self, agent: str, source: str, uptime: int, metrics: Iterable[tuple[str, str, Any]], now: float
    ) -> None:
        """Take an rtmetric sample: (name, core/sflow.RTMETRIC_TYPES, value) of a data source with a name of its own."""
        state = self._sources.setdefault((agent, source), _Source())
        if uptime < state.uptime:
            state.raw = {}
        seconds = now - state.updated
        raw = {}
        for name, kind, value in metrics:
            if kind.startswith("counter"):
                raw[name] = value
                growth = _growth(state.raw[name], value, WORD) if name in state.raw and seconds > 0 else None
                if growth is not None:
                    state.metrics[name] = (growth / seconds, now)
            else:
                state.metrics[name] = (value, now)
        state.raw |= raw
        state.uptime, state.updated = uptime, now

    def _derived(self, agent: str, source: str, fields: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        speed = self.speed(agent, source) or fields.get("ifspeed")
        derived: dict[str, Any] = {}
        if "ifindex" in fields and speed:
            derived["ifspeed"] = speed
        for way in ("in", "out"):
            octets = found.get(f"if{way}octets")
            if octets is not None and speed:
                derived[f"if{way}utilization"] = octets * 800 / speed
            packets = [found.get(f"if{way}{kind}pkts") for kind in ("ucast", "multicast", "broadcast")]
            if packets[0] is not None:
                derived[f"if{way}pkts"] = sum(rate for rate in packets if rate is not None)
        return derived

    def _live(self, state: _Source, now: float) -> Iterator[tuple[str, Any, float]]:
        for name, (value, updated) in state.metrics.items():
            if now - updated <= state.stale_after:
                yield name, value, updated

    def sources(self) -> list[tuple[str, str]]:
        """Every (agent, data source) that sent counters."""
        return list(self._sources)

    def metrics(self, agent: str, source: str, now: float) -> dict[str, tuple[Any, float]]:
        """The live metrics of a data source: name -> (value, time of the last update). The topology's speed wins."""
        state = self._sources.get((agent, source))
        found = {} if state is None else {name: (value, updated) for name, value, updated in self._live(state, now)}
        speed = self.speed(agent, source)
        if speed:
            found["ifspeed"] = (speed, found["ifspeed"][1] if "ifspeed" in found else now)
        return found

    def value(self, agent: str, source: str, name: str, now: float) -> tuple[Any, float] | None:
        """One live metric: (value, time of the last update)."""
        if name == "ifspeed":
            return self.metrics(agent, source, now).get(name)
        state = self._sources.get((agent, source))
        held = None if state is None else state.metrics.get(name)
        return held if held is not None and state is not None and now - held[1] <= state.stale_after else None

    def just_updated(self, agent: str, source: str, now: float, name: str) -> Any:
        """The value of a metric if it was updated at `now`."""
        held = self.value(agent, source, name, now)
        return held[0] if held is not None and held[1] == now else None

    def expire(self, now: float) -> None:
        """Forget metrics that are stale."""
        for place, state in list(self._sources.items()):
            state.metrics = {name: (value, updated) for name, value, updated in self._live(state, now)}
            if not state.metrics:
                del self._sources[place]


def _plain(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Gauges, texts and words that need a name."""
    for name, value in fields.items():
        if name == "ifname" or (name in GAUGES and value != UNKNOWN):
            yield name, value
        elif name == "iftype":
            yield name, IF_TYPES.get(value, str(value))
        elif name == "ifdirection":
            yield name, DIRECTIONS.get(value, "unknown")
        elif name == "of_dpid":
            yield name, f"{value:016x}"
        elif name == "ifstatus":
            yield "ifadminstatus", "up" if value & 1 else "down"
            yield "ifoperstatus", "up" if value & 2 else "down"


def _rates(fields: dict[str, Any], before: dict[str, Any], seconds: float) -> dict[str, float]:
    rates = {}
    for name, value in fields.items():
        if name in GAUGES or name in SPECIAL or name not in before or seconds <= 0:
            continue
        growth = _growth(before[name], value, WIDTHS[name])
        if growth is not None:
            rates[RATES.get(name, name)] = growth / seconds
    return rates


def _growth(before: int, value: int, width: int) -> int | None:
    """How far a counter went, None if that cannot be known: unknown markers, or it was set back.

    A 32-bit counter that went back has wrapped if that makes less than half its range. A 64-bit one cannot wrap in a
    lifetime, but some agents put 32-bit counters into 64-bit fields.
    """
    if width - 1 in (before, value):
        return None
    if value >= before:
        return value - before
    wrapped = value - before + WORD
    return wrapped if before < WORD and wrapped < WORD // 2 else None
