"""What all traffic programs share: one selector with timers, sockets bound to ports, and JSON lines as their output."""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

CHUNK = 1 << 16
RETRY = 0.05  # seconds between attempts to reach a receiver that does not listen yet
READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Flow(NamedTuple):
    """Where a flow goes, and the source port it is to have (0: any)."""

    host: str
    port: int
    source_port: int

    @classmethod
    def read(cls, text: str) -> Flow:
        """HOST:PORT[@SOURCE_PORT]; ValueError otherwise (which argparse reports with the text)."""
        target, _, source = text.partition("@")
        host, _, port = target.rpartition(":")
        return cls(socket.inet_ntoa(socket.inet_aton(host)), int(port), int(source or 0))

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port


def say(event: str, at: float | None = None, **fields: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({"event": event, "time": round(time.time() if at is None else at, 6), **fields}), flush=True)


class Loop:
    """Calls back when a socket is ready or a time has come, until `stop` or SIGTERM."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.running = True

    def stop(self, *_: object) -> None:
        self.running = False

    def on(self, sock: socket.socket, events: int, call: Callable[[], None]) -> None:
        """Call while the socket is ready; replaces what was called before."""
        if sock in self.selector.get_map():
            self.selector.modify(sock, events, call)
        else:
            self.selector.register(sock, events, call)

    def close(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0 and sock in self.selector.get_map():
            self.selector.unregister(sock)
        sock.close()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call once at a time of time.time()."""
        heapq.heappush(self.timers, (when, next(self.numbers), call))

    def every(self, interval: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self.at(max(time.time(), due() + interval), again)

        started, count = time.time(), itertools.count(1)

        def due() -> float:
            return started + interval * next(count)

        self.at(started + interval, again)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        read, write = os.pipe()  # so that a signal between the check and select() is not missed
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        self.selector.register(read, READ, lambda: os.read(read, 64))
        while self.running:
            wait = max(0.0, self.timers[0][0] - time.time()) if self.timers else None
            for key, _ in self.selector.select(wait):
                key.data()
            while self.running and self.timers and self.timers[0][0] <= time.time():
                heapq.heappop(self.timers)[2]()


def bound(kind: int, port: int) -> socket.socket:
    """A non-blocking socket on this port of all addresses; OSError names the port if it is taken."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("", port))
    except OSError as error:
        sock.close()
        raise OSError(f"port {port}: {error.strerror}") from None
    sock.setblocking(False)
    return sock
