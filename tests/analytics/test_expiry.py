"""Who has an index, and for how long: agents and data sources come, go and come back, and values never mix.

Also what is left of a flood: whom it pushes out, whom it does not, and the memory afterwards.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from analytics.engine import Engine, EngineSettings
from analytics.memory import LEAST, Budget
from analytics.turns import Grace
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    flow_sample,
    if_counters,
    opaque,
    record,
    sampled_header,
    tcp_frame,
)

NOW = 1000.0
IDLE_S = 601.0  # then everybody is gone
NEW_S = 121.0  # then those that were seen once are


def frames(engine: Engine, agent: str, now: float, port: int = 5, sequence: int = 1, source: str = "10.0.1.1") -> None:
    sample = flow_sample(sampled_header(tcp_frame(source), 1000), sequence=sequence, source=(0, port), rate=1,
                         ports=(port, 9))  # fmt: skip
    engine.feed([datagram(sample, agent=agent, sequence=sequence, uptime=sequence)], now)


def forged(number: int) -> str:
    return f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def flows(engine: Engine, name: str, now: float) -> dict[tuple[str, str, str], float]:
    """(agent, data source, key) -> value."""
    found = {}
    for agent in {agent for agent, _ in engine._directory.index}:
        for flow in engine.active_flows([agent], name, now, 1000):
            for place in engine.flow_locations([agent], name, flow.key, now):
                found[place.agent, place.source, flow.key] = place.value
    return found


class Owners(RuleBasedStateMachine):
    """Agents with ports send flows and counters, fall silent, and come back, most of them with an index that another
    had before. What each one sends says whose it is, so anything of another would show."""

    AGENTS = st.integers(1, 6)
    PORTS = st.integers(1, 4)

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(EngineSettings(memory=LEAST))
        self.engine.set_flow("who", {"keys": "agent,ipsource", "value": "frames", "t": 600})
        self.engine.set_flow("named", {"keys": "concat:-:agent:inputifindex", "value": "frames", "t": 600})
        self.engine.set_threshold("fast", {"metric": "who", "value": 0, "byFlow": True, "timeout": 0,
                                           "filter": {"ifname": ["yes"]}})  # fmt: skip
        self.now, self.sequence = NOW, 0
        self.frames: dict[tuple[int, int], int] = {}
        self.names: dict[tuple[int, int], bool] = {}
        self.last: dict[tuple[int, int], float] = {}
        self.question = None

    def _sent(self, agent: int, port: int) -> None:
        self.sequence += 1
        self.last[agent, port] = self.now

    @rule(agent=AGENTS, port=PORTS)
    def sample(self, agent: int, port: int) -> None:
        self._sent(agent, port)
        sequence = self.sequence
        frames(self.engine, f"10.9.0.{agent}", self.now, port, sequence, source=f"10.{agent}.{port}.1")
        self.frames[agent, port] = self.frames.get((agent, port), 0) + 1
        crossed = [event for event in self.engine.events(None, 1) if event.time == self.now]
        if not self.names.get((agent, port)):
            assert not any((event.agent, event.source) == (f"10.9.0.{agent}", str(port)) for event in crossed)

    @rule(agent=AGENTS, port=PORTS, fast=st.booleans())
    def counters(self, agent: int, port: int, fast: bool) -> None:
        self._sent(agent, port)
        sample = counter_sample(if_counters(port, speed=1000 * agent + port),
                                record(1005, opaque(b"yes" if fast else b"no")),
                                sequence=self.sequence, source=(0, port))  # fmt: skip
        self.engine.feed([datagram(sample, agent=f"10.9.0.{agent}", sequence=self.sequence, uptime=self.sequence)],
                         self.now)  # fmt: skip
        self.names[agent, port] = fast

    @rule(seconds=st.sampled_from([0.5, 20.0]))
    def later(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)

    @rule()
    def silence(self) -> None:
        """Long enough for all to be gone; two ticks later their indexes are free."""
        self.now += IDLE_S + 7200  # of the flows nothing is left either
        for _ in range(2):
            self.engine.tick(self.now)
        self.frames, self.names, self.last = {}, {}, {}

    @rule()
    @precondition(lambda self: self.question is None)
    def ask(self) -> None:
        """A question that takes its time: it began before what comes now."""
        question = self.engine.active_flows_in_turns(["ALL"], "who", self.now, 1000)
        if next(question, "ended") != "ended":
            self.question = question

    @rule()
    @precondition(lambda self: self.question is not None)
    def answer(self) -> None:
        assert self.question is not None
        answered = []
        while not answered:
            try:
                next(self.question)
            except StopIteration as end:
                answered.append(end.value)
        self.question = None
        for flow in answered[0]:
            agent, address = flow.key.split(",")
            assert flow.agent == agent
            assert address == f"10.{agent.rpartition('.')[2]}.{flow.source}.1"

    @invariant()
    def every_value_is_its_owner_s(self) -> None:
        alive = {owner for owner, last in self.last.items() if self.now - last <= NEW_S - 2}
        for name, key in (("who", "10.9.0.{0},10.{0}.{1}.1"), ("named", "10.9.0.{0}-{1}")):
            found = flows(self.engine, name, self.now)
            for (agent, port, text), _ in found.items():
                number = int(agent.rpartition(".")[2])
                assert text == key.format(number, port)
            for number, port in alive:
                if self.frames.get((number, port)):
                    assert (f"10.9.0.{number}", str(port), key.format(number, port)) in found
        for cell in self.engine.dump(["ALL"], ["ifspeed"], {}, self.now):
            assert cell.value == 1000 * int(cell.agent.rpartition(".")[2]) + int(cell.source)

    def teardown(self) -> None:
        self.engine.close()


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=30, stateful_step_count=30)


def test_agents_and_data_sources_go_and_their_indexes_are_used_again(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "frames"})
    for turn in range(5):
        now = NOW + turn * 1000
        for number in range(200):
            frames(engine, forged(200 * turn + number), now)
        assert len(engine.agents()) == 200
        assert len(engine.dump(["ALL"], ["f"], {}, now)) == 200
        engine.tick(now + NEW_S)
        assert engine.agents() == {}
        assert engine.dump(["ALL"], ["f"], {}, now + NEW_S) == []
        engine.tick(now + NEW_S + 1)
    assert engine.pipeline.ledger.indexes() == 0
    assert engine._directory.sources == []


def test_who_is_known_longer_may_be_silent_for_longer(engine):
    for now in (NOW, NOW + 300):
        frames(engine, "10.9.0.1", now, sequence=int(now))
    frames(engine, "10.9.0.2", NOW + 300)
    engine.tick(NOW + 300 + NEW_S)
    assert list(engine.agents()) == ["10.9.0.1"]
    engine.tick(NOW + 300 + 299)
    assert list(engine.agents()) == ["10.9.0.1"]
    engine.tick(NOW + 300 + 301)
    assert engine.agents() == {}


def test_an_index_waits_for_questions_under_way(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 600})
    frames(engine, "10.9.0.1", NOW)
    question = engine.active_flows_in_turns(["ALL"], "f", NOW)
    next(question)
    for now in (NOW + NEW_S, NOW + NEW_S + 1):
        engine.tick(now)
    assert engine.agents() == {}
    frames(engine, "10.9.0.2", NOW + NEW_S + 1)
    assert engine.pipeline.ledger.indexes() == 2, "the first one is not free yet"
    question.close()
    engine.tick(NOW + NEW_S + 2)
    frames(engine, "10.9.0.3", NOW + NEW_S + 2)
    assert engine.pipeline.ledger.indexes() == 2
    assert {flow.agent for flow in engine.active_flows(["10.9.0.3"], "f", NOW + NEW_S + 2)} == {"10.9.0.3"}


def test_forged_agents_keep_no_real_switch_out(engine):
    """750,000 once filled the table; a new switch was refused for ever."""
    engine.set_flow("f", {"keys": "agent", "value": "frames", "t": 600})
    real, new = "10.9.0.1", "10.9.0.2"
    first = None
    for number in range(40_000):
        engine.feed([datagram(agent=forged(number))], NOW + number / 10_000)
        if number % 1000 == 0:
            frames(engine, real, NOW + number / 10_000, sequence=number)
            if number >= 20_000:
                frames(engine, new, NOW + number / 10_000, sequence=number)
                if first is None and new in engine.agents([new]):
                    first = (number - 20_000) // 1000
    assert first is not None
    assert first <= 5, "within a few of its datagrams"
    known = engine.agents([real])[real]
    assert (known.datagrams.received, known.first_seen) == (40, NOW)
    numbers = engine.numbers()
    assert numbers.agents < 2000
    assert numbers.agents_refused > 30_000
    assert numbers.memory.used["senders"] < 16 << 20
    engine.tick(NOW + 4 + NEW_S)
    assert engine.agents() == {} or set(engine.agents()) <= {real, new}


def test_a_full_table_lets_those_go_that_sent_least():
    """Forgers that repeat fill it; who has been here for long stays, and who repeats more gets in."""
    engine = Engine(EngineSettings(memory=LEAST))
    most = engine.budget.agents
    for turn in range(10):
        frames(engine, "10.9.0.1", NOW + turn, sequence=turn)
    for repeated in range(2):
        for number in range(0, most + 2000, 1000):
            for each in range(number, number + 1000):
                engine.feed([datagram(agent=forged(each), sequence=repeated)] * 2, NOW + 10)
    assert engine.numbers().agents == most
    for turn in range(4):
        engine.tick(NOW + 11 + turn)
        for sequence in range(5):
            frames(engine, "10.9.0.2", NOW + 11 + turn, sequence=10 * turn + sequence)
    assert {"10.9.0.1", "10.9.0.2"} <= set(engine.agents())
    assert engine.numbers().memory.used["senders"] <= engine.budget.part("senders")
    engine.close()


def test_keys_that_never_repeat_push_out_no_flow():
    engine = Engine(EngineSettings(max_entries=1000))
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 10})
    for sequence in range(20):
        frames(engine, "10.9.0.1", NOW, sequence=sequence, source="10.0.0.1")
    for number in range(20_000):
        frames(engine, "10.9.0.2", NOW, sequence=number, source=forged(number))
    for sequence in range(3):
        frames(engine, "10.9.0.1", NOW, sequence=100 + sequence, source="10.0.0.2")
    found = {flow.key: flow.value for flow in engine.active_flows(["10.9.0.1"], "f", NOW)}
    assert found["10.0.0.1"] == pytest.approx(2.0)
    assert found["10.0.0.2"] >= 0.1, "a flow that repeats gets in"
    numbers = engine.numbers()
    assert numbers.flow_entries == 1000
    assert numbers.flow_entries_refused > 18_000
    engine.close()


def test_an_agent_with_many_keys_pushes_out_no_flow_of_one_with_few():
    """Its keys repeat, so they would get in; they may only take the places of its own."""
    engine = Engine(EngineSettings(max_entries=1000))
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 600})
    for number in range(100):
        frames(engine, "10.9.0.1", NOW, sequence=number, source=f"10.0.0.{number}")
    for turn in range(4):
        for number in range(3000):
            for _ in range(2):
                frames(engine, "10.9.0.2", NOW + turn, sequence=number, source=forged(3000 * turn + number))
    kept = engine.active_flows(["10.9.0.1"], "f", NOW, 1000)
    assert len(kept) == 100
    assert [flow.value for flow in kept] == [pytest.approx(1 / 600)] * 100
    engine.close()


def test_memory_returns_when_a_flood_has_ended(engine):
    engine.set_flow("f", {"keys": "ipsource,tcpsourceport", "value": "frames", "t": 1})
    engine.set_flow("g", {"keys": "mask:ipsource:24,tcpsourceport", "value": "frames", "t": 1})
    before = engine.numbers().memory.used
    for first in range(0, 30_000, 6):
        samples = [
            flow_sample(sampled_header(tcp_frame(forged(256 * number)), 1000), sequence=number, source=(0, 5))
            for number in range(first, first + 6)
        ]
        engine.feed([datagram(*samples, sequence=first)], NOW)
    full = engine.numbers().memory.used
    assert full["flows"] > 10 * 30_000
    assert full["texts"] > 100 * 10_000
    for second in range(1, 100):
        engine.tick(NOW + second)
    after = engine.numbers().memory.used
    assert after["flows"] < before["flows"] + 50_000
    assert after["texts"] == 0
    assert engine.active_flows(["ALL"], "f", NOW + 100) == []


def test_what_is_there_by_data_source_or_agent_goes_with_them(engine):
    engine.set_flow("f", {"keys": "ipsource", "value": "frames", "t": 1})
    engine.set_threshold("fast", {"metric": "f", "value": 1e9, "byFlow": True, "filter": {"ifspeed": [5]}})
    before = engine.numbers().memory.used
    sources = [(forged(number), port) for number in range(1000) for port in range(1, 9)]
    for agent, port in sources:
        frames(engine, agent, NOW, port, port)
        counters = counter_sample(if_counters(port), sequence=port, source=(0, port))
        engine.feed([datagram(counters, agent=agent, sequence=10 + port, uptime=10 + port)], NOW)
    for later in (60, 61):
        engine.tick(NOW + later)
    assert engine.numbers().flow_entries == 0
    held = engine.numbers().memory.used
    assert held["flows"] > before["flows"] + 9 * len(sources)
    assert held["senders"] > before["senders"] + 100 * len(sources)
    for later in (NEW_S, NEW_S + 1):
        engine.tick(NOW + later)
    after = engine.numbers().memory.used
    assert after["flows"] < before["flows"] + len(sources)
    assert engine.pipeline.counters.table_bytes < 20 * len(sources)
    assert max(map(sys.getsizeof, vars(engine._directory).values())) < 10 * len(sources)
    frames(engine, "10.9.0.1", NOW + 200)
    assert [flow.agent for flow in engine.active_flows(["ALL"], "f", NOW + 200)] == ["10.9.0.1"]


def test_the_parts_of_the_budget_are_at_most_all_of_it():
    for size in (LEAST, 1 << 30, 1 << 40):
        budget = Budget(size)
        assert sum(budget.parts.values()) <= size
        assert budget.flow(7) * 7 * 1.25 <= budget.part("flows")
        assert budget.agents >= 100
    with pytest.raises(ValueError, match="memory 1000 is less than"):
        Budget(1000)


def test_work_under_way():
    grace = Grace()

    def work():
        yield
        yield

    one, two = grace.during(work()), grace.during(work())
    next(one)
    number = grace.begin()
    next(two)
    assert not grace.is_over(number)
    one.close()
    assert grace.is_over(number)
    for _ in two:
        pass
    assert grace.is_over(grace.begin())
