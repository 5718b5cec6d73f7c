"""Ports that send too much to the controller are muted: by rules, for a while, longer each time, and no others are."""

import pytest

from controller.conductor import Conductor, Report
from controller.packetins import BURST, FIRST_MUTE, LONGEST_MUTE, RATE
from controller.pipeline import RuleKind, kind_of
from controller.topology import Fabric
from ovs_rules.rule import ETH_ARP, ETH_IPV6, ETH_LLDP
from tests.controller.arp import request
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2, 5))
LEAF1 = FABRIC.switches["leaf1"]


@pytest.fixture
def conductor():
    conductor = Conductor(fabric=FABRIC)
    conductor.switch_up(LEAF1.dpid, Report(None, LEAF1.ports, dict.fromkeys(LEAF1.ports, True)), 0.0)
    return conductor


def flood(conductor, port, now, packets=int(BURST) + 50):
    """ARP from new MACs, all at once; the changes that were sent."""
    sent = []
    for number in range(packets):
        arp = request(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", "10.9.0.1", "10.9.0.2")
        sent += conductor.packet_in(LEAF1.dpid, port, arp, now)
    return sent


def muted(conductor):
    """(port, ethertype) -> next table of the rules that mute."""
    kinds = (RuleKind.MUTED_ARP, RuleKind.MUTED_LLDP)
    held = conductor.view().installed[LEAF1.dpid].rules.values()
    rules = [rule for rule in held if kind_of(rule.cookie) in kinds and not rule.actions]
    return {(match["in_port"], match["eth_type"]): rule.goto for rule in rules if (match := dict(rule.match))}


def test_a_port_over_its_budget_is_muted_and_forwards_its_arp_all_the_same(conductor):
    flood(conductor, 1, 1.0)
    assert muted(conductor) == {(1, ETH_ARP): 1, (1, ETH_IPV6): 1, (1, ETH_LLDP): None}
    assert (
        f"switch leaf1 port 1 sends more ARP, ND or LLDP than {RATE:g} packets a second: "
        "no new hosts are learnt there for the moment"
    ) in conductor.view().problems


def test_the_rules_of_a_mute_are_sent_once(conductor):
    flood(conductor, 1, 1.0)
    assert flood(conductor, 1, 1.0) == []


def test_hosts_behind_other_ports_are_learnt_meanwhile(conductor):
    flood(conductor, 1, 1.0)
    conductor.packet_in(LEAF1.dpid, 2, request("02:ff:00:00:00:01", "10.8.0.1", "10.8.0.2"), 1.0)
    assert conductor.hosts.by_address["10.8.0.1"].port == 2


def test_a_mute_ends_and_the_next_is_twice_as_long(conductor):
    now, length = 1.0, FIRST_MUTE
    while length <= LONGEST_MUTE:
        flood(conductor, 1, now)
        conductor.tick(now + length - 0.1)
        assert muted(conductor)
        now += length
        conductor.tick(now)
        assert not muted(conductor)
        length *= 2
    now += LONGEST_MUTE
    flood(conductor, 1, now)
    conductor.tick(now + FIRST_MUTE)
    assert not muted(conductor), "a port that kept quiet begins anew"


def test_a_port_within_its_budget_is_never_muted(conductor):
    for step in range(1000):
        flood(conductor, 1, step / RATE, packets=1)
    assert not muted(conductor)
