"""The HTTP application on the real engine, asked in this process: datagrams built here go in, HTTP answers come out.

Time stands still at NOW until a test moves it (`Client.now`).
"""

import asyncio
import json
import struct

import httpx

from analytics.api import rest
from analytics.engine import Engine
from documents.httpguard import LOCAL
from tests.analytics.examples import wire

NOW = 1_700_000_000.0
AGENT = "192.168.1.9"
RATE = 100  # 1-in-N of all samples here
LENGTH = 1500  # bytes of all sampled frames
T = 2  # default smoothing: one sample is worth LENGTH * RATE / T bytes/s at the moment it arrives
ONE_SAMPLE = LENGTH * RATE / T

TOPOLOGY = {  # as Mininet's sflow.py writes it
    "nodes": {
        "s1": {"agent": AGENT, "ports": {"s1-eth1": {"ifindex": "4"}, "s1-eth2": {"ifindex": "5"}}},
        "s2": {"agent": AGENT, "ports": {"s2-eth1": {"ifindex": "6"}, "s2-eth2": {"ifindex": "7"}}},
    },
    "links": {"s1-s2": {"node1": "s1", "port1": "s1-eth2", "node2": "s2", "port2": "s2-eth1"}},
}
FIVE_TUPLE = "ipsource,ipdestination,tcpsourceport,tcpdestinationport"


def flow_sample(port, source="10.0.0.1", destination="10.0.0.3", sport=40000, dport=5001):
    """A TCP segment that came in on `port`."""
    frame = wire.ethernet(wire.ipv4(wire.tcp(sport, dport), 6, source, destination))
    return wire.flow_sample(wire.sampled_header(frame, LENGTH), source=(0, port), rate=RATE, ports=(port, 9))


def counter_sample(port, in_octets=0, speed=10_000_000, sequence=1):
    """Counters and name of `port`."""
    name = wire.record(1005, wire.opaque(f"s1-eth{port}".encode()))
    counters = wire.if_counters(port, speed, octets=(in_octets, 0))
    return wire.counter_sample(counters, name, sequence=sequence, source=(0, port))


def host_sample(name, sequence=1):
    """host_descr of the agent itself, data source 2.1: name and the rest of it empty."""
    words = wire.opaque(name.encode()) + bytes(16) + wire.words(2, 2) + wire.opaque(b"")
    return wire.counter_sample(wire.record(2000, words), sequence=sequence, source=(2, 1))


def openflow_sample(port, dpid, ofport):
    """Counters of `port`, and which OpenFlow port it is."""
    numbers = wire.record(1004, struct.pack(">QI", dpid, ofport))
    return wire.counter_sample(wire.if_counters(port), numbers, source=(0, port))


class Client:
    """The application around a fresh engine; `feed` is what the network does, the rest is HTTP."""

    def __init__(self, access=LOCAL, sources=None):
        self.engine = Engine(sources=sources)
        self.now = NOW
        self.sequence = 0
        self.app = rest.build(self.engine, version="0.1.0 (core test)", access=access, clock=lambda: self.now)

    def feed(self, *samples, agent=AGENT):
        self.sequence += 1
        self.engine.feed([wire.datagram(*samples, agent=agent, sequence=self.sequence)], self.now)

    def request(self, method, path, **options):
        async def exchange():
            transport = httpx.ASGITransport(app=self.app)
            async with (
                self.app.router.lifespan_context(self.app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8008") as client,
            ):
                return await client.request(method, path, **options)

        return asyncio.run(exchange())

    def get(self, path):
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def text(self, path):
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def put(self, path, body, **options):
        answer = self.request("PUT", path, content=body if isinstance(body, str) else json.dumps(body), **options)
        assert (answer.status_code, answer.content) == (204, b""), answer.text

    def refusal(self, method, path, **options):
        answer = self.request(method, path, **options)
        assert answer.text.count("\n") == 0
        return answer.status_code, answer.text
