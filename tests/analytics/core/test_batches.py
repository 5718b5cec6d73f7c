"""How samples are divided into batches changes no answer: an engine that takes them in batches, by microflow where it
can, agrees with one that takes every sample by itself at the same time.

Within a batch samples come to an entry in another order. So where amounts differ, what depends on which of them crossed
a limit is not compared: its rate then, and what an elephant had before; and never which flow of a data source did.
"""

from __future__ import annotations

import random

import pytest

from analytics import topology
from analytics.engine import Engine, EngineSettings
from analytics.flows.definitions import Mode
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, ipv6, sampled_header, tcp, udp

TUPLE = "ipsource,ipdestination,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
DEFINITIONS = (
    {"keys": TUPLE, "value": "bytes", "log": True},
    {"keys": TUPLE, "value": "frames", "filter": "direction=ingress&ipprotocol=6", "t": 0.2},
    {"keys": "ipsource,ipdestination", "value": "bytes", "t": 0.2},
    {"keys": "ipsource", "value": "frames", "log": True, "flowStart": True, "activeTimeout": 1},
    {"keys": "ipsource,tcpsourceport,ipdestination,tcpdestinationport", "value": "bytes", "log": True, "t": 0.2},
    {"keys": "null:vlan,stack", "value": "bytes"},
    {"keys": "mask:ipsource:28", "value": "frames", "t": 0.2},
    {"keys": "group:ipdestination:site,null:[link:inputifindex]", "value": "bytes"},
    {"keys": "macsource,macdestination", "value": "ipbytes", "filter": "tcpflags~.......1."},
    {"keys": "ip6source,ip6destination", "value": "bytes", "filter": "ip6nexthdr=17"},
    {"keys": "ipsource", "value": "bytes", "values": "avg:ipttl,count:ipdestination"},
    {"keys": "inputifindex", "value": "bytes", "aggMode": "AGENT"},
    {"value": "frames"},
)
SITES = {"east": ["10.9.0.0/30"], "west": ["10.9.0.4/30"]}
LINKS = {
    "nodes": {"s1": {"agent": "10.0.0.1", "ports": {"p1": {"ifindex": "1"}}}, "s2": {"agent": "10.0.0.2", "ports": {}}},
    "links": {"uplink": {"node1": "s1", "port1": "p1", "node2": "s2", "port2": "p9"}},
}
FLOWS, PORTS = 40, 2
ACK, FIN_ACK = 0x10, 0x11
RATE = 10
PAUSES = (0.0, 0.001, 0.1, 0.5, 3.0, 16.0)


def packet(flow: int, last: bool) -> bytes:
    """A packet of a flow, the last one of its connection if it has one."""
    source, destination = f"10.1.0.{flow}", f"10.9.0.{flow % 8}"
    if flow % 5 == 3:
        return ethernet(ipv6(udp(), 17), 0x86DD)
    if flow % 5 == 4:
        return ethernet(ipv4(udp(5000 + flow, 53, bytes(30)), 17, source, destination))
    upper = ipv4(tcp(40000 + flow, 80, flags=FIN_ACK if last else ACK), 6, source, destination)
    return ethernet(upper, tags=((0x8100, flow % 3),) if flow % 2 else ())


def plan(luck: random.Random) -> list[tuple[str, object]]:
    """Some steps; a few of the flows are sampled more often than others."""

    def sample() -> tuple[int, int, int, bool]:
        flow = luck.randrange(FLOWS) if luck.random() < 0.4 else luck.randrange(4)
        return flow, luck.randint(1, PORTS), luck.choice((500, 500, 64, 1518)), luck.random() < 0.1

    made: list[tuple[str, object]] = []
    for _ in range(luck.randint(4, 25)):
        kind = luck.choice(("feed", "feed", "feed", "later", "later", "topology"))
        if kind == "feed":
            batch = [[sample() for _ in range(luck.randint(1, 6))] for _ in range(luck.randint(1, 12))]
            made.append((kind, batch))
        else:
            made.append((kind, luck.choice(PAUSES if kind == "later" else (True, False))))
    return made


def rounded(*values: float | None) -> tuple[float | None, ...]:
    """To nine digits: sums of another order differ behind them."""
    return tuple(None if value is None else float(f"{value:.8e}") for value in values)


class Same:
    """Two engines with the same definitions that take the same samples at the same times."""

    def __init__(self, specs: list[dict[str, object]], alike: bool) -> None:
        self.engines = [Engine(EngineSettings(max_flows=100_000)) for _ in range(2)]
        self.names = [f"f{number}" for number in range(len(specs))]
        self.alike, self.now = alike, 1000.0
        self.sequences = [0, 0]
        for engine in self.engines:
            engine.set_group("site", SITES)
            for name, spec in zip(self.names, specs, strict=True):
                engine.set_flow(name, spec)
                engine.set_threshold(f"{name}.flow", {"metric": name, "value": 3000, "byFlow": True, "timeout": 1})
                engine.set_threshold(f"{name}.port", {"metric": name, "value": 9000, "timeout": 1})

    def datagram(self, which: int, parts: list[tuple[int, int, int, bool]]) -> bytes:
        """Samples for one of the engines."""
        made = []
        for flow, port, size, last in parts:
            self.sequences[which] += 1
            header = sampled_header(packet(flow, last), 500 if self.alike else size)
            number = self.sequences[which]
            made.append(flow_sample(header, sequence=number, source=(0, port), rate=RATE, ports=(port, 9)))
        return datagram(*made, agent="10.0.0.1", sequence=number, uptime=number)

    def feed(self, batch: list[list[tuple[int, int, int, bool]]]) -> None:
        self.engines[0].feed([self.datagram(0, parts) for parts in batch], self.now)
        for parts in batch:
            for part in parts:
                self.engines[1].feed([self.datagram(1, [part])], self.now)

    def later(self, seconds: float) -> None:
        self.now += seconds
        for engine in self.engines:
            engine.tick(self.now)

    def topology(self, linked: bool) -> None:
        for engine in self.engines:
            engine.set_topology(topology.parse(LINKS if linked else {"nodes": {}, "links": {}}))

    def agree(self) -> None:
        for look in (self.rates, self.crossings, self.records, self.elephants):
            one, other = map(look, self.engines)
            assert one == other, look.__name__

    def rates(self, engine: Engine) -> object:
        return {
            (name, mode, flow.key): rounded(flow.value, *flow.values)
            for name in self.names
            for mode in (Mode.MAX, Mode.SUM)
            for flow in engine.active_flows(["ALL"], name, self.now, 1000, 0.0, mode)
        }

    def crossings(self, engine: Engine) -> object:
        found = []
        for each in engine.events(None, 100_000):
            by_port = each.threshold.endswith("port")
            value = rounded(each.value) if self.alike else ()
            found.append(
                (each.time, each.threshold, each.source, "" if by_port else each.key, () if by_port else value)
            )
        return sorted(found)

    def records(self, engine: Engine) -> object:
        each_one = engine.flow_records(None, 100_000)
        return sorted((each.name, each.key, each.source, each.start, each.end, each.samples, each.value)
                      for each in each_one)  # fmt: skip

    def elephants(self, engine: Engine) -> object:
        every = [each for seen in engine.elephants(self.now, most=1000) for each in seen.everywhere]
        return sorted(
            (each.threshold, each.key, each.source, each.start, each.last, rounded(each.peak, each.rate),
             (each.samples, rounded(each.value)) if self.alike else ())
            for each in every
        )  # fmt: skip

    def close(self) -> None:
        for engine in self.engines:
            engine.close()


def compared(seed: int) -> int:
    """Random definitions and samples; answers how many samples were added up by microflow."""
    luck = random.Random(seed)
    same = Same(luck.sample(DEFINITIONS, luck.randint(1, len(DEFINITIONS))), alike=seed % 2 == 0)
    try:
        for name, given in plan(luck):
            getattr(same, name)(given)
            same.agree()
        return same.engines[0].pipeline.numbers()["by_microflow"]
    finally:
        same.close()


@pytest.mark.parametrize("first", range(0, 60, 12))
def test_the_division_into_batches_changes_no_answer(first):
    by_microflow = [compared(seed) for seed in range(first, first + 12)]
    assert sum(count > 20 for count in by_microflow) >= 4
