"""sender and drain: what is handed to the kernel counts on in every stream, and what arrives is counted."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from analytics.bench.load import AGENTS, DATAGRAMS, PORTS, SAMPLES, generated
from analytics.core.receive import Drain
from analytics.core.sender import Sender
from analytics.core.wire.sflow import decode
from analytics.engine import Engine
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    discard,
    flow_sample,
    if_counters,
    sampled_header,
    tcp_frame,
)
from tests.patience import PATIENCE_S

LONG_S = 60.0  # runs end by count, not by time


@pytest.fixture
def pair():
    """(a receiving socket, a sending one connected to it)."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiving.settimeout(PATIENCE_S)
        receiving.bind(("127.0.0.1", 0))
        sending.connect(receiving.getsockname())
        yield receiving, sending


def arrived(receiving: socket.socket, count: int) -> list[dict]:
    return [decode(receiving.recv(65536)) for _ in range(count)]


def mixed() -> list[bytes]:
    """Two agents, one of them with two sub-agents; samples of three kinds and two data sources."""
    flow, other = flow_sample(sampled_header(tcp_frame()), sequence=7), flow_sample(source=(0, 6), expanded=True)
    return [
        datagram(flow, flow, other, sequence=99, uptime=5),
        datagram(flow, counter_sample(if_counters()), discard(), agent="2001:db8::1"),
        datagram(flow, sub_agent=3),
        datagram(flow, counter_sample(if_counters(), expanded=True)),
    ]


def test_every_sequence_counts_on_in_its_own_stream(pair):
    receiving, sending = pair
    sender = Sender(mixed())
    sender.run(sending.fileno(), LONG_S, most=8)
    assert (sender.datagrams, sender.samples) == (8, 18)
    found = arrived(receiving, 8)
    assert [each["sequence"] for each in found] == [1, 1, 1, 2, 3, 2, 2, 4]
    samples = [[(sample["kind"], sample["sequence"]) for sample in each["samples"]] for each in found]
    assert samples[0] == [("flow", 1), ("flow", 2), ("flow", 1)]
    assert samples[1] == [("flow", 1), ("counters", 1), ("discard", 1)]
    assert samples[2] == [("flow", 1)]
    assert samples[3] == [("flow", 3), ("counters", 1)]
    assert samples[4] == [("flow", 4), ("flow", 5), ("flow", 2)]
    assert samples[5] == [("flow", 2), ("counters", 2), ("discard", 2)]
    assert samples[6:] == [[("flow", 2)], [("flow", 6), ("counters", 2)]]
    uptimes = [each["uptime"] for each in found]
    assert uptimes == sorted(uptimes)


def test_nothing_but_the_numbers_changes(pair):
    receiving, sending = pair
    [made] = datagrams = [datagram(flow_sample(sampled_header(tcp_frame()), rate=77), sequence=5, uptime=9)]
    Sender(datagrams).run(sending.fileno(), LONG_S, most=1)
    got = receiving.recv(65536)
    assert len(got) == len(made)
    assert {at for at in range(len(made)) if got[at] != made[at]} <= set(range(16, 24)) | set(range(36, 40))
    assert datagrams == [datagram(flow_sample(sampled_header(tcp_frame()), rate=77), sequence=5, uptime=9)]


def test_it_goes_on_where_it_was_at_any_rate(pair):
    receiving, sending = pair
    sender = Sender(mixed())
    elapsed = sender.run(sending.fileno(), LONG_S, rate=1000, most=70)
    assert elapsed >= 0.07 - 0.001  # the last is due then, but for the rounding of floats
    sender.run(sending.fileno(), LONG_S, most=70)
    sender.run(sending.fileno(), LONG_S, most=60)
    found = arrived(receiving, 200)
    firsts = [each["sequence"] for each in found if each["sub_agent"] == 3]
    assert firsts == list(range(1, 51))
    assert sender.datagrams == 200


def test_a_time_of_nothing_sends_nothing(pair):
    _, sending = pair
    sender = Sender(mixed())
    sender.run(sending.fileno(), 0.0)
    assert sender.datagrams == 0


@pytest.mark.parametrize(
    ("datagrams", "named"),
    [([], "no datagrams"), ([datagram(), b"no sflow"], "datagram 2 is no sFlow"), ([b""], "datagram 1 is no sFlow")],
)
def test_what_cannot_be_sent(datagrams, named):
    with pytest.raises(ValueError, match=named):
        Sender(datagrams)


def test_samples_that_lie_have_no_numbers(pair):
    receiving, sending = pair
    whole = datagram(flow_sample(sampled_header(tcp_frame())), flow_sample())
    sender = Sender([whole[:length] for length in range(28, len(whole), 4)] + [datagram(flow_sample())[:36]])
    count = (len(whole) - 28) // 4 + 1
    sender.run(sending.fileno(), LONG_S, most=count)
    assert all(receiving.recv(65536)[:4] == whole[:4] for _ in range(count))


def test_no_receiver_listens(pair):
    receiving, sending = pair
    receiving.close()
    with pytest.raises(ConnectionRefusedError):
        Sender(mixed()).run(sending.fileno(), LONG_S, most=1000)


@contextlib.contextmanager
def drained(receiving: socket.socket):
    """A drain at work on the socket; it has ended when this is left."""
    drain, (stop, stopper) = Drain(), os.pipe()
    thread = threading.Thread(target=drain.run, args=(receiving.fileno(), stop))
    thread.start()
    try:
        yield drain
    finally:
        os.close(stopper)  # the end of it is what stops the drain
        thread.join()
        os.close(stop)


def test_the_drain_counts_what_it_throws_away(pair, eventually):
    receiving, sending = pair
    with drained(receiving) as drain:
        sender = Sender(mixed())
        for sent in range(200, 2001, 200):
            sender.run(sending.fileno(), LONG_S, most=200)
            eventually(lambda wanted=sent: drain.datagrams == wanted)


def test_the_drain_tells_of_a_socket_that_fails(tmp_path):
    stop, stopper = os.pipe()
    with (tmp_path / "x").open("wb") as no_socket, pytest.raises(OSError, match="on non-socket"):
        Drain().run(no_socket.fileno(), stop)
    os.close(stop)
    os.close(stopper)


def test_generated_datagrams_are_what_open_vswitch_sends():
    made = generated()
    found = [decode(each) for each in made]
    assert len(made) == DATAGRAMS
    assert all(each is not None and not each["faults"] and not each["skipped"] for each in found)
    assert {len(each) for each in made[AGENTS:]} == {1324}  # as in tests/analytics/examples/captures/ovs_flows.pcap
    assert {len(each["samples"]) for each in found[AGENTS:]} == {SAMPLES}
    assert [len(each["samples"]) for each in found[:AGENTS]] == [PORTS] * AGENTS
    assert {each["agent"] for each in found} == {bytes([10, 0, 0, 1 + number]) for number in range(AGENTS)}


def test_an_engine_takes_generated_datagrams_for_new_ones_in_every_round(pair):
    receiving, sending = pair
    sender, engine = Sender(generated()[:64]), Engine()
    engine.set_flow("f", {"keys": "ipsource,ipdestination,ipprotocol", "value": "bytes"})
    for now in (1, 2, 3):
        sender.run(sending.fileno(), LONG_S, most=64)
        engine.feed([receiving.recv(65536) for _ in range(64)], float(now))
    agents = engine.agents().values()
    assert sum(each.datagrams.received for each in agents) == 192
    assert sum(each.flows.received for each in agents) == 3 * 60 * SAMPLES
    assert sum(each.counters.received for each in agents) == 3 * AGENTS * PORTS
    wrong = {(each.datagrams.lost, each.datagrams.duplicate, each.restarts, each.flows.lost) for each in agents}
    assert wrong == {(0, 0, 0, 0)}
    engine.close()
