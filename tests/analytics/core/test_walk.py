"""dissect/walk and its neighbours: every header in a packet built by hand, its fields and its place on the stack.

The packets are in link_headers.py, network_headers.py and udp_headers.py; test_cuts.py cuts the same at every byte.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.flows.flowkeys import fields_inside, fields_of
from analytics.engine import Engine
from tests.analytics.core.test_packet import texts
from tests.analytics.examples.link_headers import FRAME, LINK_HEADERS, TCP, TCP6, label, over_gre, over_udp
from tests.analytics.examples.network_headers import NETWORK_HEADERS
from tests.analytics.examples.udp_headers import UDP_HEADERS
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, ipv6, sampled_header, tcp_frame, udp

HEADERS = LINK_HEADERS | NETWORK_HEADERS | UDP_HEADERS


@pytest.mark.parametrize("name", HEADERS)
def test_header(name):
    protocol, packet, stack, fields = HEADERS[name]
    found = texts(packet, protocol)
    assert found["stack"] == stack
    assert {each: found.get(each) for each in fields} == fields


def test_sampled_sflow_is_never_dissected():
    inside = struct.pack(">IIIIIII", 5, 1, 0x0A000001, 0, 1, 1, 0) + FRAME
    assert texts(over_udp(6343, inside))["stack"] == "eth.ip.udp"


@pytest.mark.parametrize(
    ("port", "payload"),
    [
        (4789, bytes(8) + FRAME),  # the flag that makes the VNI valid is not set
        (6081, b"\x40" + bytes(7) + FRAME),  # version 1
        (2152, b"\x48\x20" + bytes(20)),  # GTP-C, version 2
        (3544, bytes(20)),
        (1701, bytes(20)),
    ],
)
def test_a_port_alone_makes_no_tunnel(port, payload):
    assert texts(over_udp(port, payload))["stack"] == "eth.ip.udp"


@pytest.mark.parametrize(("flags", "kind"), [(0x4000, 0x0800), (2, 0x0800), (0, 0x9999)])
def test_gre_that_is_not_followed(flags, kind):
    found = texts(over_gre(flags, kind, TCP))
    assert (found["stack"], found["greprotocol"]) == ("eth.ip.gre", str(kind))
    assert "ipsource.1" not in found


BOMBS = {
    "IP in IP": (11, ipv4(b"", 4)[:2] + bytes(7) + b"\x04" + bytes(10), "ip"),
    "IPv6 in IPv6": (12, ipv6(b"", 41), "ip6"),
    "VLAN tags": (1, b"", "eth.q"),
    "MPLS labels": (13, label(5), "mpls"),
    "EtherIP": (1, b"", "eth.ip.etherip"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_at_the_bound(name):
    protocol, layer, prefix = BOMBS[name]
    if name == "VLAN tags":
        packet = ethernet(b"", 0x8100, ((0x8100, 5),) * 100)
    elif name == "EtherIP":
        packet = FRAME
        for _ in range(64):
            packet = ethernet(ipv4(b"\x30\x00" + packet, 97))
    elif name == "IP in IP":
        packet = TCP
        for _ in range(64):
            packet = ipv4(packet, 4)
    else:
        packet = layer * 64
    found = texts(packet, protocol)
    assert found["stack"].count(".") == 15  # packet.STACK_ROOM headers
    assert found["stack"].startswith(prefix)


def test_an_ipv6_packet_of_nothing_but_extension_headers():
    assert texts(ethernet(ipv6(bytes(8) * 100, 0), 0x86DD))["stack"] == "eth.ip6"


@given(st.binary(max_size=160), st.sampled_from([1, 7, 11, 12, 13, 14, 15]), st.binary(min_size=64, max_size=64))
def test_no_bytes_read_outside(noise, protocol, around):
    assert fields_inside(around + noise + around, 64, len(noise), protocol) == fields_of(noise, protocol)


@given(st.sampled_from(sorted(HEADERS)), st.data())
def test_mutated_headers(name, data):
    protocol, packet, _, _ = HEADERS[name]
    wire = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    found = fields_inside(b"\xff" * 64 + wire + b"\xff" * 64, 64, len(wire), protocol)
    assert found == fields_of(wire, protocol)
    texts(bytes(wire), protocol)


PORTS = "or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"


@pytest.mark.parametrize(
    ("keys", "packet", "found"),
    [
        (f"ipsource,ipdestination,{PORTS}", tcp_frame(), ["10.0.1.1,10.0.2.2,40000,5001"]),
        (PORTS, ethernet(ipv4(udp(7, 8), 17)), ["7,8"]),
        (PORTS, tcp_frame()[:38], ["40000,5001"]),
        (PORTS, tcp_frame()[:37], []),  # the second port is cut: no key
        ("ipdestination,ipsource", tcp_frame(), ["10.0.2.2,10.0.1.1"]),
        ("ipsource,ipdestination", tcp_frame()[:33], []),
        ("ipsource,ipdestination,ipsource.1,ipdestination.1", ethernet(ipv4(TCP, 4)),
         ["10.0.1.1,10.0.2.2,192.168.0.1,192.168.0.2"]),
        ("tcpsourceport,tcpdestinationport,or:vlan:ipttl,stack", tcp_frame(), ["40000,5001,64,eth.ip.tcp"]),
        ("or:ipsource:ip6source,or:ipdestination:ip6destination", ethernet(TCP6, 0x86DD), ["fd00::1,fd00::2"]),
    ],
)  # fmt: skip
def test_keys_whose_fields_are_read_together(keys, packet, found):
    engine = Engine()
    try:
        engine.set_flow("any", {"keys": keys, "value": "frames"})
        engine.feed([datagram(flow_sample(sampled_header(packet)))], 1000.0)
        assert [flow.key for flow in engine.active_flows(["ALL"], "any", 1000.0)] == found
    finally:
        engine.close()
