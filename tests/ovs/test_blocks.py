"""Blocks of MACs on a real switch (dummy mode): `ofproto/trace` sends every host to its edge switch, and what is sent
to nobody known along the tree, before and after every step of a change.
"""

from __future__ import annotations

import re
from dataclasses import replace

from controller.forwarding.l2 import Forwarding
from controller.hosts import Hosts
from controller.reconcile import DropRule, Installed, PutRule, changes
from controller.topology import Fabric
from ovs_rules.rule import text
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 4, 5))
UNKNOWN = ["00:04:00:00:02:00", "00:04:00:00:02:06", "00:04:00:00:09:01", "02:00:00:00:00:01"]
UPLINK = 4  # of spine1, where packets come in: no host of the others is there


def goes_to(ovs, macs):
    """The ports that the spine sends packets to these MACs out of."""
    found = {}
    for mac in macs:
        said = ovs.appctl("ofproto/trace", "spine1", f"in_port={UPLINK},dl_src=02:00:00:00:00:99,dl_dst={mac}")
        found[mac] = [int(port) for port in re.findall(r"output:(\d+)", said) if int(port) != UPLINK]  # never back
    return found


def test_a_spine_sends_every_host_to_its_edge_through_every_step_of_a_change(private_ovs, tmp_path):
    ovs = private_ovs
    ovs.add_bridge("spine1")
    for number in FABRIC.switches["spine1"].ports:
        ovs.vsctl("add-port", "spine1", f"p{number}", "--", "set", "interface", f"p{number}", "type=dummy",
                  f"ofport_request={number}")  # fmt: skip
    hosts, forwarding = Hosts(FABRIC.hosts), Forwarding()
    entries = forwarding.wanted(FABRIC, hosts, 0.0)["spine1"]
    flows = tmp_path / "flows"
    flows.write_text("".join(f"{text(rule)}\n" for rule in entries.rules.values()))
    ovs.ofctl("add-flows", "spine1", str(flows), version="OpenFlow15")
    port = {host.mac: [int(host.switch.removeprefix("leaf"))] for host in FABRIC.hosts if host.switch != "leaf4"}
    tree = [1, 2, 3]
    assert goes_to(ovs, [*port, *UNKNOWN]) == port | dict.fromkeys(UNKNOWN, tree)

    # 00:04:00:00:01:02 moves to leaf 3, in the midst of the block of leaf 1; of leaf 2 one host comes and one goes.
    one, gone = (next(host for host in FABRIC.hosts if host.mac.endswith(end)) for end in ("01:02", "02:04"))
    moved = replace(one, switch="leaf3", port=9)
    new = replace(gone, name="new", mac="00:04:00:00:02:06", addresses=())
    installed, staying = Installed.reported(entries.rules.values(), ()), {**port}
    del staying[one.mac], staying[gone.mac]
    entries.changed.clear()
    forwarding.relocated(FABRIC, hosts, [(one, moved), (None, new), (gone, None)])
    steps = changes(installed, {key: entries.rules.get(key) for key in entries.changed if not isinstance(key, int)}, {})
    assert {type(step) for step in steps} == {PutRule, DropRule}
    for step in steps:
        if isinstance(step, PutRule):
            ovs.ofctl("add-flow", "spine1", text(step.rule), version="OpenFlow15")
        else:
            match = text(replace(step.rule, cookie=0, actions=(), goto=None)).replace(" actions=drop", "")
            ovs.ofctl("--strict", "del-flows", "spine1", match.replace(" ", ","), version="OpenFlow15")
        assert goes_to(ovs, staying) == staying
    assert goes_to(ovs, [moved.mac, new.mac, gone.mac]) == {moved.mac: [3], new.mac: [2], gone.mac: tree}
