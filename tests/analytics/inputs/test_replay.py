"""replay: a capture played natively gives what the same datagrams give one by one, from every kind of carrier."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.capfile import play
from analytics.engine import Engine
from analytics.inputs.capture import MalformedCapture, datagrams
from analytics.inputs.replay import replay
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, ipv6, sampled_header, tcp_frame, udp
from tests.analytics.inputs.test_capture import pcap

FLOW = {"keys": "ipsource,ipdestination", "value": "frames", "t": 2}


def payload(sequence: int) -> bytes:
    return datagram(flow_sample(sampled_header(tcp_frame()), sequence=sequence), sequence=sequence, agent="10.0.0.9")


def four(sequence: int) -> bytes:
    return ipv4(udp(40000, 6343, payload(sequence)), 17, "192.0.2.1")


def six(sequence: int) -> bytes:
    return ipv6(udp(40000, 6343, payload(sequence)), 17, "2001:db8::7")


def extended(sequence: int, *chain: tuple[int, int]) -> bytes:
    """IPv6 with extension headers (kind, bytes) in front of UDP."""
    packet, following = six(sequence)[40:], 17
    for kind, length in reversed(chain):
        packet = bytes([following, length // 4 - 2 if kind == 51 else length // 8 - 1]) + bytes(length - 2) + packet
        following = kind
    return ipv6(packet, following, "2001:db8::7")


def lying(sequence: int, length: int) -> bytes:
    """IPv4 whose UDP header says that length."""
    packet = four(sequence)
    return packet[:24] + struct.pack(">H", length) + packet[26:]


def numbers(engine: Engine, now: float) -> object:
    agent = engine.agents().get("10.0.0.9")
    rates = [(flow.key, round(flow.value, 6)) for flow in engine.active_flows(["ALL"], "f", now)]
    return agent and (agent.datagrams.received, agent.flows.received, agent.senders), rates


def both(path) -> tuple[object, object]:
    """What an engine has counted, by the native reader and by capture.py."""
    native, plain = Engine(), Engine()
    for engine in (native, plain):
        engine.set_flow("f", FLOW)
    found = list(datagrams(path, 6343))
    assert replay(path, native) == len(found)
    for now, source, data in found:
        plain.feed([data], now, source)
    last = found[-1][0] if found else 0.0
    return numbers(native, last), numbers(plain, last)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize(
    ("link", "packets"),
    [
        (1, [ethernet(four(1)), ethernet(six(2), 0x86DD), ethernet(four(3), tags=((0x88A8, 1), (0x8100, 2)))]),
        (1, [ethernet(extended(1, (0, 8)), 0x86DD), tcp_frame(), b"", b"short", ethernet(b"arp", 0x0806)]),
        (1, [ethernet(ipv4(udp(1, 6343), 17, fragment=0x2000)), ethernet(ipv4(b"cut", 17)), ethernet(four(1) + b"x")]),
        (101, [four(1), six(2)]),
        (0, [bytes(4) + four(1)]),
        (113, [bytes(14) + b"\x08\x00" + four(1)]),
        (276, [b"\x86\xdd" + bytes(18) + six(1)]),
        (276, [b"\x88\x47" + bytes(18) + four(1), b"\x08\x00" + bytes(18) + four(2)]),  # MPLS is no carrier
        (101, [extended(1, (51, 12)), extended(2, (0, 8), (51, 24), (43, 16))]),  # an authentication header
        (101, [extended(1, *[(60, 8)] * 8), extended(2, *[(60, 8)] * 9)]),  # as many as are followed, and one more
        (101, [b"\x44" + four(1)[1:], four(2)]),  # an IPv4 header shorter than it can be
        (1, [ethernet(lying(1, length)) for length in (0, 7, 8, 9, 0xFFFF)] + [ethernet(four(2))]),
    ],
)  # fmt: skip
def test_native_and_plain_agree(tmp_path, link, packets, order, nano):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(*packets, link=link, order=order, nano=nano))
    native, plain = both(path)
    assert native == plain
    assert native[1]


@given(st.lists(st.binary(max_size=80) | st.integers(1, 9).map(lambda n: ethernet(four(n))), max_size=12))
def test_whatever_packets_hold_both_agree(tmp_path_factory, packets):
    path = tmp_path_factory.mktemp("x") / "x.pcap"
    path.write_bytes(pcap(*packets))
    native, plain = both(path)
    assert native == plain


def test_flows_expire_by_the_capture_s_clock(tmp_path):
    times: list[float] = []
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(*(ethernet(four(n)) for n in range(1, 8))))  # 100.5, 101.0, ... 103.5
    engine = Engine()
    engine.set_flow("f", FLOW)
    assert replay(path, engine, progress=times.append) == 7
    assert times == [100.5, 101.5, 102.5, 103.5]


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_a_cut_capture_is_named_and_what_came_before_counts(tmp_path, cut):
    path = tmp_path / "x.pcap"
    whole = pcap(ethernet(four(1)), ethernet(four(2)))
    path.write_bytes(whole[:-cut])
    engine = Engine()
    with pytest.raises(MalformedCapture, match=r"x\.pcap: offset \d+: ends within a packet"):
        replay(path, engine)
    assert engine.agents()["10.0.0.9"].datagrams.received == 1


def test_an_impossible_length_is_named_with_its_place(tmp_path):
    path = tmp_path / "x.pcap"
    first = pcap(ethernet(four(1)))
    path.write_bytes(first + struct.pack("<IIII", 1, 0, 1 << 30, 1 << 30) + bytes(64))
    with pytest.raises(MalformedCapture, match=rf"offset {len(first)}: a packet larger"):
        replay(path, Engine())


def test_a_link_that_is_not_known_is_refused(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(b"", link=147))
    with pytest.raises(MalformedCapture, match="link type 147"):
        replay(path, Engine())


def test_nothing_comes_of_nothing(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap())
    assert replay(path, Engine()) == 0
    assert play(Engine().pipeline, b"", False, 1e-6, 1, 6343, 1e18) == (0, 0, 0.0)
