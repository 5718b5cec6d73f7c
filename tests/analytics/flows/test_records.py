"""Flow records: worked out by hand, against a plain model for any sequence of samples, and over a recorded capture
against the lines of `howdah decode`."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.engine import Engine, EngineSettings
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, ipv6, sampled_header, tcp, udp

RATE = 10
AGENT = "10.254.0.1"
TUPLE = "ipsource,ipdestination,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
ACK, FIN_ACK, RST = 0x10, 0x11, 0x04


class Exporter:
    """One agent; sequence numbers always right."""

    def __init__(self, engine: Engine, agent: str = AGENT, rate: int = RATE) -> None:
        self.engine, self.agent, self.rate, self.sent = engine, agent, rate, 0

    def sample(self, now: float, packet: bytes, size: int = 1000, port: int = 5) -> None:
        self.sent += 1
        sample = flow_sample(sampled_header(packet, size), sequence=self.sent, source=(0, port), rate=self.rate,
                             ports=(port, 9))  # fmt: skip
        self.engine.feed([datagram(sample, agent=self.agent, sequence=self.sent, uptime=self.sent)], now)

    def tcp(self, now: float, flow: int = 1, size: int = 1000, port: int = 5, flags: int = ACK) -> None:
        self.sample(now, ethernet(ipv4(tcp(40000, 80, flags=flags), 6, f"10.1.0.{flow}", "10.2.0.1")), size, port)


@pytest.fixture
def exporter(engine):
    return Exporter(engine)


def logged(engine, name="f", **more):
    engine.set_flow(name, {"keys": "ipsource", "value": "bytes", "log": True, **more})


def rows(engine, after=None, name=None):
    """Oldest first: (key, value, start, end, samples)."""
    found = reversed(engine.flow_records(after, 1_000_000, name))
    return [(each.key, each.value, each.start, each.end, each.samples) for each in found]


# How a record ends


def test_a_record_holds_the_sum_of_its_samples_and_ends_when_idle(engine, exporter):
    logged(engine)
    exporter.tcp(100.0, size=600)
    exporter.tcp(104.0, size=400)
    engine.tick(118.9)
    assert rows(engine) == []
    engine.tick(119.0)  # 15 s after the last sample
    assert rows(engine) == [("10.1.0.1", (600 + 400) * RATE, 100.0, 104.0, 2)]
    [record] = engine.flow_records(None, 10)
    assert (record.id, record.name, record.agent, record.source) == (1, "f", AGENT, "5")


def test_a_flow_that_comes_back_after_its_idle_time_is_another_record_whether_or_not_anybody_looked(engine, exporter):
    logged(engine)
    exporter.tcp(100.0)
    exporter.tcp(115.0)
    assert rows(engine) == [("10.1.0.1", 1000 * RATE, 100.0, 100.0, 1)]
    engine.tick(130.0)
    assert rows(engine)[1:] == [("10.1.0.1", 1000 * RATE, 115.0, 115.0, 1)]


@pytest.mark.parametrize("ticks", [False, True])
def test_a_flow_that_goes_on_is_recorded_every_active_timeout(engine, exporter, ticks):
    logged(engine, activeTimeout=10)
    for second in range(31):
        if ticks:
            engine.tick(100.0 + second)
        exporter.tcp(100.0 + second)
    expected = [("10.1.0.1", 10 * 1000 * RATE, 100.0 + 10 * n, 109.0 + 10 * n, 10) for n in range(3)]
    assert rows(engine) == expected
    engine.tick(140.0)
    assert rows(engine)[3:] == [("10.1.0.1", 1000 * RATE, 130.0, 130.0, 1)]


def test_the_active_timeout_is_60_s_and_clamped(engine, exporter):
    logged(engine)
    logged(engine, "short", activeTimeout=0.01)
    logged(engine, "long", activeTimeout=10**9)
    assert [engine.flow(name).active_timeout for name in ("f", "short", "long")] == [60, 1, 86400]
    for second in range(61):
        exporter.tcp(100.0 + second)
    assert rows(engine, name="f") == [("10.1.0.1", 60 * 1000 * RATE, 100.0, 159.0, 60)]


@pytest.mark.parametrize("flags", [FIN_ACK, RST])
def test_fin_and_rst_end_the_record_of_a_connection(engine, exporter, flags):
    engine.set_flow("f", {"keys": TUPLE, "value": "bytes", "log": True})
    for flow in (1, 2):
        exporter.tcp(100.0, flow)
    exporter.tcp(101.0, 1, flags=flags)
    assert rows(engine) == [("10.1.0.1,10.2.0.1,40000,80", 2000 * RATE, 100.0, 101.0, 2)]
    exporter.tcp(101.0, 1)  # the other's FIN is acknowledged
    engine.tick(120.0)
    assert rows(engine)[1:] == [
        ("10.1.0.2,10.2.0.1,40000,80", 1000 * RATE, 100.0, 100.0, 1),
        ("10.1.0.1,10.2.0.1,40000,80", 1000 * RATE, 101.0, 101.0, 1),
    ] or rows(engine)[1:] == [
        ("10.1.0.1,10.2.0.1,40000,80", 1000 * RATE, 101.0, 101.0, 1),
        ("10.1.0.2,10.2.0.1,40000,80", 1000 * RATE, 100.0, 100.0, 1),
    ]


@pytest.mark.parametrize("filter_", [None, "stack~eth.ip.tcp"])
def test_a_fin_ends_it_too_when_it_is_the_first_sample_and_after_many_that_are_alike(engine, exporter, filter_):
    """The keys of the first are computed by Python, those after the second found in the microflow cache."""
    engine.set_flow("f", {"keys": TUPLE, "value": "bytes", "log": True, **({"filter": filter_} if filter_ else {})})
    exporter.tcp(100.0, flags=FIN_ACK)
    assert [row[1:] for row in rows(engine)] == [(1000 * RATE, 100.0, 100.0, 1)]
    for number in range(50):
        exporter.tcp(101.0 + number / 10)
    for _ in range(3):
        exporter.tcp(110.0, flags=FIN_ACK)
    assert [row[1] for row in rows(engine)] == [1000 * RATE, 51_000 * RATE, 1000 * RATE, 1000 * RATE]


@pytest.mark.parametrize(
    "keys",
    ["ipsource,ipdestination", "tcpsourceport,tcpdestinationport,ipsource", "", "ipsource,ipdestination,tcpsourceport"],
)
def test_a_fin_does_not_end_the_record_of_a_flow_of_many_connections(engine, exporter, keys):
    engine.set_flow("f", {"keys": keys, "value": "bytes", "log": True})
    exporter.tcp(100.0)
    exporter.tcp(100.0, flags=FIN_ACK)
    exporter.tcp(101.0)
    assert rows(engine) == []
    engine.tick(120.0)
    assert [row[1] for row in rows(engine)] == [3000 * RATE]


def test_connections_are_those_of_ipv6_and_of_the_tenant_too(engine, exporter):
    inner = ethernet(ipv4(tcp(1, 2, flags=FIN_ACK), 6, "10.8.0.1", "10.8.0.2"))
    engine.set_flow("six", {"keys": "ip6source,ip6destination,tcpsourceport,tcpdestinationport", "value": "frames",
                            "log": True})  # fmt: skip
    engine.set_flow("in", {"keys": "ipsource.1,ipdestination.1,tcpsourceport,tcpdestinationport", "value": "frames",
                           "log": True})  # fmt: skip
    exporter.sample(100.0, ethernet(ipv6(tcp(1, 2, flags=RST), 6), 0x86DD))
    exporter.sample(100.0, ethernet(ipv4(udp(50000, 4789, b"\x08\0\0\0\0\0\x64\0" + inner), 17)))
    assert [(each.name, each.value) for each in reversed(engine.flow_records(None, 10))] == [
        ("six", RATE),
        ("in", RATE),
    ]


def test_flow_start_logs_at_the_start_instead(engine, exporter):
    logged(engine, flowStart=True, activeTimeout=10)
    exporter.tcp(100.0, size=700)
    assert rows(engine) == [("10.1.0.1", 700 * RATE, 100.0, 100.0, 1)]
    for second in range(1, 11):
        exporter.tcp(100.0 + second)
    assert rows(engine)[1:] == [("10.1.0.1", 1000 * RATE, 110.0, 110.0, 1)]  # it still goes on
    engine.tick(200.0)
    assert len(rows(engine)) == 2


def test_a_rate_that_decays_fast_does_not_cut_the_record(engine, exporter):
    logged(engine, t=0.2)
    for second in range(0, 40, 10):
        exporter.tcp(100.0 + second)
        for later in range(1, 10):
            engine.tick(100.0 + second + later)
    assert rows(engine) == []
    assert engine.active_flows(["ALL"], "f", 139.0, min_value=1.0) == []
    engine.tick(145.0)
    assert rows(engine) == [("10.1.0.1", 4000 * RATE, 100.0, 130.0, 4)]
    engine.tick(146.0)
    assert engine.numbers().flow_entries == 0


def test_a_rate_that_decays_slowly_does_not_keep_the_record_open(engine, exporter):
    logged(engine, t=600)
    exporter.tcp(100.0)
    engine.tick(116.0)
    exporter.tcp(200.0)
    engine.tick(216.0)
    assert [row[2:4] for row in rows(engine)] == [(100.0, 100.0), (200.0, 200.0)]


def test_a_definition_that_does_not_log_has_no_records(engine, exporter):
    logged(engine, log=False)
    exporter.tcp(100.0)
    engine.tick(200.0)
    assert rows(engine) == []


def test_discards_are_recorded_too_and_a_definition_that_is_deleted_keeps_its_records(engine, exporter):
    logged(engine)
    exporter.tcp(100.0)
    engine.tick(116.0)
    exporter.tcp(117.0)  # of an open record nothing is told
    engine.clear_flow("f")
    logged(engine, "g")
    engine.tick(300.0)
    assert [row[0] for row in rows(engine, name="f")] == ["10.1.0.1"]
    assert rows(engine, name="g") == []


# Cursor, retention, bounds


def test_the_newest_are_kept_and_asked_for_by_cursor_and_name(exporter):
    engine = Engine(EngineSettings(max_flows=3))
    exporter.engine = engine
    logged(engine)
    logged(engine, "g", filter="ipsource=10.1.0.4")
    for flow in range(1, 6):
        exporter.tcp(100.0 + flow, flow)
        engine.tick(120.0 + flow)
    newest = engine.flow_records(None, 10)
    assert (newest[0].id, newest[0].key, newest[0].name) == (6, "10.1.0.5", "f")
    assert len(newest) == 3
    assert [each.id for each in engine.flow_records(4, 10)] == [6, 5]
    assert [each.id for each in engine.flow_records(4, 1)] == [6]
    assert [each.key for each in engine.flow_records(None, 10, "g")] == ["10.1.0.4"]
    assert engine.flow_records(6, 10) == []
    assert len(engine.flow_records(1000, 10)) == 3  # from before a restart
    assert (engine.numbers().records, engine.numbers().records_lost) == (6, 0)
    engine.close()


def test_ten_thousand_that_end_at_once_are_all_told(exporter):
    """More than fit between two reports of the core (4096)."""
    engine = exporter.engine = Engine(EngineSettings(max_flows=100_000))
    logged(engine, keys="ipsource,tcpsourceport")
    for flow in range(10_000):
        exporter.sample(100.0, ethernet(ipv4(tcp(flow, 80), 6)))
    engine.tick(116.0)
    found = engine.flow_records(None, 100_000)
    assert len({each.key for each in found}) == len(found) == 10_000
    assert engine.numbers().records_lost == 0
    engine.close()


def test_when_memory_is_short_what_has_to_go_is_recorded(exporter):
    """Keys come again and again to a table that is full: they displace others, and every sample is in some record, or
    was refused."""
    engine = exporter.engine = Engine(EngineSettings(max_entries=64, max_flows=100_000))
    logged(engine, value="frames", keys="tcpsourceport", t=0.2)
    for number in range(4000):
        exporter.sample(100.0 + number / 1000, ethernet(ipv4(tcp(number * 7 % 200, 80), 6)))
    engine.tick(120.0)
    numbers = engine.numbers()
    assert numbers.flow_entries_displaced > 0
    assert sum(row[4] for row in rows(engine)) == 4000 - numbers.flow_entries_refused
    engine.close()


# Against a model


PAUSES = st.sampled_from([0.0, 0.001, 0.3, 1.0, 4.9, 5.0, 14.9, 15.0, 15.1, 40.0, 61.0])
STEPS = st.lists(
    st.tuples(PAUSES, st.integers(1, 3), st.integers(1, 2), st.integers(64, 1518), st.sampled_from([ACK, FIN_ACK]),
              st.booleans()),
    min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=30)
@given(STEPS, st.sampled_from([1, 5, 60]), st.sampled_from([0.2, 2, 60]), st.booleans())
def test_every_sample_is_in_one_record_and_records_do_not_overlap(steps, active, t, computed):
    """Whatever comes when, and whenever somebody looks."""
    engine, now = Engine(EngineSettings(max_flows=10_000)), 1000.0
    more = {"filter": "stack~eth.ip.tcp"} if computed else {}
    engine.set_flow("f", {"keys": TUPLE, "value": "bytes", "log": True, "activeTimeout": active, "t": t, **more})
    exporter = Exporter(engine)
    sent: dict[tuple[str, str], int] = defaultdict(int)
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pause, flow, port, size, flags, tick in steps:
        now += pause
        if tick:
            engine.tick(now)
        exporter.tcp(now, flow, size, port, flags)
        place = (f"10.1.0.{flow},10.2.0.1,40000,80", str(port))
        sent[place] += size * RATE
        times[place].append(now)
    engine.tick(now + 61)
    engine.tick(now + 62)
    by_place = defaultdict(list)
    for each in reversed(engine.flow_records(None, 100_000)):
        by_place[each.key, each.source].append(each)
    assert {place: sum(each.value for each in found) for place, found in by_place.items()} == sent
    for place, found in by_place.items():
        assert sum(each.samples for each in found) == len(times[place])
        for each in found:
            assert each.end - each.start < active
            assert {each.start, each.end} <= set(times[place])
        for before, after in itertools.pairwise(found):
            assert before.end <= after.start
    engine.close()
