"""Numbered UDP datagrams: evenly spaced senders, and a receiver that counts arrivals, copies and late ones.

 0         4              8                    16
| "hwdh"  | flow number  | sequence from 0    | zeros up to the size |
"""

from __future__ import annotations

import argparse
import itertools
import socket
import struct
import time
from functools import partial

from topologies.traffic.eventloop import CHUNK, READ, Loop, bound, say

NUMBERED = struct.Struct("!4sIQ")
MAGIC = b"hwdh"


def udp_send(loop: Loop, options: argparse.Namespace) -> int:
    """Evenly spaced numbered datagrams, to every flow at the same rate."""
    sockets = [(bound(socket.SOCK_DGRAM, flow.source_port), flow) for flow in options.flow]
    padding = bytes(max(0, options.size - NUMBERED.size))
    gap = options.size * 8 / options.rate
    began = max(options.start, time.time())
    state = {"sent": 0, "failed": 0}

    def burst() -> None:
        """Send all that are due: after a late wake-up several at a time, so that the rate holds."""
        while loop.running and began + state["sent"] * gap <= time.time():
            for n, (sock, flow) in enumerate(sockets):
                try:
                    sock.sendto(NUMBERED.pack(MAGIC, n, state["sent"]) + padding, flow.address)
                except OSError:  # no route, or the queue is full
                    state["failed"] += 1
            if state["sent"] == 0:
                say("first", began)
            state["sent"] += 1
            if state["sent"] == options.count or (not options.count and time.time() >= began + options.seconds):
                loop.stop()
        loop.at(began + state["sent"] * gap, burst)

    loop.at(began, burst)
    loop.run()
    say("end", flows=[f"{flow.host}:{flow.port}" for flow in options.flow], **state)
    return 0


class Arrivals:
    """What came on one port from one sender."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.counts = {"datagrams": 0, "bytes": 0, "distinct": 0, "copies": 0, "late": 0, "foreign": 0}
        self.highest = -1
        self.latest = 0.0

    def add(self, data: bytes, now: float) -> float:
        """Counts a datagram that came at `now`; the seconds since the one before, 0 for the first."""
        since, self.latest = now - (self.latest or now), now
        self._count(data)
        return since

    def _count(self, data: bytes) -> None:
        counts = self.counts
        counts["datagrams"] += 1
        counts["bytes"] += len(data)
        if len(data) < NUMBERED.size or not data.startswith(MAGIC):
            counts["foreign"] += 1
            return
        _, sender, number = NUMBERED.unpack_from(data)
        key = number << 32 | sender
        if key in self.seen:
            counts["copies"] += 1
        else:
            self.seen.add(key)
            counts["distinct"] += 1
            counts["late"] += number < self.highest
        self.highest = max(self.highest, number)


def udp_receive(loop: Loop, options: argparse.Namespace) -> int:
    """Counts per (port, sender address), and a line after each pause; ends by itself after --count datagrams in all."""
    arrivals: dict[tuple[int, str, int], Arrivals] = {}
    total = itertools.count(1)

    def read(sock: socket.socket, port: int) -> None:
        while loop.running:
            try:
                data, (peer, sport) = sock.recvfrom(CHUNK)
            except BlockingIOError:
                return
            if (port, peer, sport) not in arrivals:
                arrivals[port, peer, sport] = Arrivals()
                say("first", port=port, peer=peer, sport=sport)
            silent((port, peer, sport), arrivals[port, peer, sport].add(data, time.time()))
            if next(total) == options.count:
                loop.stop()

    def silent(sender: tuple[int, str, int], seconds: float) -> None:
        if options.pause and seconds > options.pause:
            port, peer, sport = sender
            say("pause", port=port, peer=peer, sport=sport, seconds=round(seconds, 6))

    def report(event: str) -> None:
        for (port, peer, sport), one in sorted(arrivals.items()):
            say(event, port=port, peer=peer, sport=sport, **one.counts)

    for port in options.port:
        sock = bound(socket.SOCK_DGRAM, port)
        loop.on(sock, READ, partial(read, sock, port))
    loop.every(options.interval, lambda: report("counts"))
    say("ready", ports=options.port)
    loop.run()
    for sender, one in sorted(arrivals.items()):
        silent(sender, time.time() - one.latest)
    report("end")
    return 0
