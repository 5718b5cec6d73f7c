"""dissect/summary: packets of which an agent sent the decoded fields (sampled_ethernet, sampled_ipv4, sampled_ipv6)."""

from __future__ import annotations

import pytest

from tests.analytics.examples.flow_examples import FLOWS
from tests.analytics.examples.senders import keys_of
from tests.analytics.examples.wire import record, sampled_header, tcp_frame, words

FLAT2, FLAT4, FLAT6 = (record(tag, FLOWS[0, tag][0]) for tag in (2, 3, 4))


def test_sampled_ipv4_alone(engine):
    keys = "ipsource,ipdestination,ipprotocol,tcpsourceport,tcpdestinationport,tcpflags,iptos,ipbytes,stack"
    expected = "10.0.1.1,10.0.2.2,6,40000,443,000010010,184,1500,ip.tcp"
    assert keys_of(engine, keys, FLAT4) == {expected: 1}
    assert keys_of(engine, "ipsource", FLAT4, value="bytes") == {"10.0.1.1": 1500}


def test_sampled_ipv6_alone(engine):
    keys = "ip6source,ip6destination,ip6nexthdr,udpsourceport,udpdestinationport,ip6tos,ip6bytes,stack"
    assert keys_of(engine, keys, FLAT6) == {"2001:db8::1,2001:db8::2,17,53,40001,7,1400,ip6.udp": 1}
    assert keys_of(engine, "null:ip6fragm,ip6source", FLAT6, value="bytes") == {"null,2001:db8::1": 1400}


def test_sampled_ethernet_alone(engine):
    keys = "macsource,macdestination,ethernetprotocol,isunicast,stack"
    assert keys_of(engine, keys, FLAT2) == {"0004DEADBEEF,000000000002,3,true,eth": 1}
    assert keys_of(engine, "macsource", FLAT2, value="bytes") == {"0004DEADBEEF": 16}


@pytest.mark.parametrize("records", [(FLAT2, FLAT4), (FLAT4, FLAT2)])
def test_ethernet_and_ipv4_make_one_packet(engine, records):
    """Its bytes are those of the frame, whichever comes first."""
    assert keys_of(engine, "macsource,ipsource,stack", *records) == {"0004DEADBEEF,10.0.1.1,eth.ip.tcp": 1}
    assert keys_of(engine, "ipsource", *records, value="bytes") == {"10.0.1.1": 16}


@pytest.mark.parametrize("first", [True, False])
def test_a_sampled_header_wins(engine, first):
    header = sampled_header(tcp_frame("10.9.9.9"), frame_length=777)
    records = (header, FLAT2, FLAT4) if first else (FLAT2, FLAT4, header)
    assert keys_of(engine, "ipsource,macsource,null:ipsource.1", *records) == {"10.9.9.9,000000000001,null": 1}
    assert keys_of(engine, "ipsource", *records, value="bytes") == {"10.9.9.9": 777}


@pytest.mark.parametrize(
    ("protocol", "keys", "stack"),
    [(6, "tcpsourceport", "ip.tcp"), (17, "udpsourceport", "ip.udp"), (33, "dccpsourceport", "ip.dccp"),
     (132, "sctpsourceport", "ip.sctp"), (136, "udpsourceport", "ip.udplite"), (47, "null:tcpsourceport", "ip"),
     (1, "null:udpsourceport", "ip")],
)  # fmt: skip
def test_ports_go_with_the_protocol(engine, protocol, keys, stack):
    body = words(100, protocol, 0x0A000001, 0x0A000002, 7, 8, 0, 0)
    port = "null" if keys.startswith("null") else "7"
    assert keys_of(engine, f"{keys},stack", record(3, body)) == {f"{port},{stack}": 1}


def test_ports_that_are_no_ports(engine):
    body = words(100, 6, 0x0A000001, 0x0A000002, 70000, 8, 0, 0)
    assert keys_of(engine, "ipsource,null:tcpdestinationport", record(3, body)) == {"10.0.0.1,null": 1}
    assert keys_of(engine, "null:ipsource", record(3, words(100, 256) + body[8:])) == {"null": 1}


@pytest.mark.parametrize(("tag", "name"), [(2, "macsource"), (3, "ipsource"), (4, "ip6source")])
def test_words_that_are_cut_make_no_packet(engine, tag, name):
    body = FLOWS[0, tag][0]
    for end in range(len(body)):
        found = keys_of(engine, f"null:{name}", record(tag, body[:end]))
        assert found == {"null": 1}, end


def test_a_packet_in_words_leaves_nothing_to_the_next_sample(engine):
    keys_of(engine, "ipsource,macsource", FLAT2, FLAT4)
    assert keys_of(engine, "null:ipsource,null:macsource,null:stack") == {"null,null,null": 1}
    body = words(100, 6, 0x0A000001, 0x0A000002, 7, 8, 0, 0)
    assert keys_of(engine, "tcpflags,iptos", record(3, body)) == {"000000000,0": 1}
