"""TCP elephants: bulk transfers with chosen source ports, and a receiver whose byte counters measure their goodput.

The receiver is woken by READ_AHEAD bytes and by its timer instead of by every packet, so that sixteen of them leave the
processor to the switches.
"""

from __future__ import annotations

import argparse
import socket
import struct
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from topologies.traffic.eventloop import CHUNK, READ, RETRY, WRITE, Flow, Loop, bound, say

READ_AHEAD = 1 << 14


class Receiver:
    """Counts the bytes of every connection; a line per connection and interval in which bytes came."""

    def __init__(self, loop: Loop, ports: Iterable[int], interval: float) -> None:
        self.loop = loop
        self.buffer = bytearray(CHUNK)
        self.flows: dict[socket.socket, dict[str, Any]] = {}
        self.total = 0
        for port in ports:
            listener = bound(socket.SOCK_STREAM, port)
            listener.listen(128)
            loop.on(listener, READ, partial(self.accept, listener))
        loop.every(interval, self.report)

    def accept(self, listener: socket.socket) -> None:
        sock, (peer, sport) = listener.accept()
        sock.setblocking(False)
        self.flows[sock] = {"peer": peer, "sport": sport, "port": sock.getsockname()[1], "bytes": 0, "reported": 0}
        self.loop.on(sock, READ, lambda: self.drain(sock))

    def drain(self, sock: socket.socket) -> None:
        """Read what is there; at the end of the connection print its total."""
        flow = self.flows[sock]
        while True:
            try:
                size = sock.recv_into(self.buffer)
            except BlockingIOError:
                return
            except OSError:  # reset: a sender that stopped at its time
                size = 0
            if size == 0:
                self.say("end", self.flows.pop(sock))
                self.loop.close(sock)
                return
            if flow["bytes"] == 0:
                self.say("first", flow)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, READ_AHEAD)
            flow["bytes"] += size
            self.total += size

    def report(self) -> None:
        for sock in list(self.flows):
            self.drain(sock)
        for flow in self.flows.values():
            if flow["bytes"] != flow["reported"]:
                flow["reported"] = flow["bytes"]
                self.say("bytes", flow)

    @staticmethod
    def say(event: str, flow: dict[str, Any]) -> None:
        say(event, **{key: flow[key] for key in ("peer", "sport", "port", "bytes")})


class Sender:
    """One elephant: connects as soon as the receiver listens, then sends until its time or its bytes are used up."""

    def __init__(self, loop: Loop, flow: Flow, options: argparse.Namespace, done: Callable[[int], None]) -> None:
        self.loop, self.flow, self.options, self.done = loop, flow, options, done
        self.about: dict[str, Any] = {"peer": flow.host, "port": flow.port, "sport": flow.source_port}
        self.sock = socket.socket()  # until it is its turn to connect
        self.sent = 0
        self.began = 0.0
        self.chunk = memoryview(bytes(CHUNK))
        self.ended = False
        self.give_up_at = max(options.start, time.time()) + options.patience
        loop.at(options.start, self.connect)
        loop.at(self.give_up_at, self.no_answer)

    def connect(self) -> None:
        if self.ended:
            return
        self.sock = sock = bound(socket.SOCK_STREAM, self.flow.source_port)
        if self.options.congestion:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.options.congestion.encode())
        sock.connect_ex(self.flow.address)
        self.loop.on(sock, WRITE, self.connected)

    def connected(self) -> None:
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.loop.close(self.sock)
            self.loop.at(time.time() + RETRY, self.connect)
            return
        self.about["sport"] = self.sock.getsockname()[1]
        self.began = time.time()
        say("first", self.began, **self.about)
        if self.options.bytes is None:
            self.loop.at(self.began + self.options.seconds, self.end)
        self.loop.on(self.sock, WRITE, self.send)

    def no_answer(self) -> None:
        if not self.began:
            self.end(error="no answer")

    def send(self) -> None:
        left = CHUNK if self.options.bytes is None else self.options.bytes - self.sent
        try:
            self.sent += self.sock.send(self.chunk[: min(left, CHUNK)])
        except BlockingIOError:
            return
        except OSError as error:
            self.end(error=error.strerror)
            return
        if self.sent == self.options.bytes:  # the receiver closes when all of it has arrived
            self.sock.shutdown(socket.SHUT_WR)
            self.loop.on(self.sock, READ, self.end)

    def end(self, **why: Any) -> None:
        """Print the totals; a flow of a given time ends at once, with a reset and not with what is still queued."""
        if self.ended:
            return
        self.ended = True
        if self.sock.fileno() >= 0:
            if self.options.bytes is None:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.loop.close(self.sock)
        seconds = round(time.time() - self.began, 6) if self.began else 0
        say("end", **self.about, bytes=self.sent, seconds=seconds, **why)
        self.done(1 if why else 0)


def receive(loop: Loop, options: argparse.Namespace) -> int:
    receiver = Receiver(loop, options.port, options.interval)
    say("ready", ports=options.port)
    loop.run()
    receiver.report()
    say("end", bytes=receiver.total)
    return 0


def send(loop: Loop, options: argparse.Namespace) -> int:
    """Send to all flows at once, or in turn."""
    flows = iter(options.flow)
    failed: list[int] = []
    senders: list[Sender] = []

    def begin() -> bool:
        flow = next(flows, None)
        if flow is not None:
            senders.append(Sender(loop, flow, options, done))
        return flow is not None

    def done(failure: int) -> None:
        failed.append(failure)
        if len(failed) == len(options.flow) or not loop.running:
            loop.stop()
        elif options.in_turn:
            begin()

    while begin() and not options.in_turn:
        continue
    loop.run()
    for sender in [*senders]:
        sender.end()
    return max(failed, default=0)
