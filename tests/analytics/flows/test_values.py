"""values: rates, averages, extremes, counts, several at once; what an agent, the edge and the core of a fabric count.

Expected values are worked out by hand from a few samples at one time, or by the formulas over all samples.
"""

from __future__ import annotations

import math
from itertools import count

import pytest

from analytics import topology
from analytics.flows.definitions import Mode
from analytics.flows.keys import InvalidDefinition
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, record, sampled_header, udp, words

NUMBERS = count(1)
DELAY, DEPTH, QUEUE = 1039, 1040, 1036


def sample(
    source: str = "10.0.0.1", size: int = 100, rate: int = 10, port: int = 5, out: int = 6, **gauges: int
) -> bytes:
    tags = {"transitdelay": DELAY, "queuedepth": DEPTH, "queueindex": QUEUE}
    records = [record(tags[name], words(value)) for name, value in gauges.items()]
    header = sampled_header(ethernet(ipv4(udp(), 17, source, "10.0.0.9")), frame_length=size)
    return flow_sample(header, *records, rate=rate, source=(0, port), ports=(port, out), sequence=next(NUMBERS))


def feed(engine, now: float, *samples: bytes, agent: str = "10.0.0.1") -> None:
    engine.feed([datagram(*samples, sequence=next(NUMBERS), agent=agent)], now)


def flows(
    engine, now: float, name: str = "f", mode: Mode | None = None, agents=("ALL",)
) -> dict[str, tuple[float, ...]]:
    found = engine.active_flows(list(agents), name, now, mode=mode)
    return {flow.key: (flow.value, *flow.values) for flow in found}


def test_a_delay_reads_as_it_was_measured(engine):
    """839660224 ns, whatever the sampling rate; a gauge without a prefix is an average."""
    engine.set_flow("f", {"keys": "queueindex", "value": "transitdelay", "t": 2})
    engine.set_flow("most", {"keys": "queueindex", "value": "max:transitdelay", "t": 2})
    feed(engine, 1.0, sample(rate=5000, transitdelay=839660224, queueindex=3))
    assert flows(engine, 1.0) == flows(engine, 1.0, "most") == {"3": (839660224.0,)}
    assert flows(engine, 4.0) == {"3": (839660224.0,)}  # it does not fade
    engine.tick(1.0 + 3 * 2 + 0.1)
    assert flows(engine, 7.1) == {}  # but is gone when no sample comes


def test_average_least_most_and_count(engine):
    spec = {
        "keys": "ipdestination",
        "value": "avg:queuedepth",
        "values": "min:queuedepth,max:queuedepth,count:ipsource,frames,rate:queuedepth",
        "t": 2,
    }
    engine.set_flow("f", spec)
    depths = [(10, 100), (30, 100), (20, 700)]  # (depth, sampling rate)
    feed(engine, 5.0, *(sample(f"10.0.1.{n}", rate=rate, queuedepth=depth) for n, (depth, rate) in enumerate(depths)))
    weights = sum(rate for _, rate in depths)
    mean = sum(depth * rate for depth, rate in depths) / weights
    [(average, least, most, sources, frames, added)] = flows(engine, 5.0).values()
    assert (average, least, most) == (pytest.approx(mean), 10.0, 30.0)
    assert sources == pytest.approx(3, abs=1.2)
    assert (frames, added) == (pytest.approx(weights / 2), pytest.approx(mean * weights / 2))


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("", ("10.0.0.2", 500.0, (70.0, 10.0))),
        ("avg:", ("10.0.0.2", 500.0, (70.0, 10.0))),
        ("sum:", ("10.0.0.2", 600.0, ())),
    ],
)
def test_top_keys_have_the_other_values_too(engine, statistic, expected):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "values": "avg:queuedepth,frames", "t": 1})
    feed(engine, 1.0, sample("10.0.0.1", size=5), sample("10.0.0.2", size=50, queuedepth=70))
    feed(engine, 1.0, sample("10.0.0.2", size=10, queuedepth=3), agent="10.0.0.2")
    [first, *_] = engine.metric(["ALL"], [f"{statistic}f"], {}, 1.0)[0].top
    assert (first.key, first.value, first.values) == expected
    tops = {cell.agent: [(top.key, top.values) for top in cell.top] for cell in engine.dump(["ALL"], ["f"], {}, 1.0)}
    assert tops == {
        "10.0.0.1": [("10.0.0.2", (70.0, 10.0)), ("10.0.0.1", (None, 10.0))],
        "10.0.0.2": [("10.0.0.2", (3.0, 10.0))],
    }


def test_an_average_forgets_as_a_rate_does(engine):
    engine.set_flow("f", {"value": "avg:queuedepth", "t": 2})
    feed(engine, 1.0, sample(rate=10, queuedepth=1000))
    feed(engine, 2.0, sample(rate=10, queuedepth=0))
    faded = math.exp(-0.5)
    assert flows(engine, 2.0)[""] == (pytest.approx(1000 * faded / (1 + faded)),)


def test_extremes_and_counts_are_of_the_last_two_windows(engine):
    engine.set_flow("f", {"value": "max:queuedepth", "values": ["min:queuedepth", "count:ipsource"], "t": 1})
    feed(engine, 10.0, sample("10.0.0.1", queuedepth=50))
    feed(engine, 11.0, sample("10.0.0.2", queuedepth=40))  # a new window begins
    assert flows(engine, 11.0)[""] == (50.0, 40.0, pytest.approx(2, abs=1.1))
    feed(engine, 12.0, sample("10.0.0.2", queuedepth=45))
    assert flows(engine, 12.0)[""] == (45.0, 40.0, pytest.approx(1, abs=0.1))
    feed(engine, 14.5, sample("10.0.0.3", queuedepth=44))  # the window before had no samples
    assert flows(engine, 14.5)[""] == (44.0, 44.0, pytest.approx(1, abs=0.1))


@pytest.mark.parametrize("sources", [1, 10, 100, 1000, 20_000])
def test_counts_of_distinct_values_are_estimates(engine, sources):
    engine.set_flow("f", {"value": "frames", "values": "count:ipsource", "t": 600})
    addresses = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(sources)]
    for first in range(0, sources, 40):
        feed(engine, 1.0, *(sample(address) for address in addresses[first : first + 40] * 2))
    [(_, found)] = flows(engine, 1.0).values()
    assert found == pytest.approx(sources, rel=0.45)  # five standard errors; what differs is another in each process


def test_a_sample_without_an_extra_value_counts_and_one_without_the_value_does_not(engine):
    engine.set_flow("f", {"value": "bytes", "values": "avg:queuedepth,min:queuedepth", "t": 1})
    engine.set_flow("depth", {"value": "queuedepth", "values": "frames", "t": 1})
    feed(engine, 1.0, sample())
    assert (flows(engine, 1.0), flows(engine, 1.0, "depth")) == ({"": (1000.0, None, None)}, {})
    feed(engine, 1.0, sample(queuedepth=7))
    assert flows(engine, 1.0) == {"": (2000.0, 7.0, 7.0)}
    assert flows(engine, 1.0, "depth") == {"": (7.0, 10.0)}


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        (Mode.MAX, (200.0, 2.0, 5.0)),
        (Mode.SUM, (300.0, 3.0, 5 * 2 / 3 + 8 / 3)),
        (Mode.AVG, (150.0, 1.5, 5 * 2 / 3 + 8 / 3)),
    ],
)
def test_values_of_several_data_sources_are_merged_by_what_they_are(engine, mode, values):
    engine.set_flow("f", {"keys": "ipdestination", "value": "bytes", "values": "frames,avg:queuedepth", "t": 1})
    feed(engine, 1.0, *(sample(rate=1, port=port, queuedepth=depth) for port, depth in ((5, 4), (5, 6), (6, 8))))
    [found] = flows(engine, 1.0, mode=mode).values()
    assert found == pytest.approx(values)


def test_the_default_of_a_query_is_the_definitions_mode(engine):
    engine.set_flow("f", {"value": "bytes", "aggMode": "sum", "t": 1})
    feed(engine, 1.0, sample(port=5), sample(port=6))
    assert flows(engine, 1.0) == {"": (2000.0,)}
    assert flows(engine, 1.0, mode=Mode.MAX) == {"": (1000.0,)}


def test_an_agent_is_counted_as_a_whole(engine):
    """Its topKeys and thresholds are of the total: here no port alone exceeds the limit."""
    spec = {"keys": "ipdestination,null:vlan", "value": "bytes", "values": "count:ipsource", "t": 1}
    engine.set_flow("f", spec | {"aggMode": "AGENT"})
    engine.set_threshold("t", {"metric": "f", "value": 1500, "byFlow": True, "timeout": 10})
    feed(engine, 1.0, sample("10.0.0.1", port=5), sample("10.0.0.2", port=6))
    feed(engine, 1.0, sample("10.0.0.1", port=5), agent="10.0.0.2")
    found = engine.active_flows(["ALL"], "f", 1.0)
    assert [(flow.key, flow.value, flow.agent, flow.source) for flow in found] == [
        ("10.0.0.9,null", 2000.0, "10.0.0.1", "agent")
    ]
    assert found[0].values == (pytest.approx(2, abs=1.1),)
    [event] = engine.events(None, 10)
    assert (event.agent, event.source, event.key, event.value) == ("10.0.0.1", "agent", "10.0.0.9,null", 2000.0)
    assert event.values == (pytest.approx(2, abs=1.1),)
    [cell] = engine.dump(["10.0.0.2"], ["f"], {}, 1.0)
    assert (cell.source, cell.value) == ("agent", 1000.0)


FABRIC = {
    "nodes": {
        "s1": {"agent": "10.0.0.1", "ports": {"up": {"ifindex": "5"}, "host": {"ifindex": "6"}}},
        "s2": {"agent": "10.0.0.2", "ports": {"down": {"ifindex": "7"}}},
    },
    "links": {"L1": {"node1": "s1", "port1": "up", "node2": "s2", "port2": "down"}},
}


def test_edge_counts_where_packets_enter_and_core_on_links(engine):
    engine.set_topology(topology.parse(FABRIC))
    for mode in ("edge", "core"):
        engine.set_flow(mode, {"keys": "ipsource", "value": "bytes", "aggMode": mode, "t": 1})
    host, uplink = 6, 5
    feed(engine, 1.0, sample(port=host, out=uplink))  # enters the fabric: ingress at the host's port
    feed(engine, 1.0, sample(port=uplink, out=host))  # from the link to the host
    feed(engine, 1.0, sample(port=7, out=9, size=300), agent="10.0.0.2")  # from the link, at its other end
    feed(engine, 1.0, sample(port=3, out=4), agent="10.0.0.3")  # no switch of the fabric
    assert flows(engine, 1.0, "edge") == {"10.0.0.1": (1000.0,)}
    assert flows(engine, 1.0, "core") == {"10.0.0.1": (3000.0,)}
    engine.set_topology(topology.parse({"nodes": FABRIC["nodes"], "links": {}}))
    feed(engine, 30.0, sample(port=uplink, out=host))
    assert flows(engine, 30.0, "edge")["10.0.0.1"] == (pytest.approx(1000, rel=1e-6),)  # now an edge port


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"value": "mean:queuedepth"}, "value prefix 'mean'"),
        ({"value": "avg:frames"}, "frames are counted as a rate"),
        ({"value": "avg:ipsource"}, "value 'ipsource' is not a number"),
        ({"value": "bytes,frames"}, "give the others as 'values'"),
        ({"value": "bytes", "values": "frames,octets"}, "unknown value 'octets'"),
        ({"value": "bytes", "values": "count:[null:vlan]"}, "neither a field nor"),
        ({"value": "avg:ip_offset"}, "neither a field nor the first of some"),
        ({"value": "bytes", "values": ["frames"] * 8}, "more than 8 values"),
        ({"value": "count:or:vlan:vlan.1:vlan.2:ipttl:iptos"}, "more than 4 fields"),
        ({"value": "bytes", "aggMode": "median"}, "'aggMode' is none of AGENT, edge, core, max, sum, avg"),
        ({"value": "bytes", "dropped": "no"}, "'dropped' is neither true nor false"),
        ({"value": "bytes", "n": "many"}, "'n' is not a number: 'many'"),
    ],
)
def test_what_is_wrong_is_named(engine, spec, word):
    with pytest.raises(InvalidDefinition) as error:
        engine.set_flow("f", spec)
    assert word in str(error.value)


def test_numbers_and_truths_may_be_texts(engine):
    engine.set_flow("f", {"value": "bytes", "t": "10", "n": "7", "dropped": "false"})
    definition = engine.flow("f")
    assert (definition.t, definition.n, definition.dropped) == (10, 7, False)
    engine.set_threshold("t.1", {"metric": "f", "value": "1e3", "timeout": "60", "byFlow": "true"})
    threshold = engine.threshold("t.1")
    assert (threshold.value, threshold.timeout, threshold.by_flow) == (1000, 60, True)


def test_what_is_taken_and_not_served_is_said(engine):
    notes = engine.set_flow("f", {"value": "bytes", "ipfixCollectors": ["10.0.0.9"]})
    assert notes == ("ipfixCollectors: flows are not exported as IPFIX: an exporter will serve it",)
    assert engine.flow("f").notes == notes
    assert engine.set_flow("g", {"value": "bytes"}) == ()


def test_many_fields_and_wide_keys(engine):
    """Of 40 fields, and of two texts of 128 bytes."""
    keys = ["null:ip6source", "null:ip6destination", "ipsource", *(f"null:vlan.{n % 2 + 1}:{n}" for n in range(40))]
    engine.set_flow(
        "f", {"keys": keys, "value": "frames", "filter": "|".join(f"ipttl={n}" for n in range(100)), "t": 1}
    )
    engine.set_flow("texts", {"keys": "null:dnsqname,null:httpurl,null:proxyurl,ipsource", "value": "frames", "t": 1})
    feed(engine, 1.0, sample())
    assert flows(engine, 1.0) == {",".join(["null", "null", "10.0.0.1", *map(str, range(40))]): (10.0,)}
    assert flows(engine, 1.0, "texts") == {"null,null,null,10.0.0.1": (10.0,)}


def test_offsets_and_options_are_keys(engine):
    frame = ethernet(ipv4(udp(1, 2), 17, options=bytes.fromhex("94040000")), tags=((0x8100, 5),))
    engine.set_flow("f", {"keys": "ip_offset,udp_offset,ipoptions,null:tcpoptions", "value": "frames", "t": 1})
    feed(engine, 1.0, flow_sample(sampled_header(frame), rate=1, sequence=next(NUMBERS)))
    assert flows(engine, 1.0) == {"18,42,94040000,null": (1.0,)}


@pytest.mark.parametrize(
    ("spec", "noted"),
    [
        ({}, []),
        ({"log": True, "flowStart": True, "activeTimeout": 5}, []),
        ({"activeTimeout": 60, "flowStart": False}, []),
        ({"flowStart": True, "activeTimeout": 5}, ["flowStart", "activeTimeout"]),
    ],
)
def test_what_does_nothing_without_a_log_is_said(engine, spec, noted):
    notes = engine.set_flow("f", {"value": "bytes", **spec})
    assert [note.partition(":")[0] for note in notes] == noted
