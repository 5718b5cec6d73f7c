"""Frames, ARP and discovery: what a controller without a topology file finds out by itself."""

from hypothesis import given
from hypothesis import strategies as st

from controller import frames, hosts
from controller.commands import Emit
from controller.conductor import Conductor, Report
from controller.discovery import LINK_AGE, SETTLE, Discovery
from controller.topology import Fabric, Port
from topologies.leafspine import leafspine

MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
ADDRESSES = st.ip_addresses(v=4).map(str)
FABRIC = Fabric.from_spec(leafspine(2, 2, 2))


def port(name):
    switch = FABRIC.switches[name.split("-")[0]]
    return next(port for port in switch.ports.values() if port.name == name)


def request(sender_mac, sender_ip, target_ip):
    return frames.write_arp(
        frames.Arp(frames.REQUEST, sender_mac, sender_ip, "00:00:00:00:00:00", target_ip), frames.BROADCAST
    )


@given(st.sampled_from([1, 2]), MACS, ADDRESSES, MACS, ADDRESSES, MACS)
def test_arp_reads_back(operation, sender_mac, sender_ip, target_mac, target_ip, destination):
    arp = frames.Arp(operation, sender_mac, sender_ip, target_mac, target_ip)
    frame = frames.write_arp(arp, destination)
    assert frames.read_arp(frame) == arp
    assert all(frames.read_arp(frame[:cut]) is None for cut in range(len(frame)))


def test_arp_on_the_wire():
    """RFC 826: an Ethernet/IPv4 request, byte by byte."""
    frame = request("00:04:00:00:01:01", "10.0.1.1", "10.0.2.1")
    assert frame.hex() == (
        "ffffffffffff000400000101" "0806" "0001080006040001" "0004000001010a000101" "0000000000000a000201"
    )  # fmt: skip


@given(st.integers(0, 2**64 - 1), st.integers(1, 0xFFFFFF00))
def test_a_probe_reads_back_and_no_truncation_reads_as_another(dpid, number):
    frame = frames.write_probe(dpid, number)
    assert len(frame) >= 60
    assert frames.read_probe(frame) == (dpid, number)
    for cut in range(len(frame)):
        assert frames.read_probe(frame[:cut]) in (None, (dpid, number))


@given(st.binary(max_size=120))
def test_noise_is_neither_arp_nor_probe_of_ours(noise):
    assert frames.read_probe(noise) is None
    arp = frames.read_arp(noise)
    assert arp is None or frames.ethertype(noise) == 0x0806


def test_a_request_for_a_known_host_is_answered_out_of_the_port_it_came_from():
    _, out = hosts.answer(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.2.2"))
    (emit,) = out
    assert (emit.dpid, emit.port) == (1, 1)
    reply = frames.read_arp(emit.frame)
    assert (reply.operation, reply.sender_mac, reply.sender_ip) == (2, "00:04:00:00:02:02", "10.0.2.2")


def test_a_request_for_a_stranger_goes_out_of_every_other_edge_port_and_no_link():
    _, out = hosts.answer(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.9.9"))
    assert {(emit.dpid, emit.port) for emit in out} == {(1, 2), (2, 1), (2, 2)}


def test_a_new_sender_is_learnt_and_a_duplicate_address_probe_is_not():
    fabric, _ = hosts.answer(FABRIC, port("leaf2-eth2"), request("02:00:00:00:00:07", "10.0.2.7", "10.0.1.1"))
    assert fabric.hosts_by_address["10.0.2.7"].port == 2
    same, _ = hosts.answer(FABRIC, port("leaf2-eth2"), request("02:00:00:00:00:07", "0.0.0.0", "10.0.2.7"))
    assert same is FABRIC


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
    conductor.packet_in(2, 2, from_s1, 1.0)
    assert {(link.source.name, link.target.name) for link in conductor.fabric.links} == {
        ("s1-eth2", "s2-eth2"), ("s2-eth2", "s1-eth2"),
    }  # fmt: skip
    conductor.tick(1.0 + SETTLE)
    assert conductor.fabric.flood
    commands = conductor.packet_in(1, 1, request("02:00:00:00:00:01", "10.9.0.1", "10.9.0.2"), 5.0)
    assert [(c.dpid, c.port) for c in commands if isinstance(c, Emit)] == [(2, 1)]
    conductor.ports_reported([("10.1.1.1", "7", 1, 1), ("10.1.1.1", "8", 9, 1)], 6.0)
    known = conductor.view().fabric
    assert known.port_at("10.1.1.1", "7").name == "s1-eth1"
    assert known.port_at("10.1.1.1", "7").speed == 10_000_000
    assert [host.switch for host in known.hosts] == ["s1"]


def test_a_silent_link_is_forgotten():
    discovery = Discovery()
    fabric = discovery.switch(Fabric({}), 1, "s1", {1: Port("", 1, "a")}, 0.0)
    fabric = discovery.switch(fabric, 2, "s2", {1: Port("", 1, "b")}, 0.0)
    probe = frames.write_probe(1, 1)
    fabric = discovery.probe(fabric, fabric.switches["s2"].ports[1], probe, 1.0)
    assert len(discovery.settled(fabric, 1.0 + LINK_AGE - 0.1).links) == 2
    assert discovery.settled(fabric, 1.0 + LINK_AGE + 0.1).links == ()


def test_after_a_restart_discovery_keeps_the_ways_to_hosts_it_has_not_met_again():
    first = Conductor(discovery=Discovery())
    up(first, 1, "s1", (1, 2), 0.0)
    first.packet_in(1, 1, request("02:00:00:00:00:01", "10.9.0.1", "10.9.0.2"), 5.0)
    found = tuple(first.installed[1].rules.values())
    again = Conductor(discovery=Discovery())
    ports = {n: Port("", n, f"s1-eth{n}") for n in (1, 2)}
    again.switch_up(1, Report("s1", ports, {1: True, 2: True}, found), 10.0)
    assert any(("eth_dst", "02:00:00:00:00:01") in rule.match for rule in again.installed[1].rules.values())
