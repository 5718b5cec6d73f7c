"""A real analytics process under attack: it answers, measures what it measured, stays itself, and gives memory back."""

from __future__ import annotations

import math
import socket
import statistics
import time
from itertools import count
from pathlib import Path

import pytest

from tests.attack.floods import Flood
from tests.attack.probe import SMOOTHING_S, Probe
from tests.patience import PATIENCE_S

DEFINITIONS = 20
ERROR = 0.25  # of the known rate: the sender of it may be held up on a busy machine
KEPT_MB = 8  # of small pieces, which Python's allocator gives back only when a whole arena is free
CHURN_RATE = 2000  # agents a second that were never seen before
SETTLED_S = 600  # from which on memory has to be flat: idle agents expire within it
# The flood, and datagrams a second. One that brings a flow to each of 20 definitions costs a core 20 to 40 us, one with
# six of them six times that; of what a core cannot take, that of the agent that sends most is shed.
OVER_UDP = {
    "forged-agents": ("forged-agents", math.inf),
    "random-keys": ("random-keys", 3000),
    "random-keys-at-full-rate": ("random-keys", math.inf),
    "malformed": ("malformed", math.inf),
    "elephants": ("elephants", 15_000),
}
OVER_TCP = ("connections", "bodies", "queries")


@pytest.mark.parametrize("kind", [*OVER_UDP, *OVER_TCP])
def test_users_notice_nothing_of(kind, analytics, attack_s, eventually, report):
    process, http, sflow = analytics
    with Probe(process.pid, http, sflow) as probe:
        for number in range(DEFINITIONS):
            keys = "ipsource,ipdestination,tcpsourceport,tcpdestinationport"
            probe.put(f"flow/attack{number}", {"keys": keys, "value": "bytes"})
        eventually(lambda: probe.known_error() < ERROR)
        before = probe.rss_mb()
        sent, *rate = OVER_UDP.get(kind, (kind,))
        probe.measure_anew()
        with Flood(sent, "127.0.0.1", sflow if rate else http, *rate) as flood:
            time.sleep(attack_s)
            error = min(probe.known_error() for _ in range(3))
        eventually(lambda: probe.known_error() < ERROR)
    figures = probe.figures(error)
    row = (
        figures.row()
        | {"rss_before_mb": round(before, 1)}
        | flood.counts
        | {name: probe.get("/analyzer/json")[name] for name in ("faults", "sFlowKernelDrops", "sFlowDatagramsShed")}
    )
    began = time.monotonic()
    try:
        eventually(lambda: probe.rss_mb() <= 1.2 * before + KEPT_MB)
    finally:
        after = {"rss_after_mb": round(probe.rss_mb(), 1), "after_s": round(time.monotonic() - began, 1)}
        report(row | after | {"flow_entries_after": probe.get("/analyzer/json")["flowEntries"]})
    assert process.poll() is None
    assert attack_s < 2 * SMOOTHING_S or error < ERROR
    assert figures.asked > 0
    assert figures.unanswered == 0
    assert figures.polled > 0


def test_memory_and_descriptors_stay_flat(analytics, soak_s, eventually, report):
    """Churn: agents that come once, definitions and clients that come and go, requests cut short."""
    process, http, sflow = analytics
    samples = []
    with Probe(process.pid, http, sflow) as probe, Flood("forged-agents", "127.0.0.1", sflow, CHURN_RATE) as flood:
        began = time.monotonic()
        for number in count():
            elapsed = time.monotonic() - began
            if elapsed > soak_s and number >= 3:
                break
            churn(probe, http, number)
            samples.append((elapsed, probe.rss_mb(), len(list(Path(f"/proc/{process.pid}/fd").iterdir()))))
        error = probe.known_error()
    thirds = [samples[part * len(samples) // 3 : (part + 1) * len(samples) // 3] for part in range(3)]
    memory = [statistics.mean(row[1] for row in third) for third in thirds]
    descriptors = [max(row[2] for row in third) for third in thirds]
    report(
        {"turns": len(samples), "rss_mb_by_third": [round(mb, 1) for mb in memory], "descriptors": descriptors}
        | flood.counts
        | probe.figures(error).row()
    )
    assert descriptors[2] <= descriptors[0] + 10
    assert soak_s < SETTLED_S or memory[2] <= 1.1 * memory[1]


def churn(probe, http, number):
    """One turn: a definition and a threshold come and go, one client leaves early, one cuts its request short."""
    name = f"churn{number % 7}"
    probe.put(f"flow/{name}", {"keys": "ipsource,ipdestination,inputifindex", "value": "bytes", "t": 1 + number % 5})
    probe.put(f"threshold/{name}", {"metric": name, "value": 1, "byFlow": True})
    for request in (
        b"GET /events/json?timeout=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /dump/ALL/ALL/json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"PUT /flow/x/json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", http), PATIENCE_S) as client:
            client.sendall(request)
    probe.get(f"/activeflows/ALL/{name}/json?maxFlows=1000")
    if number % 3 == 0:
        probe.delete(f"threshold/{name}")
        probe.delete(f"flow/{name}")
