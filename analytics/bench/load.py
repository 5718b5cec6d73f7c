"""The load of `howdah bench ingest`: datagrams of a capture, or made as Open vSwitch makes them; and who sends them.

    python -m analytics.bench.load PORT SECONDS RATE [CAPTURE PORT_IN_IT]

sends to a loopback port from a process of its own, pinned to the last of its processors where there are several: says
a line when it can begin, waits for one, sends, and prints what was sent as one JSON object. Delivery over loopback is
work of the sender: one processor is its bound.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import socket
import struct
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from analytics.capture import Broken, datagrams

HOST = "127.0.0.1"
MOST = 65536  # datagrams taken of a capture
DATAGRAMS, KEYS, AGENTS = 4096, 10_000, 4
SAMPLES = 6  # of 128-byte headers, what Open vSwitch puts into 1400 bytes
PORTS = 8  # per agent, each with counters once in a round
RATE = 100
PATIENCE_S = 20.0  # for a process to start, to work its queue off, or to end


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def tagged(tag: int, body: bytes) -> bytes:
    """A sample or a record: tag, length, body."""
    return words(tag, len(body)) + body


def frame(flow: int) -> bytes:
    """The first 128 bytes of an Ethernet frame of a flow; one in four is UDP, the others TCP."""
    is_udp = flow % 4 == 0
    ports = struct.pack(">HH", 1024 + flow % 50_000, 5001)
    upper = ports + struct.pack(">HH", 1480, 0) if is_udp else ports + struct.pack(">IIHHHH", 1, 1, 0x5010, 8192, 0, 0)
    addresses = struct.pack(">II", 0x0A000000 | flow, 0x0AC80000 | flow % 250)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 1500, 7, 0x4000, 64, 17 if is_udp else 6, 0) + addresses
    ethernet = struct.pack(">6s6sH", (2).to_bytes(6, "big"), (1).to_bytes(6, "big"), 0x0800)
    return (ethernet + ip + upper).ljust(128, b"\0")


def flow_sample(flow: int) -> bytes:
    header = tagged(1, words(1, 1518, 4, 128) + frame(flow))
    switch = tagged(1001, bytes(16))
    return tagged(1, words(1, 2 << 24 | 1000, RATE, RATE, 0, 1 + flow % PORTS, PORTS + 1, 2) + switch + header)


def counter_sample(port: int) -> bytes:
    """Interface counters as Open vSwitch sends them."""
    unknown = 0xFFFFFFFF
    body = words(port, 6, 0, 10_000_000, 1, 3, 0, 1_000_000, 1000, unknown, unknown, 0, 0, unknown)
    return tagged(2, words(1, port, 1) + tagged(1, body + words(0, 1_000_000, 1000, unknown, unknown, 0, 0, 0)))


def generated() -> list[bytes]:
    """4096 datagrams of 4 agents: six flow samples each, over 10,000 5-tuples; once per agent counters of 8 ports."""
    made = []
    for number in range(DATAGRAMS):
        agent, turn = number % AGENTS, number // AGENTS
        if turn == 0:
            samples = [counter_sample(port) for port in range(1, PORTS + 1)]
        else:
            samples = [flow_sample((number * SAMPLES + place) * 2654435761 % KEYS) for place in range(SAMPLES)]
        head = words(5, 1, 0x0A000001 + agent, 0, 1 + turn, turn, len(samples))
        made.append(head + b"".join(samples))
    return made


def captured(path: Path, port: int) -> list[bytes]:
    """The first datagrams to `port` in a capture. Broken or OSError: it cannot be read, or there are none."""
    found = [payload for _, _, payload in islice(datagrams(path, port), MOST)]
    if not found:
        raise Broken(f"{path}: no datagrams to UDP port {port}")
    return found


def processors() -> tuple[set[int], set[int]]:
    """(the sender's, the others'): the last one we may use, and the rest; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return set(allowed[-1:]), set(allowed[:-1] or allowed)


def first_line(process: subprocess.Popen[str]) -> str:
    """What a process says when it is ready, empty if it ended instead. RuntimeError: it stays silent."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], PATIENCE_S)[0]:
        raise RuntimeError(f"{process.args!r} was not ready within {PATIENCE_S:g} s")
    return process.stdout.readline()


class Sending:
    """The sender's process: entered when it is ready, gone when it is left."""

    def __init__(self, port: int, seconds: float, rate: float, source: list[str]) -> None:
        self._command = [sys.executable, "-m", "analytics.bench.load", str(port), str(seconds), str(rate), *source]
        self._seconds = seconds

    def __enter__(self) -> Sending:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self) -> None:
        """Return when it is sending."""
        assert self._process.stdin is not None
        first_line(self._process)
        with contextlib.suppress(BrokenPipeError):  # it failed: sent() tells
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def sent(self) -> dict[str, Any]:
        """Datagrams, samples, seconds, processor seconds; when it has ended. RuntimeError: it failed."""
        told, said = self._process.communicate(timeout=self._seconds + PATIENCE_S)
        if self._process.returncode:
            raise RuntimeError(said.strip().rpartition("\n")[2] or f"the sender ended with {self._process.returncode}")
        sent: dict[str, Any] = json.loads(told)
        return sent


def main() -> None:
    """The sender's process."""
    from analytics.core.sender import Sender  # noqa: PLC0415  the command line needs no native core

    port, seconds, rate = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    sender = Sender(captured(Path(sys.argv[4]), int(sys.argv[5])) if len(sys.argv) > 4 else generated())
    os.sched_setaffinity(0, processors()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect((HOST, port))
        print("ready", flush=True)
        sys.stdin.readline()
        before = used_s()
        try:
            elapsed = sender.run(made.fileno(), seconds, rate)
        except OSError as error:
            sys.exit(f"sending to {HOST} UDP port {port}: {error.strerror}")
    sent = {"datagrams": sender.datagrams, "samples": sender.samples, "seconds": elapsed, "cpu_s": used_s() - before}
    print(json.dumps(sent))


def used_s() -> float:
    """Processor seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
