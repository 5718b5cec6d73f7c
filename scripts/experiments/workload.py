"""The traffic of an experiment and what is measured of it: reachability, elephants, mice, replication.

Goodput is taken from the receivers' byte counters between two moments, times from the programs' own clocks (one
machine, one clock), everything else from the interfaces that users have too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from controller.policy.fairshare import fair_share
from documents.topology import Host, Spec
from scripts.experiments.stage import Program, Stage, percentile, until

ELEPHANT_PORT = 5001
TCP = 6
# Payload of a full TCP segment with timestamps in a frame as HTB counts it: 1448 of 1514 bytes.
PAYLOAD_SHARE = 1448 / 1514
MICE_TIMEOUT_S = 2.0  # after which a request counts as timed out
FILL_S = 4.0  # until the elephants have filled the queue that mice then wait in
LEAD_S = 1.0  # between starting the programs and the common moment at which they send


@dataclass(frozen=True)
class Elephant:
    """One bulk TCP flow between two hosts."""

    source: Host
    destination: Host
    source_port: int

    @property
    def key(self) -> str:
        """As analytics and controller name it."""
        return f"{self.source.ipv4},{self.destination.ipv4},{TCP},{self.source_port},{ELEPHANT_PORT}"


@dataclass(frozen=True)
class Run:
    """One run of elephants: when each sent its first byte (s since the epoch), its goodput (bits/s), idle CPU share."""

    first_byte: dict[str, float]
    goodput: dict[str, float]
    idle: float

    @property
    def total(self) -> float:
        return sum(self.goodput.values())


@dataclass(frozen=True)
class Mice:
    """Small requests: the round-trip times in ms of those that were answered, and how many timed out.

    A time-out is no latency: it says only that the answer took longer than MICE_TIMEOUT_S or was lost, so it is counted
    beside the percentiles and never part of one.
    """

    times: list[float]
    timeouts: int

    @property
    def requests(self) -> int:
        return len(self.times) + self.timeouts

    def __str__(self) -> str:
        if not self.requests:
            return "no requests"
        p50, p99 = summary(self.times)
        answered = f"{len(self.times)} requests answered in {p50:.1f} ms (p50), {p99:.1f} ms (p99)"
        return f"{answered if self.times else 'no request answered'}, {self.timeouts or 'none'} timed out"

    def report(self) -> dict[str, Any]:
        """For the report file; percentiles of nothing are null."""
        p50, p99 = (round(ms, 2) for ms in summary(self.times)) if self.times else (None, None)
        return {"requests": self.requests, "timeouts": self.timeouts, "p50_ms": p50, "p99_ms": p99}


def listen(stage: Stage) -> dict[str, Program]:
    """Starts an elephant receiver and a mice server on every host; host -> receiver."""
    hosts = list(stage.spec.hosts)
    servers = [stage.traffic(host, "mice-serve") for host in hosts]
    receivers = {host: stage.traffic(host, "receive", "--port", ELEPHANT_PORT) for host in hosts}
    until(lambda: all(program.lines() for program in [*servers, *receivers.values()]), 20, "servers in all hosts")
    return receivers


def reach(stage: Stage) -> tuple[int, list[str]]:
    """Every host sends a request to every other; (pairs, "h1 > 10.0.2.1" for each without an answer)."""
    addresses = {name: host.ipv4 for name, host in stage.spec.hosts.items()}
    probes = {
        name: stage.traffic(name, "probe", *(address for address in addresses.values() if address != own))
        for name, own in addresses.items()
    }
    ends = {name: finished(program, 60) for name, program in probes.items()}
    lost = [f"{name} > {address}" for name, end in ends.items() for address in end["lost"]]
    return len(addresses) * (len(addresses) - 1), lost


def run_elephants(
    stage: Stage,
    receivers: dict[str, Program],
    elephants: Iterable[Elephant],
    seconds: float,
    window: tuple[float, float],
    watch: Callable[[float], None],
) -> Run:
    """Sends all elephants at once for `seconds`, calling `watch` with the seconds gone by about once a second.

    Goodput is measured from `window[0]` to `window[1]` seconds after the start.
    """
    elephants = list(elephants)
    start = time.time() + LEAD_S
    senders = {
        elephant.key: stage.traffic(
            elephant.source.name,
            "send",
            f"{elephant.destination.ipv4}:{ELEPHANT_PORT}@{elephant.source_port}",
            "--start", start, "--seconds", seconds,
        )
        for elephant in elephants
    }  # fmt: skip
    readings: list[tuple[float, float]] = []
    while (now := time.time()) < start + seconds:
        if len(readings) < 2 and now > start + window[len(readings)]:
            readings.append(cpu_times())
        if now > start:
            watch(now - start)
        time.sleep(min(1.0, max(0.05, start + seconds - time.time())))
    ends = {key: finished(program, 10) for key, program in senders.items()}
    if failed := [f"{key}: {end['error']}" for key, end in ends.items() if "error" in end]:
        raise RuntimeError(f"an elephant did not get through: {failed[0]}")
    return Run(
        {key: program.lines()[0]["time"] for key, program in senders.items()},
        {
            elephant.key: goodput(receivers[elephant.destination.name], elephant, start + window[0], start + window[1])
            for elephant in elephants
        },
        idle_share(*readings) if len(readings) == 2 else float("nan"),
    )


def goodput(receiver: Program, elephant: Elephant, begin: float, end: float) -> float:
    """Bits/s that arrived between two moments (s since the epoch), by the receiver's counter at the nearest reports."""
    reports = [
        (line["time"], line["bytes"])
        for line in receiver.lines()
        if line["event"] in ("first", "bytes", "end")
        and (line.get("peer"), line.get("sport")) == (elephant.source.ipv4, elephant.source_port)
        and begin - 0.5 <= line["time"] <= end + 0.5
    ]
    if len(reports) < 2:
        return 0.0
    first = min(reports, key=lambda point: abs(point[0] - begin))
    last = min(reports, key=lambda point: abs(point[0] - end))
    return (last[1] - first[1]) * 8 / (last[0] - first[0]) if last[0] > first[0] else 0.0


def run_mice(stage: Stage, client: Host, server: Host, seconds: float, gap: float) -> Mice:
    """Small requests over UDP from one host to another, one at a time, `gap` seconds apart."""
    program = stage.traffic(
        client.name, "mice", f"{server.ipv4}:7007", "--udp", "--seconds", seconds, "--gap", gap,
        "--timeout", MICE_TIMEOUT_S, "--reply", 200,
    )  # fmt: skip
    finished(program, seconds + 15)
    times = [line["ms"] for line in program.lines() if line["event"] == "rtt"]
    answered = [ms for ms in times if ms is not None]
    return Mice(answered, len(times) - len(answered))


@dataclass(frozen=True)
class Behind:
    """Mice to a host whose link elephants fill, and the elephants' goodput (bits/s) before the first of them."""

    mice: Mice
    alone: float


def mice_behind(
    stage: Stage, receivers: dict[str, Program], elephants: Iterable[Elephant], client: Host, seconds: float, gap: float
) -> Behind:
    """Elephants to one host, then mice from another to the same host."""
    elephants = list(elephants)
    target = elephants[0].destination
    senders = [
        stage.traffic(
            elephant.source.name, "send", f"{target.ipv4}:{ELEPHANT_PORT}@{elephant.source_port}",
            "--seconds", FILL_S + seconds + 2,
        )
        for elephant in elephants
    ]  # fmt: skip
    time.sleep(FILL_S)
    filled = time.time()
    mice = run_mice(stage, client, target, seconds, gap)
    for sender in senders:
        sender.stop()
    alone = sum(goodput(receivers[target.name], elephant, filled - FILL_S / 2, filled) for elephant in elephants)
    return Behind(mice, alone)


def run_replication(
    stage: Stage, sender: Host, collector: Host, remote: Host, ports: tuple[int, int], count: int
) -> dict[str, Any]:
    """`count` datagrams to the collector's first port; what arrived there, on its second port, at the remote host."""
    original, second = ports
    at_collector = stage.traffic(collector.name, "udp-receive", "--port", original, "--port", second)
    at_remote = stage.traffic(remote.name, "udp-receive", "--port", original)
    until(lambda: at_collector.lines() and at_remote.lines(), 10, "UDP receivers")
    sending = stage.traffic(
        sender.name, "udp-send", f"{collector.ipv4}:{original}", "--count", count, "--size", 400, "--rate", 500_000
    )
    sent = finished(sending, 30)["sent"]

    def arrived() -> dict[str, int]:
        return {
            "original": distinct(at_collector, original),
            "second_port": distinct(at_collector, second),
            "remote_host": distinct(at_remote, original),
        }

    deadline = time.monotonic() + 3
    while min(arrived().values()) < sent and time.monotonic() < deadline:
        time.sleep(0.1)
    at_collector.stop()
    at_remote.stop()
    return {"sent": sent, "received": arrived()}


def distinct(receiver: Program, port: int) -> int:
    """Different datagrams that arrived at a port so far."""
    counts: dict[tuple[str, int], int] = {}
    for line in receiver.lines():
        if line["event"] in ("counts", "end") and line.get("port") == port:
            counts[line["peer"], line["sport"]] = line["distinct"]
    return sum(counts.values())


def bound(spec: Spec, elephants: Iterable[Elephant]) -> float:
    """The most goodput any routing can give these flows: max-min with each switch's links to others pooled, bits/s."""
    speeds = {(node.name, port.name): float(port.speed or 0) for node, port in spec.ports()}
    pooled: dict[Hashable, float] = {}
    for link in spec.links.values():
        for node, port in link.ends:
            pooled["pool", node] = pooled.get(("pool", node), 0.0) + speeds[node, port]
    flows: dict[Hashable, list[Hashable]] = {}
    capacity = dict(pooled)
    for elephant in elephants:
        ends = [elephant.source, elephant.destination]
        uses: list[Hashable] = []
        for direction, host in zip(("up", "down"), ends, strict=True):
            capacity[direction, host.name] = speeds[host.node, host.port]
            uses.append((direction, host.name))
            if ends[0].node != ends[1].node:
                capacity[direction, "pool", host.node] = pooled["pool", host.node]
                uses.append((direction, "pool", host.node))
        flows[elephant.key] = uses
    return sum(fair_share(flows, capacity).values()) * PAYLOAD_SHARE


def finished(program: Program, seconds: float) -> dict[str, Any]:
    """The program's last line, once it has ended."""
    until(lambda: program.process.poll() is not None, seconds, "a traffic program's end")
    lines = program.lines()
    if not lines:
        raise RuntimeError("a traffic program ended without any output; see programs.log")
    return lines[-1]


def summary(times: list[float]) -> tuple[float, float]:
    """(p50, p99)."""
    return percentile(times, 50), percentile(times, 99)


def cpu_times() -> tuple[float, float]:
    """(idle, all) processor time since boot, in ticks (proc(5))."""
    with open("/proc/stat") as file:
        fields = [float(field) for field in file.readline().split()[1:]]
    return fields[3] + fields[4], sum(fields[:8])


def idle_share(before: tuple[float, float], after: tuple[float, float]) -> float:
    return (after[0] - before[0]) / max(after[1] - before[1], 1.0)
