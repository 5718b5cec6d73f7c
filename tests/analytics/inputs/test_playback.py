"""inputs/playback: captures at other speeds, over and over; rates are those of the capture."""

from __future__ import annotations

import asyncio
import struct
import time
from pathlib import Path

import pytest

from analytics.engine import Engine
from analytics.inputs.playback import Playback, PlayedClock
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    ethernet,
    flow_sample,
    if_counters,
    ipv4,
    sampled_header,
    tcp_frame,
    udp,
)

AGENT = "10.0.0.1"
FLOW = {"keys": "ipsource", "value": "bytes", "t": 2}
LASTS_S = 30


@pytest.fixture
def path(tmp_path) -> Path:
    """30 s of one flow, 1,000 bytes every 100 ms, sampled 1-in-1; counters once a second, 5,000 octets in it."""
    made = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number in range(10 * LASTS_S):
        samples = [flow_sample(sampled_header(tcp_frame("10.1.1.1"), 1000), sequence=number, rate=1)]
        if number % 10 == 0:
            samples.append(counter_sample(if_counters(5, octets=(500 * number, 0)), sequence=number // 10))
        data = datagram(*samples, sequence=number, uptime=100 * number, agent=AGENT)
        frame = ethernet(ipv4(udp(50000, 6343, data), 17))
        seconds, hundreds = divmod(number, 10)
        made.append(struct.pack("<IIII", 1_600_000_000 + seconds, hundreds * 100_000, len(frame), len(frame)) + frame)
    path = tmp_path / "steady.pcap"
    path.write_bytes(b"".join(made))
    return path


def rate(engine: Engine) -> float:
    """The flow's bytes/s when the last datagram came."""
    [flow] = engine.active_flows(["ALL"], "f", engine.agents()[AGENT].last_seen)
    return flow.value


@pytest.mark.parametrize("speed", [0.0, 300.0])
def test_rates_are_those_of_the_capture_at_any_speed(engine, path, speed):
    engine.set_flow("f", FLOW)
    started, clock = time.monotonic(), PlayedClock(speed)
    began = clock()
    with path.open("rb") as file:
        asyncio.run(Playback(path, file, engine, clock, 6343, speed=speed).play())
    found = engine.agents()[AGENT]
    assert found.last_seen - found.first_seen == pytest.approx(LASTS_S - 0.1, abs=1e-5)
    took = time.monotonic() - started
    assert LASTS_S - 1 < clock() - began < LASTS_S + (speed + 1) * took, "the engine's time is the capture's"
    assert rate(engine) == pytest.approx(10_000, rel=0.05), "1,000 bytes ten times a second, smoothed over 2 s"
    port = engine.metrics_of(AGENT, found.last_seen)["5.ifinoctets"]
    assert float(port) == pytest.approx(5000, rel=1e-4)


def test_time_goes_on_at_its_usual_pace_behind_the_end(engine, path):
    clock = PlayedClock(0.0)
    with path.open("rb") as file:
        asyncio.run(Playback(path, file, engine, clock, 6343, speed=0.0).play())
    ended = clock()
    asyncio.run(asyncio.sleep(0.01))
    assert clock() - ended >= 0.01
    now = clock()
    assert clock.wall(now) - clock.wall(ended) == pytest.approx(now - ended, abs=0.5)


def test_nothing_is_lost_or_double_when_it_is_played_again(engine, path):
    engine.set_flow("f", FLOW)
    lasts, rounds = 10 * LASTS_S, 3

    def within_the_last() -> bool:
        """Between two rounds it knows no sequence of any source."""
        received = engine.agents()[AGENT].datagrams.received if AGENT in engine.agents() else 0
        return received > rounds * lasts and received % lasts > 0

    async def some_rounds() -> None:
        with path.open("rb") as file:
            playback = Playback(path, file, engine, PlayedClock(0.0), 6343, speed=0.0, loop=True)
            playing = asyncio.ensure_future(playback.play())
            while not within_the_last():
                assert not playing.done()
                await asyncio.sleep(0)
            playing.cancel()

    asyncio.run(some_rounds())
    found = engine.agents()[AGENT]
    ledger = engine.pipeline.ledger.agent_values(0)
    assert {ledger[name]["restarts"] for name in ("datagrams", "flows", "counters")} == {0}
    for stream in (found.datagrams, found.flows, found.counters):
        assert (stream.lost, stream.duplicate, stream.out_of_order) == (0, 0, 0)
    assert (found.flows.sources, found.counters.sources) == (1, 1)
    assert rate(engine) == pytest.approx(10_000, rel=0.05), "no hole and no heap where the rounds meet"


def test_a_bug_in_the_engine_does_not_end_it(engine, path, caplog, monkeypatch):
    def feed(datagrams: list[bytes], now: float, source: str) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine, "feed", feed)
    with path.open("rb") as file:
        asyncio.run(Playback(path, file, engine, PlayedClock(0.0), 6343, speed=0.0).play())
    assert engine.numbers().faults == {"replay": 10 * LASTS_S}
    assert caplog.text.count("Traceback") == caplog.text.count("replay: a bug") == 1
