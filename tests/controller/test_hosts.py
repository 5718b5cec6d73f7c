"""Hosts learnt from ARP: values in, values out."""

import pytest

from controller import frames, hosts
from controller.topology import Fabric
from tests.controller.arp import reply, request
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2))


def port(name):
    switch = FABRIC.switches[name.split("-")[0]]
    return next(port for port in switch.ports.values() if port.name == name)


def test_a_new_sender_is_learnt_and_a_duplicate_address_probe_is_not():
    fabric = hosts.learn(FABRIC, port("leaf2-eth2"), request("02:00:00:00:00:07", "10.0.2.7", "10.0.1.1"))
    assert fabric.hosts_by_address["10.0.2.7"].port == 2
    assert hosts.learn(FABRIC, port("leaf2-eth2"), request("02:00:00:00:00:07", "0.0.0.0", "10.0.2.7")) is FABRIC


def test_a_reply_shows_its_sender_as_a_request_does():
    frame = reply("02:00:00:00:00:07", "10.0.2.7", "00:04:00:00:01:01", "10.0.1.1")
    fabric = hosts.learn(FABRIC, port("leaf2-eth2"), frame)
    assert fabric.hosts_by_address["10.0.2.7"].mac == "02:00:00:00:00:07"


def test_a_known_host_where_it_is_known_changes_nothing():
    assert hosts.learn(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.2.2")) is FABRIC


def test_a_host_that_changed_its_port_or_its_address_is_learnt_again():
    moved = hosts.learn(FABRIC, port("leaf2-eth2"), request("00:04:00:00:01:01", "10.0.1.1", "10.0.1.2"))
    assert [(h.switch, h.port) for h in moved.hosts if h.mac == "00:04:00:00:01:01"] == [("leaf2", 2)]
    renumbered = hosts.learn(FABRIC, port("leaf1-eth1"), request("00:04:00:00:01:01", "10.0.1.77", "10.0.1.2"))
    assert renumbered.hosts_by_address["10.0.1.77"].name == "h1"
    assert "10.0.1.1" not in renumbered.hosts_by_address


@pytest.mark.parametrize("mac", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_a_group_address_is_no_host_and_draws_no_broadcast_to_its_port(mac):
    assert hosts.learn(FABRIC, port("leaf2-eth2"), request(mac, "10.0.2.7", "10.0.1.1")) is FABRIC


@pytest.mark.parametrize("frame", [b"", b"\0" * 60, frames.write_probe(1, 1)])
def test_a_frame_that_is_not_arp_changes_nothing(frame):
    assert hosts.learn(FABRIC, port("leaf1-eth1"), frame) is FABRIC
