"""flows/lost, through the engine: more keys than room. What is shown is too low by no more than is said; heavy hitters
are shown; memory returns."""

from __future__ import annotations

import contextlib
import math
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.api import answers, prometheus
from analytics.engine import Engine, EngineSettings
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame

NOW, RATE, LENGTH = 1000.0, 10, 1000
T = 10.0
HEAVY_RATE = 100
LONGEST_T = 600.0
IDLE_S = 12 * T + 1


class Sender:
    """Agents' samples of TCP packets from chosen addresses, made fast enough for some ten thousand of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.sent = engine, 0
        self._parts: dict[tuple[str, int], list[bytes]] = {}

    def send(self, now: float, key: int, agent: int = 1, rate: int = RATE) -> None:
        self.sent += 1
        address = f"10.253.{agent >> 8}.{agent & 255}"
        if (address, rate) not in self._parts:
            header = sampled_header(tcp_frame(src="99.98.97.96"), LENGTH)
            template = datagram(flow_sample(header, rate=rate), agent=address, sequence=0xA1A2A3A4)
            before, _, rest = template.partition(b"\xa1\xa2\xa3\xa4")
            self._parts[address, rate] = [before, *rest.split(bytes([99, 98, 97, 96]))]
        before, middle, after = self._parts[address, rate]
        made = before + struct.pack(">I", self.sent) + middle + struct.pack(">I", key) + after
        self.engine.feed([made], now)


def text(key: int) -> str:
    return socket.inet_ntoa(struct.pack(">I", key))


@contextlib.contextmanager
def room_for(entries: int, t: float = T, **more: str) -> Iterator[tuple[Engine, Sender]]:
    engine = Engine(EngineSettings(max_entries=entries))
    engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": t, **more})
    with contextlib.closing(engine):
        yield engine, Sender(engine)


def shown(engine: Engine, agent: int, now: float) -> dict[str, float]:
    found = engine.active_flows([f"10.253.{agent >> 8}.{agent & 255}"], "f", now, 100_000)
    return {flow.key: flow.value for flow in found}


def bound(engine: Engine, agent: int, key: int, now: float) -> float:
    """What the core says that a value lacks at most."""
    cache = engine._caches["f"]
    source = next(
        i for i, (who, _) in enumerate(engine._directory.sources) if who == f"10.253.{agent >> 8}.{agent & 255}"
    )
    return cache.most_lost(source, 0, struct.pack(">I", key), now)


STREAM = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0.001, 0.3, 4.0]),  # pause
        st.integers(1, 60),  # key
        st.integers(1, 3),  # agent
        st.sampled_from([1, RATE, 100 * RATE]),
        st.integers(0, 19),  # 0: a tick
    ),
    min_size=1,
    max_size=400,
)


@settings(max_examples=150)
@given(STREAM, st.integers(1, 12), st.sampled_from([0.2, 2.0, 60.0]), st.sampled_from([0, 0.01, 1, 30]))
def test_what_is_shown_is_too_low_by_no_more_than_the_bound(stream, entries, t, later):
    with room_for(entries, t) as (engine, sender):
        now = NOW
        last: dict[tuple[int, int], tuple[float, float]] = {}
        for pause, key, agent, rate, tick in stream:
            now += pause
            sender.send(now, key, agent, rate)
            value, then = last.get((agent, key), (0.0, now))
            last[agent, key] = value * math.exp((then - now) / t) + LENGTH * rate / t, now
            if tick == 0:
                engine.tick(now)
        now += later
        true = {each: value * math.exp((then - now) / t) for each, (value, then) in last.items()}
        total, most = engine._caches["f"].lost(now)
        missing = 0.0
        for agent in {agent for agent, _ in true}:
            found = shown(engine, agent, now)
            for key in range(1, 61):
                exact, value = true.get((agent, key), 0.0), found.get(text(key), 0.0)
                forgotten = 1e-5 * max(100 * RATE * LENGTH / t, exact)  # idle for 12 t
                assert value <= exact * (1 + 1e-9)
                assert exact <= value + bound(engine, agent, key, now) + forgotten
                assert exact <= value + most + forgotten
                assert bound(engine, agent, key, now) <= most * 1.01
                missing += exact - value
        assert total == pytest.approx(missing, rel=0.01, abs=60 * 3e-5 * 100 * RATE * LENGTH / t)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_heavy_hitters_of_a_zipf_stream_are_shown(seed):
    """A thousand times more keys than room: those with more than 1/room of the traffic are all there."""
    room, keys, samples = 200, 200_000, 30_000
    chance = random.Random(seed)
    weights = [1 / rank for rank in range(1, keys + 1)]
    names = chance.sample(range(1 << 24, 1 << 31), keys)
    with room_for(room, LONGEST_T) as (engine, sender):
        counts: Counter[int] = Counter()
        for key in chance.choices(names, weights, k=samples):
            counts[key] += 1
            sender.send(NOW, key)
        found = shown(engine, 1, NOW)
        heavy = [key for key, count in counts.items() if count > samples / room]
        assert len(heavy) >= 10
        assert [key for key in heavy if text(key) not in found] == []
        for key in heavy:
            exact = counts[key] * LENGTH * RATE / LONGEST_T
            assert found[text(key)] <= exact * (1 + 1e-9)
            assert exact <= found[text(key)] + bound(engine, 1, key, NOW) * (1 + 1e-9)
        top = [text(key) for key, _ in counts.most_common(5)]
        assert [flow.key for flow in engine.active_flows(["ALL"], "f", NOW, 5)] == top


def test_a_heavy_flow_gets_in_however_light_each_of_its_samples_is():
    """It comes when the table is full of flows that each of its samples alone is no match for."""
    with room_for(100) as (engine, sender):
        for key in range(1, 151):
            sender.send(NOW, key, rate=HEAVY_RATE)
            sender.send(NOW, key, rate=HEAVY_RATE)
        for _ in range(100):
            sender.send(NOW, 5000, rate=RATE)  # 5 times as much together as one of those
        found = shown(engine, 1, NOW)
        assert found[text(5000)] > 0.5 * 100 * RATE * LENGTH / T
        assert max(found, key=found.__getitem__) == text(5000)


def test_what_one_agent_floods_loosens_no_bound_of_another():
    with room_for(1000) as (engine, sender):
        for key in range(20):
            sender.send(NOW, key, agent=2)
        for key in range(20_000):
            sender.send(NOW, 1 << 20 | key, agent=1)
        total, most = engine._caches["f"].lost(NOW)
        assert total == pytest.approx((20_020 - 1000) * LENGTH * RATE / T)
        assert most < total / 100
        own = sorted(bound(engine, 2, key, NOW) for key in range(20))
        assert own[10] == 0, "unless both agents share their parts"
        assert sorted(bound(engine, 1, key, NOW) for key in range(20))[10] > 0


def test_samples_whose_key_is_not_computed_are_in_every_bound():
    with room_for(1000, keys="mask:ipsource:24") as (engine, sender):
        sender.send(NOW, 1)
        engine._caches["f"].program.most_text_bytes = 0
        sender.send(NOW, 1 << 16)
        sender.send(NOW, 1)
        assert engine._caches["f"].lost(NOW) == (LENGTH * RATE / T, LENGTH * RATE / T)
        assert bound(engine, 1, 1, NOW) == LENGTH * RATE / T
        assert shown(engine, 1, NOW) == {"0.0.0.0": 2 * LENGTH * RATE / T}


def test_values_that_are_no_rates_have_no_bound_and_are_counted():
    with room_for(10, value="max:bytes") as (engine, sender):
        for key in range(30):
            sender.send(NOW, key)
        assert engine._caches["f"].lost(NOW) is None
        assert engine.lost_detail(NOW) == {}
        assert engine.numbers().flow_entries_refused == 20


def test_what_is_lost_is_told_until_nothing_is_left_of_it_and_its_memory_returns():
    with room_for(10) as (engine, sender):
        sender.send(NOW, 0)
        assert engine.lost_detail(NOW) == {}
        before = engine.numbers().memory.used["flows"]
        for key in range(1, 30):
            sender.send(NOW, key)
        lost = answers.lost_detail(engine.lost_detail(NOW))
        assert lost["lostDetail"]["f"]["rate"] == pytest.approx(20 * LENGTH * RATE / T)
        assert LENGTH * RATE / T <= lost["lostDetail"]["f"]["bound"] <= 20.1 * LENGTH * RATE / T
        text_of = prometheus.engine_text({"version": "1", **lost})
        assert f'howdah_analytics_flow_lost_rate{{flow="f"}} {lost["lostDetail"]["f"]["rate"]}' in text_of
        assert 'howdah_analytics_flow_lost_bound{flow="f"} ' in text_of
        assert engine.lost_detail(NOW + T)["f"].rate == pytest.approx(20 * LENGTH * RATE / T / math.e)
        assert engine.numbers().memory.used["flows"] > before
        engine.tick(NOW + IDLE_S)
        assert engine.lost_detail(NOW + IDLE_S) == {}
        assert engine.numbers().memory.used["flows"] <= before
