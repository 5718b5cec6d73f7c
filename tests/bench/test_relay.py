"""What passing datagrams on costs: processor time per datagram and copy, with one forwarding, eight, and a tenant.

    BENCH_DATAGRAMS=20000 .venv-test/bin/pytest -s tests/bench/test_relay.py

prints what each target adds to taking a datagram in (`taken`, the receive thread, with the pipeline's lock held) and
what it costs to send one copy over loopback (`sent`, a thread of its own): more copies a second than that thread can
send are lost, once 4 MiB wait. The receiver reads nothing: its buffer is full, and the kernel drops. Without
BENCH_DATAGRAMS it runs a short round and only guards against a slow-down by an order of magnitude.
"""

from __future__ import annotations

import socket
import time

import pytest

from analytics.engine import Engine
from analytics.export.sender import Sender
from tests.bench.test_decode import BATCH, DATAGRAMS, DEFINITIONS, stream

KEYS = 1000
TENANT = {"collectorAddress": "127.0.0.1", "filters": {"cidr": ["10.0.0.0/9", "192.0.2.0/24"]}}


def costs(made: list[bytes], port: int, forwardings: int, tenants: int) -> tuple[float, float, int]:
    """Seconds of processor time to take a datagram in, and to send one copy; and how many copies there were."""
    engine = Engine()
    sender = Sender(engine)
    sender.bind()
    try:
        for name, spec in DEFINITIONS.items():
            engine.set_flow(name, spec)
        for number in range(forwardings):
            sender.set_forwarding(f"f{number}", {"address": "127.0.0.1", "port": port})
        for number in range(tenants):
            sender.set_tenant(f"t{number}", TENANT | {"collectorPort": port})
        taken = sent = 0.0
        for start in range(0, len(made), BATCH):
            began = time.process_time()
            engine.feed(made[start : start + BATCH], 1000.0 + start * 1e-5)
            fed = time.process_time()
            sender.send_waiting()
            taken, sent = taken + fed - began, sent + time.process_time() - fed
        counted = [each for _, each in (*sender.forwardings().values(), *sender.tenants().values())]
        assert [each.lost for each in counted] == [0] * len(counted)
        copies = sum(each.datagrams for each in counted)
        return taken / len(made), sent / max(1, copies), copies
    finally:
        sender.stop()
        engine.close()


@pytest.mark.parametrize(("forwardings", "tenants"), [(1, 0), (8, 0), (0, 1)])
def test_passing_on_is_not_slow(forwardings, tenants):
    made = stream(KEYS, DATAGRAMS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        without, *_ = costs(made, collector.getsockname()[1], 0, 0)
        taken, sent, copies = costs(made, collector.getsockname()[1], forwardings, tenants)
    assert copies == DATAGRAMS * (forwardings + tenants)
    added = (taken - without) / (forwardings + tenants)
    targets = f"{forwardings} forwardings, {tenants} tenants"
    print(f"\n{targets}: a copy adds {added * 1e6:.2f} us to the {without * 1e6:.2f} us of taking a datagram in, "
          f"and takes {sent * 1e6:.2f} us to send: {1 / sent:.0f} copies/s")  # fmt: skip
    assert sent < 1e-3
