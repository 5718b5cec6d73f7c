"""core/sflow: datagrams as bytes in, samples as values out; nothing that the wire says leads outside of a window."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.wire.sflow import counter_records, decode
from analytics.core.wire.structures import COUNTER_RECORDS
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    discard,
    extended_switch,
    flow_sample,
    if_counters,
    opaque,
    record,
    sampled_header,
    tcp_frame,
    words,
)

FRAME = tcp_frame()
FLOW = {
    "kind": "flow",
    "sequence": 7,
    "source_class": 2,
    "source_index": 1000,
    "rate": 64,
    "pool": 448,
    "drops": 3,
    "input": (0, 12),
    "output": (1, 256),
    "protocol": 1,
    "frame_length": 1518,
    "stripped": 4,
    "header": FRAME,
    "switch": (10, 1, 20, 2),
}


def flow(**more):
    """The sample whose values are FLOW: as Open vSwitch sends it, extended_switch first."""
    settings = {"sequence": 7, "source": (2, 1000), "rate": 64, "ports": (12, 0x40000100), "drops": 3, **more}
    return flow_sample(extended_switch(10, 1, 20, 2), sampled_header(FRAME), **settings)


def test_flow_sample_of_open_vswitch():
    decoded = decode(datagram(flow(), sub_agent=3, sequence=9, uptime=17000))
    assert decoded == {
        "agent": bytes([10, 0, 0, 1]),
        "sub_agent": 3,
        "sequence": 9,
        "uptime": 17000,
        "samples": [FLOW],
        "skipped": 0,
        "faults": 0,
    }


def test_expanded_flow_sample():
    [sample] = decode(datagram(flow(expanded=True, ports=(1285816721, 0x3FFFFFFF))))["samples"]
    assert sample == FLOW | {"input": (0, 1285816721), "output": (0, 0x3FFFFFFF)}


def test_discarded_packet():
    sample = discard(sampled_header(FRAME), sequence=3, source=(0, 70000), drops=4, ports=(70000, 9), reason=258)
    decoded = decode(datagram(sample, flow()))
    assert decoded["samples"] == [
        {
            "kind": "discard",
            "sequence": 3,
            "source_class": 0,
            "source_index": 70000,
            "rate": 1,
            "pool": 0,
            "drops": 4,
            "input": (0, 70000),
            "output": (0, 9),
            "protocol": 1,
            "frame_length": 1518,
            "stripped": 4,
            "header": FRAME,
            "reason": 258,
        },
        FLOW,
    ]


def test_metrics_of_a_named_source_are_handed_on_unread():
    decoded = decode(datagram(record(4300 << 12 | 1002, b"name"), flow()))
    assert decoded["samples"] == [{"kind": "rtmetric", "body": b"name"}, FLOW]


def test_ipv6_agent():
    assert decode(datagram(agent="2001:db8::7"))["agent"] == bytes.fromhex("20010db8000000000000000000000007")


@pytest.mark.parametrize(
    ("word", "value"),
    [(5, (0, 5)), (0x3FFFFFFF, (0, 0x3FFFFFFF)), (0x40000100, (1, 256)), (0x80000001, (2, 1)), (0, (0, 0))],
)
def test_output_words(word, value):
    assert decode(datagram(flow(ports=(1, word))))["samples"][0]["output"] == value


@pytest.mark.parametrize("expanded", [False, True])
def test_counter_sample_of_open_vswitch(expanded):
    records = (
        record(2, words(*range(1, 14))),
        record(1004, struct.pack(">QI", 0x0000000000000101, 65534)),
        record(1005, opaque(b"leaf1-eth1")),
        if_counters(12, 10_000_000_000, (2**40, 5), (7, 8), status=1),
        record(2207, words(1, 2, 3, 4, 5, 6)),
    )
    [sample] = decode(datagram(counter_sample(*records, sequence=4, source=(0, 12), expanded=expanded)))["samples"]
    assert (sample["sequence"], sample["source_class"], sample["source_index"]) == (4, 0, 12)
    fields = sample["fields"]
    assert list(fields[0, 2].values()) == list(range(1, 14))
    assert fields[0, 1004] == {"openflow_datapath_id": "0000000000000101", "openflow_port": 65534}
    assert fields[0, 1005] == {"ifName": "leaf1-eth1"}
    port = fields[0, 1]
    assert (port["ifIndex"], port["ifSpeed"], port["ifStatus"]) == (12, 10_000_000_000, 1)
    assert (port["ifInOctets"], port["ifOutOctets"], port["ifInUcastPkts"]) == (2**40, 5, 7)
    assert (port["ifOutUcastPkts"], port["ifInUnknownProtos"]) == (8, 0xFFFFFFFF)
    assert fields[0, 2207]["OVS_dp_masks"] == 6


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        bytes(3),
        words(4) + bytes(40),
        words(6) + bytes(40),
        words(5, 3) + bytes(40),
        b"GET / HTTP",
    ],
)
def test_what_is_no_sflow_5_is_refused(wire):
    assert decode(wire) is None


def test_every_truncation_is_refused_or_a_fault():
    whole = datagram(flow(), counter_sample(if_counters(), record(1005, opaque(b"eth0"))))
    for cut in range(len(whole)):
        decoded = decode(whole[:cut])
        assert decoded is None if cut < 28 else decoded["faults"], cut


def test_every_truncation_inside_a_sample_keeps_the_neighbours():
    """The sample's length is right, what is in it ends early: a fault, and the next sample is read."""
    body = flow()[8:]
    for cut in range(0, len(body), 4):
        broken = words(1) + opaque(body[:cut])
        decoded = decode(datagram(flow(), broken, flow()))
        assert decoded["faults"] == 1, cut
        samples = decoded["samples"]
        assert samples[0] == samples[-1] == FLOW
        assert len(samples) == (3 if cut >= 32 else 2)


def test_a_sample_with_padding_after_its_last_record():
    padded = words(1) + opaque(flow()[8:] + bytes(12))
    decoded = decode(datagram(padded, flow()))
    assert (decoded["samples"], decoded["faults"]) == ([FLOW, FLOW], 0)


@pytest.mark.parametrize("count", [3, 1000, 0xFFFFFFFF])
def test_a_record_count_that_is_too_large(count):
    body = bytearray(flow()[8:])
    body[28:32] = words(count)
    decoded = decode(datagram(words(1) + opaque(bytes(body)), flow()))
    assert (decoded["samples"], decoded["faults"]) == ([FLOW, FLOW], 1)


def test_a_record_count_that_is_too_small_reads_no_more():
    body = bytearray(flow()[8:])
    body[28:32] = words(1)
    [sample] = decode(datagram(words(1) + opaque(bytes(body))))["samples"]
    assert "header" not in sample
    assert sample["switch"] == (10, 1, 20, 2)


@pytest.mark.parametrize("count", [3, 0xFFFFFFFF])
def test_a_sample_count_that_is_too_large(count):
    wire = bytearray(datagram(flow()))
    wire[24:28] = words(count)
    decoded = decode(bytes(wire))
    assert (decoded["samples"], decoded["faults"]) == ([FLOW], 1)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0xFFFFFFFD, 0x80000000, 10_000])
def test_lengths_beyond_the_window(length):
    sample = bytearray(flow())
    sample[4:8] = words(length)
    assert decode(datagram(bytes(sample), flow()))["faults"] == 1
    inner = bytearray(flow())
    inner[8 + 32 + 4 : 8 + 32 + 8] = words(length)  # of the first record
    decoded = decode(datagram(bytes(inner), flow()))
    assert decoded["faults"] == 1
    assert decoded["samples"][-1] == FLOW


def test_a_header_length_that_lies_keeps_what_is_there():
    header = words(1, words(1, 1518, 4, 0xFFFFFFF0).__len__() + len(FRAME)) + words(1, 1518, 4, 0xFFFFFFF0) + FRAME
    decoded = decode(datagram(flow_sample(header)))
    assert decoded["faults"] == 1
    assert decoded["samples"][0]["header"] == FRAME


def test_zero_lengths():
    decoded = decode(datagram(words(1, 0), words(2, 0), words(1, 32) + bytes(32), flow_sample(words(1, 0))))
    assert decoded["faults"] == 3  # two samples without a body, one record without one; no records at all is fine
    assert [sample["rate"] for sample in decoded["samples"]] == [0, 100]


def test_unknown_structures_are_skipped_by_their_length():
    odd = (record(4300 << 12 | 1001, b"whatever"), record(7, bytes(40)), record(0xFFFFFFFF, b""))
    sample = flow_sample(record(1003, bytes(40)), sampled_header(FRAME), record(0xFFFFFFFF, b"abc"))
    decoded = decode(datagram(*odd, sample))
    assert (decoded["skipped"], decoded["faults"]) == (3, 0)
    assert decoded["samples"][0]["header"] == FRAME


@pytest.mark.parametrize("tag", COUNTER_RECORDS)
def test_every_truncation_of_a_counter_record_gives_the_fields_it_has(tag):
    names = [field.name for field in COUNTER_RECORDS[tag].fields]
    word = tag[0] << 12 | tag[1]
    body = bytes(400)  # zeros: empty texts and lists, so every structure fits
    found, faults = counter_records(record(word, body), 1)
    assert (list(found[tag]), faults) == (names, 0)
    counts = set()
    for cut in range(0, len(body), 4):
        found, faults = counter_records(record(word, body[:cut]), 1)
        assert list(found[tag]) == names[: len(found[tag])]
        assert faults == 0 or len(found[tag]) < len(names)
        counts.add(len(found[tag]))
    assert {0, len(names)} <= counts


def test_a_longer_counter_record_of_a_newer_agent_is_read():
    assert counter_records(record(1005, opaque(b"eth0") + words(1, 2)), 1) == ({(0, 1005): {"ifName": "eth0"}}, 0)


def test_a_name_that_is_no_utf8():
    assert counter_records(record(1005, opaque(b"\xffx")), 1) == ({(0, 1005): {"ifName": "�x"}}, 0)


@given(st.binary(max_size=400))
def test_any_bytes_after_a_valid_start(noise):
    decoded = decode(datagram()[:-4] + words(len(noise)) + noise)
    assert decoded["faults"] + decoded["skipped"] + len(decoded["samples"]) <= 2 * len(noise) + 1


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=8))
def test_any_records_leave_the_last_sample_alone(records):
    body = b"".join(words(tag) + opaque(data) for tag, data in records)
    odd = words(1) + opaque(flow_sample()[8:-4] + words(len(records)) + body)
    assert decode(datagram(odd, flow()))["samples"][-1] == FLOW
