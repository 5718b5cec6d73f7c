"""What the tests of the engine share: a switch that feeds it, and topologies."""

from __future__ import annotations

from analytics.engine import Engine
from analytics.topology import parse
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    flow_sample,
    if_counters,
    sampled_header,
)

TUPLE = "ipsource,ipdestination,ipprotocol,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
HOWDAH = {"keys": TUPLE, "value": "bytes", "filter": "direction=ingress&(ipprotocol=6|ipprotocol=17)"}
LEAF, SPINE = "10.254.0.1", "10.254.0.9"
NOW = 1000.0


def wires(links=None, speeds=None):
    """A topology: link names by (agent, ifIndex) of their ends, and speeds of ports."""
    links, speeds = links or {}, speeds or {}
    ports = {place: {"ifindex": place[1]} for place in (*links, *speeds)}
    for place, speed in speeds.items():
        ports[place]["speed"] = speed
    ends = {name: [place for place in links if links[place] == name] for name in links.values()}
    return parse(
        {
            "nodes": {
                agent: {"agent": agent, "ports": {place[1]: port for place, port in ports.items() if place[0] == agent}}
                for agent, _ in ports
            },
            "links": {
                name: {"node1": one[0], "port1": one[1], "node2": other[0], "port2": other[1]}
                for name, (one, *others) in ends.items()
                for other in (others or [("elsewhere", "1")])
            },
        }
    )


class Switch:
    """An Open vSwitch: one sampler of class 2, sequence numbers that are right."""

    def __init__(self, engine: Engine, agent: str = LEAF) -> None:
        self.engine, self.agent, self.sent = engine, agent, 0

    def samples(self, *headers: bytes, port: int = 5, now: float = NOW, rate: int = 100, output: int = 6) -> None:
        made = []
        for header in headers:
            self.sent += 1
            made.append(flow_sample(sampled_header(header, 1000), sequence=self.sent, source=(2, 1000), rate=rate,
                                    ports=(port, output)))  # fmt: skip
        self.engine.feed([datagram(*made, agent=self.agent, sequence=self.sent, uptime=self.sent)], now)

    def counters(self, now: float, *more: bytes, port: int = 5, **values) -> None:
        self.sent += 1
        sample = counter_sample(if_counters(port, **values), *more, sequence=self.sent, source=(0, port))
        uptime = int(now * 1000)
        self.engine.feed([datagram(sample, agent=self.agent, sub_agent=9, sequence=self.sent, uptime=uptime)], now)


def keys(engine: Engine, name: str, now: float = NOW, agents=("ALL",), **more) -> list[str]:
    return [flow.key for flow in engine.active_flows(list(agents), name, now, **more)]
