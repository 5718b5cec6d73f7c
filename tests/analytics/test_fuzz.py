"""Mutated real and generated datagrams through the whole engine: nothing escapes, nothing hangs, the next good datagram
counts. The same with an address sanitizer and millions of inputs: tests/bench/fuzz.py.

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
from tests.analytics.generator import Generator, mutate
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


def seeds() -> list[bytes]:
    real = [payload for path in sorted(CAPTURES.glob("*.pcap")) for _, _, payload in datagrams(path, 6343)]
    six = ethernet(ipv6(udp(), 17), 0x86DD, tags=((0x8100, 5),))
    return [
        *real,
        datagram(flow_sample(sampled_header(six), expanded=True), counter_sample(if_counters(), expanded=True)),
    ]


@pytest.fixture
def engine():
    made = Engine()
    made.set_flow("carried", {"keys": "or:ipsource:ip6source,null:vlan,stack", "value": "bytes", "filter": "ipttl!=1"})
    made.set_flow("judged", {"keys": "mask:ipsource:8,null:[link:inputifindex],eq:vlan:ipttl", "value": "ipbytes"})
    made.set_threshold("any", {"metric": "carried", "value": 1, "byFlow": True})
    yield made
    made.close()


def test_generated_datagrams(engine):
    """Every sample and record of the table, mostly right, sometimes with counts and lengths that lie."""
    engine.set_flow("drops", {"keys": "reason,null:ipsource", "value": "frames", "dropped": True})
    engine.set_flow("routed", {"keys": "null:bgpdestinationaspath,null:bgpcommunities", "value": "bytes"})
    engine.set_flow("requests", {"keys": "httpurl,null:httphost", "value": "requests"})
    engine.set_flow("names", {"keys": "null:dnsqname,null:dnsqtypename", "value": "frames"})
    engine.set_flow("labels", {"keys": "mplsinputlabels,null:mplsnexthop", "value": "frames"})
    rounds = ROUNDS // 10
    generator = Generator(3)
    for number in range(rounds):
        wire = generator.datagram()
        engine.feed([wire], 1000 + number / 1000)
        if number % 4 == 0:
            decode(wire)
    engine.tick(1010)
    assert engine.analyzer(1010)["sFlowDatagramsReceived"] == rounds
    assert engine.analyzer(1010)["sFlowParseErrors"] < rounds / 20  # only the agent's address may lie
    agents = engine.agents(1010).values()
    for kind in ("Flow", "Counter", "Discard"):
        assert sum(each[f"sFlow{kind}Samples"] for each in agents) > rounds / 10
    assert 0 < sum(each["sFlowFaults"] for each in agents) < 2 * rounds
    for name in ("drops", "routed", "requests", "names", "labels"):
        found = engine.active_flows(["ALL"], name, 1010)
        assert found, name
        assert all(flow["key"].isprintable() for flow in found)


def test_generated_datagrams_that_do_not_lie_have_no_faults(engine):
    generator = Generator(4, lies=0)
    for number in range(1000):
        engine.feed([generator.datagram()], 1000 + number / 1000)
    numbers = engine.analyzer(1001)
    assert (numbers["sFlowParseErrors"], numbers["sFlowUnsupportedVersion"]) == (0, 0)
    assert sum(each["sFlowFaults"] for each in engine.agents(1001).values()) == 0


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
