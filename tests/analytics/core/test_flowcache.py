"""flows/flowcache, through the engine: values against a plain model, limits, bounds, expiry."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.engine import Engine, EngineSettings
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame

RATE = 10


class Exporter:
    """One agent with samples of chosen flows; sequence numbers always right."""

    def __init__(self, engine: Engine, agent: str = "10.254.0.1") -> None:
        self.engine, self.agent, self.sent = engine, agent, 0

    def sample(self, now: float, flow: int = 1, size: int = 1000, port: int = 5) -> None:
        self.sent += 1
        header = sampled_header(tcp_frame(src=f"10.1.{flow >> 8 & 255}.{flow & 255}"), size)
        sample = flow_sample(header, sequence=self.sent, source=(0, port), rate=RATE, ports=(port, 9))
        self.engine.feed([datagram(sample, agent=self.agent, sequence=self.sent, uptime=self.sent)], now)


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.close()


def source(flow: int) -> str:
    return f"10.1.{flow >> 8 & 255}.{flow & 255}"


class Model:
    """The same arithmetic in plain Python: decay, then add; a limit is armed when it was not exceeded for `timeout`."""

    def __init__(self, t: float, limit: float, timeout: float) -> None:
        self.t, self.limit, self.timeout = t, limit, timeout
        self.values: dict[tuple[int, int], tuple[float, float]] = {}
        self.clear: dict[tuple[int, int], float] = {}
        self.crossed: list[tuple[int, int]] = []

    def value(self, key: tuple[int, int], now: float) -> float:
        value, last = self.values.get(key, (0.0, now))
        return value * math.exp(-max(0.0, now - last) / self.t)

    def sample(self, key: tuple[int, int], size: int, now: float) -> None:
        value = self.value(key, now) + size * RATE / self.t
        self.values[key] = (value, max(now, self.values.get(key, (0.0, now))[1]))
        if value > self.limit:
            if now >= self.clear.get(key, -math.inf) + self.timeout:
                self.crossed.append(key)
            self.clear[key] = self.values[key][1] + self.t * math.log(value / self.limit)


SAMPLES = st.lists(
    st.tuples(st.floats(0, 3), st.integers(1, 4), st.integers(1, 2), st.integers(64, 1518)), min_size=1, max_size=60
)


@settings(max_examples=60)
@given(SAMPLES, st.sampled_from([0.2, 1, 2, 10]), st.floats(100, 20_000), st.sampled_from([0, 0.5, 1, 4]))
def test_values_and_events_equal_the_model(samples, t, limit, timeout):
    engine, model, now = Engine(), Model(t, limit, timeout), 1000.0
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": t})
    engine.set_threshold("big", {"metric": "f", "value": limit, "byFlow": True, "timeout": timeout})
    exporter = Exporter(engine)
    for pause, flow, port, size in samples:
        now += pause
        exporter.sample(now, flow, size, port)
        model.sample((port, flow), size, now)
    for port, flow in model.values:
        value = engine.flow_value(["ALL"], str(port), "f", source(flow), now)
        assert value == pytest.approx(model.value((port, flow), now), rel=1e-6)
    events = reversed(engine.events(None, 1000))
    assert [(int(event.source), event.key) for event in events] == [
        (port, source(flow)) for port, flow in model.crossed
    ]
    engine.close()


def test_a_steady_flow_settles_at_its_rate(engine):
    engine.set_flow("f", {"value": "bytes", "t": 2})
    exporter = Exporter(engine)
    for step in range(2000):
        exporter.sample(1000 + step / 100, size=1250)
    [flow] = engine.active_flows(["ALL"], "f", 1020)
    assert flow.value == pytest.approx(1250 * RATE * 100, rel=0.01)
    [flow] = engine.active_flows(["ALL"], "f", 1022)
    assert flow.value == pytest.approx(1250 * RATE * 100 / math.e, rel=0.01)


def test_thirty_seconds_on_and_off_with_a_long_constant(engine):
    """The published experiment: 1.25 MB/s on and off, t = 500 shows the mean of 625 kB/s."""
    engine.set_flow("f", {"value": "bytes", "t": 500})
    exporter, now = Exporter(engine), 0.0
    for _ in range(60):
        for step in range(300):
            exporter.sample(now + step / 10, size=12_500)
        now += 60
    [flow] = engine.active_flows(["ALL"], "f", now)
    assert flow.value == pytest.approx(625_000, rel=0.05)


def test_time_that_goes_back_does_not_decay_or_grow(engine):
    engine.set_flow("f", {"value": "frames", "t": 1})
    exporter = Exporter(engine)
    exporter.sample(1000)
    exporter.sample(990)
    [flow] = engine.active_flows(["ALL"], "f", 995)
    assert flow.value == pytest.approx(2 * RATE)


def test_many_keys_are_kept_apart_and_ranked(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "n": 5})
    exporter = Exporter(engine)
    for flow in range(5000):
        exporter.sample(1000, flow, 64 + flow, 5 + flow % 2)
    flows = engine.active_flows(["ALL"], "f", 1000, max_flows=7)
    assert [flow.key for flow in flows] == [source(4999 - rank) for rank in range(7)]
    assert [flow.source for flow in flows] == ["6", "5", "6", "5", "6", "5", "6"]
    [first, second] = engine.dump(["ALL"], ["f"], {}, 1000)
    assert [entry.key for entry in first.top] == [source(4998 - 2 * rank) for rank in range(5)]
    assert second.value == second.top[0].value == pytest.approx((64 + 4999) * RATE / 2)
    assert len(engine.active_flows(["ALL"], "f", 1000, max_flows=10_000)) == 5000
    assert len(engine.active_flows(["ALL"], "f", 1000, 10_000, min_value=5000 * RATE / 2)) == 64


@pytest.mark.parametrize("value, after", [(0, 30), (1000, 60)])
def test_an_entry_above_a_limit_goes_once_it_is_idle_and_the_limit_has_cleared(engine, value, after):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 2})
    engine.set_threshold("big", {"metric": "f", "value": value, "byFlow": True, "timeout": 50})
    Exporter(engine).sample(1000.0)  # 5000 bytes/s, below 1000 after 2 * ln 5 = 3.2 s; idle after 24 s
    engine.tick(1000.0 + after - 10)
    engine.tick(1000.0 + after)
    engine.tick(1000.0 + after + 1)
    assert engine.numbers().flow_entries == 0


def test_idle_entries_go_and_their_neighbours_stay(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 0.2})
    exporter = Exporter(engine)
    for flow in range(3000):
        exporter.sample(1000, flow)
    for flow in range(0, 3000, 3):
        exporter.sample(1010, flow)
    engine.tick(1010)
    assert engine.numbers().flow_entries == 1000
    for flow in range(0, 3000, 3):
        assert engine.flow_value(["ALL"], "5", "f", source(flow), 1010) == pytest.approx(1000 * RATE / 0.2)
    engine.tick(1020)
    assert engine.numbers().flow_entries == 0


def test_new_keys_beyond_the_bound_are_refused_and_counted():
    engine = Engine(EngineSettings(max_entries=100))
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    exporter = Exporter(engine)
    for flow in range(150):
        exporter.sample(1000, flow)
    exporter.sample(1000, 7)
    numbers = engine.numbers()
    assert (numbers.flow_entries, numbers.flow_entries_refused) == (100, 50)
    assert engine.flow_value(["ALL"], "5", "f", source(7), 1000) == pytest.approx(2 * 1000 * RATE / 2)
    engine.tick(1007)  # crowded: three time constants are enough to go
    exporter.sample(1007, 149)
    assert engine.flow_value(["ALL"], "5", "f", source(149), 1007) is not None
    engine.close()


def test_an_entry_whose_limit_is_not_armed_yet_is_not_forgotten(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 0.2})
    engine.set_threshold("big", {"metric": "f", "value": 1000, "byFlow": True, "timeout": 60})
    exporter = Exporter(engine)
    exporter.sample(1000)
    engine.tick(1030)
    exporter.sample(1031)
    assert len(engine.events(None, 10)) == 1
    engine.tick(1200)
    exporter.sample(1201)
    assert len(engine.events(None, 10)) == 2


def test_raw_keys_with_one_text_share_one_entry(engine):
    engine.set_flow("net", {"keys": "mask:ipsource:16", "value": "bytes"})
    exporter = Exporter(engine)
    for flow in range(300):
        exporter.sample(1000, flow)
    [flow] = engine.active_flows(["ALL"], "net", 1000)
    assert (flow.key, flow.value) == ("10.1.0.0", pytest.approx(300 * 1000 * RATE / 2))


def test_limits_by_data_source_are_crossed_once_for_all_flows(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 1})
    engine.set_threshold("busy", {"metric": "f", "value": 5000, "timeout": 2})
    exporter = Exporter(engine)
    exporter.sample(1000, flow=1)  # 10,000 B/s: below 5000 after 0.7 s
    exporter.sample(1000.1, flow=2)
    exporter.sample(1002, flow=3)
    assert len(engine.events(None, 10)) == 1
    exporter.sample(1002, flow=3, port=6)
    assert len(engine.events(None, 10)) == 2
    exporter.sample(1005, flow=1)  # flow 3 cleared at 1002.7; 2 s later the limit is armed
    assert [event.key for event in engine.events(None, 10)] == [source(1), source(3), source(1)]


def test_a_limit_that_is_put_again_starts_armed_and_others_keep_their_state(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 600})
    for name in ("a", "b"):
        engine.set_threshold(name, {"metric": "f", "value": 1, "byFlow": True})
    exporter = Exporter(engine)
    exporter.sample(1000)
    engine.set_threshold("a", {"metric": "f", "value": 2, "byFlow": True})
    exporter.sample(1001)
    assert [event.threshold for event in engine.events(None, 10)] == ["a", "b", "a"]
    assert engine.clear_threshold("a")
    exporter.sample(1002)
    assert len(engine.events(None, 10)) == 3


def test_more_thresholds_than_a_flow_can_have_are_refused(engine):
    engine.set_flow("f", {"value": "bytes"})
    for number in range(16):
        engine.set_threshold(f"t{number}", {"metric": "f", "value": 1})
    with pytest.raises(ValueError, match="threshold 'one_more': flow 'f': more than 16 thresholds on one flow"):
        engine.set_threshold("one_more", {"metric": "f", "value": 1})
    assert engine.clear_threshold("t3")
    engine.set_threshold("one_more", {"metric": "f", "value": 1})


def test_more_flows_than_the_engine_can_hold_are_refused(engine):
    for number in range(128):
        engine.set_flow(f"f{number}", {"value": "bytes"})
    with pytest.raises(ValueError, match="flow 'one_more': more than 128 flow definitions"):
        engine.set_flow("one_more", {"value": "bytes"})
    engine.set_flow("f7", {"value": "frames"})
    assert engine.flow("f7").value == "frames"


def test_entries_survive_many_thresholds_and_growth(engine):
    """The table changes its cells' size and number while it holds values."""
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes"})
    exporter = Exporter(engine)
    for flow in range(200):
        exporter.sample(1000, flow)
        if flow % 20 == 0:
            engine.set_threshold(f"t{flow}", {"metric": "f", "value": 1e9, "byFlow": True})
    assert {flow.value for flow in engine.active_flows(["ALL"], "f", 1000, 500)} == {1000 * RATE / 2}
    assert len(engine.active_flows(["ALL"], "f", 1000, 500)) == 200


def many(engine: Engine, first: int, count: int, now: float, *, size: int = 64, step: int = 20) -> None:
    """A sample of each of so many flows, on port 5."""
    for start in range(first, first + count, step):
        wires = [
            flow_sample(sampled_header(tcp_frame(source(flow)), size), sequence=flow, source=(0, 5), rate=RATE)
            for flow in range(start, start + step)
        ]
        engine.feed([datagram(*wires, sequence=start)], now)


WIDE = "ipsource,stack,macsource,macdestination,ipdestination"  # a segment has room for 29,000


@pytest.mark.parametrize("keys", ["ipsource", WIDE])
def test_a_question_meets_every_flow_once_while_tables_grow_and_shrink(engine, keys):
    """Between two of its turns other flows come by the thousand and go: there are more segments, then fewer."""
    engine.set_flow("f", {"keys": keys, "value": "bytes", "t": 10})
    many(engine, 0, 20_000, 1000, size=1500)
    many(engine, 20_000, 20_000, 900)  # these are idle and will go
    turns = engine.active_flows_in_turns(["ALL"], "f", 1000, 100_000)
    answer, fed = None, 40_000
    while answer is None:
        try:
            next(turns)
        except StopIteration as end:
            answer = end.value
        if fed < 65_000:
            many(engine, fed, 5000, 1000)
            engine.tick(1020 if fed == 45_000 else 1000)
            fed += 5000
    found = [flow.key.partition(",")[0] for flow in answer if flow.value > 64 * RATE / 10 * 2]
    assert len(found) == len(set(found)) == 20_000
    assert set(found) == {source(flow) for flow in range(20_000)}
    keys = [flow.key for flow in answer]
    assert len(keys) == len(set(keys))


def test_the_memory_of_a_table_follows_its_keys(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 1})
    few = engine.numbers().memory.used["flows"]
    many(engine, 0, 40_000, 1000)
    assert engine.numbers().memory.used["flows"] > few + 40_000 * 40
    engine.tick(1020)
    assert engine.numbers().flow_entries == 0
    assert engine.numbers().memory.used["flows"] < few + 10_000


def test_computed_keys_of_one_batch_are_all_computed(engine):
    """In one turn of the lock a few hundred, at 10 us each; the others in the next ones, and none is refused."""
    engine.set_flow("f", {"keys": "prefix:ipsource:.:4", "value": "bytes"})
    flows = 1500
    wires = [
        flow_sample(sampled_header(tcp_frame(source(flow))), sequence=1 + flow, source=(0, 5), rate=RATE)
        for flow in range(flows)
    ]
    engine.feed([datagram(wires[0], sequence=1)], 1000)
    engine.feed([datagram(*wires[at : at + 6], sequence=2 + at) for at in range(0, flows, 6)], 1000)
    numbers = engine.numbers()
    assert (numbers.flow_entries_refused, numbers.flow_entries) == (0, flows + len(engine.flows()) - 1)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(64, 70)), min_size=1, max_size=80),
    st.integers(1, 8),
    st.sampled_from([0.0, 66.0 * RATE]),
)
def test_the_largest_of_all_data_sources_are_exact(seen, most, minimum):
    """(port, flow, bytes): by hand, each flow's largest value over the ports, and how many ports see it."""
    engine = Engine()
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 1})
    exporter = Exporter(engine)
    values: dict[tuple[int, int], float] = {}
    for port, flow, size in seen:
        exporter.sample(1000, flow, size, port)
        values[flow, port] = values.get((flow, port), 0.0) + size * RATE
    expected = {}
    for (flow, _), value in values.items():
        if value >= minimum:
            highest, ports = expected.get(source(flow), (0.0, 0))
            expected[source(flow)] = max(highest, value), ports + 1
    found = engine.active_flows(["ALL"], "f", 1000, most, minimum)
    ranked = sorted((value for value, _ in expected.values()), reverse=True)
    assert [flow.value for flow in found] == pytest.approx(ranked[:most])
    assert len({flow.key for flow in found}) == len(found)
    for flow in found:
        assert expected[flow.key] == (pytest.approx(flow.value), flow.sources)
        assert values[int(flow.key.rpartition(".")[2]), int(flow.source)] == pytest.approx(flow.value)
    engine.close()


def test_many_flows_are_ranked_while_the_answer_is_cut_again_and_again(engine):
    """More flows than fit into one segment, the larger ones last; each on two data sources."""
    engine.set_flow("f", {"keys": WIDE, "value": "bytes", "t": 1})
    flows = 30_000
    for port in (1, 2):
        for start in range(0, flows, 20):
            wires = [
                flow_sample(sampled_header(tcp_frame(source(flow)), flow), sequence=flow, source=(0, port), rate=RATE)
                for flow in range(start, start + 20)
            ]
            engine.feed([datagram(*wires, sequence=port * flows + start)], 1000)
    found = engine.active_flows(["ALL"], "f", 1000, 3)
    assert [(flow.key.partition(",")[0], flow.value, flow.sources) for flow in found] == [
        (source(flow), flow * RATE, 2) for flow in (29_999, 29_998, 29_997)
    ]
