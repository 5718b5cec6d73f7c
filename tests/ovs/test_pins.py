"""A pinned elephant on a real switch (dummy mode): out of its port, out of another while that is down, without a
controller. Real packets are sent, because `ofproto/trace` cannot follow the hash of the select group behind.
"""

from __future__ import annotations

from controller.flow import FlowKey
from controller.forwarding.l2 import Forwarding
from controller.hosts import Hosts
from controller.rules import Control, express, groups
from controller.topology import Fabric
from ovs_rules.rule import group_text, text
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 1))
ONE, OTHER = FABRIC.hosts
ELEPHANT = FlowKey(ONE.addresses[0], OTHER.addresses[0], 17, 5001, 80)
PINNED, LEFT = 3, 2  # leaf1's ports to spine2 and to spine1


def program(ovs):
    """leaf1 with what a controller gives it when the elephant is steered over spine2."""
    ovs.add_bridge("leaf1")
    for number in FABRIC.switches["leaf1"].ports:
        ovs.vsctl("add-port", "leaf1", f"p{number}", "--", "set", "interface", f"p{number}", "type=dummy",
                  f"ofport_request={number}")  # fmt: skip
    entries = Forwarding().wanted(FABRIC, Hosts(FABRIC.hosts), 0.0)["leaf1"]
    path = next(path for path in FABRIC.paths("leaf1", "leaf2") if path[0].source.number == PINNED)
    pinned = express(FABRIC, Control(ELEPHANT, "leaf1", 1, path), 0)["leaf1"]
    for group in (*entries.groups.values(), *groups(pinned)):
        ovs.ofctl("add-group", "leaf1", group_text(group), version="OpenFlow15")
    for rule in (*entries.rules.values(), pinned):
        ovs.ofctl("add-flow", "leaf1", text(rule), version="OpenFlow15")


def send(ovs, times):
    source, destination, _, sport, dport = ELEPHANT
    packet = (
        f"in_port(1),eth(src={ONE.mac},dst={OTHER.mac}),eth_type(0x0800),"
        f"ipv4(src={source},dst={destination},proto=17,tos=0,ttl=64,frag=no),udp(src={sport},dst={dport})"
    )
    for _ in range(times):
        ovs.appctl("netdev-dummy/receive", "p1", packet)


def test_a_pinned_elephant_leaves_a_dead_port_and_comes_back(private_ovs, eventually):
    ovs = private_ovs
    program(ovs)
    send(ovs, 5)
    eventually(lambda: ovs.sent_out("leaf1", f"p{PINNED}") == 5)
    ovs.appctl("netdev-dummy/set-admin-state", f"p{PINNED}", "down")
    eventually(lambda: "LINK_DOWN" in ovs.ofctl("show", "leaf1").split(f"{PINNED}(p{PINNED})")[1].split("speed")[0])
    send(ovs, 7)
    eventually(lambda: ovs.sent_out("leaf1", f"p{LEFT}") == 7)
    ovs.appctl("netdev-dummy/set-admin-state", f"p{PINNED}", "up")
    eventually(lambda: "LINK_DOWN" not in ovs.ofctl("show", "leaf1").split(f"{PINNED}(p{PINNED})")[1].split("speed")[0])
    send(ovs, 6)
    eventually(lambda: ovs.sent_out("leaf1", f"p{PINNED}") == 5 + 6)
    assert ovs.sent_out("leaf1", f"p{LEFT}") == 7
