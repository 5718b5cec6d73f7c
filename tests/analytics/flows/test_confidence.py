"""How far sampled values are from the truth: within 196/sqrt(c) % in 95 % of readings, c being the samples behind each.

Synthetic flows of known size, each packet sampled at random, 1 in N; everything follows from the seeds. A flow record
rests on its samples. A rate smoothed with time constant t varies as a mean over 2 t seconds (the variance of the kernel
exp(-age/t)/t is 1/2t), so it rests on the samples of that time. `pytest -s` prints the shares.
"""

from __future__ import annotations

import math
import random

import pytest

from analytics.engine import Engine, EngineSettings
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame

FLOWS, SECONDS, T = 120, 40, 2.0
BEGIN = 1000.0


def sampled(chance: random.Random, packets: int, rate: int) -> list[int]:
    """Which of so many packets are sampled, each with the chance 1/rate."""
    chosen, at = [], -1
    while True:
        at += 1 + int(math.log(1.0 - chance.random()) / math.log(1.0 - 1.0 / rate))
        if at >= packets:
            return chosen
        chosen.append(at)


@pytest.mark.parametrize("rate, seed", [(10, 1), (100, 2), (1000, 3)])
def test_records_and_rates_are_within_their_confidence(rate, seed):
    chance, engine = random.Random(seed), Engine(EngineSettings(max_flows=1000))
    engine.set_flow("f", {"keys": "tcpsourceport", "value": "bytes", "log": True, "t": T})
    truth, arrivals = {}, []  # flow -> (packets per second, bytes of a packet); samples in order of time
    for flow in range(FLOWS):
        per_second, size = rate * chance.randrange(4, 40), chance.randrange(64, 1519)
        truth[str(flow)] = per_second, size
        for packet in sampled(chance, per_second * SECONDS, rate):
            arrivals.append((BEGIN + (packet + chance.random()) / per_second, flow, size))
    arrivals.sort()
    rates, times = [], {flow: [] for flow in truth}
    read = BEGIN + 6 * T
    for sequence, (now, flow, size) in enumerate(arrivals, 1):
        while now >= read:
            values = {each.key: each.value for each in engine.active_flows(["ALL"], "f", read, max_flows=FLOWS)}
            for key, (per_second, length) in truth.items():
                count = sum(time > read - 2 * T for time in times[key][-400:])
                rates.append(is_within(values.get(key, 0.0), per_second * length, count))
            read += 1.0
        times[str(flow)].append(now)
        sample = flow_sample(sampled_header(tcp_frame(sport=flow), size), sequence=sequence, source=(0, 4), rate=rate,
                             ports=(4, 5))  # fmt: skip
        engine.feed([datagram(sample, sequence=sequence, uptime=sequence)], now)
    engine.tick(BEGIN + SECONDS + 20)
    records = [
        is_within(each.value, math.prod(truth[each.key]) * SECONDS, each.samples)
        for each in engine.flow_records(None, 1000)
    ]
    engine.close()
    assert len(records) == FLOWS
    shares = sum(records) / len(records), sum(rates) / len(rates)
    print(f"1 in {rate}: {shares[0]:.1%} of {len(records)} records, {shares[1]:.1%} of {len(rates)} readings of rates")
    assert min(shares) >= 0.95


def is_within(value: float, true: float, samples: int) -> bool:
    return samples > 0 and abs(value - true) <= true * 1.96 / math.sqrt(samples)
