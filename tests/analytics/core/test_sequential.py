"""flows/sequential, through the engine: when a flow is an elephant, against the same test in plain Python; where it is
seen, when it ends, what is not counted."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.engine import Engine, EngineSettings
from analytics.memory import LEAST
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, words

N, VALUE, FASTEST = 10, 62_500.0, 625_000.0
LEAF, SPINE, OTHER = "10.254.0.1", "10.254.0.9", "10.254.0.2"
THRESHOLD = {"metric": "f", "value": VALUE, "byFlow": True, "timeout": 1}
HEAD_START = math.log(100_000)


class Path:
    """Switches that sample packets of flows; every packet has a sequence number of its own unless one is given."""

    def __init__(self, engine: Engine, **test: float) -> None:
        self.engine, self.sent, self.packets = engine, 0, 0
        engine.set_flow("f", {"keys": "ipsource,ipdestination", "value": "bytes", "t": 1})
        engine.set_threshold("big", THRESHOLD | {"test": test})

    def sample(self, now, agent=LEAF, *, flow=1, size=1000, rate=N, packet=None, port=5, output=6, source=(2, 1000)):
        self.sent += 1
        self.packets += 1
        tcp = words(5001 << 16 | 80, self.packets if packet is None else packet, 7, 0x5010 << 16 | 99, 0)
        frame = ethernet(ipv4(tcp, 6, f"10.0.{flow >> 8}.{flow & 255}", "10.0.9.9"))
        made = flow_sample(
            sampled_header(frame, size), sequence=self.sent, source=source, rate=rate, ports=(port, output)
        )
        self.engine.feed([datagram(made, agent=agent, sub_agent=self.sent, sequence=self.sent)], now)

    def events(self):
        return [(event.found.state, event.time) for event in reversed(self.engine.events(None, 1000))]


class Model:
    """The charts of one flow of packets of one size, all different, by their definition (sequential.pyx 1 to 3)."""

    def __init__(self, switches: int, separation: float, alpha: float, size: float) -> None:
        middle = math.sqrt(VALUE * FASTEST)
        if switches == 0:
            charts = [("seen", VALUE, 0.4), ("seen", middle, 0.2), ("seen", FASTEST, 0.4)]
        else:
            charts = [("any", VALUE, 0.3), ("any", middle, 0.2), ("any", FASTEST, 0.3), ("seen", VALUE, 0.1),
                      ("seen", FASTEST, 0.1)]  # fmt: skip
        self.switches, self.mouse, self.size = switches, VALUE / separation, size
        self.charts = [(kind, rate / self.mouse, HEAD_START - math.log(alpha * part)) for kind, rate, part in charts]
        self.levels = [HEAD_START] * len(charts)
        self.last: float | None = None
        self.places: dict[str, float] = {}
        self.density = {"seen": 0.0, "any": 0.0}

    def sample(self, agent: str, now: float) -> bool:
        """Whether the flow is found to be an elephant."""
        window = max(0.25, 6 * self.size * N / VALUE)
        present = agent in self.places and now - self.places[agent] <= window
        first, found = self.last is None, False
        elapsed = 0.0 if self.last is None else now - self.last
        for index, (kind, ratio, enough) in enumerate(self.charts):
            packets = elapsed * self.mouse / self.size * self.density[kind]
            level = max(self.levels[index] - (ratio - 1) * packets, 0.0)
            counts = not first and (kind == "any" or present)
            self.levels[index] = level + (math.log(ratio) if counts else 0.0)
            found |= self.levels[index] >= enough
        self.last, self.places[agent] = now, now
        seen = sum(now - last <= window for last in self.places.values())
        self.density["seen"] = 1 - (1 - 1 / N) ** seen
        self.density["any"] = 1 - (1 - 1 / N) ** max(seen, self.switches)
        return found


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0005, 0.4), st.sampled_from([LEAF, SPINE, OTHER])), min_size=1, max_size=60),
    st.sampled_from([0, 3]),
    st.sampled_from([2.0, 4.0]),
    st.sampled_from([0.01, 0.2]),
    st.sampled_from([1000, 1518]),
)
def test_a_flow_is_found_at_the_sample_that_the_definition_says(samples, switches, separation, alpha, size):
    engine, now, expected = Engine(), 1000.0, None
    model = Model(switches, separation, alpha, size)
    path = Path(engine, switches=switches, separation=separation, alpha=alpha)
    for pause, agent in samples:
        now += pause
        path.sample(now, agent, size=size)
        if expected is None and model.sample(agent, now):
            expected = now
    assert path.events()[:1] == ([] if expected is None else [("start", expected)])
    engine.close()


def test_an_event_says_once_what_was_found_and_where(engine):
    path = Path(engine, switches=3)
    for step, agent in enumerate((LEAF, SPINE, OTHER) * 4):
        path.sample(1000 + step / 500, agent, port=5 + step % 3, output=0x40000100 if agent == LEAF else 6)
    [event] = engine.events(None, 10)
    # the fastest is 20 mice: ln 20 = 3.0 a sample but the first, less 19 * 31.25 * 0.271 * 0.002 = 0.32 for the
    # time, and ln(1 / 0.003) = 5.81 is enough: the fourth
    assert (event.time, event.key, event.limit, event.value) == (1000.006, "10.0.0.1,10.0.9.9", VALUE, FASTEST)
    assert event.found.state == "start"
    assert 0.99 <= event.found.confidence < 1
    assert [(each.agent, each.source, each.output, each.rate, each.samples) for each in event.found.path] == [
        (LEAF, "5", 0, N, 2), (SPINE, "6", 6, N, 1), (OTHER, "7", 6, N, 1)]  # fmt: skip
    [elephant] = [seen.best for seen in engine.elephants(1000.03)]
    assert (elephant.key, elephant.start, elephant.samples) == (event.key, event.time, 9)


def test_a_packet_that_several_switches_sampled_counts_once(engine):
    path = Path(engine, switches=3)
    for step in range(40):  # every packet thrice: as slow as a third of its samples
        for agent in (LEAF, SPINE, OTHER):
            path.sample(1000 + step, agent, packet=step)
    assert path.events() == []
    for step in range(12):  # no two differ, so nothing can be said of them
        path.sample(1100 + step / 500, (LEAF, SPINE, OTHER)[step % 3], flow=2, packet=77)
    assert [state for state, _ in path.events()] == ["start"]


def test_what_leaves_a_switch_is_not_counted_again(engine):
    path = Path(engine, switches=3)
    for step in range(100):
        path.sample(1000 + step / 1000, source=(0, 6), port=5, output=6)
    assert path.events() == []


@pytest.mark.parametrize("agents", [[LEAF], [LEAF, SPINE, OTHER], [f"10.254.0.{n}" for n in range(1, 6)]])
def test_a_mouse_stays_one_however_many_switches_see_it(engine, agents):
    """250 kb/s for 200 s; told is only that a path has three switches."""
    rng, path = random.Random(3), Path(engine, switches=3)
    packets = 31.25 * 200
    for packet in range(int(packets)):
        for agent in agents:
            if rng.random() < 1 / N:
                path.sample(1000 + packet / 31.25, agent, packet=packet)
    assert path.events() == []


def test_an_elephant_on_one_switch_of_a_long_path_is_found_too(engine):
    """At twice the threshold, where a path may have five switches: by the samples of those that see it."""
    rng, path = random.Random(3), Path(engine, switches=5)
    for packet in range(125 * 10):
        if rng.random() < 1 / N:
            path.sample(1000 + packet / 125, LEAF)
    [(state, at)] = path.events()
    assert (state, at < 1008) == ("start", True)


def test_switches_that_sample_differently(engine):
    """A flow at the threshold: the spine samples one in a hundred."""
    rng, path = random.Random(5), Path(engine, switches=3)
    for packet in range(int(62.5 * 30)):
        for agent, rate in ((LEAF, 10), (SPINE, 100), (OTHER, 10)):
            if rng.random() < 1 / rate:
                path.sample(1000 + packet / 62.5, agent, rate=rate, packet=packet)
    assert path.events()[0][0] == "start"
    assert "end" not in dict(path.events())
    [elephant] = [seen.best for seen in engine.elephants(1030)]
    assert elephant.mean == pytest.approx(VALUE, rel=0.25)


def test_a_stopped_elephant_ends_once_and_begins_again(engine):
    path = Path(engine, switches=3)

    def send(start, seconds):
        for step in range(int(seconds * 100)):
            path.sample(start + step / 100, (LEAF, SPINE, OTHER)[step % 3])

    send(1000, 2)
    for second in range(1002, 1010):
        engine.tick(float(second))
    send(1010, 2)
    (one, began), (two, ended), (three, again) = path.events()
    assert (one, two, three) == ("start", "end", "start")
    assert began < 1000.1
    assert ended == pytest.approx(1001.99)  # the time of its last sample
    assert 1010 < again < 1010.2
    assert [seen.best.key for seen in engine.elephants(1011.9)] == ["10.0.0.1,10.0.9.9"]


def test_an_elephant_goes_on_through_pauses_below_the_timeout(engine):
    path, now = Path(engine, switches=3, beta=0.001), 1000.0
    for _ in range(20):
        for step in range(30):
            now += 0.01
            path.sample(now, (LEAF, SPINE, OTHER)[step % 3])
        now += 0.9
        engine.tick(now)
    assert [state for state, _ in path.events()] == ["start"]


def test_an_elephant_that_slows_down_to_a_mouse_ends(engine):
    path = Path(engine, switches=3)
    for step in range(100):
        path.sample(1000 + step / 100, (LEAF, SPINE, OTHER)[step % 3])
    for step in range(60):  # 5 samples a second: 185 kb/s
        path.sample(1001 + step / 5, (LEAF, SPINE, OTHER)[step % 3])
        engine.tick(1001 + step / 5)
    assert [state for state, _ in path.events()] == ["start", "end"]


def test_an_elephant_that_moves_is_told_of_where_it_is_now(engine):
    path = Path(engine, switches=3)
    for step in range(100):
        path.sample(1000 + step / 100, (LEAF, SPINE, OTHER)[step % 3])
    for step in range(100):
        path.sample(1001 + step / 100, (LEAF, "10.254.0.8", OTHER)[step % 3])
    start, *updates = reversed(engine.events(None, 10))
    assert [each.agent for each in start.found.path] == [LEAF, SPINE, OTHER]
    assert [(event.found.state, [each.agent for each in event.found.path]) for event in updates] == [
        ("update", ["10.254.0.8"])]  # fmt: skip


def test_flows_for_which_there_is_no_room_are_counted():
    engine = Engine(EngineSettings(memory=LEAST))
    for number in range(8):  # which share the memory for flows
        engine.set_flow(f"other{number}", {"keys": "ipsource", "value": "bytes", "filter": "ipprotocol=99"})
    path = Path(engine)
    for flow in range(10_000):
        path.sample(1000 + flow / 1e6, flow=flow)
    untested = engine.numbers().untested
    assert 0 < untested < 10_000
    for tick in range(3):
        engine.tick(1003.0 + tick)  # crowded: who is silent goes
    path.sample(1006.0, flow=9_999)
    assert engine.numbers().untested == untested
    engine.close()


def test_the_data_sources_of_an_elephant_may_be_forgotten(engine):
    path = Path(engine, switches=3)
    for step in range(100):
        path.sample(1000 + step / 100, (LEAF, SPINE, OTHER)[step % 3])
    engine.tick(2000.0)
    engine.tick(2001.0)
    engine.tick(2002.0)
    path.sample(2003.0, flow=7, agent="10.254.0.77")
    assert [state for state, _ in path.events()] == ["start", "end"]
    assert engine.elephants(2003.0) == []
