"""How many samples per second one core decodes and aggregates, with three flow definitions at work.

    BENCH_DATAGRAMS=20000 .venv-test/bin/pytest -s tests/bench/test_decode.py

prints samples/s of processor time over generated datagrams (8 samples of 128-byte headers, as Open vSwitch sends
them), fed in batches from memory, for few and many distinct keys. Without BENCH_DATAGRAMS it runs a short round and
only guards against a slow-down by an order of magnitude.
"""

from __future__ import annotations

import os
import time

import pytest

from analytics.engine import Engine
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, tcp, udp

SAMPLES = 8  # per datagram
BATCH = 64
DATAGRAMS = int(os.environ.get("BENCH_DATAGRAMS", "2000"))
DEFINITIONS = {
    "five_tuple": {
        "keys": "ipsource,ipdestination,ipprotocol,"
        "or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport",
        "value": "bytes",
        "filter": "direction=ingress&(ipprotocol=6|ipprotocol=17)",
    },
    "pair": {"keys": "ipsource,ipdestination", "value": "bytes"},
    "stack": {"keys": "stack", "value": "frames"},
}


def stream(keys: int, count: int) -> list[bytes]:
    """`count` datagrams whose samples walk through `keys` 5-tuples, one in four UDP."""
    made = []
    for number in range(count):
        samples = []
        for index in range(SAMPLES):
            flow = (number * SAMPLES + index) * 2654435761 % keys
            src, dst = f"10.{flow >> 16 & 255}.{flow >> 8 & 255}.{flow & 255}", f"10.200.0.{flow % 250}"
            upper = (
                udp(1000 + flow % 50000, 5001, bytes(86))
                if flow % 4 == 0
                else tcp(1000 + flow % 50000, 5001) + bytes(74)
            )
            header = ethernet(ipv4(upper, 17 if flow % 4 == 0 else 6, src, dst))
            sequence = number * SAMPLES + index + 1
            samples.append(
                flow_sample(sampled_header(header), sequence=sequence, source=(2, 1000), ports=(1 + flow % 8, 9))
            )
        made.append(datagram(*samples, sequence=number + 1, uptime=number))
    return made


def samples_per_second(keys: int, count: int, rounds: int) -> float:
    """Feed the stream `rounds` times (a warm-up round first); samples per second of processor time."""
    engine = Engine()
    try:
        for name, spec in DEFINITIONS.items():
            engine.set_flow(name, spec)
        engine.set_threshold("elephant", {"metric": "five_tuple", "value": 1e12, "byFlow": True})
        made = stream(keys, count)
        batches = [made[start : start + BATCH] for start in range(0, len(made), BATCH)]
        now = 1000.0
        for batch in batches:
            engine.feed(batch, now)
        began = time.process_time()
        for _ in range(rounds):
            for batch in batches:
                now += 1e-4
                engine.feed(batch, now)
        taken = time.process_time() - began
        assert engine.numbers().flow_entries > keys
        return rounds * count * SAMPLES / taken
    finally:
        engine.close()


@pytest.mark.parametrize("keys", [1000, 100_000])
def test_decoding_is_not_slow(keys):
    rate = samples_per_second(keys, max(DATAGRAMS, keys // SAMPLES + 1), rounds=3)
    print(f"\n{keys} keys: {rate / 1e6:.2f} M samples/s on one core, {len(DEFINITIONS)} flow definitions")
    assert rate > 5e5
