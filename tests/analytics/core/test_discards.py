"""Discarded packets (0:5), output words and flow records as keys, through the engine."""

from __future__ import annotations

import itertools
import struct

import pytest

from analytics.engine import Engine
from tests.analytics.examples.wire import (
    datagram,
    discard,
    ethernet,
    flow_sample,
    ipv4,
    opaque,
    record,
    sampled_header,
    tcp_frame,
    udp,
    words,
)

NUMBERS = itertools.count(1)


def flows(engine: Engine, name: str, now: float = 1000) -> dict[str, float]:
    """Key -> amount (value x smoothing) of a definition with t 600."""
    return {flow.key: round(flow.value * 600) for flow in engine.active_flows(["ALL"], name, now, max_flows=100)}


def keys_of(engine: Engine, keys: str, *samples: bytes, dropped: bool = False) -> dict[str, float]:
    engine.set_flow("keys", {"keys": keys, "value": "frames", "t": 600, "dropped": dropped})
    engine.feed([datagram(*samples, sequence=next(NUMBERS))], 1000)  # the same again would be a duplicate
    return flows(engine, "keys")


def test_a_discard_counts_once_and_only_where_discards_are_asked_for(engine):
    engine.set_flow("drops", {"keys": "reason,ipsource", "value": "frames", "t": 600, "dropped": True})
    engine.set_flow("lost", {"keys": "reason", "value": "bytes", "t": 600, "dropped": True})
    engine.set_flow("samples", {"keys": "ipsource", "value": "frames", "t": 600})
    header = sampled_header(tcp_frame(), frame_length=1000)
    engine.feed(
        [datagram(discard(header, sequence=1), discard(header, sequence=2, reason=256), flow_sample(header))], 1000
    )
    assert flows(engine, "drops") == {"acl,10.0.1.1": 1, "unknown,10.0.1.1": 1}
    assert flows(engine, "lost") == {"acl": 1000, "unknown": 1000}
    assert flows(engine, "samples") == {"10.0.1.1": 100}
    assert engine.flow("drops").dropped is True


@pytest.mark.parametrize(
    ("code", "name"),
    [(0, "net_unreachable"), (12, "dst_host_tos_unreacheable"), (332, "dev_hdr"), (366, "tc_egress"), (999, "999")],
)
def test_reasons(engine, code, name):
    assert keys_of(engine, "reason", discard(sampled_header(tcp_frame()), reason=code), dropped=True) == {name: 1}


def test_a_discard_without_a_header_still_has_a_reason_and_ports(engine):
    found = keys_of(engine, "reason,inputifindex,null:ipsource", discard(ports=(7, 0)), dropped=True)
    assert found == {"acl,7,null": 1}


def test_discards_are_accounted_for(engine):
    for number, (sequence, drops) in enumerate(((1, 0), (4, 3), (4, 3), (3, 5))):
        engine.feed([datagram(discard(sequence=sequence, drops=drops), sequence=number + 1)], 1000)
    found = engine.agents()["10.0.0.1"]
    assert (found.discards.received, found.discards.sources, found.discards.drops) == (4, 1, 5)
    assert (found.discards.lost, found.discards.duplicate) == (1, 1)
    assert found.discards.out_of_order == 1
    assert found.flows.received == 0


def test_a_threshold_on_discards_fires(engine):
    engine.set_flow("drops", {"keys": "reason", "value": "frames", "t": 1, "dropped": True})
    engine.set_threshold("any", {"metric": "drops", "value": 0.5, "byFlow": True})
    engine.feed([datagram(discard(sampled_header(tcp_frame())))], 1000)
    assert [event.key for event in engine.events(None, 10)] == ["acl"]


@pytest.mark.parametrize("cut", range(0, 32, 4))
def test_a_discard_that_is_cut_is_a_fault(engine, cut):
    body = discard()[8:][:cut]
    engine.feed([datagram(words(5, cut) + body)], 1000)
    assert engine.agents()["10.0.0.1"].faults == 1


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (12, "12"),
        (0x3FFFFFFF, "internal"),
        (0x40000100, "discard"),
        (0x80000001, "multiple"),
        (0x80000000, "multiple"),
        (0xC0000001, "unknown"),
        (0, "null"),
    ],
)
def test_words_of_interfaces(engine, word, text):
    assert keys_of(engine, "null:outputifindex", flow_sample(ports=(5, word))) == {text: 100}


@pytest.mark.parametrize(
    ("port", "text"),
    [(1285816721, "1285816721"), (0x3FFFFFFF, "internal"), (0xFFFFFFFF, "internal"), (2**31, "2147483648")],
)
def test_expanded_ports_have_all_32_bits(engine, port, text):
    sample = flow_sample(ports=(port, 5), source=(0, port), expanded=True)
    assert keys_of(engine, "inputifindex,outputifindex", sample) == {f"{text},5": 100}


def test_an_expanded_data_source_keeps_its_index(engine):
    engine.set_flow("f", {"keys": "direction", "value": "frames", "t": 600})
    engine.feed([datagram(flow_sample(ports=(4_000_000_000, 5), source=(0, 4_000_000_000), expanded=True))], 1000)
    [place] = engine.flow_locations(["ALL"], "f", "ingress", 1000)
    assert place.source == "4000000000"


def test_the_reason_in_an_output_word(engine):
    assert keys_of(engine, "reason", flow_sample(ports=(5, 0x40000000 | 262))) == {"pkt_too_big": 100}
    assert keys_of(engine, "reason", flow_sample(ports=(5, 6))) == {}


V4 = words(1) + bytes([192, 0, 2, 1])
V6 = words(2) + bytes.fromhex("20010db8000000000000000000000001")


def gateway(path: bytes, communities: tuple[int, ...] = (), nexthop: bytes = V4) -> bytes:
    body = nexthop + words(65000, 65001, 65002) + path + words(len(communities), *communities) + words(90)
    return record(1003, body)


PATH = words(2, 2, 2, 64496, 64497, 1, 2, 64498, 64499)
GATEWAY_KEYS = "bgpnexthop,bgpas,bgpsourceas,bgpsourcepeeras,bgplocalpref"


def test_gateway(engine):
    sample = flow_sample(gateway(PATH, (65000 << 16 | 7, 65001 << 16 | 8)))
    assert keys_of(engine, GATEWAY_KEYS, sample) == {"192.0.2.1,65000,65001,65002,90": 100}
    assert keys_of(engine, "bgpdestinationas,bgpdestinationpeeras", sample) == {"64499,64496": 100}
    assert keys_of(engine, "bgpdestinationaspath", sample) == {"64496-64497-64498-64499": 100}
    assert keys_of(engine, "bgpcommunities", sample) == {"65000:7-65001:8": 100}


def test_gateway_without_a_path(engine):
    sample = flow_sample(gateway(words(0), nexthop=V6))
    assert keys_of(engine, "bgpnexthop,bgplocalpref,null:bgpdestinationas", sample) == {"2001:db8::1,90,null": 100}
    assert keys_of(engine, "null:bgpcommunities", sample) == {"null": 100}


def test_a_long_path_is_cut_but_its_end_is_known(engine):
    sample = flow_sample(gateway(words(1, 2, 20, *range(1, 21))))
    expected = "-".join(str(number) for number in range(1, 17))
    assert keys_of(engine, "bgpdestinationaspath,bgpdestinationas", sample) == {f"{expected},20": 100}


@pytest.mark.parametrize("path", [words(0xFFFFFFFF), words(1, 2, 0xFFFFFFFF), words(1, 2, 5, 1), words(1)])
def test_a_path_whose_counts_lie_keeps_what_came_before(engine, path):
    sample = flow_sample(record(1003, V4 + words(65000, 65001, 65002) + path))
    assert keys_of(engine, "bgpsourcepeeras,null:bgplocalpref", sample) == {"65002,null": 100}
    assert keys_of(engine, "null:bgpdestinationas", sample) == {"null": 100}


@pytest.mark.parametrize(("hop", "text"), [(V4, "192.0.2.1"), (V6, "2001:db8::1")])
def test_router(engine, hop, text):
    sample = flow_sample(record(1002, hop + words(24, 16)))
    keys = "ipnexthoprouter,ipsourcemaskbits,ipdestinationmaskbits"
    assert keys_of(engine, keys, sample) == {f"{text},24,16": 100}


@pytest.mark.parametrize("cut", range(0, 16, 4))
def test_a_router_record_that_is_cut_has_the_fields_that_are_there(engine, cut):
    sample = flow_sample(record(1002, (V4 + words(24, 16))[:cut]))
    present = ["192.0.2.1" if cut >= 8 else "null", "24" if cut >= 12 else "null", "null"]
    keys = "null:ipnexthoprouter,null:ipsourcemaskbits,null:ipdestinationmaskbits"
    assert keys_of(engine, keys, sample) == {",".join(present): 100}


def ipv4_tunnel(port: int, protocol: int = 17) -> bytes:
    return words(0, protocol) + bytes([10, 9, 0, 1]) + bytes([10, 9, 0, 2]) + words(0x3930, port, 0, 0)


def test_tunnels_by_which_a_packet_came_and_leaves(engine):
    six = bytes.fromhex("20010db8000000000000000000000001") + bytes.fromhex("20010db8000000000000000000000002")
    records = (
        record(1024, ipv4_tunnel(4789)),
        record(1030, words(5001)),
        record(1025, words(0, 41) + six + words(0, 0, 0, 0)),
        record(1029, words(7001)),
    )
    sample = flow_sample(sampled_header(tcp_frame()), *records)
    keys = "inputipsource,inputipdestination,inputipprotocol,inputudpdestinationport,inputvni,ipsource"
    assert keys_of(engine, keys, sample) == {"10.9.0.1,10.9.0.2,17,4789,5001,10.0.1.1": 100}
    keys = "outputip6source,outputip6destination,outputvni,null:outputipsource"
    assert keys_of(engine, keys, sample) == {"2001:db8::1,2001:db8::2,7001,null": 100}
    assert keys_of(engine, "null:inputipsource", flow_sample(sampled_header(tcp_frame()))) == {"null": 100}


@pytest.mark.parametrize(("sent", "meant"), [(46354, 4789), (49431, 6081), (6177, 8472), (4789, 4789), (5000, 5000)])
def test_tunnel_ports_that_open_vswitch_swapped(engine, sent, meant):
    sample = flow_sample(record(1023, ipv4_tunnel(sent)))
    source = 0x3039 if sent != meant else 0x3930
    keys = "outputudpdestinationport,outputudpsourceport"
    assert keys_of(engine, keys, sample) == {f"{meant},{source}": 100}


def test_ports_of_other_protocols_are_not_touched(engine):
    sample = flow_sample(record(1023, ipv4_tunnel(46354, protocol=47)))
    assert keys_of(engine, "outputudpdestinationport", sample) == {"46354": 100}


def test_queues_and_delay(engine):
    sample = flow_sample(record(1036, words(3)), record(1040, words(150_000)), record(1039, words(0xFFFFFFFF)))
    assert keys_of(engine, "queueindex,queuedepth,transitdelay", sample) == {"3,150000,4294967295": 100}
    engine.set_flow("delay", {"keys": "queueindex", "value": "rate:queuedepth", "t": 600})
    engine.feed([datagram(sample, sequence=next(NUMBERS))], 1000)
    assert flows(engine, "delay") == {"3": 15_000_000}


def test_the_record_of_one_sample_does_not_show_in_the_next(engine):
    first = flow_sample(record(1036, words(3)), gateway(PATH, (1,)))
    assert keys_of(engine, "null:queueindex,null:bgpas", first, flow_sample()) == {"3,65000": 100, "null,null": 100}


def test_a_discard_in_a_tunnel_reads_the_inner_packet_too(engine):
    frame = ethernet(ipv4(udp(1, 2), 17))
    found = keys_of(engine, "reason,udpdestinationport", discard(sampled_header(frame), reason=288), dropped=True)
    assert found == {"unknown_tunnel,2": 1}


def rtmetric(source: str, *metrics: tuple[str, int, bytes]) -> bytes:
    body = opaque(source.encode()) + words(len(metrics))
    body += b"".join(opaque(name.encode()) + words(kind) + value for name, kind, value in metrics)
    return record(4300 << 12 | 1002, body)


def test_metrics_of_a_named_data_source(engine):
    for number in range(2):
        sample = rtmetric(
            "room.one",
            ("mode", 0, opaque(b"cool")),
            ("visits", 1, words((2**32 - 50 + number * 150) % 2**32)),
            ("bytes", 2, words(1, number * 1000)),
            ("people", 3, words(12)),
            ("big", 4, words(1, 0)),
            ("heat", 5, struct.pack(">f", 21.5)),
            ("fine", 6, struct.pack(">d", 0.125)),
        )
        engine.feed([datagram(sample, sequence=number + 1)], 1000 + 10 * number)
    found = engine.metrics_of("10.0.0.1", 1010)
    assert found == {
        "room.one.mode": "cool",
        "room.one.visits": 15.0,
        "room.one.bytes": 100.0,
        "room.one.people": 12,
        "room.one.big": 2**32,
        "room.one.heat": 21.5,
        "room.one.fine": 0.125,
    }
    [heat] = engine.metric(["10.0.0.1"], ["heat"], {}, 1010)
    assert (heat.chosen.source, heat.value) == ("room.one", 21.5)
    assert engine.agents()["10.0.0.1"].faults == 0


def test_a_named_data_source_whose_count_lies_keeps_what_is_there(engine):
    body = opaque(b"x") + words(0xFFFFFFFF) + opaque(b"people") + words(3, 12)
    engine.feed([datagram(record(4300 << 12 | 1002, body), record(4300 << 12 | 1002, b""))], 1000)
    assert engine.metrics_of("10.0.0.1", 1000) == {"x.people": 12}
    assert engine.agents()["10.0.0.1"].faults == 2


def test_a_name_that_reads_like_a_number_is_no_port(engine):
    engine.feed([datagram(flow_sample(source=(0, 5)), rtmetric("5", ("m", 3, words(1))))], 1000)
    assert engine.metrics_of("10.0.0.1", 1000) == {"rtmetric.5.m": 1}
    engine.set_flow("f", {"value": "frames", "t": 600})
    engine.feed([datagram(flow_sample(source=(0, 5)), sequence=2)], 1000)
    assert [place.source for place in engine.flow_locations(["ALL"], "f", "", 1000)] == ["5"]


def test_long_texts_are_cut(engine):
    sample = rtmetric("n" * 300, ("m" * 300, 0, opaque(b"v" * 300)))
    engine.feed([datagram(sample)], 1000)
    assert engine.metrics_of("10.0.0.1", 1000) == {f"{'n' * 255}.{'m' * 255}": "v" * 255}


def test_an_agent_cannot_make_names_without_end(engine):
    for number in range(3):
        sample = rtmetric("room", *((f"m{number}.{each}", 3, words(1)) for each in range(900)))
        engine.feed([datagram(sample, sequence=number + 1)], 1000)
    assert len(engine.metrics_of("10.0.0.1", 1000)) == 1000
    for number in range(30):
        samples = [rtmetric(f"room {number} {each}", ("m", 3, words(1))) for each in range(40)]
        engine.feed([datagram(*samples, sequence=10 + number)], 1000)
    assert len(engine.metrics_of("10.0.0.1", 1000)) == 1000 + 999
