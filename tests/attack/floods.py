"""What attackers send, each kind a function that goes on until it is told to stop, or has sent what it has to.

    python tests/attack/floods.py KIND HOST PORT [MORE]

runs one in a process of its own until its standard input ends, then says how much was sent, as one JSON object. Sent
as fast as one process can; an attacker on the network is no quicker than the kernel's UDP path anyway.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

TURN = 100  # of what is sent between two looks at whether to go on
HALF_OPEN, SILENT = 2000, 500  # connections
BODIES, BODY_BYTES = 60, 15_000_000
ARP_REQUEST = bytes.fromhex("0806 0001 0800 06 04 0001")
BROADCAST = b"\xff" * 6
ETH_P_ALL = 3
MARKER, AGENT = b"\xde\xad\xbe\xefMARKERS!", b"\xde\xad\xbe\xef"  # what is random in a datagram
FLOODER = "10.9.9.9"
SEQUENCE = 16  # where a datagram of an IPv4 agent has its sequence number

Counts = dict[str, int]


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def record(tag: int, body: bytes) -> bytes:
    """A sample or a record, padded."""
    return words(tag, (len(body) + 3) // 4 * 4) + body + bytes(-len(body) % 4)


def sample(flow: bytes, *, port: int = 1, rate: int = 100) -> bytes:
    """A flow sample of a TCP segment whose addresses and ports are these twelve bytes, side by side."""
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 1500, 7, 0x4000, 64, 6, 0) + flow[:8]
    tcp = flow[8:] + struct.pack(">IIHHHH", 1, 1, 0x5010, 8192, 0, 0)
    frame = bytes(12) + b"\x08\0" + ip + tcp
    header = record(1, words(1, 1518, 4, len(frame)) + frame)
    return record(1, words(1, port, rate, rate, 0, port, port + 1, 1) + header)


def datagram(agent: bytes, *samples: bytes, sequence: int = 1) -> bytes:
    """An sFlow v5 datagram of an IPv4 agent."""
    return words(5, 1) + agent + words(0, sequence, sequence * 10, len(samples)) + b"".join(samples)


def refilled(template: bytes, marker: bytes) -> Callable[[], bytes]:
    """Makes copies of a datagram, numbered in sequence, with random bytes in place of every `marker`."""
    first, *rest = (template[:SEQUENCE] + bytes(4) + template[SEQUENCE + 4 :]).split(marker)
    numbers = count(1)

    def make() -> bytes:
        made = b"".join([first, *(part for piece in rest for part in (random.randbytes(len(marker)), piece))])
        return made[:SEQUENCE] + struct.pack(">I", next(numbers)) + made[SEQUENCE + 4 :]

    return make


def forged_agents(host: str, port: int, rate: str = "inf") -> Iterator[Counts]:
    """Every datagram comes from an agent that was never seen before; at most `rate` a second."""
    return datagrams(host, port, refilled(datagram(AGENT, sample(b"one and only")), AGENT), float(rate))


def random_keys(host: str, port: int, rate: str = "inf") -> Iterator[Counts]:
    """An agent whose every sample is a flow of its own, six in each datagram."""
    return datagrams(host, port, refilled(datagram(b"\x0a\x09\x09\x09", *[sample(MARKER)] * 6), MARKER), float(rate))


def distinct_flows(host: str, port: int, flows: str, rate: str = "inf") -> Iterator[Counts]:
    """So many flows of FLOODER, no two alike, a sample of each, six in each datagram."""
    before, *parts = datagram(socket.inet_aton(FLOODER), *[sample(MARKER)] * 6).split(MARKER)
    made = bytearray(before + b"".join(MARKER + part for part in parts))
    places = [found.start() for found in re.finditer(re.escape(MARKER), bytes(made))]
    numbers = count(1)

    def make() -> bytes:
        number = next(numbers)
        struct.pack_into(">I", made, SEQUENCE, number)
        for which, place in enumerate(places):
            made[place : place + 12] = (6 * number + which).to_bytes(12, "big")
        return made

    return take(datagrams(host, port, make, float(rate)), int(flows) // 6)


def agents(host: str, port: int, number: str, rate: str = "inf") -> Iterator[Counts]:
    """So many agents, each with four data sources and a flow of its own at each of them; they send three times."""
    template = datagram(AGENT, *[sample(MARKER, port=1000 + source) for source in range(4)])

    def each() -> Iterator[bytes]:
        for first in range(0, int(number), TURN):
            for sequence in range(1, 4):
                for agent in range(first, min(first + TURN, int(number))):
                    address = (0x0C000000 + agent).to_bytes(4, "big")
                    made = template.replace(AGENT, address, 1).replace(MARKER, address * 3)
                    yield made[:SEQUENCE] + words(sequence) + made[SEQUENCE + 4 :]

    return take(datagrams(host, port, each().__next__, float(rate)), 3 * int(number))


def take(sending: Iterator[Counts], most: int) -> Iterator[Counts]:
    """Until so many datagrams are sent."""
    for counts in sending:
        yield counts
        if counts["datagrams"] + TURN > most:
            return


def elephants(
    host: str, port: int, rate: str = "inf", agent: str = "127.0.0.1", ifindex: str = "1001", samples: str = "1"
) -> Iterator[Counts]:
    """Large flows that do not exist, on a port that may: from 10.0.1.1 to 10.0.1.2; so many samples of each."""
    flow = socket.inet_aton("10.0.1.1") + socket.inet_aton("10.0.1.2") + MARKER[:4]
    template = datagram(socket.inet_aton(agent), sample(flow, port=int(ifindex), rate=100_000))
    before, after = template[:SEQUENCE], template[SEQUENCE + 4 :]
    numbers = count(1)

    def make() -> bytes:
        number = next(numbers)
        ports = struct.pack(">I", number // int(samples) & 0xFFFFFFFF)
        return before + struct.pack(">I", number) + after.replace(MARKER[:4], ports)

    return datagrams(host, port, make, float(rate))


def malformed(host: str, port: int, rate: str = "inf") -> Iterator[Counts]:
    """Datagrams whose bytes and lengths were changed."""
    good = datagram(b"\x0a\x09\x09\x08", *[sample(MARKER)] * 6)

    def make() -> bytes:
        bad = bytearray(good)
        for _ in range(random.randrange(1, 6)):
            bad[random.randrange(len(bad))] = random.getrandbits(8)
        return bytes(bad[: random.randrange(len(bad) + 1)])

    return datagrams(host, port, make, float(rate))


def datagrams(host: str, port: int, make: Callable[[], bytes], rate: float = math.inf) -> Iterator[Counts]:
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((host, port))
        for sent in count(TURN, TURN):
            for _ in range(TURN):
                with contextlib.suppress(ConnectionRefusedError):
                    out.send(make())
            pace(began, sent / rate)
            yield {"datagrams": sent}


def pace(began: float, seconds: float) -> None:
    """Waits until so many seconds have passed since the beginning."""
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def connections(host: str, port: int) -> Iterator[Counts]:
    """Half-sent HTTP headers and connections that say nothing, opened anew when they are closed."""
    opened, sockets = 0, []
    while True:
        readable = set(select_readable(sockets))
        for stream in readable:
            stream.close()
        sockets = [stream for stream in sockets if stream not in readable]
        for number in range(len(sockets), min(HALF_OPEN + SILENT, len(sockets) + TURN)):
            with contextlib.suppress(OSError):
                stream = socket.create_connection((host, port), 1.0)
                sockets.append(stream)
                opened += 1
                if number >= SILENT:
                    stream.send(b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        yield {"connections": opened}


def bodies(host: str, port: int) -> Iterator[Counts]:
    """Requests with bodies of 15 MB, 60 at once, that stop short of their end; then relaxed JSON of megabytes."""
    head = f"PUT /topology/json HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    piece = b"{a:" * 20_000
    sent = requests = 0
    while True:
        streams = []
        for number in range(BODIES):
            with contextlib.suppress(OSError):
                stream = socket.create_connection((host, port), 1.0)
                streams.append(stream)
                size = BODY_BYTES if number % 2 else 1_000_000
                stream.sendall(f"{head}{size}\r\n\r\n".encode())
                requests += 1
                for _ in range(size // len(piece) + number % 2):
                    sent += stream.send(piece)
        yield {"requests": requests, "bytes": sent}
        for stream in streams:
            stream.close()


def queries(host: str, port: int) -> Iterator[Counts]:
    """The most expensive questions there are, half of them from clients that leave at once."""
    paths = (
        "/activeflows/ALL/attack0/json?maxFlows=1000000",
        "/activeflows/ALL/attack0/json?maxFlows=1000000&filter=ipsource~(.*1){12}.*",
        "/dump/ALL/ALL/json",
        "/table/ALL/ifindex,attack0,ifinoctets/json",
        "/flowlocations/ALL/attack0/json?key=1",
        "/metric/ALL/max:attack0,sum:attack0/json",
        "/prometheus/metrics/ALL/ALL/txt",
        "/agents/json",
        "/metrics/json",
    )
    for sent in count(1):
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0) as stream:
            path = paths[sent % len(paths)]
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            stream.settimeout(10.0)
            while sent % 2 and stream.recv(1 << 16):
                pass
        yield {"requests": sent}


def arp(host: str, port: int) -> Iterator[Counts]:
    """ARP requests from new MACs on the interface `host`, `port` of them a second."""
    began = time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as out:
        out.bind((host, 0))
        for sent in count(TURN, TURN):
            for _ in range(TURN):
                mac, address = b"\x02" + random.randbytes(5), b"\x0a\x63" + random.randbytes(2)
                packet = BROADCAST + mac + ARP_REQUEST + mac + address + bytes(6) + b"\x0a\x63\0\1"
                with contextlib.suppress(OSError):  # the interface's queue is full
                    out.send(packet.ljust(60, b"\0"))
            pace(began, sent / port)
            yield {"frames": sent}


def openflow(host: str, port: int) -> Iterator[Counts]:
    """Hellos with elements of length 0, cut messages, and switches that are none."""
    bad_hello = bytes.fromhex("06000010000000010001000000000040")
    for sent in count(1):
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1.0) as stream:
            stream.send(bad_hello if sent % 2 else random.randbytes(random.randrange(200)))
            stream.settimeout(0.05)
            stream.recv(100)
        yield {"connections": sent}


FLOODS: dict[str, Callable[..., Iterator[Counts]]] = {
    made.__name__.replace("_", "-"): made
    for made in (
        forged_agents,
        random_keys,
        distinct_flows,
        agents,
        elephants,
        malformed,
        connections,
        bodies,
        queries,
        arp,
        openflow,
    )
}


def select_readable(sockets: list[socket.socket]) -> list[socket.socket]:
    """Those that were closed by the other side or have something to read."""
    watch = select.poll()
    for stream in sockets:
        watch.register(stream, select.POLLIN)
    ready = {descriptor for descriptor, _ in watch.poll(10)}
    return [stream for stream in sockets if stream.fileno() in ready]


class Flood:
    """A flood in a process of its own, from entering to leaving, or until it `ended`; `counts` then says what was
    sent."""

    def __init__(self, kind: str, host: str, port: int, *more: object, prefix: tuple[str, ...] = ()) -> None:
        self.counts: Counts = {}
        self._command = [*prefix, sys.executable, str(Path(__file__)), kind, host, str(port), *map(str, more)]

    def __enter__(self) -> Flood:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def __exit__(self, *raised: object) -> None:
        said, _ = self._process.communicate()
        self.counts = json.loads(said)


def main() -> None:
    kind, host, port, *more = sys.argv[1:]
    counts: Counts = {}
    for counts in FLOODS[kind](host, int(port), *more):  # noqa: B007 - the last ones are said
        if select.select([sys.stdin], [], [], 0)[0]:
            break
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
