"""engine: the whole journey from datagrams to answers and metrics."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from analytics.flows.flowquery import ActiveFlow, FlowLocation, Mode
from analytics.flows.keys import InvalidDefinition
from analytics.flows.patterns import Pattern
from analytics.metrics.metrics import Statistic
from analytics.metrics.numbers import ReceivingNumbers
from tests.analytics.engine_fabric import HOWDAH, LEAF, NOW, SPINE, Switch, keys, wires
from tests.analytics.examples.wire import (
    datagram,
    ethernet,
    flow_sample,
    ipv4,
    ipv6,
    opaque,
    record,
    sampled_header,
    tcp,
    tcp_frame,
    udp,
)
from tests.patience import PATIENCE_S


def test_the_flow_of_the_controller(engine):
    engine.set_flow("howdah_flow", HOWDAH)
    switch = Switch(engine)
    switch.samples(tcp_frame(), tcp_frame(), ethernet(ipv4(udp(1, 2), 17)), ethernet(ipv4(b"12345678", 1)), rate=10)
    assert engine.active_flows(["ALL"], "howdah_flow", NOW) == [
        ActiveFlow("10.0.1.1,10.0.2.2,6,40000,5001", 10_000.0, agent=LEAF, source="5", sources=1),
        ActiveFlow("10.0.1.1,10.0.2.2,17,1,2", 5000.0, agent=LEAF, source="5", sources=1),
    ]


@pytest.mark.parametrize(
    ("source", "ports", "expanded", "data_source", "direction"),
    [
        ((0, 5), (5, 6), False, "5", "ingress"),
        ((0, 6), (5, 6), False, "6", "egress"),
        ((0, 7), (5, 6), False, "7", "none"),
        ((2, 1000), (5, 6), False, "5", "ingress"),
        ((2, 1000), (0, 6), False, "2.1000", "none"),
        ((3, 80), (5, 6), False, "3.80", "none"),
        ((0, 0x40000005), (0x40000005, 6), True, "1073741829", "ingress"),
    ],
)
def test_data_sources_and_directions(engine, source, ports, expanded, data_source, direction):
    engine.set_flow("f", {"keys": "null:direction:none", "value": "frames"})
    sample = flow_sample(sampled_header(tcp_frame()), source=source, ports=ports, expanded=expanded)
    engine.feed([datagram(sample)], NOW)
    [flow] = engine.active_flows(["ALL"], "f", NOW)
    assert (flow.source, flow.key) == (data_source, direction)


@pytest.mark.parametrize(
    ("word", "text"),
    [(6, "6"), (0, "none"), (0x3FFFFFFF, "internal"), (0x40000100, "discard"), (0x80000001, "multiple")],
)
def test_output_interfaces(engine, word, text):
    engine.set_flow("f", {"keys": "null:outputifindex:none", "value": "frames"})
    Switch(engine).samples(tcp_frame(), output=word)
    assert keys(engine, "f") == [text]


def test_a_sample_without_a_key_is_not_counted(engine):
    engine.set_flow("tcp", {"keys": "tcpsourceport", "value": "frames"})
    engine.set_flow("either", {"keys": "or:ipsource:ip6source", "value": "frames"})
    engine.set_flow("marked", {"keys": "null:vlan:0,stack", "value": "frames"})
    engine.set_flow("total", {"value": "bytes"})
    engine.set_flow("length", {"value": "ipbytes"})
    Switch(engine).samples(tcp_frame(), ethernet(ipv6(udp(), 17), 0x86DD, tags=((0x8100, 7),)), ethernet(b"", 0x88CC))
    assert keys(engine, "tcp") == ["40000"]
    assert sorted(keys(engine, "either")) == ["10.0.1.1", "2001:db8::1"]
    assert sorted(keys(engine, "marked")) == ["0,eth", "0,eth.ip.tcp", "7,eth.q.ip6.udp"]
    assert engine.active_flows(["ALL"], "total", NOW) == [ActiveFlow("", 3 * 1000 * 100 / 2, LEAF, "5", 1)]
    assert engine.active_flows(["ALL"], "length", NOW)[0].value == 40 * 100 / 2


def test_links_and_places(engine):
    engine.set_flow("f", {"keys": "link:inputifindex,ipsource", "value": "frames"})
    engine.set_flow("edge", {"keys": "ipsource", "value": "frames", "filter": "link:inputifindex=null"})
    leaf, spine = Switch(engine, LEAF), Switch(engine, SPINE)
    leaf.samples(tcp_frame())
    assert keys(engine, "f") == []  # before there is a topology no port has a link
    engine.set_topology(wires({(LEAF, "7"): "leaf1-spine1", (SPINE, "1"): "leaf1-spine1"}))
    leaf.samples(tcp_frame())
    leaf.samples(tcp_frame("10.0.9.9"), port=7)
    spine.samples(tcp_frame(), port=1)
    assert sorted(keys(engine, "f")) == ["leaf1-spine1,10.0.1.1", "leaf1-spine1,10.0.9.9"]
    assert keys(engine, "edge") == ["10.0.1.1"]
    assert keys(engine, "f", agents=[SPINE]) == ["leaf1-spine1,10.0.1.1"]
    engine.set_topology(wires({(LEAF, "7"): "uplink"}))
    leaf.samples(tcp_frame("10.0.9.9"), port=7)
    assert "uplink,10.0.9.9" in keys(engine, "f")


def test_joining_data_sources(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 1})
    engine.set_topology(wires({(LEAF, "7"): "l", (SPINE, "1"): "l"}))
    Switch(engine, LEAF).samples(tcp_frame(), tcp_frame(), rate=1)
    Switch(engine, SPINE).samples(tcp_frame(), tcp_frame(), tcp_frame(), port=1, rate=1)
    Switch(engine, "192.0.2.1").samples(*[tcp_frame()] * 5, rate=1)

    def value(agents, **more):
        [flow] = engine.active_flows(agents, "f", NOW, **more)
        return flow.value, flow.agent, flow.sources

    assert value(["ALL"]) == (5, "192.0.2.1", 3)
    assert value(["ALL"], mode=Mode.SUM) == (10, "192.0.2.1", 3)
    assert value(["ALL"], mode=Mode.AVG) == (pytest.approx(10 / 3), "192.0.2.1", 3)
    assert value(["ALL"], mode=Mode.EDGE) == (2, LEAF, 1)
    assert value(["ALL"], mode=Mode.CORE) == (3, SPINE, 1)
    assert value(["TOPOLOGY"], mode=Mode.SUM) == (5, SPINE, 2)
    assert value(["EDGE"]) == (2, LEAF, 1)
    assert value(["CORE"]) == (3, SPINE, 1)
    assert value([LEAF, SPINE], mode=Mode.SUM) == (5, SPINE, 2)
    assert engine.active_flows(["203.0.113.1"], "f", NOW) == []
    assert engine.flow_locations(["ALL"], "f", "10.0.1.1", NOW) == [
        FlowLocation("192.0.2.1", "5", 5),
        FlowLocation(SPINE, "1", 3),
        FlowLocation(LEAF, "5", 2),
    ]
    assert engine.flow_value([SPINE], "1", "f", "10.0.1.1", NOW) == 3
    assert engine.flow_value([SPINE], "2", "f", "10.0.1.1", NOW) is None
    assert engine.flow_locations(["ALL"], "f", "10.0.1.7", NOW) == []


def test_choosing_flows(engine):
    engine.set_flow("f", {"keys": "ipsource,tcpsourceport", "value": "frames", "t": 1, "fs": "_SEP_"})
    switch = Switch(engine)
    for port in range(1, 31):
        switch.samples(*[tcp_frame(sport=port)] * port, rate=1)
    assert keys(engine, "f", max_flows=2) == ["10.0.1.1_SEP_30", "10.0.1.1_SEP_29"]
    assert keys(engine, "f", min_value=29.5) == ["10.0.1.1_SEP_30"]
    assert keys(engine, "f", pattern=Pattern("_[1-3]$")) == [f"10.0.1.1_SEP_{port}" for port in (3, 2, 1)]
    assert keys(engine, "f", max_flows=0) == []
    with pytest.raises(KeyError):
        engine.active_flows(["ALL"], "nix", NOW)


def test_definitions_come_and_go(engine):
    engine.set_flow("f", {"keys": ["ipsource", "vlan"], "value": "bytes"})
    assert engine.flow("f").keys == "ipsource,vlan"
    assert list(engine.flows()) == ["f"]
    with pytest.raises(InvalidDefinition, match="'ipsrc'"):
        engine.set_flow("f", {"keys": "ipsrc", "value": "bytes"})
    assert engine.flow("f").keys == "ipsource,vlan"  # what was there stays
    engine.set_flow("f", {"value": "frames"})
    assert engine.flow("f").keys == ""
    assert engine.clear_flow("f")
    assert not engine.clear_flow("f")
    assert engine.flow("f") is None


def test_a_flow_put_again_starts_anew(engine):
    switch = Switch(engine)
    for _ in range(2):
        engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 1})
        switch.samples(tcp_frame(), rate=1)
        assert engine.active_flows(["ALL"], "f", NOW)[0].value == 1


def test_metrics(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 1})
    one, two = Switch(engine, LEAF), Switch(engine, SPINE)
    for step in (0, 10):
        one.counters(NOW + step, record(1005, opaque(b"leaf1-eth5")), octets=(1000 * step, 0))
        two.counters(NOW + step, record(1005, opaque(b"spine1-eth5")), octets=(3000 * step, 0))
    one.samples(tcp_frame(), tcp_frame(), tcp_frame("10.0.0.2"), now=NOW + 10, rate=1)
    found = engine.metrics_of(LEAF, NOW + 10)
    assert {"5.ifname": "leaf1-eth5", "5.ifinoctets": 1000, "5.f": 2}.items() <= found.items()
    assert engine.metrics_of("192.0.2.1", NOW) is None
    maximum, total, named, pinned, missing, flow = engine.metric(
        ["ALL"], ["ifinoctets", "sum:ifinoctets", "any:ifname", "5.ifinoctets", "nix", "max:f"], {}, NOW + 11
    )
    assert (maximum.value, maximum.chosen.agent, maximum.chosen.updated) == (3000, SPINE, NOW + 10)
    assert (total.value, total.cells) == (4000, 2)
    assert named.value in ("leaf1-eth5", "spine1-eth5")
    assert pinned.value == 3000
    assert missing == Statistic("nix", 0)
    assert [(each.key, each.value) for each in flow.top] == [
        ("10.0.1.1", pytest.approx(2 / 2.71828, rel=1e-4)),
        ("10.0.0.2", pytest.approx(1 / 2.71828, rel=1e-4)),
    ]
    [filtered] = engine.metric(["ALL"], ["sum:ifinoctets"], {"ifname": ["leaf*"]}, NOW + 10)
    assert filtered.value == 1000
    assert [(cell.agent, cell.value) for cell in engine.dump([SPINE], ["ifname"], {}, NOW + 10)] == [
        (SPINE, "spine1-eth5")
    ]
    everything = engine.dump([LEAF], ["ALL"], {}, NOW + 10)
    assert {cell.metric for cell in everything} == {name.split(".", 1)[1] for name in found}
    rows = engine.table(["ALL"], ["sort:ifinoctets:-1", "ifname", "f"], {}, NOW + 10)
    assert [[cell.value for cell in row] for row in rows] == [[3000, "spine1-eth5", None]]
    ages = engine.metric_names(NOW + 12)
    assert (ages["ifinoctets"], ages["f"]) == (2000, 2000)


def test_a_question_is_answered_in_turns(engine, monkeypatch):
    """Between two turns the lock is free and a datagram may come in; the answer is the same."""
    for number in range(20):
        switch = Switch(engine, f"10.0.3.{number}")
        switch.counters(NOW)
        switch.samples(tcp_frame())
    monkeypatch.setattr("analytics.metrics.cells.TURN", 3)
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    whole = engine.dump(["ALL"], ["ALL"], {}, NOW)
    turns, between = engine.dump_in_turns(["ALL"], ["ALL"], {}, NOW), 0
    while True:
        try:
            next(turns)
        except StopIteration as end:
            assert end.value == whole
            break
        engine.feed([b"no sflow"], NOW)
        between += 1
    assert between > len(engine.metric_names(NOW))


def test_stale_metrics_have_no_value(engine):
    engine.set_flow("f", {"value": "frames"})
    Switch(engine).counters(NOW)
    Switch(engine).samples(tcp_frame())
    engine.tick(NOW + 500)
    assert all(found.value is None for found in engine.metric(["ALL"], ["f", "ifindex"], {}, NOW + 500))
    assert engine.metric_names(NOW + 500) == {}
    assert engine.dump(["ALL"], ["ALL"], {}, NOW + 500) == []


def test_keys_seen_in_live_traffic(engine):
    Switch(engine).samples(tcp_frame())
    engine.tick(NOW)
    Switch(engine).samples(ethernet(ipv6(udp(), 17), 0x86DD))
    found = engine.flow_keys(NOW + 5)
    assert (found["tcpsourceport"], found["udpsourceport"], found["ipsource"], found["ip6source"]) == (5000, 0, 5000, 0)
    assert "arpoperation" not in found
    assert "vlan" not in found


def test_the_numbers_of_the_engine(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "frames"})
    engine.receiving = SimpleNamespace(numbers=ReceivingNumbers(kernel_drops=7))
    engine.tick(NOW)
    Switch(engine).samples(tcp_frame(), tcp_frame("10.0.0.2"))
    found = engine.numbers()
    assert found.bytes == len(datagram(*[flow_sample(sampled_header(tcp_frame()))] * 2))
    assert (found.started, found.flow_entries, found.receiving.kernel_drops) == (NOW, 2, 7)


def test_questions_and_changes_from_many_threads(engine):
    """Nothing deadlocks, nothing is lost: the lock and the GIL are always taken in the same order."""
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 600})
    wrong: list[BaseException] = []

    def guarded(work):
        def run():
            try:
                work()
            except BaseException as error:
                wrong.append(error)

        return threading.Thread(target=run)

    def feed(agent: str):
        def work():
            switch = Switch(engine, agent)
            for number in range(300):
                switch.samples(tcp_frame(f"10.1.{number >> 8}.{number & 255}"), port=1 + number % 50)

        return work

    def ask():
        for number in range(100):
            engine.active_flows(["ALL"], "f", NOW)
            engine.set_flow(f"g{number % 3}", {"keys": "null:vlan,agent", "value": "bytes"})
            engine.set_threshold("t", {"metric": f"g{number % 3}", "value": 1, "byFlow": True})
            engine.dump(["ALL"], ["ALL"], {}, NOW)
            engine.set_topology(wires())
            engine.tick(NOW)

    threads = [guarded(feed("10.0.0.1")), guarded(feed("10.0.0.2")), guarded(ask), guarded(ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert wrong == []
    assert not any(thread.is_alive() for thread in threads)
    assert sum(flow.value for flow in engine.active_flows(["ALL"], "f", NOW, 10_000, mode=Mode.SUM)) == pytest.approx(
        600 * 100 / 600
    )


def test_what_is_fed_must_be_bytes(engine):
    with pytest.raises(TypeError, match="a datagram is bytes"):
        engine.feed(["text"], NOW)
    with pytest.raises(ValueError, match="nowhere"):
        engine.feed([b""], NOW, "nowhere")


def test_ports_of_tcp_and_udp_are_one_key(engine):
    engine.set_flow("f", {"keys": "or:tcpsourceport:udpsourceport", "value": "frames", "t": 1})
    Switch(engine).samples(ethernet(ipv4(tcp(80), 6)), ethernet(ipv4(udp(80), 17)), rate=1)
    [flow] = engine.active_flows(["ALL"], "f", NOW)
    assert (flow.key, flow.value) == ("80", 2)
