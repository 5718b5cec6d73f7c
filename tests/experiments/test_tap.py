"""What a tap makes of packets: flows, the packet that was sampled, flow mods, wherever messages begin and end."""

import socket
import struct
from zlib import crc32

import pytest

from scripts.experiments.bench import Wire
from scripts.experiments.tap import Tap, packet

FLOW = "10.0.1.1,10.0.2.1,6,40001,5001"
SPINE, EDGE = "spine1-eth1", "leaf1-eth1"


def ipv4(source, destination, protocol, rest, number=7):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(rest), number, 0, 64, protocol, 0) + addresses + rest


def segment(data, number=7, ports=(40001, 5001), addresses=("10.0.1.1", "10.0.2.1")):
    return ipv4(*addresses, 6, struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, 0x18, 9, 0, 0) + data, number)


def on_loopback(data, ports, protocol):
    head = struct.pack("!HHHH", *ports, 8 + len(data), 0)
    if protocol == 6:
        return segment(data, ports=ports, addresses=("127.0.0.1", "127.0.0.1"))
    return ipv4("127.0.0.1", "127.0.0.1", protocol, head + data)


def sflow(frame, ifindex):
    words = struct.Struct("!8I")
    header = struct.pack("!6I", 1, 16 + len(frame), 1, 1518, 4, len(frame)) + frame
    sample = words.pack(1, ifindex, 10, 10, 0, ifindex, 8, 1) + header
    head = struct.pack("!II", 5, 1) + socket.inet_aton("127.0.0.1") + struct.pack("!4I", 0, 1, 10, 1)
    return head + struct.pack("!II", 1, len(sample)) + sample


def flow_mod(flow, command=0, kind=0x486F7706):
    body = struct.pack("!II8xBB", kind, crc32(flow.encode()), 0, command) + bytes(30)
    return struct.pack("!BBHI", 6, 14, 8 + len(body), 1) + body


@pytest.fixture
def tap():
    return Tap({SPINE, "spine2-eth1"}, {EDGE}, {EDGE: 7, SPINE: 8, "spine2-eth1": 9})


def test_a_flow_begins_with_its_first_data_and_its_path_is_told_when_it_changes(tap):
    fed = [
        *tap.feed(EDGE, segment(b""), 1.0),
        *tap.feed(EDGE, segment(b"data"), 1.1),
        *tap.feed(EDGE, segment(b"data"), 1.2),
        *tap.feed(SPINE, segment(b"data"), 1.3),
        *tap.feed(SPINE, segment(b"data"), 1.4),
        *tap.feed("spine2-eth1", segment(b"data"), 1.5),
    ]
    assert fed == [
        {"event": "first", "flow": FLOW, "at": 1.1},
        {"event": "path", "flow": FLOW, "by": SPINE, "at": 1.3},
        {"event": "path", "flow": FLOW, "by": "spine2-eth1", "at": 1.5},
    ]


def test_a_sample_is_the_packet_that_passed_this_port_with_this_identification(tap):
    for number, at in ((7, 1.0), (8, 1.1)):
        assert list(tap.feed(SPINE, segment(b"data", number), at))[1:] == []
    datagram = sflow(bytes(14) + segment(b"data", 8), ifindex=8)
    (line,) = tap.feed("lo", on_loopback(datagram, (50000, 6343), 17), 1.25)
    assert line == {"event": "sample", "flow": FLOW, "taken": 1.1, "arrived": 1.25}
    other_port = sflow(bytes(14) + segment(b"data", 8), ifindex=9)
    assert list(tap.feed("lo", on_loopback(other_port, (50000, 6343), 17), 1.3)) == []


@pytest.mark.parametrize("cut", [1, 8, 20, 40, 70])
def test_flow_mods_are_found_however_a_stream_is_cut(tap, cut):
    hello = struct.pack("!BBHI", 6, 0, 8, 1)
    stream = hello + flow_mod("another", kind=0x486F7704) + flow_mod(FLOW, command=3) + flow_mod(FLOW)
    found = []
    for part in (stream[:cut], stream[cut:]):
        found += tap.feed("lo", on_loopback(part, (6653, 50000), 6), 2.0)
    assert found == [{"event": "rule", "flow_number": crc32(FLOW.encode()), "at": 2.0}]


def test_what_is_cut_or_foreign_is_no_packet(tap):
    whole = segment(b"data")
    assert [packet(whole[:size]) for size in range(34)] == [None] * 34
    assert packet(ipv4("10.0.1.1", "10.0.2.1", 1, bytes(20))) is None
    assert list(tap.feed("lo", on_loopback(b"no sFlow", (50000, 6343), 17), 1.0)) == []


def test_the_lines_of_a_tap_are_read_back_by_flow():
    class Program:
        def lines(self):
            return [
                {"event": "ready"},
                {"event": "first", "flow": FLOW, "at": 1.0},
                {"event": "sample", "flow": FLOW, "taken": 1.1, "arrived": 1.2},
                {"event": "rule", "flow_number": crc32(FLOW.encode()), "at": 1.3},
                {"event": "path", "flow": FLOW, "by": SPINE, "at": 1.05},
            ]

    wire = Wire.of(Program())
    assert (wire.first, wire.samples) == ({FLOW: 1.0}, {FLOW: [(1.1, 1.2)]})
    assert (wire.rules(FLOW), wire.rules("another")) == ([1.3], [])
    assert wire.paths == {FLOW: [(1.05, SPINE)]}
