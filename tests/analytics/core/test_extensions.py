"""wire/ipv6 and wire/extensions: every reader of IPv6 walks the same extension headers, each by its own length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analytics.core.flows.flowkeys import fields_of
from analytics.core.printing.printer import Printer
from analytics.core.wire.ipv6 import AUTHENTICATION, EXTENSIONS, FRAGMENT, MAX_EXTENSIONS
from analytics.engine import Engine
from analytics.inputs.capture import datagrams
from analytics.inputs.replay import replay
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv6, sampled_header, udp
from tests.analytics.inputs.test_capture import pcap

PAYLOAD = datagram(sequence=1)
ESP, NO_NEXT_HEADER = 50, 59
OTHERS = [protocol for protocol in range(256) if protocol not in EXTENSIONS]
# (protocol, its length field) in order; a fragment header's is reserved, here no 0 on purpose
CHAINS = [
    *([(protocol, units)] for protocol in EXTENSIONS for units in (0, 1, 5)),
    [(protocol, 2) for protocol in EXTENSIONS if protocol != FRAGMENT],
    [(60, 0)] * MAX_EXTENSIONS,
]


def packet(chain: list[tuple[int, int]], payload: bytes = PAYLOAD) -> bytes:
    """Extension headers in front of UDP to sFlow's port."""
    made, following = udp(40000, 6343, payload), 17
    for protocol, units in reversed(chain):
        rest = bytes(6) if protocol == FRAGMENT else bytes(6 + EXTENSIONS[protocol] * units)
        made, following = bytes([following, units]) + rest + made, protocol
    return ethernet(ipv6(made, following, "2001:db8::7"), 0x86DD)


def dissected(wire: bytes) -> bool:
    """Whether the header walk finds the UDP header."""
    return "udpsourceport" in fields_of(wire)


def printed(wire: bytes) -> bool:
    """Whether `howdah decode` does."""
    printer = Printer("json")
    assert printer.feed(datagram(flow_sample(sampled_header(wire))), 0.0, "192.0.2.1", "then")
    [sample] = json.loads(printer.take())["samples"]
    return "UDPSrcPort" in sample["elements"][0]


def captured(path: Path, wire: bytes) -> tuple[bool, bool]:
    """Whether the native reader of captures finds the datagram, and whether the plain one does."""
    path.write_bytes(pcap(wire))
    engine = Engine()
    native = replay(path, engine)
    engine.close()
    return native == 1, [payload for _, _, payload in datagrams(path, 6343)] == [PAYLOAD]


@pytest.mark.parametrize("chain", CHAINS)
def test_all_readers_find_what_is_behind_extension_headers(tmp_path, chain):
    wire = packet(chain)
    assert dissected(wire) and printed(wire)
    whole = FRAGMENT not in dict(chain)  # a capture's fragments are not put together
    assert captured(tmp_path / "x.pcap", wire) == (whole, whole)


@pytest.mark.parametrize("reader", [dissected, printed])
def test_one_more_than_are_followed(tmp_path, reader):
    wire = packet([(60, 0)] * (MAX_EXTENSIONS + 1))
    assert not reader(wire)
    assert captured(tmp_path / "x.pcap", wire) == (False, False)


def test_no_reader_takes_another_header_for_an_extension_header(tmp_path):
    """ESP and "no next header" among them: what follows them is encrypted, or nothing."""
    assert {ESP, NO_NEXT_HEADER} < set(OTHERS)
    for protocol in OTHERS:
        if protocol in (4, 17, 41, 47, 97, 115, 136, 137, 143):  # these carry UDP, or a packet
            continue
        wire = ethernet(ipv6(bytes([17, 0]) + bytes(6) + udp(40000, 6343, PAYLOAD), protocol), 0x86DD)
        assert not dissected(wire) and not printed(wire), protocol
        assert captured(tmp_path / "x.pcap", wire) == (False, False), protocol


def test_every_cut_is_read_alike(tmp_path):
    """Both readers of captures, on every truncation of a long chain."""
    wire = packet([(0, 1), (AUTHENTICATION, 4), (60, 0)])
    for length in range(len(wire)):
        native, plain = captured(tmp_path / "x.pcap", wire[:length])
        assert native is (length >= len(wire) - len(PAYLOAD)), length
        assert not plain, length
