"""core/packet: one header in, its fields out; a cut anywhere leaves the outer fields intact."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.dissect.packet import STACK_NAMES
from analytics.core.flows.flowkeys import FIELDS, fields_of
from analytics.flows.texts import RENDER
from tests.analytics.examples.wire import ethernet, ipv4, ipv6, tcp, tcp_frame, udp

OUTSIDE = {"bytes", "stripped", "inputifindex", "outputifindex", "direction"}  # of the sample, not of the header


def texts(header: bytes, protocol: int = 1) -> dict[str, str]:
    """Field name -> text, of everything dissected."""
    return {
        name: RENDER[FIELDS[name][-1]](raw) for name, raw in fields_of(header, protocol).items() if name not in OUTSIDE
    }


ETHERNET = {
    "macsource": "000000000001",
    "macdestination": "000000000002",
    "isbroadcast": "false",
    "ismulticast": "false",
    "isunicast": "true",
}
IP = {
    "ethernetprotocol": "2048",
    "ipsource": "10.0.1.1",
    "ipdestination": "10.0.2.2",
    "ipttl": "64",
    "iptos": "0",
    "ipdscp": "0",
    "ipdscpname": "CS0",
    "ipecn": "00",
    "ipflags": "000",
    "ipfragoffset": "0",
    "ipversion": "4",
    "ipheaderbytes": "20",
    "ipid": "7",
    "ipchecksum": "0",
    "ip_offset": "14",
}
TCP = {
    "tcpsequenceno": "1",
    "tcpackno": "2",
    "tcpheaderbytes": "20",
    "tcpwindow": "65535",
    "tcpchecksum": "0",
    "tcpurgent": "0",
}
IP6 = {
    "ethernetprotocol": "34525",
    "ip6source": "2001:db8::1",
    "ip6destination": "2001:db8::2",
    "ip6tos": "0",
    "ip6dscp": "0",
    "ip6dscpname": "CS0",
    "ip6ecn": "00",
    "ip6flowlabel": "0",
    "ip6hoplimit": "64",
    "ip6version": "6",
    "ip6_offset": "14",
}
WHOLE6 = IP6 | {"ip6fragm": "no", "ip6fragoffset": "0"}


def test_tcp():
    assert texts(tcp_frame()) == ETHERNET | IP | TCP | {
        "tcp_offset": "34",
        "stack": "eth.ip.tcp",
        "ipprotocol": "6",
        "ipbytes": "40",
        "tcpsourceport": "40000",
        "tcpdestinationport": "5001",
        "tcpflags": "000010000",
    }


def test_udp_with_tags_options_and_tos():
    header = ethernet(ipv4(udp(53, 1053), 17, tos=0xB9, options=bytes(8)), tags=((0x88A8, 0x6064), (0x8100, 0xE00A)))
    found = texts(header)
    assert found["stack"] == "eth.q.q.ip.udp"
    assert (found["vlan"], found["priority"], found["vlan.1"], found["priority.1"]) == ("100", "3", "10", "7")
    assert (found["iptos"], found["ipdscp"], found["ipdscpname"], found["ipecn"]) == ("185", "46", "EF", "01")
    assert (found["udpsourceport"], found["udpdestinationport"], found["ipbytes"]) == ("53", "1053", "44")


@pytest.mark.parametrize(
    ("fragment", "flags", "offset", "ports"),
    [
        (0x4000, "010", "0", True),
        (0x2000, "001", "0", True),
        (0x2001, "001", "1", False),
        (0x0539, "000", "1337", False),
    ],
)
def test_ipv4_fragments_have_ports_only_in_the_first(fragment, flags, offset, ports):
    found = texts(ethernet(ipv4(udp(), 17, fragment=fragment)))
    assert (found["ipflags"], found["ipfragoffset"], found["ipprotocol"]) == (flags, offset, "17")
    assert ("udpsourceport" in found) is ports


def test_padding_of_a_short_frame_is_no_transport_header():
    assert "tcpsourceport" not in texts(ethernet(ipv4(b"", 6) + bytes(26)))


def test_total_length_zero_of_a_segmentation_offload_frame():
    packet = bytearray(ipv4(tcp(), 6))
    packet[2:4] = bytes(2)
    assert texts(ethernet(bytes(packet)))["tcpsourceport"] == "40000"


def test_icmp():
    found = texts(ethernet(ipv4(struct.pack(">BBHHH", 8, 0, 0, 1, 7), 1)))
    assert (found["icmptype"], found["icmpcode"], found["icmpseqno"], found["stack"]) == ("8", "0", "7", "eth.ip.icmp")


@pytest.mark.parametrize(("kind", "numbered"), [(0, True), (3, False), (5, False), (8, True), (11, False), (13, True)])
def test_only_some_icmp_messages_have_a_sequence_number(kind, numbered):
    found = texts(ethernet(ipv4(struct.pack(">BBHHH", kind, 0, 5, 1, 7), 1)))
    assert ("icmpseqno" in found, "icmpid" in found, found["icmpchecksum"]) == (numbered, numbered, "5")


def test_options_of_ip_and_tcp():
    segment = tcp()[:12] + bytes([0x60]) + tcp()[13:] + bytes.fromhex("020405B4")
    found = texts(ethernet(ipv4(segment, 6, options=bytes.fromhex("94040000"))))
    assert (found["ipoptions"], found["ipheaderbytes"]) == ("94040000", "24")
    assert (found["tcpoptions"], found["tcpheaderbytes"], found["tcp_offset"]) == ("020405B4", "24", "38")
    assert not texts(tcp_frame()).keys() & {"ipoptions", "tcpoptions"}
    assert "tcpoptions" not in texts(ethernet(ipv4(segment, 6))[:-1])


def test_different_stacks_have_different_names():
    """The bytes of a stack are a key as they are: two of one name would be two flows."""
    assert len(set(STACK_NAMES.values())) == len(STACK_NAMES)


def test_the_key_of_pptp_is_its_call():
    """Version 1 has the length of each packet in front of it (RFC 2637)."""
    for length in (12, 500):
        found = texts(ethernet(ipv4(struct.pack(">HHHHI", 0x3001, 0x880B, length, 77, 1) + bytes(12), 47)))
        assert (found["grekey"], found["gresequence"]) == ("77", "1")
    assert "grekey" not in texts(ethernet(ipv4(struct.pack(">HHH", 0x3001, 0x880B, 12), 47)))


def test_ipv6():
    found = texts(ethernet(ipv6(tcp(flags=0x102), 6, tos=0xB9), 0x86DD))
    assert found == ETHERNET | WHOLE6 | TCP | {
        "tcp_offset": "54",
        "stack": "eth.ip6.tcp",
        "ip6tos": "185",
        "ip6dscp": "46",
        "ip6dscpname": "EF",
        "ip6ecn": "01",
        "ip6bytes": "60",
        "ip6nexthdr": "6",
        "tcpsourceport": "40000",
        "tcpdestinationport": "5001",
        "tcpflags": "100000010",
    }


def extension(following: int, words: int = 0) -> bytes:
    return bytes([following, words]) + bytes(6 + 8 * words)


def fragment(following: int, offset: int, more: bool) -> bytes:
    return struct.pack(">BBHI", following, 0, offset << 3 | more, 99)


@pytest.mark.parametrize(
    ("first", "chain"),
    [
        (0, extension(17)),
        (43, extension(60, 2) + extension(17)),
        (0, extension(43) + extension(60) + extension(17, 3)),
        (44, fragment(17, 0, True)),
        (135, extension(17)),
    ],
)
def test_ipv6_extension_headers(first, chain):
    found = texts(ethernet(ipv6(chain + udp(), first), 0x86DD))
    assert (found["ip6nexthdr"], found["udpsourceport"], found["stack"]) == ("17", "40000", "eth.ip6.udp")


def test_a_later_ipv6_fragment():
    found = texts(ethernet(ipv6(fragment(17, 185, False) + udp(), 44), 0x86DD))
    assert (found["ip6fragm"], found["ip6fragoffset"], found["ip6nexthdr"]) == ("yes", "185", "17")
    assert "udpsourceport" not in found


def test_authentication_header():
    header = bytes([17, 4, 0, 0]) + struct.pack(">II", 77, 1) + bytes(12)
    for packet, kind, stack in (
        (ipv6(header + udp(), 51), 0x86DD, "eth.ip6.ah.udp"),
        (ipv4(header + udp(), 51), 0x0800, "eth.ip.ah.udp"),
    ):
        found = texts(ethernet(packet, kind))
        assert (found["ahspi"], found["udpsourceport"], found["stack"]) == ("77", "40000", stack)


@pytest.mark.parametrize(("first", "stack"), [(59, "eth.ip6"), (50, "eth.ip6.esp")])
def test_ipv6_no_next_header_and_esp_stop(first, stack):
    assert texts(ethernet(ipv6(udp(), first), 0x86DD))["stack"] == stack


def test_a_chain_of_extension_headers_that_never_ends():
    found = texts(ethernet(ipv6(extension(0) * 60, 0), 0x86DD))
    assert found["stack"] == "eth.ip6"


def test_a_chain_of_tags_that_never_ends():
    found = texts(ethernet(b"", 0x8100, ((0x8100, 5),) * 30))
    assert (found["vlan"], found["vlan.2"], found["stack"]) == ("5", "5", "eth" + ".q" * 15)


def test_icmp6():
    found = texts(ethernet(ipv6(struct.pack(">BBHI", 135, 0, 0, 0), 58), 0x86DD))
    assert (found["icmp6type"], found["icmp6code"], found["stack"]) == ("135", "0", "eth.ip6.icmp6")


ARP = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, b"abcdef", bytes([10, 0, 0, 1]), bytes(6), bytes([10, 0, 0, 2]))


def test_arp():
    found = texts(ethernet(ARP, 0x0806))
    assert (found["arpoperation"], found["arpipsender"], found["arpiptarget"]) == ("1", "10.0.0.1", "10.0.0.2")
    assert found["stack"] == "eth.arp"


@pytest.mark.parametrize("lengths", [(6, 16), (255, 255), (0, 0)])
def test_arp_with_other_address_lengths_has_no_addresses(lengths):
    packet = bytearray(ARP)
    packet[4:6] = bytes(lengths)
    assert "arpipsender" not in texts(ethernet(bytes(packet), 0x0806))


def test_snap():
    found = texts(ethernet(b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + ipv4(tcp(), 6), 48))
    assert (found["ethernetprotocol"], found["ipsource"]) == ("2048", "10.0.1.1")


def test_spanning_tree_in_llc():
    assert texts(ethernet(b"\x42\x42\x03" + bytes(35), 38)) == ETHERNET | {
        "ethernetprotocol": "38",
        "llcdsap": "66",
        "llcssap": "66",
        "stack": "eth.llc.stp",
    }


@pytest.mark.parametrize(
    ("mac", "kinds"),
    [
        ("ffffffffffff", ("true", "false", "false")),
        ("01005e000001", ("false", "true", "false")),
        ("02aabbccddee", ("false",) * 2 + ("true",)),
    ],
)
def test_kinds_of_destination(mac, kinds):
    found = texts(bytes.fromhex(mac) + tcp_frame()[6:])
    assert found["macdestination"] == mac.upper()
    assert tuple(found[name] for name in ("isbroadcast", "ismulticast", "isunicast")) == kinds


@pytest.mark.parametrize(
    ("protocol", "packet", "name"), [(11, ipv4(tcp(), 6), "ipsource"), (12, ipv6(tcp(), 6), "ip6source")]
)
def test_headers_that_start_at_ip(protocol, packet, name):
    found = texts(packet, protocol)
    assert "macsource" not in found
    assert found["tcpsourceport"] == "40000"
    assert name in found


def test_other_header_protocols_are_not_guessed_at():
    assert texts(tcp_frame(), 8) == {}


WHOLE = [
    tcp_frame(),
    ethernet(ipv4(udp(), 17, options=bytes(12)), tags=((0x8100, 5), (0x8100, 6))),
    ethernet(ipv6(extension(44) + fragment(6, 0, True) + tcp(), 0), 0x86DD),
    ethernet(ARP, 0x0806),
]


@pytest.mark.parametrize("header", WHOLE)
def test_every_cut_leaves_the_fields_before_it_intact(header):
    """What a shorter header says is what the longer one said: fields appear, and do not change (the stack grows)."""
    grown: dict[str, str] = {}
    for cut in range(len(header) + 1):
        found = texts(header[:cut])
        for name, text in grown.items():
            if name in ("stack", "ethernetprotocol", "ip6nexthdr", "ip6fragm"):
                assert name in found
            else:
                assert found[name] == text, (cut, name)
        grown = found
    assert grown == texts(header)


@given(st.binary(max_size=120), st.sampled_from([1, 7, 11, 12, 13, 14, 15, 99]))
def test_any_bytes(noise, protocol):
    texts(noise, protocol)


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.integers(0, 65535), st.integers(0, 65535))
def test_any_addresses_and_ports(four, six, source, destination):
    found = texts(ethernet(ipv4(udp(source, destination), 17, str(four), "10.0.0.1")))
    assert (found["ipsource"], found["udpsourceport"]) == (str(four), str(source))
    found = texts(ethernet(ipv6(tcp(source, destination), 6, str(six), "::1"), 0x86DD))
    assert (ip_address(found["ip6source"]), found["tcpdestinationport"]) == (six, str(destination))
