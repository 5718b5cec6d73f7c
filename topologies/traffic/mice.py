"""Mice: small requests, one at a time, whose round-trip times show how elephants delay other traffic.

A request is its size, the size of the wanted reply and its number (4 + 4 + 8 bytes), then zeros; the reply repeats the
three. Over TCP a connection lasts, and a lost packet shows as the time its retransmission took; over UDP a request
without a reply within `--timeout` is counted as timed out and has no round-trip time. `probe` sends to many hosts once
each, and again until they answer.
"""

from __future__ import annotations

import argparse
import random
import socket
import struct
import time

from topologies.traffic.eventloop import CHUNK, READ, RETRY, Flow, Loop, bound, say

REQUEST = struct.Struct("!IIQ")
DATAGRAM = 1472  # bytes that fit one Ethernet frame
AGAIN = 0.2  # seconds after which a probe is repeated


def mice_serve(loop: Loop, options: argparse.Namespace) -> int:
    """Answer every request, TCP and UDP, with as many bytes as it asks for."""
    answered = {"requests": 0}

    def reply(request: bytes | bytearray) -> bytes:
        answered["requests"] += 1
        wanted = min(REQUEST.unpack_from(request)[1], CHUNK - 1)
        return bytes(request[: REQUEST.size]).ljust(wanted, b"\0")

    def datagram() -> None:
        data, peer = udp.recvfrom(CHUNK)
        if len(data) >= REQUEST.size:
            udp.sendto(reply(data)[:DATAGRAM], peer)

    def accept() -> None:
        sock, _ = tcp.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = bytearray()

        def serve() -> None:
            try:
                data = sock.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                loop.close(sock)
                return
            waiting.extend(data)
            while len(waiting) >= REQUEST.size and len(waiting) >= REQUEST.unpack_from(waiting)[0]:
                sock.sendall(reply(waiting))
                del waiting[: max(REQUEST.size, REQUEST.unpack_from(waiting)[0])]

        loop.on(sock, READ, serve)

    udp, tcp = bound(socket.SOCK_DGRAM, options.port), bound(socket.SOCK_STREAM, options.port)
    tcp.listen(128)
    loop.on(udp, READ, datagram)
    loop.on(tcp, READ, accept)
    say("ready", ports=[options.port])
    loop.run()
    say("end", **answered)
    return 0


class Mouse:
    """Asks one host again and again, `gap` seconds (or that on average) after the last answer."""

    def __init__(self, loop: Loop, flow: Flow, options: argparse.Namespace, rng: random.Random) -> None:
        self.loop, self.flow, self.options, self.rng = loop, flow, options, rng
        self.times: list[float] = []  # ms
        self.timeouts = 0
        self.number = 0
        self.asked = 0.0  # 0: nothing outstanding
        self.received = bytearray()
        begin = max(time.time(), options.start)
        self.give_up_at = begin + options.patience
        loop.at(begin, self.connect)

    def connect(self) -> None:
        """Connect, again and again until the server listens; OSError when `--patience` is over."""
        self.sock = bound(socket.SOCK_DGRAM if self.options.udp else socket.SOCK_STREAM, self.flow.source_port)
        self.sock.settimeout(self.options.patience)
        try:
            self.sock.connect(self.flow.address)
        except OSError as error:
            self.sock.close()
            if time.time() >= self.give_up_at:
                raise OSError(f"{self.flow.host}:{self.flow.port}: {error}") from None
            self.loop.at(time.time() + RETRY, self.connect)
            return
        self.sock.setblocking(False)
        if not self.options.udp:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop.on(self.sock, READ, self.read)
        self.ask()

    def ask(self) -> None:
        self.number += 1
        self.asked = time.time()
        size = max(self.options.size, REQUEST.size)
        self.sock.send(REQUEST.pack(size, max(self.options.reply, REQUEST.size), self.number).ljust(size, b"\0"))
        if self.options.udp:
            number = self.number
            self.loop.at(self.asked + self.options.timeout, lambda: self.time_out(number))

    def time_out(self, number: int) -> None:
        if self.asked and self.number == number:
            self.timeouts += 1
            self.answered(None)

    def read(self) -> None:
        data = self.sock.recv(CHUNK)
        if not data:
            raise ConnectionResetError(f"{self.flow.host}:{self.flow.port} closed the connection")
        if self.options.udp:
            self.received[:] = data
        else:
            self.received += data
        if len(self.received) < REQUEST.size:
            return
        _, size, number = REQUEST.unpack_from(self.received)
        if len(self.received) < size and not self.options.udp:
            return
        self.received.clear()
        if self.asked and number == self.number:  # else the answer came after the time-out
            self.answered(round((time.time() - self.asked) * 1000, 3))

    def answered(self, ms: float | None) -> None:
        """Print the time and plan the next request."""
        say("rtt", self.asked, peer=self.flow.host, number=self.number, ms=ms)
        if ms is not None:
            self.times.append(ms)
        self.asked = 0.0
        mean = self.options.gap
        gap = self.rng.expovariate(1 / mean) if self.options.poisson and mean else mean
        self.loop.at(time.time() + gap, self.ask)


def mice(loop: Loop, options: argparse.Namespace) -> int:
    """Ask until the time or the number of requests is used up; then print percentiles of all times."""
    every = [Mouse(loop, flow, options, random.Random(f"{options.seed}/{n}")) for n, flow in enumerate(options.flow)]
    if options.count:

        def stop_at_count() -> None:
            if sum(one.number - bool(one.asked) for one in every) >= options.count:
                loop.stop()

        loop.every(0.01, stop_at_count)
    else:
        loop.at(max(time.time(), options.start) + options.seconds, loop.stop)
    loop.run()
    times = sorted(ms for one in every for ms in one.times)
    counts = {
        "requests": len(times),
        "timeouts": sum(one.timeouts for one in every),
        "unanswered": sum(one.asked > 0 for one in every),
    }
    say("end", **counts, **percentiles(times))
    return 0


def percentiles(times: list[float]) -> dict[str, float | None]:
    """p50, p90 and p99 by the nearest rank, of times in ascending order."""
    ranks = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99}
    return {name: times[max(0, -(-len(times) * rank // 100) - 1)] if times else None for name, rank in ranks.items()}


def probe(loop: Loop, options: argparse.Namespace) -> int:
    """Send to each host by UDP until it answers or `--patience` is over; exit code 1 if one did not."""
    sock = bound(socket.SOCK_DGRAM, 0)
    began = time.time()
    missing = dict.fromkeys((host, options.port) for host in options.host)
    reached: dict[str, float] = {}

    def ask() -> None:
        for address in missing:
            try:
                sock.sendto(REQUEST.pack(REQUEST.size, REQUEST.size, 0), address)
            except OSError:  # no route or no ARP answer yet
                continue

    def read() -> None:
        try:
            _, peer = sock.recvfrom(CHUNK)
        except OSError:  # one of them does not listen
            return
        if peer in missing:
            del missing[peer]
            reached[peer[0]] = round((time.time() - began) * 1000, 3)
        if not missing:
            loop.stop()

    loop.on(sock, READ, read)
    ask()
    loop.every(AGAIN, ask)
    loop.at(began + options.patience, loop.stop)
    loop.run()
    say("end", reached_ms=reached, lost=[host for host, _ in missing])
    return 1 if missing else 0
