"""Counter samples through the engine: what is kept of them, and the metrics it becomes; wraps, restarts, unknown
markers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.wire.rows import decode_record
from analytics.engine import Engine, EngineSettings
from analytics.metrics.countertable import METRICS, WRAPPED_SPEEDS
from analytics.topology import parse
from tests.analytics.examples.senders import ADDRESS, Agent, made
from tests.analytics.examples.wire import (
    UNKNOWN_COUNTER,
    datagram,
    flow_sample,
    if_counters,
    opaque,
    record,
    words,
)


def with_speed(bits):
    """A topology that knows how fast one port is."""
    return parse({"nodes": {"s1": {"agent": ADDRESS, "ports": {"p": {"ifindex": "5", "speed": bits}}}}})


def test_the_first_sample_gives_no_rates():
    agent = Agent()
    agent.send(1000, if_counters(5, 10**9, (1000, 2000), (10, 20)))
    assert agent.values(1000) == {
        "ifindex": 5,
        "iftype": "ethernetCsmacd",
        "ifspeed": 10**9,
        "ifdirection": "full-duplex",
        "ifadminstatus": "up",
        "ifoperstatus": "up",
    }


def test_rates_and_utilization():
    agent = Agent()
    agent.send(1000, if_counters(speed=10**7, octets=(1000, 2000), packets=(10, 20)))
    agent.send(1010, if_counters(speed=10**7, octets=(1_251_000, 627_000), packets=(110, 70), status=1))
    found = agent.values(1010)
    assert (found["ifinoctets"], found["ifoutoctets"]) == (125_000, 62_500)
    assert (found["ifinutilization"], found["ifoututilization"]) == (10, 5)
    assert (found["ifinucastpkts"], found["ifinpkts"], found["ifoutpkts"]) == (10, 10, 5)
    assert (found["ifadminstatus"], found["ifoperstatus"]) == ("up", "down")
    assert "ifinmulticastpkts" not in found
    assert "ifinunknownprotos" not in found


def test_the_speed_of_the_topology_wins():
    agent = Agent()
    agent.engine.set_topology(with_speed(5_000_000))
    agent.engine.feed([datagram(flow_sample(source=(0, 5)))], 1000)
    assert agent.values(1000) == {"ifspeed": 5_000_000}
    agent.send(1000, if_counters(speed=1_410_065_408))
    agent.send(1001, if_counters(speed=1_410_065_408, octets=(62_500, 0)))
    found = agent.values(1001)
    assert (found["ifspeed"], found["ifinutilization"]) == (5_000_000, 10)
    [speed] = agent.engine.dump(["ALL"], ["ifspeed"], {}, 1002)
    assert (speed.value, speed.updated) == (5_000_000, 1001)
    agent.engine.set_topology(with_speed(1_000_000))
    found = agent.values(1001)
    assert (found["ifspeed"], found["ifinutilization"]) == (1_000_000, 50)


def test_a_speed_of_zero_is_unknown():
    agent = Agent()
    agent.send(1000, if_counters(speed=0))
    agent.send(1001, if_counters(speed=0, octets=(100, 0)))
    assert {"ifspeed", "ifinutilization"} & set(agent.values(1001)) == set()


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [
        (2**32 - 1000, 500, 150.0),  # a 32-bit counter in the 64-bit field wrapped
        (2**40, 5, None),  # set back
        (3_000_000_000, 2_900_000_000, None),  # a wrap would be most of the range: set back
        (2**64 - 1, 5, None),
        (5, 2**64 - 1, None),
        (7, 7, 0.0),
        (2**33, 2**33 + 1500, 150.0),
    ],
)
def test_octets(before, after, rate):
    agent = Agent()
    agent.send(1000, if_counters(octets=(before, 0)))
    agent.send(1010, if_counters(octets=(after, 0)))
    assert agent.values(1010).get("ifinoctets") == rate


@pytest.mark.parametrize(
    ("before", "after", "rate"), [(2**32 - 11, 89, 10.0), (UNKNOWN_COUNTER, 5, None), (5, UNKNOWN_COUNTER, None)]
)
def test_packets(before, after, rate):
    agent = Agent()
    agent.send(1000, if_counters(packets=(before, 0)))
    agent.send(1010, if_counters(packets=(after, 0)))
    assert agent.values(1010).get("ifinucastpkts") == rate


@pytest.mark.parametrize("life", [{"sequence": 1}, {"uptime": 500}])
def test_a_restart_begins_anew(life):
    agent = Agent()
    agent.send(1000, if_counters(octets=(1000, 0)))
    agent.send(1010, if_counters(octets=(5000, 0)), **life)
    assert "ifinoctets" not in agent.values(1010)
    agent.send(1020, if_counters(octets=(6000, 0)))
    assert agent.values(1020)["ifinoctets"] == 100


def test_the_other_structures_of_open_vswitch():
    agent = Agent()
    names = (record(1004, struct.pack(">QI", 0x101, 3)), record(1005, opaque(b"leaf1-eth3")))
    agent.send(1000, *names, record(2, words(*[0] * 13)), record(2207, words(100, 10, 0, 0, 7, 2)))
    agent.send(
        1010,
        *names,
        record(2, words(5, 50, *[UNKNOWN_COUNTER] * 11)),
        record(2207, words(300, 20, 0, 0, 9, UNKNOWN_COUNTER)),
    )
    assert agent.values(1010) == {
        "of_dpid": "0000000000000101",
        "of_port": 3,
        "ifname": "leaf1-eth3",
        "eth_alignmenterrors": 0.5,
        "eth_fcserrors": 5.0,
        "ovs_dp_hitrate": 20.0,
        "ovs_dp_missrate": 1.0,
        "ovs_dp_lostrate": 0.0,
        "ovs_dp_maskhitrate": 0.0,
        "ovs_dp_flows": 9,
        "ovs_dp_masks": 2,
    }


def test_two_samples_at_one_time_count_as_the_later():
    agent = Agent()
    agent.send(1000, if_counters(octets=(1000, 0)))
    agent.send(1000, if_counters(octets=(2000, 0)))
    assert "ifinoctets" not in agent.values(1000)
    agent.send(1010, if_counters(octets=(3000, 0)))
    agent.send(1010, if_counters(octets=(12_000, 0)))
    assert agent.values(1010)["ifinoctets"] == 1000


def test_a_clock_that_is_set_back_makes_no_rate():
    agent = Agent()
    for step, now in enumerate((1000, 1010, 1005, 1015)):
        agent.send(now, if_counters(octets=(1000 * step, 0)), uptime=10_000 * step)
        assert agent.values(now).get("ifinoctets") == {1010: 100.0, 1015: 100.0}.get(now)


def test_a_stale_metric_disappears():
    agent = Agent()
    agent.send(1000, if_counters())
    agent.send(1010, if_counters(octets=(10, 0)))
    [octets] = agent.engine.dump(["ALL"], ["ifinoctets"], {}, 1044)
    assert (octets.value, octets.updated) == (1.0, 1010)
    assert agent.engine.dump(["ALL"], ["ifinoctets"], {}, 1046) == []
    assert agent.values(1046) == {}
    assert agent.engine.numbers().counter_records == 1
    agent.engine.tick(1046)
    assert agent.engine.numbers().counter_records == 0
    agent.send(1050, if_counters(octets=(20, 0)))
    assert agent.values(1050)["ifindex"] == 5
    assert "ifinoctets" not in agent.values(1050)


def test_what_is_unknown_this_time_keeps_its_value_until_it_is_stale():
    agent = Agent()
    agent.send(1000, if_counters(speed=10**9))
    agent.send(1010, if_counters(speed=0))
    [speed] = agent.engine.dump(["ALL"], ["ifspeed"], {}, 1010)
    assert (speed.value, speed.updated) == (10**9, 1000)


def test_a_short_record_is_a_fault_and_what_it_has_counts():
    agent = Agent()
    assert agent.send(1000, record(1, words(5, 6)), record(1005, words(9) + b"eth0"), record(1004, b"ab")) == 3
    assert agent.values(1000) == {"ifindex": 5, "iftype": "ethernetCsmacd"}
    assert agent.send(1010, if_counters(), record(1005, opaque(b"eth0"))) == 0
    assert agent.values(1010)["ifname"] == "eth0"


@pytest.mark.parametrize("lie", [record(2, words(*[0] * 13))[:30], words(1), b""])
def test_a_count_of_records_that_lies_is_a_fault(lie):
    agent = Agent()
    sample = record(2, words(7, 5, 9) + if_counters() + lie)
    agent.engine.feed([datagram(sample)], 1000)
    assert agent.faults(1000) == 1
    assert agent.values(1000)["ifindex"] == 5


def test_nothing_readable_makes_no_source():
    agent = Agent()
    assert agent.send(1000, record(9999, b"abcd"), record(4300 << 12 | 2, words(1, 2, 3, 4, 5))) == 0
    assert agent.engine.metric_names(1000) == {}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (1_410_065_408, 10_000_000_000),
        (3_525_163_520, 25_000_000_000),
        (1_345_294_336, 40_000_000_000),
        (1_215_752_192, 100_000_000_000),
        (100_000_000, 100_000_000),
        (2_500_000_000, 2_500_000_000),
        (400_000_000_000, 400_000_000_000),
    ],
)
def test_speeds_that_open_vswitch_wrapped(sent, meant):
    agent = Agent()
    agent.send(1000, if_counters(speed=sent))
    assert agent.values(1000)["ifspeed"] == meant


def test_no_wrapped_speed_is_a_speed_of_its_own():
    assert len(WRAPPED_SPEEDS) == 10
    assert all(speed % 1_000_000 for speed in WRAPPED_SPEEDS)


def test_records_that_take_turns_keep_their_rates():
    agent = Agent()
    for number in range(4):
        octets = 1000 * number
        each = if_counters(octets=(octets, 0)) if number % 2 == 0 else made((0, 2006), octets, *[0] * 7)
        agent.send(1000 + 5 * number, each)
    assert (agent.values(1015)["ifinoctets"], agent.values(1015)["bytes_in"]) == (200.0, 200.0)


def test_records_that_take_turns_live_by_their_own_interval():
    agent = Agent()
    for number in range(3):
        agent.send(1000 + 60 * number, if_counters())
        agent.send(1001 + 60 * number, made((0, 2006), *[0] * 8))
    assert {"ifindex", "bytes_in"} <= set(agent.values(1120 + 200))
    assert agent.values(1120 + 220) == {}


@pytest.mark.parametrize(
    ("sequences", "uptimes", "rate"),
    [
        ((0xFFFFFFFF, 0), (5000, 15000), 100.0),  # the sequence wrapped
        ((5, 6), (2**32 - 4000, 6000), 100.0),  # the uptime wrapped after 49.7 days
        ((5, 6), (2**32 - 4000, 200_000), None),  # back, and too far on for a wrap
        ((5, 6), (3_000_000_000, 1000), None),
        ((50_000_000, 1), (5000, 15000), None),
    ],
)
def test_wraps_are_no_restarts(sequences, uptimes, rate):
    agent = Agent()
    for number in range(2):
        each = if_counters(octets=(1000 * number, 0))
        agent.send(1000 + 10 * number, each, sequence=sequences[number], uptime=uptimes[number])
    assert agent.values(1010).get("ifinoctets") == rate


def test_bodies_of_changing_length_do_not_disturb_their_neighbours():
    agent = Agent()
    for step, name in enumerate(("a", "leaf1-eth5", "", "a name of more than thirty characters", "b")):
        agent.send(
            1000 + 10 * step,
            if_counters(octets=(1000 * step, 0)),
            record(1005, opaque(name.encode())),
            record(2, words(20 * step, *[0] * 12)),
        )
        found = agent.values(1000 + 10 * step)
        assert found.get("ifname") == (name or "leaf1-eth5")  # no name: the one before
        assert (found.get("ifinoctets"), found.get("eth_alignmenterrors")) == ((100.0, 2.0) if step else (None, None))


def test_memory_for_records_is_bounded_and_what_is_refused_is_counted():
    agent = Agent(Engine(EngineSettings(max_counter_bytes=10_000)))
    for port in range(1, 201):
        agent.send(1000, if_counters(port), source=(0, port))
    numbers = agent.engine.numbers()
    assert numbers.counter_records + numbers.counter_records_refused == 200
    assert 30 < numbers.counter_records < 50
    assert 8000 < agent.engine.pipeline.counters.bytes <= 10_000
    agent.send(1010, if_counters(1, octets=(500, 0)), source=(0, 1))
    assert agent.values(1010, "1")["ifinoctets"] == 50.0, "those that are known go on"
    agent.engine.tick(1200)
    assert agent.engine.pipeline.counters.bytes == 0
    agent.send(1200, if_counters(200), source=(0, 200))
    assert agent.values(1200, "200")["ifindex"] == 200, "there is room again"


def test_a_record_beyond_all_measure_is_refused():
    agent = Agent()
    agent.send(1000, record(1005, opaque(b"n" * 4093)), if_counters())
    assert "ifname" not in agent.values(1000)
    assert agent.values(1000)["ifindex"] == 5
    assert agent.engine.numbers().counter_records_refused == 1
    agent.send(1001, record(1005, opaque(b"n" * 4092)), if_counters())
    assert agent.values(1001)["ifname"] == "n" * 4092


@given(st.lists(st.tuples(st.sampled_from(sorted(METRICS)), st.binary(max_size=160)), max_size=8), st.integers(0, 9))
def test_the_newest_body_of_every_record_is_what_is_shown(noise, gap):
    """Whatever comes, also cut and odd: each record shows what its newest body says and counts the faults in it."""
    agent = Agent()
    agent.send(1000, if_counters(octets=(0, 0)))
    faults, newest = 0, {}
    for tag, body in noise:
        values, whole = decode_record(tag, body)
        faults += not whole
        if values:
            newest[tag] = values
    counted = sum(agent.send(1000 + gap, record(tag[0] << 12 | tag[1], body)) for tag, body in noise)
    assert counted == faults
    shown = {entry[0]: decode_record(entry[0], entry[2])[0] for entry in agent.engine.pipeline.counters.read(0)[1]}
    queue = newest.pop((0, 1003), {})
    assert {tag: shown[tag] for tag in newest} == newest
    assert (0, 1003) in shown or not 0 <= queue.get("queue_index", 256) < 256
    agent.values(1000 + gap)
