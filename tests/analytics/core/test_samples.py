"""Samples of every type, the decoded header fields, and the README's table of all structures."""

from __future__ import annotations

import struct

import pytest

from analytics.core.wire import reasons, structures
from tests.analytics import readme_table
from tests.analytics.core.test_structures import loaded, printed
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    ethernet,
    flow_sample,
    ipv4,
    ipv6,
    opaque,
    record,
    sampled_header,
    tcp,
    udp,
    words,
)

RECORD = record(1011, words(9))
ELEMENT = {"flowBlock_tag": "0:1011", "mpls_fec_addr_prefix_len": "9"}
PARENT = {"counterBlock_tag": "0:2002", "parent_dsClass": "3", "parent_dsIndex": "4"}
FLOW_HEAD = {"sampleType": "FLOWSAMPLE", "sampleSequenceNo": "1", "sourceId": "2:1000", "meanSkipCount": "100",
             "samplePool": "100", "dropEvents": "7"}  # fmt: skip
METRICS = (
    (0, opaque(b'a "b"'), "string", 'a "b"'), (1, words(1), "counter32", "1"),
    (2, struct.pack(">Q", 1 << 40), "counter64", "1099511627776"), (3, words(2), "gauge32", "2"),
    (4, struct.pack(">Q", 5), "gauge64", "5"), (5, struct.pack(">f", 0.5), "gaugeFloat", "0.500"),
    (6, struct.pack(">d", -2.25), "gaugeDouble", "-2.250"),
)  # fmt: skip
FLOW_VALUES = (
    (0, opaque(b"x"), "string", "x"), (1, bytes.fromhex("0004deadbeef7f01"), "mac", "0004deadbeef"),
    (2, bytes([10, 0, 0, 1]), "ip", "10.0.0.1"), (3, bytes(15) + b"\1", "ip6", "0000:" * 7 + "0001"),
    (4, words(7), "int32", "7"), (5, struct.pack(">Q", 1 << 40), "int64", "1099511627776"),
    (6, struct.pack(">f", 1.5), "float", "1.500"), (7, struct.pack(">d", 2.5), "double", "2.500"),
)  # fmt: skip


def listed(rows) -> bytes:
    return words(len(rows)) + b"".join(opaque(b"m%d" % form) + words(form) + value for form, value, _, _ in rows)


def enterprise(tag: int, body: bytes) -> bytes:
    return record(4300 << 12 | tag, body)


SAMPLES = {
    "0:1": (flow_sample(RECORD, source=(2, 1000), drops=7, ports=(5, 0x80000003)),
            FLOW_HEAD | {"inputPort": "5", "outputPort": "multiple 3", "elements": [ELEMENT]}),
    "0:2": (counter_sample(record(2002, words(3, 4)), source=(0, 7), sequence=3),
            {"sampleType": "COUNTERSSAMPLE", "sampleSequenceNo": "3", "sourceId": "0:7", "elements": [PARENT]}),
    "0:3": (record(3, words(1, 2, 1000, 100, 100, 7, 0, 1285816721, 1, 258, 1) + RECORD),
            FLOW_HEAD | {"inputPort": "1285816721", "outputPort": "dropCode 258", "elements": [ELEMENT]}),
    "0:4": (counter_sample(record(2002, words(3, 4)), source=(3, 80), sequence=3, expanded=True),
            {"sampleType": "COUNTERSSAMPLE", "sampleSequenceNo": "3", "sourceId": "3:80", "elements": [PARENT]}),
    "0:5": (record(5, words(1, 0, 16777217, 2, 5, 6, 332, 1) + RECORD),
            {"sampleType": "DISCARD", "sampleSequenceNo": "1", "sourceId": "0:16777217", "dropEvents": "2",
             "inputPort": "5", "outputPort": "6", "discardCode": "332", "discardReason": "dev_hdr",
             "elements": [{"discarded_" + name: value for name, value in ELEMENT.items()}]}),
    "4300:1002": (enterprise(1002, opaque(b"host.1") + listed(METRICS)),
                  {"sampleType": "RTMETRIC", "rtmetric_datasource_name": "host.1"}
                  | {f"rtmetric_{kind}_m{form}": text for form, _, kind, text in METRICS}),
    "4300:1003": (enterprise(1003, opaque(b"host.1") + words(10, 20) + listed(FLOW_VALUES)),
                  {"sampleType": "RTFLOW", "rtflow_datasource_name": "host.1", "rtflow_sampling_rate": "10",
                   "rtflow_sample_pool": "20"}
                  | {f"rtflow_{kind}_m{form}": text for form, _, kind, text in FLOW_VALUES}),
}  # fmt: skip


@pytest.mark.parametrize("tag", SAMPLES)
def test_every_sample_field(tag):
    sample, fields = SAMPLES[tag]
    found = loaded(sample, flow_sample(sequence=99))["samples"]
    assert found[0] == {"sampleType_tag": tag} | fields
    assert found[1]["sampleSequenceNo"] == "99"
    text = printed(datagram(sample), "text").splitlines()
    assert all(f"{name} {value}" in text for name, value in fields.items() if isinstance(value, str))


def test_every_sample_type_has_an_example():
    assert set(SAMPLES) == {one.text for one in structures.SAMPLES.values()}


def test_the_readme_lists_every_structure():
    text = readme_table.README.read_text(encoding="utf-8")
    assert text.partition(readme_table.BEGIN)[2].partition(readme_table.END)[0].strip() == readme_table.table()


@pytest.mark.parametrize(
    ("word", "text"),
    [(0, "0"), (12, "12"), (0x3FFFFFFF, "1073741823"), (0x40000100, "dropCode 256"), (0x80000000, "multiple 0"),
     (0x80000001, "multiple 1"), (0xC0000005, "format==3 5")],
)  # fmt: skip
def test_interface_words(word, text):
    assert loaded(flow_sample(ports=(5, word)))["samples"][0]["outputPort"] == text


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0, "net_unreachable"), (15, "precedence_cutoff"), (16, "NotFound"), (256, "unknown"), (258, "acl"),
     (271, "uc_dip_over_mc_dmac"), (279, "unresolved_neigh"), (287, "unknown_buffer"), (295, "sip_is_class_e"),
     (303, "split_horizon"), (314, "ip_n_parsing"), (325, "unhandled_proto"), (336, "icmp_parsing"),
     (347, "tcp_reset"), (356, "tcp_minttl"), (362, "ipv6_ndisc_ns_otherhost"), (366, "tc_egress"),
     (371, "socket_filter"), (372, "NotFound"), (0xFFFFFFFF, "NotFound")],
)  # fmt: skip
def test_drop_reasons(code, reason):
    sample = loaded(record(5, words(1, 0, 5, 2, 5, 6, code, 0)))["samples"][0]
    assert (sample["discardCode"], sample["discardReason"]) == (str(code), reason)
    assert reasons.DROP_REASONS.get(code, "NotFound") == reason


def headers(frame: bytes, protocol: int = 1, frame_length: int = 1518) -> dict[str, str]:
    """The decoded header fields of a packet."""
    element = loaded(flow_sample(sampled_header(frame, frame_length, protocol)))["samples"][0]["elements"][0]
    return {name: value for index, (name, value) in enumerate(element.items()) if index > 6}


MACS = {"dstMAC": "000000000002", "srcMAC": "000000000001"}
FOUR = {"IPSize": "1500", "ip.tot_len": "40", "srcIP": "10.0.1.1", "dstIP": "10.0.2.2", "IPProtocol": "6", "IPTOS": "0",
        "IPTTL": "64", "IPID": "7"}  # fmt: skip
TCP = {"TCPSrcPort": "40000", "TCPDstPort": "5001", "TCPFlags": "16"}
SIX_ENDS = {"IPTTL": "64", "srcIP6": "2001:0db8:0000:0000:0000:0000:0000:0001",
            "dstIP6": "2001:0db8:0000:0000:0000:0000:0000:0002"}  # fmt: skip


def test_headers_of_ipv4():
    assert headers(ethernet(ipv4(tcp(), 6))) == MACS | {"ethernet_type": "2048"} | FOUR | TCP
    assert list(headers(ethernet(ipv4(tcp(), 6)))) == [*MACS, "ethernet_type", *FOUR, *TCP]
    assert headers(ipv4(tcp(), 6), 11) == FOUR | {"IPSize": "1514"} | TCP
    found = headers(ethernet(ipv4(udp(53, 1000, bytes(12)), 17, options=bytes(4))))
    assert (found["UDPSrcPort"], found["UDPDstPort"], found["UDPBytes"]) == ("53", "1000", "20")
    found = headers(ethernet(ipv4(bytes([3, 1]) + bytes(6), 1)))
    assert (found["ICMPType"], found["ICMPCode"]) == ("3", "1")


def test_headers_of_fragments():
    first, later = (headers(ethernet(ipv4(tcp(), 6, fragment=at))) for at in (0x2000, 0x20B9))
    assert first == MACS | {"ethernet_type": "2048"} | FOUR | TCP
    assert later == MACS | {"ethernet_type": "2048"} | FOUR | {"IPFragmentOffset": "185"}


def test_headers_of_vlans():
    tags = ((0x88A8, 5 << 13 | 100), (0x8100, 200), (0x8100, 300))
    assert headers(ethernet(ipv4(tcp(), 6), tags=tags)) == MACS | {
        "decodedVLAN": "100", "decodedPriority": "5", "decodedVLAN.1": "200", "decodedPriority.1": "0",
        "decodedVLAN.2": "300", "decodedPriority.2": "0", "ethernet_type": "2048",
    } | FOUR | TCP | {"IPSize": "1488"}  # fmt: skip


def test_headers_of_llc():
    assert headers(ethernet(bytes.fromhex("424203000000"), kind=6)) == MACS
    snap = bytes.fromhex("aaaa03") + bytes(3) + b"\x08\x00" + ipv4(tcp(), 6)
    assert headers(ethernet(snap, kind=len(snap))) == MACS | {"ethernet_type": "2048"} | FOUR | TCP | {"IPSize": "1492"}
    cdp = bytes.fromhex("aaaa0300000c2000")
    assert headers(ethernet(cdp, kind=len(cdp))) == MACS | {"VSNAP_OUI": "00-00-0C"}


def test_headers_of_ipv6():
    packet = ipv6(tcp(), 6, tos=0xB8)
    found = headers(ethernet(bytes([packet[0]]) + bytes([packet[1] | 1, 0xAB, 0xCD]) + packet[4:], 0x86DD))
    assert found == MACS | {"ethernet_type": "34525", "IPSize": "1500", "IPTOS": "184", "IP6_label": "0x1abcd",
                            "IPV6_payloadLen": "20"} | SIX_ENDS | {"IPProtocol": "6"} | TCP  # fmt: skip
    chain = bytes([43, 0]) + bytes(6) + bytes([60, 1]) + bytes(14) + bytes([17, 0]) + bytes(6) + udp(1, 2)
    found = headers(ipv6(chain, 0), 12)
    fixed = {"IPSize": "1514", "IPTOS": "0", "IP6_label": "0x0", "IPV6_payloadLen": str(len(chain))} | SIX_ENDS
    assert found == fixed | {
        "IP6HeaderExtension": "0", "IP6HeaderExtension.1": "43", "IP6HeaderExtension.2": "60", "IPProtocol": "17",
        "UDPSrcPort": "1", "UDPDstPort": "2", "UDPBytes": "16"}  # fmt: skip
    jumbo = ipv6(b"", 59)
    assert headers(jumbo, 12)["IPV6_payloadLen"] == "<jumbo>"
    fragment = headers(ipv6(bytes([6, 0, 1, 0]) + bytes(4) + tcp(), 44), 12)
    assert (fragment["IPFragmentOffset"], "TCPSrcPort" in fragment) == ("32", False)


def test_headers_of_wifi():
    macs = [bytes([0, 0, 0, 0, 0, number]) for number in range(1, 5)]
    for ways, (source, target) in enumerate(((2, 1), (2, 3), (3, 1), (4, 3))):
        frame = bytes([0x08, ways, 0, 0]) + b"".join(macs[:3]) + bytes(2) + macs[3]
        assert headers(frame, 15) == {
            "srcMAC": f"{source:012x}", "dstMAC": f"{target:012x}", "txMAC": f"{2:012x}", "rxMAC": f"{1:012x}",
        }  # fmt: skip
    assert headers(bytes([0x80]) + bytes(40), 15) == {}


def test_headers_that_are_not_decoded():
    for protocol, word in ((7, "NO_DECODE"), (13, "NO_DECODE"), (99, "UNKNOWN")):
        assert headers(bytes(64), protocol) == {}
        text = printed(datagram(flow_sample(sampled_header(bytes(64), 100, protocol))), "text")
        assert f"{word} headerProtocol={protocol}\n" in text


def test_headers_cut_anywhere_keep_what_stands_before():
    frame = ethernet(ipv6(bytes([6, 0]) + bytes(6) + tcp(), 0), 0x86DD, tags=((0x8100, 5),))
    whole = headers(frame)
    assert "TCPFlags" in whole
    for end in range(len(frame)):
        found = headers(frame[:end])
        assert found.items() <= (whole | {"IPProtocol": "0"}).items() or found.items() <= whole.items()
        assert end < 14 or found["srcMAC"] == "000000000001"


def test_sampled_ipv4_prints_ports_by_protocol():
    def ports(protocol: int) -> dict[str, str]:
        body = words(100, protocol) + bytes(8) + words(8, 13, 2, 0)
        element = loaded(flow_sample(record(3, body)))["samples"][0]["elements"][0]
        return {name: value for name, value in element.items() if name.startswith(("TCP", "UDP", "ICMP"))}

    assert ports(1) == {"ICMPType": "13"}
    assert ports(6) == {"TCPSrcPort": "8", "TCPDstPort": "13", "TCPFlags": "2"}
    assert ports(17) == {"UDPSrcPort": "8", "UDPDstPort": "13"}
    assert ports(47) == {}


def test_strings_from_the_network_are_safe():
    name = b'a"b\\c\n\x1b[2J\xff\xc2\x9b\xe2\x82\xac\xed\xa0\x80\0\0'
    text = 'a"b\\c\n\x1b[2J\ufffd\x9b€\ufffd\ufffd\ufffd'
    sample = counter_sample(record(1005, opaque(name)))
    assert loaded(sample)["samples"][0]["elements"][0]["ifName"] == text
    line = next(one for one in printed(datagram(sample), "text").split("\n") if one.startswith("ifName "))
    assert line == 'ifName a"b\\c\\u000a\\u001b[2J\ufffd\\u009b€\ufffd\ufffd\ufffd'


def test_a_datagram_as_text():
    assert (
        printed(datagram(counter_sample(sequence=4), agent="2001:db8::5", sub_agent=2, uptime=99), "text")
        == """\
startDatagram =================================
datagramSourceIP 192.0.2.7
datagramSize 60
unixSecondsUTC 100
unixSecondsUTC_uS 250000
localtime then
pcapTimestamp then
pcapTimestamp_uS 250000
datagramVersion 5
agentSubId 2
agent 2001:0db8:0000:0000:0000:0000:0000:0005
packetSequenceNo 1
sysUpTime 99
samplesInPacket 1
startSample ----------------------
sampleType_tag 0:2
sampleType COUNTERSSAMPLE
sampleSequenceNo 4
sourceId 0:5
endSample   ----------------------
endDatagram   =================================
"""
    )
