"""How many flow records the core ends per second on one core, telling them included, and what an open one takes.

`BENCH_FLOWS=1000000 .venv-test/bin/pytest -sq tests/bench/test_records.py` prints processor time, which others on the
machine disturb less than the clock; compare figures of one run only.
"""

from __future__ import annotations

import os
import struct
import time

from analytics.engine import Engine, EngineSettings
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame

FLOWS = int(os.environ.get("BENCH_FLOWS", "100000"))
AT_ONCE = 7  # samples of a datagram
BATCH = 64
KEYS = "ipsource,ipdestination,tcpsourceport,tcpdestinationport"


def load(start):
    """Datagrams, each flow once."""
    header = tcp_frame(sport=0)
    at = (
        header.index(struct.pack(">HH", 0, 5001)) - 8
    )  # the source address's place: the destination is before the ports
    for first in range(start, start + FLOWS, AT_ONCE):
        samples = []
        for flow in range(first, min(first + AT_ONCE, start + FLOWS)):
            packet = header[:at] + struct.pack(">I", 10 << 24 | flow) + header[at + 4 :]
            samples.append(flow_sample(sampled_header(packet, 1000), sequence=flow + 1, rate=10, ports=(5, 9)))
        number = first // AT_ONCE + 1
        yield datagram(*samples, sequence=number, uptime=number)


def fed(engine, now):
    """Processor seconds that a sample of every flow took."""
    datagrams = list(load(0))
    began = time.process_time()
    for first in range(0, len(datagrams), BATCH):
        engine.feed(datagrams[first : first + BATCH], now)
    return time.process_time() - began


def test_records_per_second_and_bytes_of_each():
    found = {}
    for log in (False, True):
        engine = Engine(EngineSettings(memory=4 << 30))
        engine.set_flow("f", {"keys": KEYS, "value": "bytes", "log": log})
        feeding = fed(engine, 1000.0)
        entries, used = engine.numbers().flow_entries, engine.numbers().memory.used["flows"]
        began = time.process_time()
        engine.tick(1016.0)
        ending = time.process_time() - began
        records = engine.numbers().records
        assert (entries, records) == (FLOWS, FLOWS if log else 0)
        found[log] = feeding, ending, used
        engine.close()
    (plain, looking, before), (logging, ending, after) = found[False], found[True]
    print(
        f"\n{FLOWS} flows: {FLOWS / (ending - looking) / 1e6:.2f} M records ended per processor second; "
        f"a first sample {(logging - plain) / FLOWS * 1e9:.0f} ns more of {plain / FLOWS * 1e9:.0f}; "
        f"{(after - before) / FLOWS:.0f} bytes more per open record, {after / FLOWS:.0f} in all"
    )
