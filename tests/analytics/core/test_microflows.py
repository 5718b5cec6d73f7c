"""Microflows change no answer: whatever comes, an engine that keeps them and one that cannot agree.

But for one thing: microflows change the order of updates inside a batch. So events of one time are compared in any
order, and nothing is compared once a full table refused or displaced a key, which depends on it.
"""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import topology
from analytics.core.flows.microflows import masked_loads
from analytics.engine import Engine, EngineSettings
from tests.analytics.examples.wire import (
    datagram,
    discard,
    ethernet,
    flow_sample,
    ipv4,
    ipv6,
    sampled_header,
    tcp,
    tcp_frame,
    udp,
)

DEFINITIONS = {
    "tuple": {
        "keys": "ipsource,ipdestination,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport",
        "value": "bytes",
        "filter": "direction=ingress&(ipprotocol=6|ipprotocol=17)",
    },
    "stack": {"keys": "stack", "value": "frames"},
    "link": {"keys": "null:[link:inputifindex],null:vlan", "value": "ipbytes"},
    "six": {"keys": "ip6source,ip6destination", "value": "frames"},
    "total": {"value": "bytes"},
    "dropped": {"keys": "ipsource,reason", "value": "frames", "dropped": True},
}
VALUES = ["iptos", "ipttl", "ipprotocol", "ip6hoplimit", "tcpsourceport", "udpsourceport", "vlan", "stripped"]
TOO_MUCH = {f"value_{name}": {"keys": "stack", "value": f"rate:{name}"} for name in VALUES}  # to have microflows
FRAMES = (
    tcp_frame("10.0.0.1"),
    tcp_frame("10.0.0.2"),
    tcp_frame("10.0.0.1", sport=40001),
    ethernet(ipv4(udp(5000, 53, bytes(30)), 17)),
    ethernet(ipv4(tcp(), 6, "10.0.0.3"), tags=((0x8100, 7),)),
    ethernet(ipv6(udp(), 17), 0x86DD),
    ethernet(bytes(28), 0x0806),
)
LINKS = {
    "nodes": {"s1": {"agent": "10.0.0.1", "ports": {"p1": {"ifindex": "1"}}}, "s2": {"agent": "10.0.0.2", "ports": {}}},
    "links": {"uplink": {"node1": "s1", "port1": "p1", "node2": "s2", "port2": "p9"}},
}

samples = st.tuples(
    st.integers(0, len(FRAMES) - 1),
    st.integers(1, 2),  # port
    st.sampled_from((None, None, None, 20, 36)),  # where the header is cut
    st.sampled_from((1, 100)),  # sampling rate
    st.booleans(),  # a flow sample, rather often
)
steps = st.one_of(
    st.tuples(st.just("feed"), st.lists(st.lists(samples, min_size=1, max_size=4), min_size=1, max_size=12)),
    st.tuples(st.just("feed"), st.lists(st.lists(samples, min_size=1, max_size=4), min_size=1, max_size=12)),
    st.tuples(st.just("later"), st.sampled_from((0.001, 0.5, 3.0, 40.0))),
    st.tuples(st.just("define"), st.sampled_from(sorted(DEFINITIONS))),
    st.tuples(st.just("threshold"), st.sampled_from((100.0, 5000.0))),
    st.tuples(st.just("topology"), st.booleans()),
)


class Pair:
    """The two engines. One has definitions more, which read too many fields."""

    def __init__(self, most: int) -> None:
        self.engines = [Engine(EngineSettings(max_entries=most)) for _ in range(2)]
        self.now, self.sequence, self.most = 1000.0, 0, most
        for engine in self.engines:
            for name, spec in DEFINITIONS.items():
                engine.set_flow(name, spec)
        for name, spec in TOO_MUCH.items():
            self.engines[1].set_flow(name, spec)

    def feed(self, batch):
        made = []
        for parts in batch:
            self.sequence += 1
            wires = []
            for index, (frame, port, cut, rate, often) in enumerate(parts):
                header, sequence = sampled_header(FRAMES[frame][:cut]), 4 * self.sequence + index
                if often or frame:
                    wires.append(flow_sample(header, sequence=sequence, source=(0, port), rate=rate, ports=(port, 9)))
                else:
                    wires.append(discard(header, sequence=sequence, source=(0, port), ports=(port, 0)))
            made.append(datagram(*wires, sequence=self.sequence, uptime=self.sequence))
        for engine in self.engines:
            engine.feed(made, self.now)

    def later(self, seconds):
        self.now += seconds
        for engine in self.engines:
            engine.tick(self.now)

    def define(self, name):
        for engine in self.engines:
            engine.set_flow(name, DEFINITIONS[name])

    def threshold(self, value):
        for engine in self.engines:
            engine.set_threshold("large", {"metric": "tuple", "value": value, "byFlow": True})

    def topology(self, linked):
        for engine in self.engines:
            engine.set_topology(topology.parse(LINKS if linked else {"nodes": {}, "links": {}}))

    def agree(self):
        numbers = [engine.numbers() for engine in self.engines]
        if any(each.flow_entries_displaced or each.flow_entries_refused for each in numbers):
            return
        for name in DEFINITIONS:
            one, other = (self.rates(engine, name) for engine in self.engines)
            assert one == pytest.approx(other), name
        crossed = [
            sorted((event.time, event.key, event.source) for event in engine.events(None, 1000))
            for engine in self.engines
        ]
        assert crossed[0] == crossed[1]

    def rates(self, engine, name):
        flows = engine.active_flows(["ALL"], name, self.now)
        return {(flow.source, flow.key): flow.value for flow in flows}

    def by_microflow(self):
        return [engine.pipeline.numbers()["by_microflow"] for engine in self.engines]

    def close(self):
        for engine in self.engines:
            engine.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=3, max_size=25), st.sampled_from((2, 1000)))
def test_answers_are_the_same(plan, most):
    pair = Pair(most)
    try:
        for name, given_value in plan:
            getattr(pair, name)(given_value)
            pair.agree()
        assert pair.by_microflow()[1] == 0
    finally:
        pair.close()


def test_the_third_sample_of_a_flow_finds_it():
    pair = Pair(1000)
    pair.feed([[(0, 1, None, 100, True)]])  # data source and key id are new
    before = pair.by_microflow()[0]
    for taken in (0, 1, 2):
        pair.feed([[(0, 1, None, 100, True)]])
        assert pair.by_microflow() == [before + taken, 0]
    pair.agree()
    pair.close()


def test_new_names_and_expired_neighbours_void_it():
    """A microflow of before would count for the old key id, or in a cell that has moved."""
    pair = Pair(1000)
    for _ in range(5):
        pair.feed([[(frame, 1, None, 100, True) for frame in range(4)]])
    pair.topology(linked=True)
    pair.feed([[(0, 1, None, 100, True)] * 3])
    names = {flow.key for flow in pair.engines[0].active_flows(["ALL"], "link", pair.now)}
    assert "uplink,null" in names
    for _ in range(20):
        pair.later(4.0)
        pair.feed([[(0, 1, None, 100, True)]])
        pair.agree()
    assert {flow.key for flow in pair.engines[0].active_flows(["ALL"], "stack", pair.now)} == {"eth.ip.tcp"}
    pair.close()


def test_a_cut_header_goes_through_the_definitions():
    pair = Pair(1000)
    for _ in range(6):
        pair.feed([[(0, 1, 36, 100, True)]])
    assert pair.by_microflow() == [0, 0]
    pair.agree()
    pair.close()


def one(number, source):
    """A datagram of one sample."""
    return datagram(flow_sample(sampled_header(tcp_frame(source)), sequence=number), sequence=number)


def test_one_off_flows_get_no_microflow():
    engine = Engine()
    engine.set_flow("pair", {"keys": "ipsource,ipdestination", "value": "frames"})
    before = engine.numbers().memory.used["microflows"]
    engine.feed([one(number, f"10.{number >> 8 & 255}.0.{number & 255}") for number in range(1, 20_000)], 1000.0)
    assert engine.numbers().memory.used["microflows"] == before
    assert engine.pipeline.numbers()["by_microflow"] == 0
    engine.close()


def test_where_few_samples_find_a_microflow_the_cache_rests():
    engine = Engine()
    engine.set_flow("pair", {"keys": "ipsource,ipdestination", "value": "frames"})
    cut = flow_sample(sampled_header(tcp_frame()[:20]))
    for number in range(1, 5):
        engine.feed([one(number, "10.0.0.1")], 1000.0)
    before = engine.pipeline.numbers()["by_microflow"]
    assert before > 0
    many = [datagram(*[cut] * 200, sequence=number) for number in range(5, 5 + (1 << 18) // 200 + 1)]
    engine.feed(many, 1000.0)
    engine.feed([one(number, "10.0.0.1") for number in range(10_000, 10_100)], 1000.0)
    assert engine.pipeline.numbers()["by_microflow"] == before
    assert engine.active_flows(["ALL"], "pair", 1000.0, max_flows=1)[0].key == "10.0.0.1,10.0.2.2"
    engine.close()


def test_a_microflow_outlives_neighbours_that_go():
    engine = Engine()
    engine.set_flow("pair", {"keys": "ipsource,ipdestination", "value": "frames", "t": 0.2})
    engine.feed([one(number, f"10.0.0.{number % 40}") for number in range(1, 121)], 1000.0)
    for now in range(1001, 1010):
        engine.feed([one(121 + now, "10.0.0.7")], float(now))
        engine.tick(float(now))
    assert [flow.key for flow in engine.active_flows(["ALL"], "pair", 1009.0)] == ["10.0.0.7,10.0.2.2"]
    before = engine.pipeline.numbers()["by_microflow"]
    engine.feed([one(2000, "10.0.0.7")], 1009.0)
    assert engine.pipeline.numbers()["by_microflow"] == before + 1
    engine.close()


def test_there_are_as_many_as_flows_and_their_memory_returns():
    engine = Engine()
    engine.set_flow("pair", {"keys": "ipsource,ipdestination", "value": "frames"})
    least = engine.numbers().memory.used["microflows"]
    number = 0
    for _ in range(3):
        engine.feed([one(number + flow, f"10.0.{flow >> 8}.{flow & 255}") for flow in range(1, 5001)], 1000.0)
        number += 5000
    assert engine.pipeline.numbers()["by_microflow"] > 4900
    assert engine.numbers().memory.used["microflows"] > least + 5000 * 40
    for now in range(1000, 1080, 16):
        engine.tick(float(now))
    assert engine.numbers().memory.used["microflows"] == least
    engine.close()


def test_masked_loads_are_the_bytes_that_are_read_once_each():
    def program(*computed, carried=()):
        return SimpleNamespace(computed=computed, carried=carried, connection=None)

    pair = program(carried=((("ipsource",), False), (("ipdestination",), False)))
    assert [load[1:] for load in masked_loads([pair])] == [(12, 8)]
    assert [load[1:] for load in masked_loads([pair, program("ipprotocol", "ipsource")])] == [(9, 1), (12, 8)]
    assert [load[1:] for load in masked_loads([program("macsource", "macdestination")])] == [(0, 8), (8, 4)]
    assert masked_loads([]) == []
