"""core/wire/older: a datagram of version 2 or 4 says what its equal of version 5 says, printed and in the engine."""

from __future__ import annotations

import json
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.printing.printer import Printer
from analytics.engine import Engine
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    ethernet,
    extended_switch,
    flow_sample,
    if_counters,
    ipv4,
    opaque,
    record,
    sampled_header,
    tcp_frame,
    udp,
    words,
)

FRAME = ethernet(ipv4(udp(4000, 53, bytes(3)), 17))  # 45 bytes: padded on the wire
HEADER = words(1, 1, 1518) + opaque(FRAME)
SOURCES = {"user": b"alice", "url": b"http://example.org/x"}
FOUR, SIX = bytes([10, 0, 0, 1, 10, 0, 0, 2]), bytes(range(32))
FLAT4, FLAT6 = words(1500, 17) + FOUR + words(53, 54, 0, 0xB8), words(1500, 6) + SIX + words(80, 81, 0x12, 3)
SWITCH = words(7, 1, 8, 2)
ROUTER = words(1) + bytes([192, 0, 2, 1]) + words(24, 16)


def older(version: int, *samples: bytes, agent: str = "10.0.0.1", count: int | None = None) -> bytes:
    address = ip_address(agent)
    head = words(version, 1 if address.version == 4 else 2) + address.packed
    return head + words(9, 17000, len(samples) if count is None else count) + b"".join(samples)


def flow(packet: bytes, *extended: bytes, sequence: int = 7) -> bytes:
    return (
        words(1, sequence, 5, 100, 100 * sequence, 3, 5, 0x80000002)
        + packet
        + words(len(extended))
        + b"".join(extended)
    )


def counters(kind: int, body: bytes) -> bytes:
    return words(2, 4, 5, 20, kind) + body


def newer(*samples: bytes, agent: str = "10.0.0.1") -> bytes:
    return datagram(*samples, agent=agent, sequence=9, uptime=17000)


def same(*records: bytes, sequence: int = 7) -> bytes:
    return flow_sample(*records, sequence=sequence, drops=3, ports=(5, 0x80000002))


IN_5 = sampled_header(FRAME, 1518, stripped=0)
INTERFACE = if_counters(5, octets=(1 << 40, 7), packets=(3, 4))
GATEWAY_2 = words(3, 65001, 65002, 65003, 2, 65010, 65020)
GATEWAY_4 = words(3, 65001, 65002, 65003, 2, 2, 2, 65010, 65020, 1, 1, 65030, 1, 4259840100, 50)
CASES = {
    "header": ((2, 4), flow(HEADER), same(IN_5)),
    "IPv4": ((2, 4), flow(words(2) + FLAT4), same(record(3, FLAT4))),
    "IPv6": ((2, 4), flow(words(3) + FLAT6), same(record(4, FLAT6))),
    "switch and router": (
        (2, 4),
        flow(HEADER, words(1) + SWITCH, words(2) + ROUTER),
        same(IN_5, extended_switch(7, 1, 8, 2), record(1002, ROUTER)),
    ),
    "gateway of version 2": (
        (2,),
        flow(HEADER, GATEWAY_2),
        same(IN_5, record(1003, words(0, 65001, 65002, 65003, 1, 2, 2, 65010, 65020, 0, 0))),
    ),
    "gateway of version 2 without a path": (
        (2,),
        flow(HEADER, words(3, 65001, 65002, 65003, 0)),
        same(IN_5, record(1003, words(0, 65001, 65002, 65003, 0, 0, 0))),
    ),
    "gateway of version 4": ((4,), flow(HEADER, GATEWAY_4), same(IN_5, record(1003, words(0) + GATEWAY_4[4:]))),
    "user and URL": (
        (2, 4),
        flow(HEADER, words(4) + opaque(b"alice") + opaque(b"bob"), words(5, 2) + opaque(b"http://example.org/x")),
        same(
            IN_5,
            record(1004, words(0) + opaque(b"alice") + words(0) + opaque(b"bob")),
            record(1005, words(2) + opaque(b"http://example.org/x") + words(0)),
        ),
    ),
    "generic counters": ((2, 4), counters(1, INTERFACE[8:]), counter_sample(INTERFACE, sequence=4)),
    "Ethernet": (
        (2, 4),
        counters(2, INTERFACE[8:] + words(*range(13))),
        counter_sample(INTERFACE, record(2, words(*range(13))), sequence=4),
    ),
    "token ring": (
        (4,),
        counters(3, INTERFACE[8:] + words(*range(18))),
        counter_sample(INTERFACE, record(3, words(*range(18))), sequence=4),
    ),
    "FDDI": ((4,), counters(4, INTERFACE[8:]), counter_sample(INTERFACE, sequence=4)),
    "100VG": (
        (4,),
        counters(5, INTERFACE[8:] + words(*range(20))),
        counter_sample(INTERFACE, record(4, words(*range(20))), sequence=4),
    ),
    "WAN": ((4,), counters(6, INTERFACE[8:]), counter_sample(INTERFACE, sequence=4)),
    "VLAN": ((2, 4), counters(7, words(*range(7))), counter_sample(record(5, words(*range(7))), sequence=4)),
}
EACH = [
    pytest.param(version, old, new, id=f"{name}, {version}")
    for name, (versions, old, new) in CASES.items()
    for version in versions
]


def printed(data: bytes, form: str = "json") -> bytes:
    printer = Printer(form)
    assert printer.feed(data, 100.25, "192.0.2.7", "then") is True
    return printer.take()


@pytest.mark.parametrize(("version", "old", "new"), EACH)
def test_printed_as_its_equal_of_version_5(version, old, new):
    found, equal = (json.loads(printed(one)) for one in (older(version, old), newer(new)))
    assert (found.pop("datagramVersion"), equal.pop("datagramVersion")) == (str(version), "5")
    assert "agentSubId" not in found
    del equal["agentSubId"], found["datagramSize"], equal["datagramSize"]
    assert found == equal
    for form in ("csv", "pcap"):
        assert printed(older(version, old), form) == printed(newer(new), form)


@pytest.mark.parametrize("agent", ["10.0.0.1", "2001:db8::1"])
@pytest.mark.parametrize("version", [2, 4])
def test_old_agents_in_the_engine(engine, version, agent):
    engine.set_flow("f", {"keys": "udpsourceport,vlansource", "value": "bytes"})
    samples = [flow(words(1, 1, 1000) + opaque(FRAME), words(1) + SWITCH, sequence=each) for each in (1, 2)]
    data = older(version, *samples, counters(1, INTERFACE[8:]), agent=agent)
    other = older(version, flow(words(1, 1, 500) + opaque(tcp_frame())), agent="10.0.0.9")
    engine.feed([data, other], 1000.0)  # the second is rewritten where the first was
    [flows] = engine.active_flows(["ALL"], "f", 1000.0)
    assert flows.key == "4000,7"
    assert flows.value == pytest.approx(2 * 1000 * 100 / 2.0)  # what 2 samples stand for, over the time constant of 2 s
    found = engine.agents()[agent]
    assert (found.datagrams.received, found.flows.received, found.counters.received, found.faults) == (1, 2, 1, 0)
    assert engine.metrics_of(agent, 1000.0)["5.ifspeed"] == 10_000_000
    assert engine.numbers().other_version == 0


def test_what_cannot_be_read_ends_the_datagram_and_is_a_fault(engine):
    good = flow(HEADER)
    for bad in (words(3), flow(words(4)), flow(HEADER, words(6)), counters(8, INTERFACE[8:])):
        found = json.loads(printed(older(4, good, bad, good)))
        assert (len(found["samples"]), found["decodeFault"]) == (1, "fewer samples than their count")
    cut = json.loads(printed(older(4, good, good)[:-8]))
    assert (len(cut["samples"]), cut["decodeFault"]) == (1, "fewer samples than their count")
    engine.feed([older(4, good, words(3), good)], 1000.0)
    assert engine.agents()["10.0.0.1"].faults == 1


@pytest.mark.parametrize("head", [words(4), words(4, 1), words(4, 0) + bytes(20), words(2, 3) + bytes(40), words(1, 1)])
def test_what_is_not_even_a_datagram(engine, head):
    engine.feed([head], 1000.0, "192.0.2.1")
    assert engine.numbers().not_sflow + engine.numbers().other_version == 1
    assert Printer("json").feed(head, 0, "-", "-") is None


@given(st.sampled_from([one.values[:2] for one in EACH]), st.data())
def test_cut_or_damaged_anywhere_nothing_escapes(case, data):
    version, old = case
    whole = bytearray(older(version, flow(HEADER), old))
    for at in data.draw(st.lists(st.integers(0, len(whole) // 4 - 1), max_size=3)):
        struct.pack_into(">I", whole, 4 * at, data.draw(st.sampled_from([0, 1, 2, 5, 0x7FFFFFFF, 0xFFFFFFFF])))
    wire = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    printer, engine = Printer("json"), Engine()
    engine.feed([wire], 1000.0, "192.0.2.1")
    if printer.feed(wire, 0, "-", "-"):
        json.loads(printer.take())
    engine.close()


def test_an_agent_that_does_not_say_its_address_has_its_senders(engine):
    sample = flow_sample(sampled_header(tcp_frame()))
    nameless = words(5, 0, 0, 1, 1000, 1) + sample
    engine.feed([nameless], 1000.0, "192.0.2.1")
    engine.feed([nameless], 1000.0, "2001:db8::1")
    engine.feed([nameless], 1000.0)  # from nobody knows whom
    assert set(engine.agents()) == {"192.0.2.1", "2001:db8::1"}
    assert (engine.numbers().not_sflow, engine.numbers().other_version) == (1, 0)
    found = json.loads(printed(nameless))
    assert (found["agent"], found["datagramVersion"], len(found["samples"])) == ("-", "5", 1)
    assert printed(nameless, "csv").startswith(b"FLOW,-,5,6,")
    assert Printer("json").feed(nameless, 0, "-", "-", True, bytes([10, 0, 0, 1])) is False
