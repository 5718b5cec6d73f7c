"""The model switch of the simulation against Open vSwitch: the same rules and groups in both, the same packets, and
where they leave by `ofproto/trace`.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from controller import openflow
from controller.reconcile import PutGroup, PutRule
from controller.sim.packet import INDEX, header
from controller.sim.switch import Switch
from ovs_rules.rule import Bucket, Group, Output, Rule, SetField, ToGroup, group_text, text

PORTS = (1, 2, 3, 4)
MACS = tuple(f"00:04:00:00:0{leaf}:0{n}" for leaf in (1, 2) for n in (1, 2))
ADDRESSES = ("10.0.1.1", "10.0.1.2", "10.0.2.1")
OF_LEAF_1, MULTICAST = "00:04:00:00:01:00/ff:ff:ff:ff:ff:00", "01:00:00:00:00:00/01:00:00:00:00:00"
RULES, PACKETS = 40, 60

pytestmark = pytest.mark.ovs


def random_match(dice):
    """A match as rules of ours and of others have it: masks, prefixes, with all that fields depend on."""
    match = [("in_port", dice.choice(PORTS))] if dice.random() < 0.2 else []
    if dice.random() < 0.4:
        match.append(("eth_dst", dice.choice((*MACS, OF_LEAF_1, MULTICAST))))
    if dice.random() < 0.6:
        match.append(("eth_type", 0x0800))
        if dice.random() < 0.4:
            match.append(("ipv4_dst", dice.choice((*ADDRESSES, "10.0.1.0/24", "10.0.0.0/16"))))
        if dice.random() < 0.3:
            match.append(("ip_dscp", dice.choice((0, 1))))
        if dice.random() < 0.4:
            match.append(("ip_proto", 17))
            if dice.random() < 0.5:
                match.append(("udp_dst", dice.choice((80, 81))))
    return tuple(match)


def random_actions(dice, groups):
    found = [SetField("ip_dscp", 1)] if dice.random() < 0.2 else []
    found += [Output(port) for port in dice.sample(PORTS, dice.choice((0, 1, 1, 2)))]
    if groups and dice.random() < 0.4:
        found.append(ToGroup(dice.choice(groups)))
    return tuple(found)


def random_group(dice, number):
    """`all`, or `select` with one bucket alive, since a trace cannot follow a hash."""
    if dice.random() < 0.5:
        return Group(number, "all", tuple(Bucket((Output(port),)) for port in dice.sample(PORTS, 2)))
    return Group(number, "select", (Bucket((SetField("ip_dscp", 2), Output(dice.choice(PORTS)))),))


def filled(dice):
    """(groups, rules) that every switch takes: a rewritten DSCP needs IP."""
    groups = [random_group(dice, 10 + n) for n in range(4)]
    rules = []
    for n in range(RULES):
        match, table = random_match(dice), n % 2
        actions = random_actions(dice, [group.group_id for group in groups])
        if ("eth_type", 0x0800) not in match:
            actions = tuple(one for one in actions if isinstance(one, Output))
        goto = 1 if table == 0 and dice.random() < 0.5 else None
        rules.append(Rule(match, actions, goto, table, priority=100 + n))
    return groups, rules


def random_packet(dice):
    return {
        "in_port": dice.choice(PORTS), "eth_src": "00:04:00:00:09:09",
        "eth_dst": dice.choice((*MACS, "ff:ff:ff:ff:ff:ff")),
        "eth_type": 0x0800, "ip_proto": 17, "ip_dscp": dice.choice((0, 1)), "ip_ecn": 0,
        "ipv4_src": "10.0.9.9", "ipv4_dst": dice.choice(ADDRESSES), "udp_src": 9, "udp_dst": dice.choice((80, 81)),
    }  # fmt: skip


def traced(ovs, packet):
    """The ports by which Open vSwitch sends it, in order."""
    flow = (
        f"in_port={packet['in_port']},udp,dl_src={packet['eth_src']},dl_dst={packet['eth_dst']},"
        f"nw_src={packet['ipv4_src']},nw_dst={packet['ipv4_dst']},nw_tos={packet['ip_dscp'] << 2},nw_ttl=64,"
        f"udp_src={packet['udp_src']},udp_dst={packet['udp_dst']}"
    )
    said = ovs.appctl("ofproto/trace", "br0", flow)
    actions = said.rsplit("Datapath actions: ", 1)[1].splitlines()[0]
    return [(int(port), dscp) for port, dscp in leaving(actions, packet["ip_dscp"])]


def leaving(actions, dscp):
    """(port, DSCP) of each output among datapath actions; a rewrite holds for what comes after it."""
    for word in re.findall(r"set\(ipv4\(tos=0x[0-9a-f]+[^)]*\)\)|(?<![\w(.:])\d+", actions):
        if word.startswith("set"):
            dscp = int(re.search("tos=(0x[0-9a-f]+)", word).group(1), 16) >> 2
        else:
            yield word, dscp


def modelled(switch, packet):
    (outputs,) = switch.possible(header(**packet)).alternatives
    return [(port, out[INDEX["ip_dscp"]]) for port, out in outputs]


@pytest.mark.parametrize("seed", range(3))
def test_the_model_forwards_as_open_vswitch_does(private_ovs, tmp_path, seed):
    dice = random.Random(seed)
    groups, rules = filled(dice)
    private_ovs.add_bridge("br0")
    words = []
    for port in PORTS:
        words += ["--", "add-port", "br0", f"p{port}", "--", "set", "interface", f"p{port}", "type=dummy",
                  f"ofport_request={port}"]  # fmt: skip
    private_ovs.vsctl(*words[1:])
    for name, lines in (("groups", map(group_text, groups)), ("flows", map(text, rules))):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    private_ovs.ofctl("add-groups", "br0", str(tmp_path / "groups"), version="OpenFlow15")
    private_ovs.ofctl("add-flows", "br0", str(tmp_path / "flows"), version="OpenFlow15")
    numbers = ofports(private_ovs)
    model = Switch("br0", 1, ((port, f"p{port}", 0) for port in PORTS))
    for change in (*(PutGroup(group, exists=False) for group in groups), *map(PutRule, rules)):
        assert model.receive(openflow.message(None, change), 0.0) == [], change
    for _ in range(PACKETS):
        packet = random_packet(dice)
        seen = [(numbers[port], dscp) for port, dscp in traced(private_ovs, packet)]
        assert modelled(model, packet) == seen, packet


def ofports(ovs):
    """Datapath port -> OpenFlow port."""
    return {
        int(datapath): int(openflow_port)
        for openflow_port, datapath in re.findall(r"p\d+ (\d+)/(\d+):", ovs.appctl("dpif/show"))
    }


def test_the_model_takes_and_refuses_what_open_vswitch_does(private_ovs, tmp_path):
    private_ovs.add_bridge("br0")
    rule = Rule((("eth_type", 0x0800), ("ip_proto", 6), ("tcp_dst", 80)), (Output(1),))
    cases = {
        "a group that is not there": replace(rule, actions=(ToGroup(99),)),
        "all that is needed": rule,
    }
    model = Switch("br0", 1, ((port, f"p{port}", 0) for port in PORTS))
    for what, one in cases.items():
        answers = model.receive(openflow.message(None, PutRule(one)), 0.0)
        said = private_ovs.ofctl("--strict", "add-flow", "br0", text(one), version="OpenFlow15", check=False)
        held = private_ovs.ofctl("dump-flows", "br0", version="OpenFlow15").count("cookie=")
        assert len(model.entries) == held, (what, answers, said)
