"""capture: files of every supported link type in, UDP payloads out; a broken file is named with the offset."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.capture import Broken, datagrams
from tests.analytics.wire import ethernet, ipv4, ipv6, tcp_frame, udp

PAYLOAD = b"sflow datagram"
FOUR = ipv4(udp(40000, 6343, PAYLOAD), 17, "192.0.2.1")
SIX = ipv6(udp(40000, 6343, PAYLOAD), 17, "2001:db8::7")


def pcap(*packets: bytes, link: int = 1, order: str = "<", nano: bool = False) -> bytes:
    """A capture whose packets are half a second apart, from 100.5 on."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    made = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for number, packet in enumerate(packets):
        half = (5 * 10**8 if nano else 5 * 10**5) * (1 - number % 2)
        made += struct.pack(order + "IIII", 100 + (number + 1) // 2, half, len(packet), len(packet)) + packet
    return made


def read(tmp_path, data: bytes, port: int = 6343):
    path = tmp_path / "capture.pcap"
    path.write_bytes(data)
    return list(datagrams(path, port))


@pytest.mark.parametrize(
    ("link", "packet", "source"),
    [
        (1, ethernet(FOUR), "192.0.2.1"),
        (1, ethernet(SIX, 0x86DD), "2001:db8::7"),
        (1, ethernet(FOUR, tags=((0x88A8, 1), (0x8100, 2))), "192.0.2.1"),
        (1, ethernet(FOUR + bytes(10)), "192.0.2.1"),
        (101, FOUR, "192.0.2.1"),
        (101, SIX, "2001:db8::7"),
        (228, FOUR, "192.0.2.1"),
        (229, SIX, "2001:db8::7"),
        (0, struct.pack("<I", 2) + FOUR, "192.0.2.1"),
        (113, bytes(14) + b"\x08\x00" + FOUR, "192.0.2.1"),
        (276, b"\x86\xdd" + bytes(18) + SIX, "2001:db8::7"),
    ],
)
def test_link_types(tmp_path, link, packet, source):
    assert read(tmp_path, pcap(packet, link=link)) == [(100.5, source, PAYLOAD)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
def test_byte_orders_and_clocks(tmp_path, order, nano):
    found = read(tmp_path, pcap(ethernet(FOUR), ethernet(FOUR), ethernet(FOUR), order=order, nano=nano))
    assert [now for now, _, _ in found] == [100.5, 101.0, 101.5]


def test_everything_else_is_passed_over(tmp_path):
    others = [tcp_frame(), ethernet(ipv4(udp(6343, 53), 17)), ethernet(b"arp", 0x0806), b"", b"short",
              ethernet(ipv4(udp(1, 6343), 17, fragment=0x2000)), ethernet(ipv4(b"cut", 17))]  # fmt: skip
    assert read(tmp_path, pcap(*others, ethernet(FOUR))) == [
        (100.0 + (len(others) + 1) // 2 + (len(others) % 2 == 0) / 2, "192.0.2.1", PAYLOAD)
    ]
    assert read(tmp_path, pcap(ethernet(FOUR)), port=7343) == []


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "offset 0: not a pcap file"),
        (b"hello, this is a letter", "offset 0: not a pcap file"),
        (pcap(link=147), "offset 20: link type 147 is not supported"),
        (pcap(ethernet(FOUR))[:-1], "offset 24: ends within a packet"),
        (pcap(ethernet(FOUR)) + b"abc", "ends within a packet's header"),
        (pcap() + struct.pack("<IIII", 0, 0, 1 << 30, 0), "offset 24: a packet of 1073741824 bytes"),
    ],
)
def test_broken_files_are_named(tmp_path, data, what):
    with pytest.raises(Broken) as error:
        read(tmp_path, data)
    assert what in str(error.value)
    assert "capture.pcap" in str(error.value)


@given(noise=st.lists(st.binary(max_size=80), max_size=4), link=st.sampled_from([0, 1, 101, 113, 276]))
def test_any_packets(tmp_path_factory, noise, link):
    path = tmp_path_factory.mktemp("noise") / "x.pcap"
    path.write_bytes(pcap(*noise, link=link))
    assert len(list(datagrams(path, 6343))) <= len(noise)
