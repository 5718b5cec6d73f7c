"""engine: events of thresholds on flows and counters, from datagrams on."""

from __future__ import annotations

import os

import pytest

from analytics.engine import Engine, EngineSettings
from analytics.events.log import Event
from analytics.events.thresholds import Threshold
from analytics.flows.keys import InvalidDefinition
from analytics.news import Topic
from tests.analytics.engine_fabric import HOWDAH, LEAF, NOW, Switch, wires
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    if_counters,
    opaque,
    record,
    tcp_frame,
    words,
)


def test_an_event_says_everything(engine):
    engine.set_flow("howdah_flow", HOWDAH)
    engine.set_threshold("elephant", {"metric": "howdah_flow", "value": 40_000, "byFlow": True, "timeout": 2})
    switch = Switch(engine)
    switch.samples(tcp_frame(), now=1000.25)
    assert engine.events(None, 10) == [
        Event(
            threshold="elephant",
            metric="howdah_flow",
            limit=40000.0,
            value=50000.0,
            agent=LEAF,
            source="5",
            time=1000.25,
            key="10.0.1.1,10.0.2.2,6,40000,5001",
            id=1,
        )
    ]
    assert os.read(engine.news.fd(Topic.THRESHOLDS), 8)
    for step in range(50):
        switch.samples(tcp_frame(), now=1000.5 + step / 10)  # above all the time: no second event
    assert engine.events(1, 10) == []
    switch.samples(tcp_frame(), now=1030)
    assert [event.id for event in engine.events(1, 10)] == [2]
    assert engine.events(None, 10, "other") == []


def test_thresholds_come_and_go(engine):
    engine.set_threshold("t", {"metric": "f", "value": 10})
    assert engine.threshold("t") == Threshold("t", "f", 10, by_flow=False, timeout=1.0, filter={}, accepted={})
    assert list(engine.thresholds()) == ["t"]
    engine.set_flow("f", {"value": "frames"})  # after its threshold
    switch = Switch(engine)
    switch.samples(tcp_frame())
    assert len(engine.events(None, 10)) == 1
    engine.set_flow("f", {"value": "frames"})  # again: armed again
    switch.samples(tcp_frame())
    assert len(engine.events(None, 10)) == 2
    engine.clear_flow("f")
    assert engine.clear_threshold("t")
    assert not engine.clear_threshold("t")
    assert engine.threshold("t") is None


def test_a_speed_filter_asks_the_topology_first(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    spec = {"metric": "f", "value": 1, "byFlow": True, "filter": {"ifspeed": [5_000_000]}}
    engine.set_threshold("five", spec)
    engine.set_threshold("fast", spec | {"filter": {"ifspeed": [10_000_000_000]}})
    switch = Switch(engine)
    switch.samples(tcp_frame())
    assert engine.events(None, 10) == []  # unknown speed: no match
    switch.counters(NOW, speed=10_000_000_000)
    switch.samples(tcp_frame("10.0.0.2"))
    assert [event.threshold for event in engine.events(None, 10)] == ["fast"]
    engine.set_topology(wires(speeds={(LEAF, "5"): 5_000_000}))
    switch.samples(tcp_frame("10.0.0.3"))
    assert [event.threshold for event in engine.events(1, 10)] == ["five"]


def test_speed_of_a_port_met_and_sampled_in_one_batch(engine):
    engine.set_topology(wires(speeds={(LEAF, "5"): 5_000_000}))
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    engine.set_threshold("five", {"metric": "f", "value": 1, "filter": {"ifspeed": [5_000_000]}})
    Switch(engine).samples(tcp_frame())
    assert len(engine.events(None, 10)) == 1


def test_a_threshold_pinned_to_a_data_source(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    engine.set_threshold("t", {"metric": "7.f", "value": 1, "byFlow": True})
    switch = Switch(engine)
    for port in (5, 7):
        switch.samples(tcp_frame(), port=port)
    [event] = engine.events(None, 10)
    assert (event.source, event.metric) == ("7", "7.f")


def test_a_threshold_on_a_counter(engine):
    engine.set_threshold("busy", {"metric": "ifinutilization", "value": 80, "timeout": 5, "byFlow": True})
    switch = Switch(engine)
    for step, load in enumerate([0, 0.5, 0.9, 0.95, 0.1, 0.1, 0.9]):
        total = 125_000 * step * 10 if load is None else 0
        switch.total = getattr(switch, "total", 0) + int(1_250_000 * 10 * load)
        switch.counters(NOW + 10 * step, speed=10_000_000, octets=(switch.total + total, 0))
    events = engine.events(None, 10)
    assert [event.time for event in events] == [NOW + 60, NOW + 20]
    assert events[0].value == pytest.approx(90)
    assert (events[0].agent, events[0].source) == (LEAF, "5")
    assert events[0].key is None


def test_a_threshold_on_the_counters_of_very_many_ports():
    engine = Engine(EngineSettings(max_events=30_000))
    engine.set_threshold("any", {"metric": "ifspeed", "value": 1})
    datagrams = [
        datagram(*(counter_sample(if_counters(port), source=(0, port)) for port in range(first, first + 400)),
                 sequence=first)
        for first in range(1, 8_000, 400)
    ]  # fmt: skip
    engine.feed(datagrams, NOW)
    assert {event.source for event in engine.events(None, 30_000)} == {str(n) for n in range(1, 8_001)}
    engine.close()


HOST = record(2000, opaque(b"alpha") + bytes(range(16)) + words(3, 2) + opaque(b"6.1.0"))


def test_a_filter_by_the_name_of_the_host(engine):
    """The host's name comes with its own data source, before or after the counters of the port."""
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    engine.set_threshold("t", {"metric": "f", "value": 1, "byFlow": True, "filter": {"host_name": ["alph*"]}})
    switch = Switch(engine)
    switch.counters(NOW)
    switch.samples(tcp_frame())
    assert engine.events(None, 10) == []
    engine.feed([datagram(counter_sample(HOST, source=(2, 1)), agent=LEAF, sub_agent=7)], NOW)
    switch.samples(tcp_frame("10.0.0.2"))
    switch.samples(tcp_frame("10.0.0.3"), port=7)
    assert [event.source for event in engine.events(None, 10)] == ["7", "5"]


def test_only_counters_that_a_threshold_looks_at_need_python(engine):
    told = []
    engine.on_counters = lambda source, now: told.append(source)
    switch = Switch(engine)

    def of_one_batch():
        told.clear()
        switch.counters(NOW, record(1005, opaque(b"leaf1-eth5")))
        engine.feed([datagram(counter_sample(HOST, sequence=switch.sent, source=(2, 1)), agent=LEAF,
                              sequence=switch.sent, sub_agent=7)], NOW)  # fmt: skip
        return len(told)

    engine.set_flow("f", {"value": "frames"})
    engine.set_threshold("plain", {"metric": "f", "value": 1})
    assert of_one_batch() == 0
    engine.set_threshold("named", {"metric": "f", "value": 1, "filter": {"ifname": ["leaf*"]}})
    assert of_one_batch() == 1
    engine.set_threshold("hosts", {"metric": "5.vir_host_name", "value": 1})
    assert of_one_batch() == 2
    engine.clear_flow("f")
    assert of_one_batch() == 1, "what watched the flow waits for counters of its name"
    engine.clear_threshold("hosts")
    assert of_one_batch() == 0


@pytest.mark.parametrize("flow", [{"value": "avg:bytes"}, {"value": "ipbytes"}, {"value": "frames", "dropped": True}])
def test_a_test_of_what_is_no_rate_of_packets_is_refused(engine, flow):
    engine.set_flow("f", {"keys": "ipsource", **flow})
    threshold = {"metric": "f", "value": 1, "byFlow": True}
    refusal = (
        "threshold 't' is a test, which flow 'f' cannot have: its values are no rates of bytes or frames of packets"
    )
    engine.set_threshold("t", threshold)
    with pytest.raises(InvalidDefinition, match=refusal):
        engine.set_threshold("t", threshold | {"test": {}})
    assert engine.threshold("t").test is None
    engine.clear_flow("f")
    engine.set_threshold("t", threshold | {"test": {}})
    with pytest.raises(InvalidDefinition, match=refusal):
        engine.set_flow("f", {"keys": "ipsource", **flow})
    assert engine.flow("f") is None
