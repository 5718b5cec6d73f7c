"""pages: memory that tables grow into is there before they need it, and goes back when they do not."""

from __future__ import annotations

import threading

import pytest

from analytics.core import pages
from analytics.engine import Engine
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, tcp
from tests.patience import PATIENCE_S

FLOWS = 60_000  # more than one segment has


@pytest.fixture(autouse=True)
def wants_none():
    """What tables of other tests have taken is no reason to have spares."""
    pages.end_spares()


@pytest.fixture
def keeper():
    """A thread that keeps spares."""
    thread = threading.Thread(target=pages.keep_spares)
    thread.start()
    yield thread
    pages.end_spares()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def grow(engine: Engine) -> None:
    engine.set_flow("f", {"keys": "ipsource,tcpsourceport", "value": "bytes"})
    for first in range(0, FLOWS, 6):
        samples = [
            flow_sample(sampled_header(ethernet(ipv4(tcp(flow & 0xFFFF), 6, f"10.0.0.{flow >> 16}"))))
            for flow in range(first, first + 6)
        ]
        engine.feed([datagram(*samples, sequence=first)], 1.0)


def test_spares_are_there_once_a_table_has_grown_and_go_when_none_grows(keeper, engine, eventually):
    assert pages.count_spares() == 0
    grow(engine)
    eventually(lambda: pages.count_spares() > 0)
    pages.give_back()
    assert pages.count_spares() > 0, "one was taken since the last time"
    pages.give_back()
    assert pages.count_spares() == 0


def test_the_end_frees_them(engine, eventually):
    thread = threading.Thread(target=pages.keep_spares)
    thread.start()
    grow(engine)
    eventually(lambda: pages.count_spares() > 0)
    pages.end_spares()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert pages.count_spares() == 0


def test_without_them_tables_grow_all_the_same(engine):
    grow(engine)
    assert engine.numbers().flow_entries == FLOWS
    assert pages.count_spares() == 0
