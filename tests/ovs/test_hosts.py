"""Hosts on a real switch: learnt from what they send, and finding each other by rules alone.

With the userspace datapath the hosts are Linux: what it sends and answers in ARP and Neighbour Discovery is the real
thing. The rules are those of forwarding, put in without a controller, as if it had died. In dummy mode the controller
itself is there.
"""

from __future__ import annotations

import json
import re
import signal

import pytest

from controller import frames
from controller.forwarding.l2 import Forwarding
from controller.frames import Claim
from controller.hosts import ASKED, Hosts
from controller.pipeline import RuleKind, kind_of
from controller.topology import Fabric, Port, Switch
from ovs_rules.rule import text
from tests.controller import nd
from tests.controller.arp import request
from tests.ryu_manager import Controller

FABRIC = Fabric({"br0": Switch("br0", 1, {n: Port("br0", n, f"br0-{name}") for n, name in enumerate("abc", 1)})})
SIX = {"a": "2001:db8::a", "b": "2001:db8::b", "c": "2001:db8::c"}


@pytest.fixture
def bridge(netdev_ovs):
    """br0 with the Linux hosts a, b and c at ports 1, 2 and 3; returns the switch and the hosts' MACs."""
    netdev_ovs.add_bridge("br0")
    macs = {}
    for n, name in enumerate("abc", 1):
        macs[name] = netdev_ovs.host(name, "br0", n, f"10.9.0.{n}/24")
        netdev_ovs.exec("ip", "address", "add", f"{SIX[name]}/64", "dev", "eth0", "nodad", host=name)
    return netdev_ovs, macs


def program(ovs, *learnt):
    """The rules of br0 when the controller knows these hosts, as (MAC, address, port)."""
    hosts = Hosts()
    for mac, address, port in learnt:
        hosts.heard(Claim(mac, address), ("br0", port), (), learn=True)
    for rule in Forwarding().wanted(FABRIC, hosts, 0.0)["br0"].rules.values():
        ovs.ofctl("add-flow", "br0", text(rule), version="OpenFlow15")


def count(ovs, kind):
    """Packets that the rules of a kind matched."""
    lines = ovs.ofctl("dump-flows", "br0", version="OpenFlow15").splitlines()
    found = [re.search(r"cookie=(0x\w+),.*n_packets=(\d+)", line) for line in lines]
    return sum(int(match[2]) for match in found if match and kind_of(int(match[1], 16)) == kind)


def neighbour(ovs, host, address):
    """The MAC that a host knows for an address, None if it has found none."""
    (*_, found) = json.loads(ovs.exec("ip", "-json", "neighbour", "show", address, host=host)) or [{}]
    return found.get("lladdr")


def test_hosts_need_no_controller_to_find_and_reach_each_other(bridge, eventually):
    """c is not learnt: what is sent to it goes to a MAC that no rule knows."""
    ovs, macs = bridge
    program(ovs, (macs["a"], SIX["a"], 1), (macs["b"], SIX["b"], 2))
    eventually(lambda: ovs.exec("ping", "-6", "-c", "1", "-W", "2", SIX["b"], host="a"))
    assert neighbour(ovs, "a", SIX["b"]) == macs["b"]
    before = count(ovs, RuleKind.TREE)
    eventually(lambda: ovs.exec("ping", "-6", "-c", "1", "-W", "2", SIX["a"], host="c"))
    assert neighbour(ovs, "c", SIX["a"]) == macs["a"]
    eventually(lambda: count(ovs, RuleKind.TREE) > before)


@pytest.mark.parametrize("address", ["10.9.0.1", SIX["a"]], ids=["ARP", "ND"])
def test_linux_answers_our_questions_and_the_answer_goes_no_further(bridge, eventually, address):
    ovs, macs = bridge
    program(ovs, (macs["a"], address, 1))

    for asked in (address, "10.9.0.77", address):  # the second is nobody's
        question = frames.write_question(macs["a"], asked).hex()
        ovs.ofctl("packet-out", "br0", f"in_port=controller,packet={question},actions=output:1", version="OpenFlow15")
    eventually(lambda: count(ovs, RuleKind.ANSWER) >= 2)
    assert count(ovs, RuleKind.ANSWER) == 2


SPEC_HOSTS = {
    "h1": {"node": "br0", "port": "p1", "mac": "00:04:00:00:00:01", "ipv4": "10.9.0.1"},
    "vm": {"node": "br0", "port": "p1", "mac": "00:04:00:00:00:02", "ipv4": "10.9.0.2"},
}
DOCUMENT = {
    "nodes": {"br0": {"dpid": f"{1:016x}", "ports": {f"p{n}": {"ofport": n, "speed": 5_000_000} for n in (1, 2, 3)}}},
    "hosts": SPEC_HOSTS,
}
GUEST, THIEF = "02:00:00:00:00:07", "02:00:00:00:00:66"


@pytest.fixture
def controlled(private_ovs, tmp_path, eventually):
    """A bridge and the controller; two hosts of its topology file share port 1."""
    controller = Controller(tmp_path, DOCUMENT)
    controller.start()
    try:
        private_ovs.add_bridge("br0", f"other_config:datapath-id={1:016x}")
        for n in (1, 2, 3):
            private_ovs.vsctl("add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}", "type=dummy",
                              f"ofport_request={n}")  # fmt: skip
        private_ovs.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{controller.openflow}")
        eventually(lambda: controller.connected(1))
        eventually(lambda: [rule_of(private_ovs, host["mac"]) for host in SPEC_HOSTS.values()] == [1, 1])
        yield private_ovs, controller
    finally:
        controller.stop()


def rule_of(ovs, mac):
    """The port to which the rule of a MAC sends, None without one."""
    found = re.search(rf"dl_dst={mac} actions=output:(\d+)", ovs.ofctl("dump-flows", "br0", version="OpenFlow15"))
    return found and int(found[1])


def nd_reaches(ovs, destination, kind):
    """Where ND that host h1 sends to a MAC goes: the other ports by name, sorted, and "controller" for a copy."""
    flow = f"in_port=1,dl_src={SPEC_HOSTS['h1']['mac']},dl_dst={destination},dl_type=0x86dd,nw_proto=58,nw_ttl=255"
    trace = ovs.appctl("ofproto/trace", "br0", f"{flow},icmpv6_type={kind},icmpv6_code=0")
    names = {number: name for name, number in re.findall(r"(\S+) \d+/(\d+): \(dummy\)", ovs.appctl("dpif/show"))}
    actions = re.findall(r"Datapath actions: (.*)", trace)[-1]
    out = re.sub(r"userspace\(.*?\)\),?", "", actions)
    return sorted((["controller"] if "controller(" in actions else []) + [names[number] for number in out.split(",")])


def say(ovs, port, frame):
    ovs.appctl("netdev-dummy/receive", f"p{port}", frame.hex())


def addresses(controller):
    return {host["mac"]: (host["port"], host["addresses"]) for host in controller.get("fabric")["hosts"]}


def test_hosts_behind_one_port_of_ipv4_and_ipv6_are_learnt_and_outlive_the_controller(controlled, eventually):
    ovs, controller = controlled
    say(ovs, 2, request(GUEST, "10.9.0.7", "10.9.0.1"))
    say(ovs, 2, nd.solicitation(GUEST, "::", "fe80::7"))  # no address of anyone's yet
    say(ovs, 2, nd.solicitation(GUEST, "fe80::7", "fe80::1"))
    say(ovs, 2, nd.advertisement("02:00:00:00:00:08", "2001:db8::8"))
    eventually(lambda: addresses(controller).get(GUEST) == (2, ["10.9.0.7", "fe80::7"]))
    eventually(lambda: addresses(controller).get("02:00:00:00:00:08") == (2, ["2001:db8::8"]))
    eventually(lambda: rule_of(ovs, "02:00:00:00:00:08") == 2)
    document = controller.get("topology")
    assert {name: host["port"] for name, host in document["hosts"].items()} == {
        "h1": "p1", "vm": "p1", GUEST: "p2", "02:00:00:00:00:08": "p2",
    }  # fmt: skip
    eventually(controller.analytics_alive)  # which was given the topology
    assert not controller.own_faults()
    controller.stop(signal.SIGKILL)
    assert nd_reaches(ovs, "33:33:ff:00:00:07", 135) == ["controller", "p2", "p3"]
    assert nd_reaches(ovs, "02:00:00:00:00:99", 136) == ["controller", "p2", "p3"]  # to a MAC that no rule knows
    assert nd_reaches(ovs, GUEST, 136) == ["controller", "p2"]
    assert rule_of(ovs, GUEST) == 2


def test_spoofed_arp_and_nd_move_nothing_and_are_counted_and_shown(controlled, eventually):
    ovs, controller = controlled
    say(ovs, 3, request(THIEF, "10.9.0.1", "10.9.0.2"))  # an address of the file
    say(ovs, 3, request("00:04:00:00:00:02", "10.9.0.2", "10.9.0.1"))  # a MAC of the file
    say(ovs, 3, request("ff:ff:ff:ff:ff:ff", "10.9.0.9", "10.9.0.1"))
    say(ovs, 3, request("00:00:00:00:00:00", "10.9.0.9", "10.9.0.1"))
    eventually(lambda: controller.get("status")["faults"].get("host claim") == 2)
    status = controller.get("status")
    assert status["counts"]["claims_refused"] == 2
    assert any(problem.startswith("br0 port 3: ") for problem in status["problems"])
    assert addresses(controller) == {
        "00:04:00:00:00:01": (1, ["10.9.0.1"]), "00:04:00:00:00:02": (1, ["10.9.0.2"]), THIEF: (3, []),
    }  # fmt: skip
    assert rule_of(ovs, "00:04:00:00:00:02") == 1
    assert rule_of(ovs, "ff:ff:ff:ff:ff:ff") is None


def test_a_learnt_host_moves_when_it_does_not_answer_where_it_was(controlled, eventually):
    ovs, _ = controlled
    say(ovs, 2, request(GUEST, "10.9.0.7", "10.9.0.1"))
    eventually(lambda: rule_of(ovs, GUEST) == 2)
    say(ovs, 3, request(GUEST, "10.9.0.7", "10.9.0.1"))
    eventually(lambda: rule_of(ovs, GUEST) == 3)
    eventually(lambda: ovs.sent_out("br0", "p2") == 1 + ASKED)
