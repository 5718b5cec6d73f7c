"""Tunnels, VLANs and IPv6 through a real switch: what hosts send comes back from its sFlow as keys with their depth.

The bridges belong to one Open vSwitch with the userspace datapath. It samples what enters a bridge, so a cable leads
the encapsulated packets out of one bridge and into the next, where sFlow samples. RECORD_CAPTURES=1 rewrites the
captures of tests/analytics from what the switch sends here.
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

CAPTURES = Path(__file__).parents[1] / "analytics/examples/captures"
INNER = "ipsource,ipdestination,ipsource.1,ipdestination.1"
FLOWS = {
    "vni": {"keys": "vni,null:vxlanvni,null:grekey,stack", "value": "frames", "t": 600},
    "tagged": {"keys": "vlan,ipsource,udpdestinationport,stack", "value": "frames", "t": 600},
    "six": {"keys": "vlan,ip6source,ip6destination,ip6nexthdr,udpdestinationport", "value": "frames", "t": 600},
}


class Tap:
    """Takes the switch's datagrams on its own loopback, feeds an engine and keeps them."""

    def __init__(self, switch, engine: Engine) -> None:
        self.socket = switch.socket(address=("127.0.0.1", 6343))
        self.socket.settimeout(0.05)
        self.engine, self.kept, self.running = engine, [], True
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while self.running:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            self.kept.append(data)
            self.engine.feed([data], time.time())

    def stop(self) -> None:
        self.running = False
        self.thread.join()
        self.socket.close()

    def write(self, name: str, most: int = 2) -> None:
        """As a raw-IP capture to port 6343 of the largest datagrams."""
        made = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
        for data in sorted(self.kept, key=len)[-most:]:
            udp = struct.pack(">HHHH", 40000, 6343, 8 + len(data), 0) + data
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, *[bytes([127, 0, 0, 1])] * 2)
            made += struct.pack("<IIII", 0, 0, 20 + len(udp), 20 + len(udp)) + ip + udp
        (CAPTURES / name).write_bytes(made)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    for name, spec in FLOWS.items():
        made.set_flow(name, spec)
    yield made
    made.close()


@pytest.fixture
def tap(netdev_ovs, engine) -> Iterator[Tap]:
    made = Tap(netdev_ovs, engine)
    yield made
    made.stop()


def sampled(switch, bridge: str) -> None:
    switch.vsctl("--id=@s", "create", "sflow", "agent=lo", 'target="127.0.0.1:6343"', "header=128", "sampling=1",
                 "polling=0", "--", "set", "bridge", bridge, "sflow=@s")  # fmt: skip


def keys(engine: Engine, name: str) -> set[str]:
    return {flow.key for flow in engine.active_flows(["ALL"], name, time.time())}


def talk(switch, source: str, target: tuple[str, int], family: int = socket.AF_INET, count: int = 5) -> None:
    """UDP datagrams from host to address, which is reached or not: the switch samples them on the way."""
    sender = switch.socket(source, family=family)
    try:
        for _ in range(count):
            sender.sendto(b"howdah" * 10, target)
            time.sleep(0.01)
    finally:
        sender.close()


def wire(switch, one: str, other: str) -> None:
    """Join two bridges by a cable, so that what one sends enters the other as from outside."""
    switch.exec("ip", "link", "add", f"{one}-out", "type", "veth", "peer", "name", f"{other}-in")
    for bridge, port in ((one, f"{one}-out"), (other, f"{other}-in")):
        switch.exec("sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1")
        switch.exec("ip", "link", "set", port, "up")
        switch.vsctl("add-port", bridge, port)


@pytest.fixture
def underlay(netdev_ovs, tap):
    """h1 on bridge `edge`; the tunnel's end on `core`; behind its cable, where sFlow samples, `transit` and h2."""
    switch = netdev_ovs
    for bridge in ("edge", "core", "transit"):
        switch.add_bridge(bridge)
        switch.ofctl("add-flow", bridge, "actions=normal")
    switch.address("core", "172.31.0.1/24")
    switch.host("h1", "edge", 1, "10.0.0.1/24")
    switch.host("h2", "transit", 1, "172.31.0.2/24")
    wire(switch, "core", "transit")
    sampled(switch, "transit")
    switch.exec("ip", "neigh", "replace", "10.0.0.2", "lladdr", "02:00:00:00:00:02", "dev", "eth0",
                "nud", "permanent", host="h1")  # fmt: skip
    return switch


TUNNELS = {  # type, key or None -> the stack, the identifiers (vni, vxlanvni, grekey), the inner port's field
    "vxlan": ("vxlan", 5001, "eth.ip.udp.vxlan.eth.ip.udp", "5001,5001,null", "udpdestinationport.1"),
    "geneve": ("geneve", 5001, "eth.ip.udp.geneve.eth.ip.udp", "5001,null,null", "udpdestinationport.1"),
    "gre_key": ("gre", 5001 << 8, "eth.ip.gre.eth.ip.udp", "5001,null,1280256", "udpdestinationport"),
    "gre": ("gre", None, "eth.ip.gre.eth.ip.udp", None, "udpdestinationport"),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_what_is_inside_a_tunnel(underlay, engine, tap, eventually, name):
    kind, key, stack, vni, port = TUNNELS[name]
    settings = [] if key is None else [f"options:key={key}"]
    underlay.vsctl("add-port", "edge", "tunnel", "--", "set", "interface", "tunnel", f"type={kind}",
                   "options:remote_ip=172.31.0.2", "ofport_request=9", *settings)  # fmt: skip
    engine.set_flow("inner", {"keys": f"{INNER},{port}", "filter": f"stack={stack}", "value": "frames", "t": 600})
    underlay.exec("ping", "-c1", "-W30", "172.31.0.2")

    def seen() -> bool:
        talk(underlay, "h1", ("10.0.0.2", 5555))
        assert "172.31.0.1,172.31.0.2,10.0.0.1,10.0.0.2,5555" in keys(engine, "inner")
        assert vni is None or f"{vni},{stack}" in keys(engine, "vni")
        return True

    eventually(seen)
    if os.environ.get("RECORD_CAPTURES"):
        tap.write(f"ovs_{name}.pcap")


def test_access_ports_and_ipv6_hosts(netdev_ovs, engine, tap, eventually):
    """An access port's frames are tagged on the trunk; sFlow samples at the trunk's far end."""
    switch = netdev_ovs
    for bridge in ("edge", "transit"):
        switch.add_bridge(bridge)
        switch.ofctl("add-flow", bridge, "actions=normal")
    for number in (1, 2):
        switch.host(f"h{number}", "edge" if number == 1 else "transit", number, f"10.0.0.{number}/24")
        switch.exec("ip", "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad", host=f"h{number}")
    wire(switch, "edge", "transit")
    switch.vsctl("set", "port", "edge-h1", "tag=7")
    switch.vsctl("set", "port", "transit-h2", "tag=7")
    sampled(switch, "transit")

    def seen() -> bool:
        talk(switch, "h1", ("10.0.0.2", 5555))
        talk(switch, "h1", ("2001:db8::2", 6666), socket.AF_INET6)
        assert "7,10.0.0.1,5555,eth.q.ip.udp" in keys(engine, "tagged")
        assert "7,2001:db8::1,2001:db8::2,17,6666" in keys(engine, "six")
        return True

    eventually(seen)
    if os.environ.get("RECORD_CAPTURES"):
        tap.write("ovs_vlan6.pcap")
