"""Every structure of the table, from bytes to fields: in JSON, in text and through the Python border; cut anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.printing.printer import Printer
from analytics.core.wire import structures
from analytics.core.wire.rows import decode_record
from tests.analytics.examples.counter_examples import COUNTERS
from tests.analytics.examples.flow_examples import FLOWS
from tests.analytics.examples.wire import counter_sample, datagram, flow_sample, opaque, record, sampled_header, words

NEIGHBOUR = {"flow": record(1011, words(77)), "counter": record(2002, words(7, 8))}
CASES = [(kind, tag, *example) for kind, table in (("flow", FLOWS), ("counter", COUNTERS))
         for tag, example in table.items()]  # fmt: skip
each = pytest.mark.parametrize(
    ("kind", "tag", "body", "fields"), CASES, ids=[f"{kind}-{tag[0]}:{tag[1]}" for kind, tag, *_ in CASES]
)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different: json.loads would keep the last silently."""
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def printed(data: bytes, form: str = "json") -> str:
    printer = Printer(form)
    assert printer.feed(data, 100.25, "192.0.2.7", "then") is True
    return str(printer.take(), "utf-8")


def loaded(*samples: bytes) -> dict[str, Any]:
    return json.loads(printed(datagram(*samples)), object_pairs_hook=unique)


def around(kind: str, tag: tuple[int, int], body: bytes) -> bytes:
    """A sample with the record between two neighbours."""
    neighbour, sample = NEIGHBOUR[kind], flow_sample if kind == "flow" else counter_sample
    return sample(neighbour, record(tag[0] << 12 | tag[1], body), neighbour)


def elements(kind: str, tag: tuple[int, int], body: bytes) -> list[dict[str, Any]]:
    return loaded(around(kind, tag, body))["samples"][0]["elements"]


def test_every_row_has_an_example():
    assert set(FLOWS) == set(structures.FLOW_RECORDS)
    assert set(COUNTERS) == set(structures.COUNTER_RECORDS)


@each
def test_every_field_in_json(kind, tag, body, fields):
    before, found, after = elements(kind, tag, body)
    assert found == {f"{'flowBlock' if kind == 'flow' else 'counterBlock'}_tag": f"{tag[0]}:{tag[1]}"} | fields
    assert list(found)[1:] == list(fields), "sflowtool's order"
    assert before == after == loaded(around(kind, tag, b""))["samples"][0]["elements"][0]


@each
def test_text_says_the_same(kind, tag, body, fields):
    lines = printed(datagram(around(kind, tag, body)), "text").splitlines()
    for name, value in fields.items():
        if isinstance(value, str):
            assert f"{name} {value}" in lines


@each
def test_discarded_records_have_a_prefix(kind, tag, body, fields):
    if kind == "counter":
        return
    head = words(1, 0, 5, 2, 5, 6, 258, 1)
    sample = loaded(record(5, head + record(tag[0] << 12 | tag[1], body)))["samples"][0]
    assert set(sample["elements"][0]) == {"discarded_" + name for name in ("flowBlock_tag", *fields)}


@each
def test_cut_anywhere_its_neighbours_survive(kind, tag, body, fields):
    whole = elements(kind, tag, body)
    for end in range(len(body)):
        before, found, after = elements(kind, tag, body[:end])
        assert (before, after) == (whole[0], whole[2])
        assert set(found) <= {*whole[1], "decodeFault", "unknownBytes", "payload"}


@each
def test_a_datagram_cut_anywhere_is_valid_json(kind, tag, body, fields):
    data = datagram(around(kind, tag, body))
    for end in range(28, len(data)):
        found = json.loads(printed(data[:end]), object_pairs_hook=unique)
        assert found["agent"] == "10.0.0.1"
        assert "decodeFault" in json.dumps(found)


@each
def test_the_python_border(kind, tag, body, fields):
    values, whole = decode_record(tag, body, flow=kind == "flow")
    assert whole
    rows = structures.FLOW_RECORDS if kind == "flow" else structures.COUNTER_RECORDS
    assert list(values) == [field.name for field in rows[tag].fields]
    for name, value in values.items():
        if type(value) is int and name in fields and fields[name].lstrip("-").isdigit():
            assert value == int(fields[name])


def test_python_values():
    assert decode_record((0, 1001), COUNTERS[0, 1001][0])[0] == {
        "5s_cpu": 5, "1m_cpu": 1234, "5m_cpu": -1, "total_memory_bytes": 1 << 40, "free_memory_bytes": 1 << 39,
    }  # fmt: skip
    assert decode_record((0, 2001), COUNTERS[0, 2001][0])[0] == {
        "adaptor_list": [(5, ["0004deadbeef", "000000000001"]), (6, [])]
    }
    found = decode_record((0, 1003), FLOWS[0, 1003][0], flow=True)[0]
    assert found["dst_as_path"] == [(2, [65002, 65003]), (1, [65010, 65011])]
    assert found["BGP_communities"] == [4259840100, 7]
    assert decode_record((0, 10), COUNTERS[0, 10][0])[0]["sfp_lanes"] == [list(range(1, 11)), list(range(11, 21))]
    assert decode_record((0, 2003), COUNTERS[0, 2003][0])[0]["cpu_load_five"] == -1.0
    assert decode_record((0, 1), b"\0\0\0\5\0\0") == ({"ifIndex": 5}, False)
    assert decode_record((0, 1), b"") == ({}, False)
    with pytest.raises(KeyError):
        decode_record((0, 999), b"")


def test_both_forms_of_the_wifi_payload():
    """0:1013 is an opaque in the specification and a sampled_header in sflowtool: the length decides."""
    tag = {"flowBlock_tag": "0:1013", "cipher_suite": "4"}
    assert elements("flow", (0, 1013), words(4) + opaque(b"\1\2"))[1] == tag | {"payload": "01-02"}
    assert elements("flow", (0, 1013), words(4, 100))[1] == tag | {
        "unknownBytes": "00-00-00-64", "decodeFault": "neither an opaque nor a sampled header"}  # fmt: skip


def test_older_and_longer_forms():
    assert "cpu_steal" not in elements("counter", (0, 2003), COUNTERS[0, 2003][0][:68])[1]
    assert "decodeFault" not in elements("counter", (0, 2003), COUNTERS[0, 2003][0][:68])[1]
    assert "fds_open" not in elements("counter", (0, 2106), COUNTERS[0, 2106][0][:100])[1]
    whole = elements("counter", (0, 1), COUNTERS[0, 1][0])
    assert elements("counter", (0, 1), COUNTERS[0, 1][0] + words(1, 2)) == whole, "structures grow at the end"


@given(kind=st.sampled_from(["flow", "counter"]), data=st.data(), noise=st.binary(max_size=200))
def test_any_bytes_in_any_record(kind, data, noise):
    tag = data.draw(st.sampled_from(sorted(FLOWS if kind == "flow" else COUNTERS)))
    before, _, after = elements(kind, tag, noise + bytes(-len(noise) % 4))
    assert before == after
    decode_record(tag, noise, flow=kind == "flow")


@given(data=st.binary(max_size=300))
def test_any_bytes_behind_a_datagrams_header(data):
    for form in ("json", "text", "csv", "pcap"):
        printer = Printer(form)
        printer.feed(words(5, 1, 0x0A000001, 0, 1, 1, 0xFFFFFFFF) + data, 1.0, "-", "-")
        if form == "json":
            json.loads(printer.take())


def test_unknown_structures_are_kept_as_hex():
    sample = flow_sample(record(0x1234567, b"\1\2\3\4"), sampled_header(b""))
    found = loaded(record(999, b"\xab" * 4), sample)["samples"]
    assert found[0] == {"sampleType_tag": "0:999", "unknownBytes": "AB-AB-AB-AB"}
    assert found[1]["elements"][0] == {"flowBlock_tag": "4660:1383", "unknownBytes": "01-02-03-04"}
    text = printed(datagram(sample), "text")
    assert "skipping unknown flow_sample_element: 4660:1383 len=4\n" in text


def test_padding_after_the_last_record():
    """Brocade: sample_length counts 4 bytes more than the records take."""
    sample = flow_sample(NEIGHBOUR["flow"])
    grown = sample[:4] + words(len(sample) - 8 + 4) + sample[8:] + bytes(4)
    found = loaded(grown, flow_sample(sequence=2))
    assert [one["sampleSequenceNo"] for one in found["samples"]] == ["1", "2"]
    assert "decodeFault" not in json.dumps(found)


def test_a_count_that_lies():
    sample = flow_sample(NEIGHBOUR["flow"], NEIGHBOUR["flow"])
    more = sample[:36] + words(0xFFFFFFFF) + sample[40:]
    fewer = sample[:36] + words(1) + sample[40:]
    found = loaded(more, fewer, flow_sample(sequence=9))["samples"]
    assert len(found[0]["elements"]) == 2
    assert found[0]["decodeFault"] == "fewer records than their count"
    assert len(found[1]["elements"]) == 1
    assert found[2]["sampleSequenceNo"] == "9"
    data = bytearray(datagram(sample))
    data[24:28] = words(5)
    assert json.loads(printed(bytes(data)))["decodeFault"] == "fewer samples than their count"


def test_nested_aggregation_is_bounded():
    body = words(0)
    for _ in range(100):
        body = words(1) + words(1) + record(1016, body)
    found = loaded(flow_sample(record(1016, body), NEIGHBOUR["flow"]))["samples"][0]["elements"]
    deep = found[0]["pdus"][0]["elements"][0]["pdus"][0]["elements"][0]
    assert deep["decodeFault"] == "aggregations nested too deep"
    assert found[1] == {"flowBlock_tag": "0:1011", "mpls_fec_addr_prefix_len": "77"}


def test_zero_lengths():
    found = loaded(record(1, b""), record(2, b""), record(0, b""), flow_sample(record(1, b""), NEIGHBOUR["flow"]))
    assert found["samples"][:3] == [
        {"sampleType_tag": "0:1", "sampleType": "FLOWSAMPLE", "decodeFault": "shorter than its fields"},
        {"sampleType_tag": "0:2", "sampleType": "COUNTERSSAMPLE", "decodeFault": "shorter than its fields"},
        {"sampleType_tag": "0:0", "unknownBytes": ""},
    ]
    assert found["samples"][3]["elements"][1]["mpls_fec_addr_prefix_len"] == "77"


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFF])
def test_lengths_near_two_to_the_32(length):
    lies = words(1005, length) + opaque(b"eth1")
    found = loaded(counter_sample(NEIGHBOUR["counter"], lies))["samples"][0]["elements"]
    assert found[1]["ifName"] == "eth1"
    assert found[1]["decodeFault"] == "its length goes beyond the end"
    inside = loaded(counter_sample(record(1005, words(length) + b"eth1"), NEIGHBOUR["counter"]))["samples"][0]
    assert inside["elements"][0] == {"counterBlock_tag": "0:1005", "decodeFault": "shorter than its fields"}
    assert inside["elements"][1]["parent_dsIndex"] == "8"
    for tag in (1003, 1006, 1012, 1016, 2001, 10):  # counts
        for table, kind in ((FLOWS, "flow"), (COUNTERS, "counter")):
            if (0, tag) in table:
                before, _, after = elements(kind, (0, tag), table[0, tag][0][:4] + words(length) * 8)
                assert before == after
    sample = loaded(words(1, length) + flow_sample(NEIGHBOUR["flow"])[8:])["samples"][0]
    assert sample["elements"][0]["mpls_fec_addr_prefix_len"] == "77"
    assert sample["decodeFault"] == "its length goes beyond the end"


def test_mac_padding_that_is_not_zero():
    assert elements("flow", (0, 2), FLOWS[0, 2][0])[1]["ethernet_src"] == "0004deadbeef"
    assert elements("counter", (0, 7), COUNTERS[0, 7][0])[1]["partnerSystemID"] == "000102030405"
    assert b"\x7f\x01" in FLOWS[0, 2][0]
