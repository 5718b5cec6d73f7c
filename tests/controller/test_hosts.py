"""Hosts learnt from ARP and ARP answered: values in, values out."""

from dataclasses import replace

import pytest

from controller import frames, hosts
from controller.topology import Fabric, Host
from tests.controller.arp import reply, request
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2))


def port(name):
    switch = FABRIC.switches[name.split("-")[0]]
    return next(port for port in switch.ports.values() if port.name == name)


def test_a_request_for_a_known_host_is_answered_out_of_the_port_it_came_from():
    _, out = hosts.answer(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.2.2"))
    (emit,) = out
    assert (emit.dpid, emit.port) == (1, 1)
    reply = frames.read_arp(emit.frame)
    assert (reply.operation, reply.sender_mac, reply.sender_ip) == (2, "00:04:00:00:02:02", "10.0.2.2")


def test_a_request_for_an_unknown_address_goes_out_of_every_other_edge_port_and_no_link():
    _, out = hosts.answer(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.9.9"))
    assert {(emit.dpid, emit.port) for emit in out} == {(1, 2), (2, 1), (2, 2)}


def test_a_new_sender_is_learnt_and_a_duplicate_address_probe_is_not():
    fabric, _ = hosts.answer(FABRIC, port("leaf2-eth2"), request("02:00:00:00:00:07", "10.0.2.7", "10.0.1.1"))
    assert fabric.hosts_by_address["10.0.2.7"].port == 2
    same, _ = hosts.answer(FABRIC, port("leaf2-eth2"), request("02:00:00:00:00:07", "0.0.0.0", "10.0.2.7"))
    assert same is FABRIC


def test_a_reply_goes_to_the_host_that_asked_and_to_no_other():
    frame = reply("00:04:00:00:02:01", "10.0.2.1", "00:04:00:00:01:01", "10.0.1.1")
    fabric, (emit,) = hosts.answer(FABRIC, port("leaf2-eth1"), frame)
    assert fabric is FABRIC
    assert (emit.dpid, emit.port, emit.frame) == (1, 1, frame)


def test_a_request_for_a_host_behind_the_same_port_is_left_to_that_host():
    fabric = FABRIC.with_host(Host("vm", "02:00:00:00:00:09", "10.0.1.9", "leaf1", 1))
    frame = request("00:04:00:00:01:01", "10.0.1.1", "10.0.1.9")
    _, (emit,) = hosts.answer(fabric, port("leaf1-eth1"), frame)
    assert (emit.dpid, emit.port, emit.frame) == (1, 1, frame)


def test_a_host_that_changed_its_port_or_its_address_is_learnt_again():
    moved, _ = hosts.answer(FABRIC, port("leaf2-eth2"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.1.2"))
    assert [(h.switch, h.port) for h in moved.hosts if h.mac == "00:04:00:00:01:01"] == [("leaf2", 2)]
    renumbered, _ = hosts.answer(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.77", "10.0.1.2"))
    assert renumbered.hosts_by_address["10.0.1.77"].name == "h1"
    assert "10.0.1.1" not in renumbered.hosts_by_address


def test_nothing_floods_while_links_may_be_unknown_nor_out_of_a_port_that_is_down():
    frame = request("00:04:00:00:01:01", "10.0.1.1", "10.0.9.9")
    assert hosts.answer(replace(FABRIC, flood=False), port("leaf1-eth1"), frame)[1] == []
    _, out = hosts.answer(FABRIC.with_port("leaf2", 1, up=False), port("leaf1-eth1"), frame)
    assert {(emit.dpid, emit.port) for emit in out} == {(1, 2), (2, 2)}


@pytest.mark.parametrize("frame", [b"", b"\0" * 60, frames.write_probe(1, 1)])
def test_a_frame_that_is_not_arp_changes_nothing(frame):
    assert hosts.answer(FABRIC, port("leaf1-eth1"), frame) == (FABRIC, [])
