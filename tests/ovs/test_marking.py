"""Marking on a real Open vSwitch: what leaves with which DSCP, IPv4 and IPv6."""

from __future__ import annotations

import struct
import time

import pytest

from analytics.engine import Engine
from analytics.inputs.collector import Collector
from analytics.inputs.settings import CollectorSettings
from controller.control import ElephantControl, Policy
from controller.feed import FLOW_FILTER, FLOW_KEYS
from controller.flow import FlowKey, FlowObservation
from controller.hosts import Hosts
from controller.policy.marking import Mark
from controller.records import Counts
from controller.topology import Fabric
from ovs_rules.rule import text
from tests.ovs.test_sflow_stream import ETH, TCP, TCP6, UDP, bridge, send
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2, 5).with_ifindexes({"leaf1-eth1": 1001}))
FOUR = FlowKey("10.0.1.1", "10.0.2.2", 6, 40000, 5001)
SIX = FlowKey("2001:db8::1", "2001:db8::2", 6, 1, 2)
VOICE = FlowKey("10.0.1.1", "10.0.2.2", 17, 40000, 53)  # no mark fits it: its DSCP 46 stays


@pytest.fixture
def engine():
    made = Engine()
    made.set_flow("howdah_flow", {"keys": FLOW_KEYS, "filter": FLOW_FILTER, "value": "bytes", "t": 600})
    collector = Collector(made, CollectorSettings(port=0))
    collector.start()
    yield made, collector.address[1]
    collector.stop()
    made.close()


def dscps(capture):
    """Of the packets of a pcap file, (version, DSCP)."""
    data, at, found = capture.read_bytes(), 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        if at + 16 + size > len(data):  # it is being written
            break
        ip = data[at + 16 + 14 : at + 16 + size]
        found.append((ip[0] >> 4, (ip[1] if ip[0] >> 4 == 4 else struct.unpack_from(">H", ip)[0] >> 4 & 0xFF) >> 2))
        at += 16 + size
    return found


def test_elephants_are_marked_in_both_versions(private_ovs, engine, tmp_path, eventually):
    analytics, port = engine
    bridge(private_ovs, port)
    private_ovs.ofctl("del-flows", "s1")
    out = tmp_path / "out.pcap"
    private_ovs.vsctl("set", "interface", "p2", f"options:tx_pcap={out}")
    control = ElephantControl(Policy(marks=(Mark(8, protocol="tcp"),)), Counts())
    agent = FABRIC.switches["leaf1"].agent
    seen = [FlowObservation(flow, agent, "1001", 2e6, 1.0) for flow in (FOUR, SIX, VOICE)]
    control.observed(FABRIC, Hosts(FABRIC.hosts), seen, 1.0, complete=False)
    for rule in control.wanted(FABRIC, Hosts(FABRIC.hosts), 1.0)["leaf1"].rules.values():
        private_ovs.ofctl("add-flow", "s1", text(rule), version="OpenFlow15")
    private_ovs.ofctl("add-flow", "s1", "priority=0,actions=resubmit(,1)")
    private_ovs.ofctl("add-flow", "s1", "table=1,actions=output:2")
    for flow in (TCP, TCP6, UDP):
        send(private_ovs, f"{ETH},{flow}", 2)

    def sent():
        assert sorted(dscps(out)) == [(4, 8), (4, 8), (4, 46), (4, 46), (6, 8), (6, 8)]
        return True

    def sampled():
        keys = {flow.key for flow in analytics.active_flows(["ALL"], "howdah_flow", time.monotonic())}
        assert keys == {str(FOUR), str(SIX), str(VOICE)}
        return True

    eventually(sent)
    eventually(sampled)
