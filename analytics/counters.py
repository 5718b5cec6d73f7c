"""Counter samples -> metrics with sFlow-RT's names (sflow-rt-api.md 4.1, 4.2); countertable.py says which from what.

A counter becomes a rate per second from two samples of the same life of the agent: a wrap is undone, a restart
(sequence or uptime went back) begins anew, and the marker for "unknown" (all ones) never becomes a rate. Gauges and
texts are taken as they are. A metric that was not updated for some polling intervals is stale and disappears. Records
are remembered one by one, because some agents spread those of one data source over several samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics.core.sflow import counter_records
from analytics.countertable import METRICS, WORD, gauges, growth, rates
from analytics.structures import Tag

STALE_INTERVALS = 3.5  # polling intervals without an update
STALE_AT_LEAST_S = 30.0
STALE_AT_FIRST_S = 120.0  # before the interval is known
MOST_NAMED = 1000  # metrics of one named data source; others are left out
FAR = 65536  # a sequence that jumps further is another life's
UPTIME_SLACK_MS = 60_000  # how much faster than our clock an agent's may run between two samples
VIRTUAL = "3."  # data sources of logical entities: virtual machines and containers
HOST_TEXTS = ("host_name", "uuid", "machine_type", "os_name", "os_release")
CPU_TIMES = ("cpu_user", "cpu_nice", "cpu_system", "cpu_idle", "cpu_wio", "cpu_intr", "cpu_sintr", "cpu_steal")
BCM_TABLES = {
    "bcm_host_utilization": ("bcm_asic_host_entries", "bcm_host_entries_max"),
    "bcm_total_routes_utilization": ("bcm_total_routes", "bcm_total_routes_max"),
    "bcm_ecmp_nexthops_utilization": ("bcm_ecmp_nexthops", "bcm_ecmp_nexthops_max"),
}
BCM_TABLES |= {
    f"bcm_{table}_utilization": (f"bcm_{table}_entries", f"bcm_{table}_entries_max")
    for table in ("mac", "ipv4", "ipv6", "ipv4_ipv6", "long_ipv6", "acl_ingress", "acl_egress")
}
BCM_TABLES |= {
    f"bcm_acl_{way}_{kind}_utilization": (f"bcm_acl_{way}_{kind}", f"bcm_acl_{way}_{kind}_max")
    for way in ("ingress", "egress")
    for kind in ("counters", "meters", "slices")
}

Speed = Callable[[str, str], "int | None"]


@dataclass
class _Source:
    """What is known of one data source."""

    metrics: dict[str, tuple[Any, float]] = field(default_factory=dict)  # name -> (value, updated)
    raw: dict[Tag, tuple[dict[str, Any], float]] = field(default_factory=dict)  # record -> (values, when)
    named: dict[str, int] = field(default_factory=dict)  # counters of an rtmetric sample
    sequence: int = 0
    uptime: int = 0
    updated: float = 0.0
    stale_after: float = STALE_AT_FIRST_S

    def size(self) -> int:
        """How much a named data source has us remember."""
        return len(self.metrics) + len(self.named)

    def restarted(self, sequence: int, uptime: int, now: float) -> bool:
        """Whether a sample is of another life of the agent. Sequence and uptime may wrap in the same life."""
        elapsed_ms = (now - self.updated) * 1000
        far = sequence < self.sequence and (sequence - self.sequence) % WORD >= FAR
        early = uptime < self.uptime and (uptime - self.uptime) % WORD > 2 * elapsed_ms + UPTIME_SLACK_MS
        return far or early


class Counters:
    """The counter metrics of all data sources. `speed(agent, source)`: a port's rate in the topology, bits/s."""

    def __init__(self, speed: Speed = lambda agent, source: None) -> None:
        self._sources: dict[tuple[str, str], _Source] = {}
        self.speed = speed

    def update(self, agent: str, source: str, sequence: int, uptime: int, records: int, body: bytes, now: float) -> int:
        """Take the records of one counter sample; answers the number of faults in it."""
        read, faults = counter_records(body, records)
        known = {tag: values for tag, values in read.items() if tag in METRICS}
        if not known:
            return faults
        state = self._sources.setdefault((agent, source), _Source())
        if state.restarted(sequence, uptime, now):
            state.raw = {}
        found: dict[str, Any] = {}
        interval = 0.0
        for tag, values in known.items():
            before, then = state.raw.get(tag, ({}, now))
            found |= dict(gauges(tag, values))
            found |= dict(rates(tag, values, before, now - then))
            state.raw[tag] = (values, now)
            interval = max(interval, now - then)
        if interval > 0:
            state.stale_after = max(STALE_INTERVALS * interval, STALE_AT_LEAST_S)
        if source.startswith(VIRTUAL):
            found = {f"vir_{name}" if name in HOST_TEXTS else name: value for name, value in found.items()}
        found |= self._port(agent, source, found)
        found |= dict(_shares(found))
        state.metrics |= {name: (value, now) for name, value in found.items()}
        state.sequence, state.uptime, state.updated = sequence, uptime, now
        return faults

    def update_named(
        self, agent: str, source: str, uptime: int, metrics: Iterable[tuple[str, str, Any]], now: float
    ) -> None:
        """Take an rtmetric sample: (name, core/sflow.RTMETRIC_TYPES, value) of a data source with a name of its own."""
        state = self._sources.setdefault((agent, source), _Source())
        if state.restarted(state.sequence, uptime, now):
            state.named = {}
        seconds = now - state.updated
        for name, kind, value in metrics:
            if name not in state.metrics and name not in state.named and state.size() >= MOST_NAMED:
                continue
            if not kind.startswith("counter"):
                state.metrics[name] = (value, now)
                continue
            width = WORD if kind == "counter32" else WORD * WORD
            grown = growth(state.named[name], value, width) if name in state.named and seconds > 0 else None
            if grown is not None:
                state.metrics[name] = (grown / seconds, now)
            state.named[name] = value
        state.uptime, state.updated = uptime, now

    def _port(self, agent: str, source: str, found: Mapping[str, Any]) -> dict[str, Any]:
        """What follows from a port's counters and its speed: the topology's wins."""
        if "ifindex" not in found:
            return {}
        speed = self.speed(agent, source) or found.get("ifspeed")
        derived: dict[str, Any] = {"ifspeed": speed} if speed else {}
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


def _shares(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Percentages and ratios of a host, a virtual machine or a switch chip."""
    times = {name: found[name] for name in CPU_TIMES if name in found}
    spent = sum(times.values())
    if spent > 0 and "cpu_idle" in times:
        yield from ((name, time * 100 / spent) for name, time in times.items())
        yield "cpu_utilization", 100 - times["cpu_idle"] * 100 / spent
    if "load_one" in found and found.get("cpu_num"):
        yield "load_one_per_cpu", found["load_one"] / found["cpu_num"]
    if found.get("mem_total") and "mem_free" in found:
        used = found["mem_total"] - sum(found.get(f"mem_{part}", 0) for part in ("free", "buffers", "cached"))
        yield "mem_used", max(0, used)
        yield "mem_utilization", max(0, used) * 100 / found["mem_total"]
    if found.get("disk_total") and "disk_free" in found:
        yield "disk_utilization", (found["disk_total"] - found["disk_free"]) * 100 / found["disk_total"]
    if "vir_cpu_time" in found and found.get("vir_cpu_num"):
        yield "vir_cpu_utilization", found["vir_cpu_time"] / 10 / found["vir_cpu_num"]  # ms per second and processor
    if found.get("vir_mem_total") and "vir_mem_used" in found:
        yield "vir_mem_utilization", found["vir_mem_used"] * 100 / found["vir_mem_total"]
    for name, (entries, most) in BCM_TABLES.items():
        if found.get(most) and entries in found:
            yield name, found[entries] * 100 / found[most]
