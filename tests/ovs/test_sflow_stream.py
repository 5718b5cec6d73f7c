"""Genuine Open vSwitch sFlow over UDP loopback: keys, rates, counters and events as the engine shows them.

RECORD_CAPTURES=1 rewrites tests/analytics/examples/captures from the datagrams that these stories receive.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.engine import Engine
from analytics.inputs.collector import Collector
from analytics.inputs.settings import CollectorSettings
from tests.patience import PATIENCE_S

CAPTURES = Path(__file__).parents[1] / "analytics/examples/captures"
TCP = "eth_type(0x0800),ipv4(src=10.0.1.1,dst=10.0.2.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=40000,dst=5001)"
UDP = "eth_type(0x0800),ipv4(src=10.0.1.1,dst=10.0.2.2,proto=17,tos=184,ttl=64,frag=no),udp(src=40000,dst=53)"
TCP6 = (
    "eth_type(0x86dd),ipv6(src=2001:db8::1,dst=2001:db8::2,label=0,proto=6,tclass=0,hlimit=64,frag=no),tcp(src=1,dst=2)"
)
ETH = "eth(src=00:04:00:00:01:01,dst=00:04:00:00:02:02)"
SPEC = {
    "keys": "ipsource,ipdestination,ipprotocol,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport",
    "value": "bytes",
    "filter": "direction=ingress&(ipprotocol=6|ipprotocol=17)",
    "t": 600,  # so long that nothing decays in a test: value * t is the number of bytes
    "n": 20,
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    made.set_flow("howdah_flow", SPEC)
    yield made
    made.close()


@pytest.fixture
def collector(engine) -> Iterator[Collector]:
    made = Collector(engine, CollectorSettings(port=0))
    made.start()
    yield made
    made.stop()


def bridge(switch, port: int, polling: int = 0) -> None:
    """Bridge s1 with p1 and p2 (ifIndex 1001 and 1002), every packet sampled, sFlow to the UDP port."""
    switch.add_bridge("s1", "other_config:datapath-id=0000000000000101")
    for number in (1, 2):
        switch.vsctl("add-port", "s1", f"p{number}", "--", "set", "interface", f"p{number}", "type=dummy",
                     f"ofport_request={number}", f"options:ifindex={1000 + number}")  # fmt: skip
    switch.ofctl("add-flow", "s1", "in_port=1,actions=output:2")
    switch.vsctl("--id=@s", "create", "sflow", "agent=lo", f'target="127.0.0.1:{port}"', "header=128", "sampling=1",
                 f"polling={polling}", "--", "set", "bridge", "s1", "sflow=@s")  # fmt: skip


def send(switch, flow: str, count: int = 1, length: int | None = None) -> None:
    extra = () if length is None else ("--len", str(length))
    for _ in range(count):
        switch.appctl("netdev-dummy/receive", "p1", f"in_port(1),{flow}", *extra)


class Recorder:
    """Passes datagrams on to a collector, and keeps them."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port = self.socket.getsockname()[1]
        self.kept: list[tuple[float, bytes]] = []
        self._to, self._running = to, True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._running:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            self.kept.append((time.time(), data))
            self.socket.sendto(data, self._to)

    def stop(self) -> None:
        self._running = False
        self._thread.join()
        self.socket.close()

    def write(self, name: str, most: int = 1) -> None:
        """As a raw-IP capture to port 6343, at most `most` datagrams, the largest."""
        chosen = sorted(sorted(self.kept, key=lambda each: -len(each[1]))[:most])
        made = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
        for now, data in chosen:
            udp = struct.pack(">HHHH", 40000, 6343, 8 + len(data), 0) + data
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, *[bytes([127, 0, 0, 1])] * 2)
            made += struct.pack("<IIII", int(now), int(now % 1 * 1e6), 20 + len(udp), 20 + len(udp)) + ip + udp
        CAPTURES.mkdir(exist_ok=True)
        (CAPTURES / name).write_bytes(made)


@pytest.fixture
def recorder(collector) -> Iterator[Recorder]:
    made = Recorder(collector.address)
    yield made
    made.stop()


def test_flows_of_a_real_switch(private_ovs, engine, collector, recorder, eventually):
    engine.set_threshold("big", {"metric": "howdah_flow", "value": 4000 / 600, "byFlow": True})
    engine.set_flow("six", {"keys": "ip6source,ip6destination,tcpsourceport,vlan", "value": "frames", "t": 600})
    bridge(private_ovs, recorder.port)
    send(private_ovs, f"{ETH},eth_type(0x8100),vlan(vid=7,pcp=3),encap({TCP6})")
    send(private_ovs, f"{ETH},{UDP}", 2, length=300)
    send(private_ovs, f"{ETH},{TCP}", 5, length=1000)

    def both():
        found = {flow.key: flow for flow in engine.active_flows(["ALL"], "howdah_flow", time.monotonic())}
        assert len(found) == 2
        tcp, udp = found["10.0.1.1,10.0.2.2,6,40000,5001"], found["10.0.1.1,10.0.2.2,17,40000,53"]
        assert tcp.value * 600 == pytest.approx(5 * 1004, rel=0.02)  # frame_length counts the FCS
        assert udp.value * 600 == pytest.approx(2 * 304, rel=0.02)
        assert {(flow.agent, flow.source, flow.sources) for flow in found.values()} == {("127.0.0.1", "1001", 1)}
        [six] = engine.active_flows(["ALL"], "six", time.monotonic())
        assert six.key == "2001:db8::1,2001:db8::2,1,7"
        assert six.value * 600 == pytest.approx(1, rel=0.02)
        return True

    eventually(both)
    [event] = engine.events(None, 10)
    assert (event.threshold, event.key) == ("big", "10.0.1.1,10.0.2.2,6,40000,5001")
    assert 0 <= time.monotonic() - event.time < PATIENCE_S
    numbers = engine.agents()["127.0.0.1"]
    assert numbers.flows.received == 8
    assert numbers.datagrams.lost == numbers.flows.lost == numbers.faults == 0
    eventually(lambda: collector.numbers.datagrams == numbers.datagrams.received)
    if os.environ.get("RECORD_CAPTURES"):
        recorder.write("ovs_flows.pcap")


def test_counters_of_a_real_switch(private_ovs, engine, recorder, eventually):
    bridge(private_ovs, recorder.port, polling=1)

    def counted():
        found = engine.metrics_of("127.0.0.1", time.monotonic()) or {}
        assert {"1001.ifname": "p1", "1002.ifname": "p2", "1001.of_port": 1}.items() <= found.items()
        assert {"1001.of_dpid": "0000000000000101", "1001.ifoperstatus": "up"}.items() <= found.items()
        assert "1001.ifinoctets" in found
        assert any(name.endswith(".ovs_dp_flows") for name in found)
        return True

    eventually(counted)
    if os.environ.get("RECORD_CAPTURES"):
        recorder.write("ovs_counters.pcap")
    send(private_ovs, f"{ETH},{TCP}", 10, length=1000)
    eventually(lambda: (engine.metrics_of("127.0.0.1", time.monotonic()) or {}).get("1001.ifinoctets", 0) > 0)
