"""core/ledger, through the engine: what was lost, out of order, duplicate, and what is a restart."""

from __future__ import annotations

import pytest

from analytics.engine import Engine
from analytics.metrics.numbers import Tally
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    discard,
    flow_sample,
    if_counters,
    sampled_header,
    tcp_frame,
    words,
)


@pytest.fixture
def engine():
    made = Engine()
    made.set_flow("f", {"value": "frames"})
    yield made
    made.close()


def datagrams(engine: Engine, *numbers: int, uptime: int = 100_000, sub_agent: int = 0) -> Tally:
    """Feed datagrams of these sequence numbers; the agent's tally."""
    for number in numbers:
        engine.feed([datagram(sequence=number, uptime=uptime, sub_agent=sub_agent)], 1000)
    return engine.agents()["10.0.0.1"].datagrams


def counts(received: int, lost: int = 0, out_of_order: int = 0, duplicate: int = 0) -> Tally:
    return Tally(received, lost, duplicate, out_of_order)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 2, 3), counts(3)),
        ((500, 501), counts(2)),
        ((1, 5), counts(2, lost=3)),
        ((1, 3, 2, 4), counts(4, out_of_order=1)),
        ((1, 4, 3, 2), counts(4, out_of_order=2)),
        ((1, 2, 2, 3), counts(4, duplicate=1)),
        ((1, 3, 2, 2), counts(4, out_of_order=1, duplicate=1)),
        ((0xFFFFFFFF, 0, 1), counts(3)),
        ((0xFFFFFFFE, 1), counts(2, lost=2)),
        ((1_000_000, 1, 2), counts(3)),  # far back: a restart
        ((1, 1_000_000), counts(2)),  # far ahead: another epoch, not a million lost
        ((1, 100, 30), counts(3, lost=98)),  # too far back to be out of order
    ],
)
def test_datagrams(engine, numbers, expected):
    assert datagrams(engine, *numbers) == expected


def test_a_restart_shows_in_the_uptime(engine):
    datagrams(engine, 10, 11, uptime=90_000)
    assert datagrams(engine, 1, 2, uptime=1000) == counts(4)


def restarts(engine: Engine) -> int:
    return engine.agents()["10.0.0.1"].restarts


def test_restarts_are_counted(engine):
    datagrams(engine, 10, 11, uptime=90_000)
    assert restarts(engine) == 0
    datagrams(engine, 1, 2, uptime=1000)
    assert restarts(engine) == 1
    datagrams(engine, 500_000, uptime=2000)
    assert restarts(engine) == 2


def test_a_wrap_of_the_sequence_is_no_restart(engine):
    assert datagrams(engine, 0xFFFFFFFD, 0xFFFFFFFE, 1, 0xFFFFFFFF, 0, 2) == counts(6, out_of_order=2)
    assert restarts(engine) == 0


def test_a_wrap_of_the_uptime_is_no_restart_and_loses_nothing(engine):
    datagrams(engine, 7, uptime=0xFFFFFFF0)
    assert datagrams(engine, 8, 9, uptime=100) == counts(3)
    datagrams(engine, 10, uptime=0xFFFFFFF0, sub_agent=1)
    assert datagrams(engine, 13, uptime=500, sub_agent=1) == counts(5, lost=2)
    assert restarts(engine) == 0


def test_reordered_datagrams_of_an_agent_that_ticks_are_no_restart(engine):
    datagrams(engine, 1, uptime=100_000)
    datagrams(engine, 3, uptime=103_000)
    assert datagrams(engine, 2, uptime=101_000) == counts(3, out_of_order=1)
    assert restarts(engine) == 0


def test_two_sub_agents_of_one_address_restart_apart(engine):
    datagrams(engine, 10, 11, uptime=90_000, sub_agent=0)
    datagrams(engine, 20, 21, uptime=95_000, sub_agent=1)
    datagrams(engine, 1, uptime=0, sub_agent=1)
    assert datagrams(engine, 12, uptime=91_000, sub_agent=0) == counts(6)
    assert restarts(engine) == 1


def test_sample_sequences_wrap_and_are_apart_per_sub_agent(engine):
    for number, sequence in enumerate((0xFFFFFFFF, 0, 2)):
        wire = datagram(flow(sequence, rate=1), sequence=number + 1, sub_agent=0)
        engine.feed([wire, datagram(flow(number + 1), sequence=number + 1, sub_agent=1)], 1000)
    found = engine.agents()["10.0.0.1"]
    assert (found.flows.received, found.flows.lost, found.flows.sources) == (6, 1, 2)
    assert found.flows.out_of_order == found.flows.duplicate == 0


def test_a_late_counter_sample_does_not_undo_a_newer_one(engine):
    for number, (sequence, octets) in enumerate(((1, 0), (3, 3000), (2, 1500), (4, 4000))):
        sample = counter_sample(if_counters(octets=(octets, 0)), sequence=sequence)
        uptime = 100_000 + 1000 * sequence
        engine.feed([datagram(sample, sequence=sequence, uptime=uptime)], 1000 + 10 * number)
    assert engine.metric(["ALL"], ["ifinoctets"], {}, 1030)[0].value == 50.0  # 1000 in 20 s


def test_sub_agents_count_for_themselves(engine):
    datagrams(engine, 1, 2, sub_agent=0)
    datagrams(engine, 70, 71, sub_agent=1)
    assert datagrams(engine, 3, sub_agent=0) == counts(5)


def flow(sequence: int, **more) -> bytes:
    return flow_sample(sampled_header(tcp_frame()), sequence=sequence, **more)


def test_samples_are_accounted_per_data_source_and_kind(engine):
    samples = [
        (flow(1, source=(0, 5)), flow(10, source=(0, 6)), counter_sample(if_counters(), sequence=100)),
        (flow(4, source=(0, 5)), flow(11, source=(0, 6)), counter_sample(if_counters(), sequence=102)),
        (flow(3, source=(0, 5)), flow(11, source=(0, 6)), counter_sample(if_counters(), sequence=103)),
    ]
    for number, each in enumerate(samples):
        engine.feed([datagram(*each, sequence=number + 1)], 1000 + number)
    found = engine.agents()["10.0.0.1"]
    assert (found.flows.received, found.flows.sources) == (6, 2)
    assert (found.flows.lost, found.flows.out_of_order) == (1, 1)
    assert found.flows.duplicate == 1
    assert (found.counters.received, found.counters.lost) == (3, 1)
    assert found.counters.sources == 1


def test_samples_start_anew_after_a_restart_of_their_sub_agent(engine):
    engine.feed([datagram(flow(50), sequence=10, uptime=90_000)], 1000)
    engine.feed([datagram(flow(1), sequence=1, uptime=0)], 1001)
    engine.feed([datagram(flow(2), sequence=2, uptime=10)], 1002)
    found = engine.agents()["10.0.0.1"]
    assert (found.flows.received, found.flows.lost) == (3, 0)
    assert found.flows.out_of_order == found.flows.duplicate == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda source: flow_sample(sampled_header(tcp_frame()), source=source, expanded=True),
        lambda source: counter_sample(if_counters(), source=source, expanded=True),
        lambda source: discard(sampled_header(tcp_frame()), source=source),
    ],
)
def test_a_data_source_of_the_class_of_names_is_refused(engine, make):
    """Class 0xFFFFFFFE stands for names inside; read as an index of them it once crashed the engine."""
    for number, index in enumerate((0, 1, 0xFFFFFFFF), 1):
        engine.feed([datagram(make((0xFFFFFFFE, index)), make((0, 5)), sequence=number)], 1000)
    assert engine.numbers().sources_refused == 3
    engine.feed([datagram(flow_sample(sampled_header(tcp_frame()), source=(0, 7)), sequence=4)], 1000)
    assert [place.source for place in engine.dump(["ALL"], ["f"], {}, 1000)][-1:] == ["7"]


def test_a_doubled_datagram_is_not_counted_twice(engine):
    doubled = datagram(flow(1), sequence=7, uptime=5000)
    engine.feed([doubled, doubled], 1000)
    assert engine.active_flows(["ALL"], "f", 1000)[0].value == 50
    assert engine.agents()["10.0.0.1"].datagrams.duplicate == 1


def test_two_exporters_with_one_identity_are_both_heard(engine):
    engine.feed([datagram(flow(1), sequence=7, uptime=5000), datagram(flow(9), sequence=7, uptime=5000)], 1000)
    assert engine.active_flows(["ALL"], "f", 1000)[0].value == 100


def test_samples_that_the_agent_dropped(engine):
    for number, drops in enumerate((5, 9, 2)):
        engine.feed([datagram(flow(number + 1, drops=drops), sequence=number + 1)], 1000)
    assert engine.agents()["10.0.0.1"].flows.drops == 4


def test_senders_and_times(engine):
    engine.feed([datagram()], 1000, "192.0.2.1")
    engine.feed([datagram(sequence=2, uptime=77)], 1003, "2001:db8::1")
    engine.feed([datagram(sequence=3, uptime=78)], 1004, "192.0.2.1")
    found = engine.agents()["10.0.0.1"]
    assert found.senders == ("192.0.2.1", "2001:db8::1")
    assert (found.first_seen, found.last_seen, found.uptime_ms) == (1000, 1004, 78)


def test_what_is_no_sflow_is_counted(engine):
    engine.feed([b"", b"hello", words(4) + bytes(30), words(2) + bytes(30), datagram(words(1, 0))], 1000)
    numbers = engine.numbers()
    assert (numbers.not_sflow, numbers.other_version) == (2, 2)
    assert (numbers.datagrams, numbers.agents) == (5, 1)
    assert engine.agents()["10.0.0.1"].faults == 1


def test_ipv6_agents(engine):
    engine.feed([datagram(agent="2001:db8::1"), datagram(agent="10.0.0.1")], 1000)
    assert set(engine.agents()) == {"2001:db8::1", "10.0.0.1"}
