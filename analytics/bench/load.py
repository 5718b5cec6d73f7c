"""The load of `howdah bench ingest`: datagrams of a capture, or made as Open vSwitch makes them; and their sender.

The module, with the arguments [CAPTURE PORT_IN_IT], is the sender's process, pinned to the last of its processors where
there are several. It says a line when it can begin; each line `PORT SECONDS RATE` on its standard input then is sent
for, and answered with what was sent as one JSON object. Every port gets datagrams with sequence numbers of its own.
Delivery over loopback is work of the sender: one processor is its bound.
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

from analytics.inputs.capture import MalformedCapture, datagrams
from documents import programs

HOST = "127.0.0.1"
MOST = 16_384  # datagrams taken of a capture
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
            samples = [flow_sample((number * SAMPLES + index) * 2654435761 % KEYS) for index in range(SAMPLES)]
        head = words(5, 1, 0x0A000001 + agent, 0, 1 + turn, turn, len(samples))
        made.append(head + b"".join(samples))
    return made


def captured(path: Path, port: int) -> list[bytes]:
    """The first datagrams to `port` in a capture. MalformedCapture or OSError: it cannot be read, or there are none."""
    found = [payload for _, _, payload in islice(datagrams(path, port), MOST)]
    if not found:
        raise MalformedCapture(f"{path}: no datagrams to UDP port {port}")
    return found


def processors() -> tuple[set[int], set[int]]:
    """(the sender's, the others'): the last one we may use, and the rest; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return set(allowed[-1:]), set(allowed[:-1] or allowed)


def first_line(process: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> str:
    """The next line that a process says, empty if it ended instead. RuntimeError: it stays silent."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], patience_s)[0]:
        raise RuntimeError(f"{process.args!r} said nothing for {patience_s:g} s")
    return process.stdout.readline()


class Sending:
    """The sender's process: entered when it is ready, gone when it is left. `source`: its arguments."""

    def __init__(self, source: list[str]) -> None:
        self._command = programs.command("analytics.bench.load", *source)

    def __enter__(self) -> Sending:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        first_line(self._process)
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.communicate()

    def send(self, port: int, seconds: float, rate: float) -> dict[str, Any]:
        """Send for a time, `rate` datagrams/s or as fast as it goes (0). Answers datagrams, samples, seconds and
        processor seconds. RuntimeError: it failed."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: its answer is missing
            self._process.stdin.write(f"{port} {seconds} {rate}\n")
            self._process.stdin.flush()
        line = first_line(self._process, seconds + PATIENCE_S)
        if not line:
            _, said = self._process.communicate(timeout=PATIENCE_S)
            raise RuntimeError(said.strip().rpartition("\n")[2] or f"the sender ended with {self._process.returncode}")
        sent: dict[str, Any] = json.loads(line)
        if not sent["datagrams"]:
            raise RuntimeError(f"nothing was due within {seconds:g} s at {rate:.1f} datagrams/s")
        return sent


def main() -> None:
    """The sender's process."""
    from analytics.core.sender import Sender  # noqa: PLC0415  the command line needs no native core

    load = captured(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 1 else generated()
    os.sched_setaffinity(0, processors()[0])
    senders: dict[int, Sender] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        port = int(line.split()[0])
        seconds, rate = map(float, line.split()[1:])
        if port not in senders:
            senders[port] = Sender(load)
        try:
            print(json.dumps(sent(senders[port], port, seconds, rate)), flush=True)
        except OSError as error:
            sys.exit(f"sending to {HOST} UDP port {port}: {error.strerror}")


def sent(sender: Any, port: int, seconds: float, rate: float) -> dict[str, float]:
    """Send; the sender counts over its life-time, the answer is of this time."""
    datagrams, samples, used = sender.datagrams, sender.samples, used_s()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect((HOST, port))
        elapsed = sender.run(made.fileno(), seconds, rate)
    return {
        "datagrams": sender.datagrams - datagrams,
        "samples": sender.samples - samples,
        "seconds": elapsed,
        "cpu_s": used_s() - used,
    }


def used_s() -> float:
    """Processor seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
