"""collector: datagrams over loopback reach the engine; start and stop are clean; captures are replayed."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from analytics.api import answers
from analytics.api.prometheus import analyzer_text
from analytics.engine import Engine
from analytics.inputs.capture import MalformedCapture
from analytics.inputs.collector import Collector
from analytics.inputs.replay import replay
from analytics.inputs.settings import CollectorSettings
from analytics.news import Topic
from analytics.topology import Topology
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, tcp_frame, udp
from tests.patience import PATIENCE_S

CAPTURES = Path(__file__).parents[1] / "examples/captures"


@pytest.fixture
def engine():
    made = Engine()
    made.set_flow("f", {"keys": "ipsource", "value": "bytes", "t": 600})
    yield made
    made.close()


@pytest.fixture
def collector(engine):
    made = Collector(engine, CollectorSettings(port=0))
    made.start()
    yield made
    made.stop()


def stream(count: int) -> list[bytes]:
    return [
        datagram(flow_sample(sampled_header(tcp_frame()), sequence=number), sequence=number, uptime=number)
        for number in range(1, count + 1)
    ]


def send(to: tuple[str, int], *datagrams: bytes) -> None:
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for each in datagrams:
            sender.sendto(each, to)


def samples(engine: Engine, agent: str = "10.0.0.1") -> int:
    known = engine.agents()
    return known[agent].flows.received if agent in known else 0


def test_datagrams_arrive_and_are_counted(engine, collector, eventually):
    send(collector.address, *stream(500), b"no sflow", b"")
    eventually(lambda: engine.numbers().datagrams == 502)
    numbers = engine.agents()["10.0.0.1"]
    assert (numbers.datagrams.received, numbers.flows.received) == (500, 500)
    assert numbers.datagrams.lost == numbers.datagrams.out_of_order == 0
    assert numbers.senders == ("127.0.0.1",)
    [flow] = engine.active_flows(["ALL"], "f", time.monotonic())
    assert flow.value * 600 == pytest.approx(500 * 1518 * 100, rel=0.02)
    numbers = engine.numbers()
    assert (numbers.datagrams, numbers.not_sflow) == (502, 2)
    assert numbers.overflow == 0
    eventually(lambda: collector.numbers.datagrams == 502)
    assert collector.numbers.buffer_bytes == collector.buffer_bytes > 0


def test_a_step_of_the_wall_clock_changes_no_time_of_the_core(engine, collector, eventually):
    """What arrives is timed by the monotonic clock, which nobody sets back."""
    before = time.monotonic()
    send(collector.address, *stream(5))
    eventually(lambda: samples(engine) == 5)
    assert before <= engine.agents()["10.0.0.1"].last_seen <= time.monotonic()


def test_ipv6(engine, eventually):
    collector = Collector(engine, CollectorSettings("::1", 0))
    try:
        collector.start()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    try:
        send(collector.address, *stream(1))
        eventually(lambda: samples(engine) == 1)
        assert engine.agents()["10.0.0.1"].senders == ("::1",)
    finally:
        collector.stop()


def send_from(source: str, to: tuple[str, int], *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for each in datagrams:
            sender.sendto(each, to)


@pytest.fixture
def listening(engine):
    """Start collectors with these settings on a free port; they end with the test."""
    started = []

    def make(**settings) -> Collector:
        started.append(Collector(engine, CollectorSettings(port=0, **settings)))
        started[-1].start()
        return started[-1]

    yield make
    for each in started:
        each.stop()


def test_both_families_on_one_socket(engine, listening, eventually):
    try:
        collector = listening(host="::")
    except OSError:
        pytest.skip("no IPv6 here")
    port = collector.address[1]
    first, second, *_ = stream(2)
    send_from("::1", ("::1", port), first)
    eventually(lambda: samples(engine) == 1)
    send_from("127.0.0.9", ("127.0.0.1", port), second)
    eventually(lambda: samples(engine) == 2)
    assert engine.agents()["10.0.0.1"].senders == ("::1", "127.0.0.9")


def test_several_sockets_share_a_port_and_keep_each_sender_in_order(engine, listening, eventually):
    collector = listening(sockets=4)
    for number in range(1, 41):
        agent = f"10.0.1.{number}"
        sent = [datagram(flow_sample(sequence=each), agent=agent, sequence=each) for each in range(1, 26)]
        send_from(f"127.0.0.{number}", collector.address, *sent)
    eventually(lambda: collector.numbers.datagrams == 1000)
    agents = engine.agents()
    assert len(agents) == 40
    for each in agents.values():
        assert (each.datagrams.received, each.datagrams.lost, each.datagrams.out_of_order) == (
            25,
            0,
            0,
        )
    assert sum(receiver.datagrams > 0 for receiver in collector._receivers) > 1
    assert len([thread for thread in threading.enumerate() if thread.name == "sflow"]) == 4
    numbers = engine.numbers()
    assert (numbers.receiving.sockets, numbers.receiving.buffer_bytes) == (4, collector.buffer_bytes)
    collector.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "sflow"]


def test_several_sockets_do_not_join_the_port_of_another(engine, listening):
    host, port = listening(sockets=2).address
    with pytest.raises(OSError, match="Address already in use"):
        Collector(engine, CollectorSettings(host, port, sockets=2)).start()


@pytest.mark.parametrize(
    ("sources", "source", "allowed"),
    [
        ((), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("10.0.0.0/8", "127.0.0.8/30"), "127.0.0.11", True),
        (("127.0.0.8/30",), "127.0.0.12", False),
        (("127.0.0.9/30",), "127.0.0.8", True),  # host bits are no mistake
        (("0.0.0.0/0",), "127.0.0.5", True),
        (("::/0",), "127.0.0.5", True),
        (("::1",), "127.0.0.1", False),
        (("::ffff:127.0.0.0/104",), "127.3.0.1", True),
    ],
)
def test_only_listed_sources_are_read(engine, listening, eventually, sources, source, allowed):
    collector = listening(sources=sources)
    send_from(source, collector.address, *stream(3))
    eventually(lambda: collector.numbers.datagrams + collector.numbers.refused == 3)
    assert collector.numbers.refused == (0 if allowed else 3)
    numbers = engine.numbers()
    assert (numbers.datagrams, numbers.receiving.refused) == ((3, 0) if allowed else (0, 3))
    assert samples(engine) == (3 if allowed else 0)


def test_listed_sources_of_the_sixth_version(engine, listening, eventually):
    try:
        collector = listening(host="::", sources=("::1", "127.0.0.2"))
    except OSError:
        pytest.skip("no IPv6 here")
    port = collector.address[1]
    first, second, third = stream(3)
    send_from("::1", ("::1", port), first)
    send_from("127.0.0.2", ("127.0.0.1", port), second)
    send_from("127.0.0.3", ("127.0.0.1", port), third)
    eventually(lambda: (collector.numbers.datagrams, collector.numbers.refused) == (2, 1))


@pytest.mark.parametrize("source", ["", "10.0.0.0/33", "host", "10.0.0.0/8/8"])
def test_a_source_that_is_no_prefix(engine, source):
    with pytest.raises(ValueError):
        Collector(engine, CollectorSettings(sources=(source,)))


def waiting(port: int) -> int:
    """Bytes that wait in the UDP socket of this port (proc_net(5))."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}"))


def test_what_the_kernel_drops_is_counted(engine, listening, eventually):
    collector = listening(buffer_bytes=8192)
    sent = stream(2000)
    with engine.pipeline:  # the receive thread waits here, and the socket's buffer overflows
        send(collector.address, *sent)
    eventually(lambda: collector.numbers.datagrams > 0)
    eventually(lambda: waiting(collector.address[1]) == 0)
    send(collector.address, sent[-1])  # brings the news
    eventually(lambda: collector.numbers.datagrams + collector.numbers.kernel_drops == 2001)
    numbers = engine.numbers()
    assert numbers.receiving.kernel_drops == collector.numbers.kernel_drops > 1000
    analyzer = answers.analyzer(numbers, time.monotonic())
    assert analyzer["sFlowDatagramsDiscarded"] == analyzer["sFlowKernelDrops"] == collector.numbers.kernel_drops
    text = analyzer_text(analyzer)
    assert f"sflow_analyzer_kernel_dropped_datagrams {collector.numbers.kernel_drops}\n" in text
    assert f"sflow_analyzer_receive_buffer_bytes {collector.buffer_bytes}\n" in text
    drops = collector.numbers.kernel_drops
    collector.stop()
    collector.start()  # another socket counts its own drops from 0
    send(collector.address, sent[0])
    eventually(lambda: collector.numbers.datagrams + drops == 2002)
    assert collector.numbers.kernel_drops == drops


def test_start_and_stop_again(engine, eventually):
    collector = Collector(engine, CollectorSettings(port=0))
    collector.stop()
    with pytest.raises(RuntimeError):
        _ = collector.address
    for round_ in (1, 2):
        collector.start()
        with pytest.raises(RuntimeError):
            collector.start()
        send(collector.address, *stream(3))
        eventually(lambda wanted=round_: engine.numbers().datagrams == 3 * wanted)
        collector.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "sflow"]


@contextlib.contextmanager
def flooded(engine, collector, eventually):
    """Datagrams pour in, as fast as a thread can send them, until the end of the block."""
    data, running, address = stream(1)[0], True, collector.address

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while running:
                sender.sendto(data, address)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        eventually(lambda: engine.numbers().datagrams > 1000)
        yield
    finally:
        running = False
        thread.join()


def test_stopping_under_load_ends_the_threads(engine, collector, eventually):
    with flooded(engine, collector, eventually):
        collector.stop()
        assert not [thread for thread in threading.enumerate() if thread.name == "sflow"]


def test_a_port_in_use_is_one_clear_error(engine, collector):
    host, port = collector.address
    with pytest.raises(OSError, match=f"cannot receive sFlow on {host} UDP port {port}: Address already in use"):
        Collector(engine, CollectorSettings(host, port)).start()


def test_an_address_that_is_not_ours_is_one_clear_error(engine):
    with pytest.raises(OSError, match=r"cannot receive sFlow on 192\.0\.2\.1 UDP port 6343"):
        Collector(engine, CollectorSettings("192.0.2.1")).start()
    with pytest.raises(OSError, match=r"cannot receive sFlow on no\.such\.host\.invalid UDP port 6343"):
        Collector(engine, CollectorSettings("no.such.host.invalid")).start()


def test_an_event_wakes_its_waiters(engine, collector):
    engine.set_threshold("any", {"metric": "f", "value": 1, "byFlow": True})
    news = engine.news.fd(Topic.THRESHOLDS)
    assert select.select([news], [], [], 0)[0] == []
    send(collector.address, *stream(1))
    assert select.select([news], [], [], PATIENCE_S)[0] == [news]
    os.read(news, 8)
    assert [event.threshold for event in engine.events(None, 10)] == ["any"]
    assert select.select([news], [], [], 0)[0] == []


def test_a_bug_in_computing_keys_is_counted_logged_once_and_the_stream_goes_on(engine, collector, eventually, caplog):
    engine.set_flow("linked", {"keys": "link:inputifindex", "value": "frames"})

    class Faulty(Topology):
        def link_name(self, agent, port):
            raise ZeroDivisionError("a bug")

    engine.set_topology(Faulty())
    sent = stream(5)
    for number, each in enumerate(sent, 1):
        send(collector.address, each)
        eventually(lambda wanted=number: engine.numbers().faults == {"sflow batch": wanted})
    assert samples(engine) == 5
    assert caplog.text.count("Traceback") == caplog.text.count("sflow batch: a bug") == 1


def test_of_an_agent_that_sends_too_much_datagrams_are_shed_and_counted(engine, collector, eventually):
    """While the lock is held more comes than is taken within a quarter of a second."""
    loud, quiet = count(1), count(1)

    def from_both(louds: int) -> list[bytes]:
        made = [datagram(agent="10.9.9.9", sequence=next(loud)) for _ in range(louds)]
        return [*made, datagram(agent="10.0.0.1", sequence=next(quiet))]

    for known in (2, 4):  # newcomers share a queue
        send(collector.address, *from_both(1))
        eventually(lambda wanted=known: collector.numbers.datagrams == wanted)
    with engine.pipeline:
        for _ in range(12):
            send(collector.address, *from_both(1000))
    last = next(loud)
    sent = last + next(quiet) - 2
    eventually(lambda: collector.numbers.datagrams + collector.numbers.shed == sent)
    assert collector.numbers.shed > 0
    send(collector.address, datagram(agent="10.9.9.9", sequence=last))
    eventually(lambda: collector.numbers.datagrams + collector.numbers.shed == sent + 1)
    assert engine.agents()["10.9.9.9"].datagrams.lost == collector.numbers.shed
    assert engine.agents()["10.0.0.1"].datagrams.lost == 0


def test_what_waits_is_taken_before_the_collector_stops(engine, collector):
    sent = [datagram(agent="10.9.9.9", sequence=number) for number in range(1, 1001)]
    with engine.pipeline:
        send(collector.address, *sent)
        stopping = threading.Thread(target=collector.stop)
        stopping.start()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()
    numbers = collector.numbers
    assert engine.agents()["10.9.9.9"].datagrams.received == numbers.datagrams
    assert numbers.shed == 0


def test_a_socket_that_fails_is_counted_logged_once_and_tried_again(engine, eventually, caplog, monkeypatch):
    class Failing:
        """A receiver whose socket fails three times, then it receives until `stop`."""

        tried = batches = datagrams = dropped = refused = shed = 0

        def __init__(self, pipeline, senders):
            pass

        def new_socket(self):
            pass

        def run(self, fd, stop):
            self.tried += 1
            if self.tried <= 3:
                raise OSError(errno.ENOBUFS, "No buffer space available")
            select.select([stop], [], [])

    monkeypatch.setattr("analytics.inputs.collector.Receiver", Failing)
    monkeypatch.setattr("analytics.inputs.collector.RETRY_S", 0.01)
    collector = Collector(engine, CollectorSettings(port=0))
    collector.start()
    try:
        eventually(lambda: collector._receivers[0].tried == 4)
    finally:
        collector.stop()
    assert engine.numbers().faults == {"sflow socket": 3}
    assert caplog.text.count("Traceback") == caplog.text.count("sflow socket: ") == 1


def test_queries_are_answered_while_datagrams_pour_in(engine, collector, eventually):
    with flooded(engine, collector, eventually):
        for _ in range(200):
            assert engine.events(None, 10) == []


def test_a_capture_of_open_vswitch_is_replayed_at_its_own_time(engine):
    times: list[float] = []
    assert replay(CAPTURES / "ovs_flows.pcap", engine, progress=times.append) == 1
    [now] = times
    assert now > 1.7e9
    assert {flow.key: round(flow.value * 600) for flow in engine.active_flows(["ALL"], "f", now)} == {
        "10.0.1.1": 2 * 304 + 3 * 1004
    }
    assert engine.agents()["127.0.0.1"].first_seen == now


def test_counters_of_open_vswitch_are_replayed(engine):
    times: list[float] = []
    replay(CAPTURES / "ovs_counters.pcap", engine, progress=times.append)
    found = engine.metrics_of("127.0.0.1", times[0])
    assert {"1001.ifname": "p1", "1002.ifname": "p2", "1001.of_dpid": "0000000000000101"}.items() <= found.items()
    assert "2.1000.ovs_dp_masks" not in found  # unknown in the dummy datapath
    assert found["2.1000.ovs_dp_flows"] == 0


def pcap_of(tmp_path: Path, *datagrams: bytes) -> Path:
    path = tmp_path / "x.pcap"
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    packets = b""
    for number, payload in enumerate(datagrams):
        frame = ethernet(ipv4(udp(1, 6343, payload), 17))
        packets += b"".join(word.to_bytes(4, "little") for word in (1000 + number, 0, len(frame), len(frame))) + frame
    path.write_bytes(head + packets)
    return path


def test_replay_expires_and_decays_by_capture_time(engine, tmp_path):
    engine.set_flow("short", {"keys": "ipsource", "value": "frames", "t": 1})
    path = pcap_of(tmp_path, *stream(3))
    assert replay(path, engine) == 3
    [flow] = engine.active_flows(["ALL"], "short", 1002)
    assert flow.value == pytest.approx(100 * (1 + 0.36788 + 0.13534), rel=1e-3)
    assert replay(path, engine, port=9999) == 0


def test_a_broken_capture_is_named_and_what_came_before_counts(engine, tmp_path):
    path = pcap_of(tmp_path, *stream(2))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MalformedCapture, match=r"x\.pcap: offset"):
        replay(path, engine)
    assert samples(engine) == 1
