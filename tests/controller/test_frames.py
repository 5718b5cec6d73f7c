"""ARP and ND read, questions and probes written, whatever the bytes."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.lib.packet import arp, ethernet, icmpv6, ipv6, packet

from controller import frames
from tests.controller import nd
from tests.controller.arp import frame as arp_frame
from tests.controller.arp import request

MACS = st.binary(min_size=6, max_size=6).map(lambda raw: bytes([raw[0] & 0xFE, *raw[1:5], raw[5] | 1]).hex(":"))
ADDRESSES = st.integers(1 << 24, 100 << 24).map(lambda n: str(frames.IPv4Address(n)))
ADDRESSES6 = st.integers(0x20 << 120, 0x3F << 120).map(lambda n: str(IPv6Address(n)))
MAC, OTHER, IP, IP6 = "02:00:00:00:00:07", "02:00:00:00:00:08", "10.0.2.7", "2001:db8::7"
KEY = b"a key"


@given(st.sampled_from([1, 2]), MACS, ADDRESSES, MACS, ADDRESSES, MACS)
def test_the_sender_of_arp_is_read(operation, sender_mac, sender_ip, target_mac, target_ip, destination):
    frame = arp_frame(destination, operation, sender_mac, sender_ip, target_mac, target_ip)
    assert frames.read_claim(frame) == (sender_mac, sender_ip)
    assert all(frames.read_claim(frame[:cut]) is None for cut in range(len(frame)))


def test_arp_on_the_wire():
    """RFC 826: an Ethernet/IPv4 request, byte by byte."""
    frame = request("00:04:00:00:01:01", "10.0.1.1", "10.0.2.1")
    assert frame.hex() == (
        "ffffffffffff000400000101" "0806" "0001080006040001" "0004000001010a000101" "0000000000000a000201"
    )  # fmt: skip


@given(MACS, ADDRESSES6, ADDRESSES6)
def test_the_source_of_a_solicitation_and_the_target_of_an_advertisement_are_read(mac, address, other):
    for frame in (
        nd.solicitation(mac, address, other),
        nd.solicitation(mac, address, other, option=False),
        nd.advertisement(mac, address),
        nd.advertisement(mac, address, OTHER, other),
    ):
        assert frames.read_claim(frame) == (mac, address)
        assert all(frames.read_claim(frame[:cut]) is None for cut in range(len(frame)))


def test_of_several_link_layer_addresses_the_one_that_neighbours_would_use_counts():
    assert frames.read_claim(nd.advertisement(MAC, IP6, said=OTHER)) == (OTHER, IP6)


def broken(at, value):
    frame = bytearray(nd.solicitation(MAC, IP6, "2001:db8::1"))
    frame[at] = value
    return bytes(frame)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(request(MAC, "0.0.0.0", IP), id="ARP probe, RFC 5227"),
        pytest.param(request(MAC, "255.255.255.255", IP), id="broadcast address"),
        pytest.param(request(MAC, "224.0.0.1", IP), id="multicast address"),
        pytest.param(request(MAC, "127.0.0.1", IP), id="loopback"),
        pytest.param(request("ff:ff:ff:ff:ff:ff", IP, IP), id="broadcast MAC"),
        pytest.param(request("01:00:5e:00:00:01", IP, IP), id="multicast MAC"),
        pytest.param(request("00:00:00:00:00:00", IP, IP), id="zero MAC"),
        pytest.param(request(frames.OUR_MAC, IP, IP), id="the controller's MAC"),
        pytest.param(nd.solicitation(MAC, "::", IP6), id="duplicate address detection"),
        pytest.param(nd.advertisement(MAC, "ff02::5"), id="multicast target"),
        pytest.param(nd.solicitation(MAC, IP6, "2001:db8::1", hops=254), id="through a router"),
        pytest.param(broken(54, 133), id="another ICMPv6 type"),
        pytest.param(broken(55, 1), id="code"),
        pytest.param(broken(57, 0), id="checksum"),
        pytest.param(broken(79, 0), id="option without length"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0" * 60, id="zeros"),
        pytest.param(frames.write_probe(1, 1, 1, KEY), id="LLDP"),
    ],
)
def test_what_claims_no_address_of_one_host_is_no_claim(frame):
    assert frames.read_claim(frame) is None


def test_a_question_in_arp_claims_no_address_and_goes_to_the_host_alone():
    read = packet.Packet(frames.write_question(MAC, IP))
    ether, asked = read.get_protocol(ethernet.ethernet), read.get_protocol(arp.arp)
    assert (ether.dst, ether.src) == (MAC, frames.OUR_MAC)
    assert (asked.opcode, asked.src_mac, asked.src_ip, asked.dst_ip) == (1, frames.OUR_MAC, "0.0.0.0", IP)


def test_a_question_in_nd_is_a_valid_solicitation_to_the_host_alone():
    frame = frames.write_question(MAC, IP6)
    read = packet.Packet(frame)
    ether, ip, asked = (read.get_protocol(kind) for kind in (ethernet.ethernet, ipv6.ipv6, icmpv6.icmpv6))
    assert (ether.dst, ether.src) == (MAC, frames.OUR_MAC)
    assert (ip.src, ip.dst, ip.hop_limit) == (str(frames.OUR_IPV6), IP6, 255)
    assert (asked.type_, asked.data.dst, asked.data.option.hw_src) == (135, IP6, frames.OUR_MAC)
    again = packet.Packet()
    again.protocols = [ether, ip, icmpv6.icmpv6(asked.type_, asked.code, 0, asked.data)]
    again.serialize()
    assert bytes(again.data) == frame  # with the checksum that Ryu makes


@given(st.integers(0, 2**64 - 1), st.integers(1, 0xFFFFFF00), st.integers(0, 2**64 - 1))
def test_a_probe_reads_back_and_no_truncation_reads_as_another(dpid, number, round_number):
    frame = frames.write_probe(dpid, number, round_number, KEY)
    assert len(frame) >= 60
    probe = frames.read_probe(frame)
    assert (probe.dpid, probe.port, probe.round) == (dpid, number, round_number)
    assert probe.is_by(KEY)
    assert not probe.is_by(b"another")
    for cut in range(len(frame)):
        assert frames.read_probe(frame[:cut]) in (None, probe)


@given(st.data())
def test_a_probe_with_any_bit_changed_proves_nothing_else(data):
    frame = bytearray(frames.write_probe(7, 3, 5, KEY))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    probe = frames.read_probe(bytes(frame))
    assert probe is None or not probe.is_by(KEY) or probe[:3] == (7, 3, 5)


@given(st.binary(max_size=120))
def test_noise_is_neither_claim_nor_probe(noise):
    assert frames.read_probe(noise) is None
    assert frames.read_claim(noise) is None or frames.ethertype(noise) == 0x0806


@given(st.binary(max_size=120), st.sampled_from([b"\x08\x06", b"\x86\xdd", b"\x88\xcc"]))
def test_noise_of_the_right_kind_is_read_or_left(noise, kind):
    frame = bytes(12) + kind + noise
    frames.read_probe(frame)
    frames.read_claim(frame)
