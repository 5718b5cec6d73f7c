"""Discovery: what a controller without a topology file finds out by itself."""

from controller import frames
from controller.commands import Emit
from controller.conductor import Conductor, Report
from controller.discovery import LINK_AGE, SETTLE, Discovery
from controller.pipeline import RuleKind, kind_of
from controller.topology import Fabric, Port
from tests.controller.arp import request


def up(conductor, dpid, name, numbers, now):
    ports = {n: Port("", n, f"{name}-eth{n}", 10_000_000_000) for n in numbers}
    return conductor.switch_up(dpid, Report(name, ports, dict.fromkeys(numbers, True)), now)


def test_two_switches_find_their_link_their_hosts_and_their_sflow_names():
    conductor = Conductor(discovery=Discovery(port_speed=10_000_000))
    up(conductor, 1, "s1", (1, 2), 0.0)
    up(conductor, 2, "s2", (1, 2), 0.5)
    assert not conductor.fabric.flood
    probes = [command for command in conductor.tick(0.5) if isinstance(command, Emit)]
    assert {(probe.dpid, probe.port) for probe in probes} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    (from_s1,) = [probe.frame for probe in probes if (probe.dpid, probe.port) == (1, 2)]
    conductor.packet_in(2, 2, from_s1, SETTLE)
    assert {(link.source.name, link.target.name) for link in conductor.fabric.links} == {
        ("s1-eth2", "s2-eth2"), ("s2-eth2", "s1-eth2"),
    }  # fmt: skip
    conductor.tick(1.0 + SETTLE)
    assert conductor.fabric.flood
    learnt = conductor.packet_in(1, 1, request("02:00:00:00:00:01", "10.9.0.1", "10.9.0.2"), 2.0 + SETTLE)
    assert not any(isinstance(command, Emit) for command in learnt)
    conductor.ports_reported([("10.1.1.1", "7", 1, 1), ("10.1.1.1", "8", 9, 1)], 3.0 + SETTLE)
    known = conductor.view().fabric
    assert known.port_at("10.1.1.1", "7").name == "s1-eth1"
    assert known.port_at("10.1.1.1", "7").speed == 10_000_000
    assert [host.switch for host in known.hosts] == ["s1"]


def test_a_link_without_probes_is_forgotten():
    discovery = Discovery()
    fabric = discovery.switch(Fabric({}), 1, "s1", {1: Port("", 1, "a")}, 0.0)
    fabric = discovery.switch(fabric, 2, "s2", {1: Port("", 1, "b")}, 0.0)
    probe = frames.write_probe(1, 1)
    fabric = discovery.probe(fabric, fabric.switches["s2"].ports[1], probe, 1.0)
    assert len(discovery.settled(fabric, 1.0 + LINK_AGE - 0.1).links) == 2
    assert discovery.settled(fabric, 1.0 + LINK_AGE + 0.1).links == ()


def settled_pair(now=0.0):
    """A controller that has found the link between s1-eth2 and s2-eth2 and settled."""
    conductor = Conductor(discovery=Discovery())
    reconnect(conductor, {1: (), 2: ()}, now)
    link_found(conductor, now + SETTLE)
    conductor.tick(now + SETTLE)
    return conductor


def reconnect(conductor, held, now):
    """Switches s1 and s2 connect, with the rules they hold."""
    for dpid, rules in held.items():
        ports = {n: Port("", n, f"s{dpid}-eth{n}") for n in (1, 2)}
        conductor.switch_up(dpid, Report(f"s{dpid}", ports, {1: True, 2: True}, tuple(rules)), now)


def link_found(conductor, now):
    for source, target in ((1, 2), (2, 1)):
        conductor.packet_in(target, 2, frames.write_probe(source, 2), now)


def held(conductor):
    return {dpid: tuple(installed.rules.values()) for dpid, installed in conductor.view().installed.items()}


def kinds(rules):
    return {kind_of(rule.cookie) for rule in rules}


def test_after_a_restart_discovery_keeps_the_rules_of_hosts_not_yet_learnt_again():
    first = settled_pair()
    first.packet_in(1, 1, request("02:00:00:00:00:01", "10.9.0.1", "10.9.0.2"), 20.0)
    again = Conductor(discovery=Discovery())
    reconnect(again, held(first), 30.0)
    link_found(again, 30.0 + SETTLE)
    again.tick(30.0 + SETTLE)
    assert any(("eth_dst", "02:00:00:00:00:01") in rule.match for rule in held(again)[1])


def test_after_a_restart_arp_goes_on_by_the_old_tree_until_discovery_has_settled():
    before = held(settled_pair())
    assert kinds(before[1]) >= {RuleKind.TREE, RuleKind.ARP_TREE, RuleKind.ARP_TRANSIT}
    again = Conductor(discovery=Discovery())
    reconnect(again, before, 30.0)
    assert held(again) == before
    link_found(again, 29.0 + SETTLE)
    again.tick(30.0 + SETTLE)
    assert held(again) == before


def test_a_tree_without_the_switch_that_connects_last_is_not_made():
    """Open vSwitch waits up to 8 s between two attempts, and forwards by its old rules meanwhile."""
    before = held(settled_pair())
    again = Conductor(discovery=Discovery())
    reconnect(again, {1: before[1]}, 30.0)
    again.tick(38.0)
    reconnect(again, {2: before[2]}, 38.5)
    again.tick(30.0 + SETTLE)
    assert held(again) == before


def test_rules_of_a_link_that_is_not_found_again_go_when_discovery_has_settled():
    before = held(settled_pair())
    again = Conductor(discovery=Discovery())
    reconnect(again, before, 30.0)
    again.tick(30.0 + SETTLE)
    assert RuleKind.ARP_TRANSIT not in kinds(held(again)[1])


def test_no_host_is_learnt_while_a_port_may_still_turn_out_to_end_a_link():
    conductor = Conductor(discovery=Discovery())
    reconnect(conductor, {1: (), 2: ()}, 0.0)
    frame = request("02:00:00:00:00:01", "10.9.0.1", "10.9.0.2")
    conductor.packet_in(2, 2, frame, 1.0)
    assert conductor.fabric.hosts == ()
    link_found(conductor, SETTLE)
    conductor.tick(SETTLE)
    conductor.packet_in(2, 2, frame, 1.0 + SETTLE)
    assert conductor.fabric.hosts == ()
    conductor.packet_in(1, 1, frame, 1.0 + SETTLE)
    assert [(host.switch, host.port) for host in conductor.fabric.hosts] == [("s1", 1)]
