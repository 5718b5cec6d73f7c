"""Mutated real datagrams through the whole engine: nothing escapes, nothing hangs, the next good datagram counts.

FUZZ_ROUNDS=1000000 .venv/bin/pytest tests/analytics/test_fuzz.py runs longer; the seed is fixed, so a failure repeats.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from analytics.core.sflow import decode

from analytics.capture import datagrams
from analytics.engine import Engine
from tests.analytics.wire import (
    counter_sample,
    datagram,
    ethernet,
    flow_sample,
    if_counters,
    ipv6,
    sampled_header,
    tcp_frame,
    udp,
)

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "20000"))
CAPTURES = Path(__file__).parent / "captures"
WORDS = [0, 1, 2, 3, 4, 5, 7, 8, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFC, 0xFFFFFFFF]


def seeds() -> list[bytes]:
    real = [payload for path in sorted(CAPTURES.glob("*.pcap")) for _, _, payload in datagrams(path, 6343)]
    six = ethernet(ipv6(udp(), 17), 0x86DD, tags=((0x8100, 5),))
    return [
        *real,
        datagram(flow_sample(sampled_header(six), expanded=True), counter_sample(if_counters(), expanded=True)),
    ]


def mutate(chance: random.Random, wire: bytes) -> bytes:
    """A few edits that wire formats dislike: bits, whole words, cuts, repeated and removed stretches."""
    data = bytearray(wire)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) or 1)
        kind = chance.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at & ~3 : (at & ~3) + 4] = chance.choice(WORDS).to_bytes(4, "big")
        elif kind == 2:
            data[at:at] = data[at : at + chance.randrange(64)]
        elif kind == 3:
            del data[at : at + chance.randrange(64)]
        elif kind == 4 and chance.random() < 0.3:
            del data[at:]
        else:
            data[at : at + 4] = chance.randbytes(4)
    return bytes(data)


@pytest.fixture
def engine():
    made = Engine()
    made.set_flow("carried", {"keys": "or:ipsource:ip6source,null:vlan,stack", "value": "bytes", "filter": "ipttl!=1"})
    made.set_flow("judged", {"keys": "mask:ipsource:8,null:[link:inputifindex],eq:vlan:ipttl", "value": "ipbytes"})
    made.set_threshold("any", {"metric": "carried", "value": 1, "byFlow": True})
    yield made
    made.close()


def test_mutated_datagrams(engine):
    chance = random.Random(20)
    originals = seeds()
    for number in range(ROUNDS):
        wire = mutate(chance, chance.choice(originals))
        now = 1000 + number / 1000
        engine.feed([wire], now)
        if number % 4 == 0:
            decode(wire)
        if number % 1000 == 0:
            engine.tick(now)
            engine.dump(["ALL"], ["ALL"], {}, now)
            engine.active_flows(["ALL"], "carried", now)
            engine.agents(now)
    numbers = engine.analyzer(1000)
    assert numbers["sFlowDatagramsReceived"] == ROUNDS
    assert 0 < numbers["sFlowParseErrors"] + numbers["sFlowUnsupportedVersion"] < ROUNDS / 2
    assert sum(agent["sFlowFaults"] for agent in engine.agents(1000).values()) > ROUNDS / 20
    good = datagram(flow_sample(sampled_header(tcp_frame("10.77.0.1"))), agent="10.9.9.9")
    engine.feed([good], 5000)
    assert engine.agents(5000)["10.9.9.9"]["sFlowFlowSamples"] == 1
    assert "10.77.0.1,null,eth.ip.tcp" in [flow["key"] for flow in engine.active_flows(["ALL"], "carried", 5000)]
