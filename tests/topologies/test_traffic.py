"""The traffic programs against each other on loopback: what one reports as sent, the other reports as received."""

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import time

import pytest

from tests.patience import PATIENCE_S
from tests.ryu_manager import free_ports
from topologies.traffic import command
from topologies.traffic.mice import percentiles


class Program:
    """A running traffic program and its output so far."""

    def __init__(self, *words):
        self.process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = []

    def until(self, event):
        """Its next line of this event."""
        for line in self.process.stdout:
            self.said.append(json.loads(line))
            if self.said[-1]["event"] == event:
                return self.said[-1]
        raise AssertionError(f"ended without {event!r}: {self.said} {self.process.stderr.read()}")

    def finish(self):
        """Ask it to end; its last line."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        self.said += [json.loads(line) for line in out.splitlines()]
        assert err == ""
        return self.said[-1]

    def wait(self):
        """Wait for its own end; its exit code."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        self.said += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode


@contextlib.contextmanager
def program(*words):
    one = Program(*words)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def port():
    return free_ports(1)[0]


@pytest.fixture
def udp_port():
    return free_ports(1, socket.SOCK_DGRAM)[0]


def test_all_bytes_arrive_from_the_chosen_source_port(port):
    (sport,) = free_ports(1)
    with program("receive", "--port", port, "--interval", 0.05) as receiver:
        receiver.until("ready")
        before = time.time()
        with program("send", f"127.0.0.1:{port}@{sport}", "--bytes", 3_000_001) as sender:
            assert sender.wait() == 0
        end = receiver.until("end")
        total = receiver.finish()
    assert end["bytes"] == total["bytes"] == sender.said[-1]["bytes"] == 3_000_001
    assert end["sport"] == sport and end["peer"] == "127.0.0.1" and end["port"] == port
    first = next(line for line in receiver.said if line["event"] == "first")
    sent = next(line for line in sender.said if line["event"] == "first")
    assert before <= sent["time"] <= first["time"] + 0.001 <= end["time"] + 0.001


def test_a_sender_waits_for_its_receiver_and_stops_at_its_time(port):
    with (
        program("send", f"127.0.0.1:{port}", "--seconds", 0.5, "--patience", PATIENCE_S) as sender,
        program("receive", "--port", port) as receiver,
    ):
        assert sender.wait() == 0
        end = receiver.until("end")
    assert sender.said[-1]["seconds"] >= 0.5
    assert 0 < end["bytes"] <= sender.said[-1]["bytes"]


def test_flows_in_turn_begin_when_the_one_before_has_arrived(port):
    with program("receive", "--port", port) as receiver:
        receiver.until("ready")
        flows = [f"127.0.0.1:{port}"] * 3
        with program("send", *flows, "--bytes", 100_000, "--in-turn") as sender:
            assert sender.wait() == 0
    assert [line["event"] for line in sender.said] == ["first", "end"] * 3
    assert [line["bytes"] for line in sender.said if line["event"] == "end"] == [100_000] * 3


def test_the_byte_counter_is_reported_while_the_flow_runs(port):
    with (
        program("receive", "--port", port, "--interval", 0.05) as receiver,
        program("send", f"127.0.0.1:{port}", "--seconds", PATIENCE_S),
    ):
        counts = [receiver.until("bytes") for _ in range(4)]
    assert [line["bytes"] for line in counts] == sorted({line["bytes"] for line in counts})
    assert all(late["time"] > early["time"] for early, late in itertools.pairwise(counts))


def test_a_receiver_that_does_not_listen_is_an_error_in_the_end_line(port):
    with program("send", f"127.0.0.1:{port}", "--patience", 0.2) as sender:
        assert sender.wait() == 1
    assert sender.said[-1]["error"] == "no answer" and sender.said[-1]["bytes"] == 0


def test_datagrams_are_counted_per_port_and_sender():
    port, other = sorted(free_ports(2, socket.SOCK_DGRAM))
    with program("udp-receive", "--port", port, "--port", other, "--count", 150) as receiver:
        receiver.until("ready")
        flows = [f"127.0.0.1:{port}", f"127.0.0.1:{other}"]
        with program("udp-send", *flows, "--count", 70, "--rate", 4e6, "--size", 500) as sender:
            assert sender.wait() == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(10):
                stranger.sendto(b"not ours", ("127.0.0.1", port))
        assert receiver.wait() == 0
    assert sender.said[-1]["sent"] == 70 and sender.said[-1]["failed"] == 0
    ends = [line for line in receiver.said if line["event"] == "end"]
    assert sorted(
        (line["port"], line["distinct"], line["copies"], line["foreign"], line["bytes"]) for line in ends
    ) == [
        (port, 0, 0, 10, 80),
        (port, 70, 0, 0, 35_000),
        (other, 70, 0, 0, 35_000),
    ]


def test_a_copied_datagram_is_counted_as_a_copy(udp_port):
    with program("udp-receive", "--port", udp_port, "--count", 4) as receiver:
        receiver.until("ready")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in (0, 2, 2, 1):
                sender.sendto(b"hwdh" + bytes(4) + number.to_bytes(8, "big"), ("127.0.0.1", udp_port))
        assert receiver.wait() == 0
    end = receiver.said[-1]
    assert (end["distinct"], end["copies"], end["late"]) == (3, 1, 1)


def test_a_silence_is_told_when_it_ends_and_one_that_does_not_in_the_end(udp_port):
    with (
        program("udp-receive", "--port", udp_port, "--interval", 0.05, "--pause", 0.2) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.until("ready")

        def datagram(number):
            sender.sendto(b"hwdh" + bytes(4) + number.to_bytes(8, "big"), ("127.0.0.1", udp_port))

        def silence(since):
            while receiver.until("counts")["time"] - since < 0.3:
                continue

        datagram(0)
        silence(receiver.until("first")["time"])
        datagram(1)
        pause = receiver.until("pause")
        assert pause["seconds"] >= 0.29
        silence(pause["time"])
        receiver.finish()
    assert sum(line["event"] == "pause" for line in receiver.said) == 2


def test_datagrams_keep_their_rate(udp_port, eventually):
    """100 datagrams at 100 a second: never faster, and about as fast unless the machine pauses."""

    def took():
        with program("udp-send", f"127.0.0.1:{udp_port}", "--count", 100, "--rate", 800_000, "--size", 1000) as sender:
            assert sender.wait() == 0
        first, end = sender.said[0], sender.said[-1]
        return end["time"] - first["time"]

    assert took() >= 0.99
    eventually(lambda: took() < 1.15)


@pytest.mark.parametrize("kind", [[], ["--udp"]])
def test_mice_report_every_round_trip(port, kind):
    with program("mice-serve", "--port", port) as server:
        server.until("ready")
        words = [*kind, "--timeout", PATIENCE_S, "--count", 30, "--gap", 0.002, "--poisson"]
        with program("mice", f"127.0.0.1:{port}", *words) as mouse:
            assert mouse.wait() == 0
        assert server.finish()["requests"] >= 30
    times = [line["ms"] for line in mouse.said if line["event"] == "rtt"]
    end = mouse.said[-1]
    assert end["requests"] == len(times) >= 30 and end["timeouts"] == 0
    assert all(ms > 0 for ms in times)
    assert min(times) <= end["p50_ms"] <= end["p90_ms"] <= end["p99_ms"] <= max(times)


def test_a_mouse_reads_replies_larger_than_one_packet(port):
    with program("mice-serve", "--port", port) as server:
        server.until("ready")
        with program("mice", f"127.0.0.1:{port}", "--count", 5, "--gap", 0, "--size", 5000, "--reply", 60_000) as mouse:
            assert mouse.wait() == 0
    assert mouse.said[-1]["requests"] >= 5


def test_a_request_without_answer_times_out(udp_port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", udp_port))
        words = ["--udp", "--count", 2, "--gap", 0, "--timeout", 0.05]
        with program("mice", f"127.0.0.1:{udp_port}", *words) as mouse:
            assert mouse.wait() == 0
    assert mouse.said[-1]["timeouts"] >= 2 and mouse.said[-1]["p50_ms"] is None


def test_probe_finds_out_which_hosts_answer(port):
    with program("mice-serve", "--port", port) as server:
        server.until("ready")
        with program("probe", "--port", port, "--patience", PATIENCE_S, "127.0.0.1") as probe:
            assert probe.wait() == 0
    assert list(probe.said[-1]["reached_ms"]) == ["127.0.0.1"] and probe.said[-1]["lost"] == []
    with program("probe", "--port", port, "--patience", 0.3, "127.0.0.1") as probe:
        assert probe.wait() == 1
    assert probe.said[-1]["lost"] == ["127.0.0.1"]


def test_a_port_in_use_is_named_in_one_line(port):
    with socket.socket() as holder:
        holder.bind(("", port))
        holder.listen()
        with program("receive", "--port", port) as receiver:
            _, err = receiver.process.communicate(timeout=PATIENCE_S)
    assert receiver.process.returncode == 1
    assert str(port) in err and len(err.splitlines()) == 1


def test_percentiles_are_by_nearest_rank():
    assert percentiles([float(n) for n in range(1, 101)]) == {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99}
    assert percentiles([7.0]) == {"p50_ms": 7, "p90_ms": 7, "p99_ms": 7}
    assert percentiles([]) == {"p50_ms": None, "p90_ms": None, "p99_ms": None}
