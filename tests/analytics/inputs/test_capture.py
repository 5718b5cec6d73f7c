"""capture: files of every supported link type in, UDP payloads out; a broken file is named with the offset."""

from __future__ import annotations

import io
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.inputs.capture import MalformedCapture, datagrams
from tests.analytics.examples.wire import ethernet, ipv4, ipv6, tcp_frame, udp

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


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, order: str = "<", options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(packet: bytes, ticks: int, number: int = 0, order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), 1500)
    return block(6, head + packet + bytes(-len(packet) % 4) + option(1, b"a comment", order), order)


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


@pytest.mark.parametrize("order", "<>")
def test_pcapng(tmp_path, order):
    nano = option(2, b"eth0", order) + option(9, bytes([9]), order) + option(14, struct.pack(order + "q", 1000), order)
    binary = option(9, bytes([0x80 | 10]), order) + option(0, b"", order)
    data = (
        section(order) + interface(1, order) + interface(101, order, nano) + interface(1, order, binary)
        + enhanced(ethernet(FOUR), 100_500_000, 0, order) + enhanced(SIX, 2_250_000_000, 1, order)
        + block(5, bytes(12), order) + enhanced(ethernet(FOUR), 3 * 1024 + 256, 2, order)
        + block(2, struct.pack(order + "HHIIII", 1, 9, 0, 500_000_000, len(FOUR), len(FOUR)) + FOUR, order)
        + block(3, struct.pack(order + "I", 1500) + ethernet(FOUR), order)
    )  # fmt: skip
    assert read(tmp_path, data) == [
        (100.5, "192.0.2.1", PAYLOAD), (1002.25, "2001:db8::7", PAYLOAD), (3.25, "192.0.2.1", PAYLOAD),
        (1000.5, "192.0.2.1", PAYLOAD), (0.0, "192.0.2.1", PAYLOAD)]  # fmt: skip


def test_pcapng_of_two_sections(tmp_path):
    """A new section may change the byte order and begins with no interfaces."""
    data = section("<") + interface() + enhanced(ethernet(FOUR), 10**6)
    data += section(">") + interface(101, ">") + enhanced(SIX, 2 * 10**6, 0, ">")
    assert read(tmp_path, data) == [(1.0, "192.0.2.1", PAYLOAD), (2.0, "2001:db8::7", PAYLOAD)]


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        ([(0, 8)], True),
        ([(0, 8), (43, 24), (60, 16)], True),
        ([(51, 12)], True),
        ([(135, 8)], True),
        ([(44, 8)], False),  # a fragment
        ([(0, 8), (59, 8)], False),
    ],
)
def test_ipv6_extension_headers(tmp_path, chain, found):
    packet, following = udp(40000, 6343, PAYLOAD), 17
    for kind, length in reversed(chain):
        packet = bytes([following, length // 4 - 2 if kind == 51 else length // 8 - 1]) + bytes(length - 2) + packet
        following = kind
    packets = read(tmp_path, pcap(ethernet(ipv6(packet, following, "2001:db8::7"), 0x86DD)))
    assert packets == ([(100.5, "2001:db8::7", PAYLOAD)] if found else [])


def test_an_interface_option_without_its_value_is_passed_over(tmp_path):
    data = section() + interface(1, "<", struct.pack("<HH", 9, 1)) + enhanced(ethernet(FOUR), 10**6)
    assert read(tmp_path, data) == [(1.0, "192.0.2.1", PAYLOAD)]


def test_a_file_object_and_progress(tmp_path):
    """A pipe is read in order; progress is reported once a megabyte."""
    data, offsets = pcap() + pcap(ethernet(FOUR))[24:] * 30000, []
    found = list(datagrams("-", 6343, file=io.BytesIO(data), progress=offsets.append))
    assert len(found) == 30000
    assert len(offsets) == len(data) >> 20
    assert all(1 << 20 <= after - before < (1 << 20) + 200 for before, after in itertools.pairwise([0, *offsets]))


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
        (pcap()[:20], "offset 0: not a pcap file"),
        (section()[:10], "offset 0: ends within a block's header"),
        (section()[:8] + bytes(20), "offset 0: a section without byte order"),
        (section() + interface()[:-1], "offset 28: ends within a block"),
        (section() + b"\1\0", "offset 28: ends within a block's header"),
        (section() + struct.pack("<II", 1, 8), "offset 28: a block of 8 bytes"),
        (section() + struct.pack("<II", 1, 0xFFFFFFFC), "offset 28: a block of 4294967292 bytes"),
        (section() + interface() + block(6, b"cut"), "offset 48: a block that is too short"),
        (section() + enhanced(ethernet(FOUR), 1), "offset 28: a packet of an interface that was not described"),
        (section() + interface(147) + enhanced(ethernet(FOUR), 1), "offset 48: link type 147 is not supported"),
        (section() + interface(147) + block(3, bytes(40)), "offset 48: link type 147 is not supported"),
    ],
)
def test_broken_files_are_named(tmp_path, data, what):
    with pytest.raises(MalformedCapture) as error:
        read(tmp_path, data)
    assert what in str(error.value)
    assert "capture.pcap" in str(error.value)


@given(data=st.binary(max_size=120), ng=st.booleans())
def test_any_bytes(data, ng):
    start = section() + interface() if ng else pcap()
    try:
        assert list(datagrams("-", 6343, file=io.BytesIO(start + data))) == []
    except MalformedCapture as fault:
        assert str(fault).startswith("-: offset ")


@given(noise=st.lists(st.binary(max_size=80), max_size=4), link=st.sampled_from([0, 1, 101, 113, 276]))
def test_any_packets(tmp_path_factory, noise, link):
    path = tmp_path_factory.mktemp("noise") / "x.pcap"
    path.write_bytes(pcap(*noise, link=link))
    assert len(list(datagrams(path, 6343))) <= len(noise)
