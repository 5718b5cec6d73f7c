"""Where datagrams come from: a UDP socket with a thread of its own, or a capture file.

The thread enters core/receive once and stays there without the GIL (recvmmsg, decode, aggregate); the socket is made
here, so that a port in use is one clear error before anything runs. `replay` feeds a capture with its own times.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analytics.capture import datagrams
from analytics.core.receive import Receiver
from analytics.engine import Engine

log = logging.getLogger(__name__)

SFLOW_PORT = 6343
LOG_EVERY_S = 10.0  # at most one line about failures of the receive thread in this time


@dataclass(frozen=True)
class CollectorSettings:
    """Where to listen. `buffer_bytes` is asked of the kernel; Collector.buffer_bytes says what was granted."""

    host: str = "127.0.0.1"
    port: int = SFLOW_PORT
    buffer_bytes: int = 16 << 20


class Collector:
    """Inert until `start`; `stop` returns when the thread has ended. May be started again."""

    def __init__(self, engine: Engine, settings: CollectorSettings = CollectorSettings()) -> None:
        self._engine = engine
        self._settings = settings
        self._receiver = Receiver(engine.pipeline)
        self._stop_fd = -1
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.buffer_bytes = 0
        engine.kernel_drops = lambda: self._receiver.dropped

    @property
    def address(self) -> tuple[str, int]:
        """The address and port that are bound (a port asked as 0 is known now)."""
        if self._socket is None:
            raise RuntimeError("the collector is not started")
        host, port, *_ = self._socket.getsockname()
        return host, port

    @property
    def numbers(self) -> dict[str, int]:
        """Batches and datagrams received, datagrams the kernel dropped, the granted receive buffer in bytes."""
        receiver = self._receiver
        return {"batches": receiver.batches, "datagrams": receiver.datagrams, "kernelDrops": receiver.dropped} | {
            "bufferBytes": self.buffer_bytes
        }

    def start(self) -> None:
        """Bind and begin to receive. OSError names the address that could not be bound."""
        if self._thread is not None:
            raise RuntimeError("the collector is started already")
        self._socket = self._bind()
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        sockets = (self._socket.fileno(), self._stop_fd)
        self._thread = threading.Thread(target=self._run, args=sockets, name="sflow", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket; nothing happens if it was not started."""
        if self._thread is None or self._socket is None:
            return
        os.eventfd_write(self._stop_fd, 1)
        self._thread.join()
        self._socket.close()
        os.close(self._stop_fd)
        self._thread = self._socket = None

    def _bind(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        made = None
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
            family, kind, proto, _, address = found[0]
            made = socket.socket(family, kind, proto)
            made.bind(address)
        except OSError as error:
            if made is not None:
                made.close()
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise OSError(error.errno, f"cannot receive sFlow on {host} UDP port {port}: {why}") from None
        self.buffer_bytes = _enlarge(made, self._settings.buffer_bytes)
        made.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RXQ_OVFL", 40), 1)
        return made

    def _run(self, fd: int, stop: int) -> None:
        quiet_until = 0.0
        while True:
            try:
                self._receiver.run(fd, stop)
                return
            except OSError:
                log.exception("receiving sFlow ended")
                return
            except Exception:  # a bug in judging a sample: the stream must go on
                if time.monotonic() >= quiet_until:
                    log.exception("a batch of sFlow was not fully counted")
                    quiet_until = time.monotonic() + LOG_EVERY_S


def _enlarge(made: socket.socket, wanted: int) -> int:
    """Ask for a large receive buffer, past the system's limit if we may; answers what the kernel gave."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    try:
        made.setsockopt(socket.SOL_SOCKET, force, wanted)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    return made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def replay(
    path: str | Path, engine: Engine, port: int = SFLOW_PORT, progress: Callable[[float], None] | None = None
) -> int:
    """Feed every sFlow datagram of a capture at its capture time, with a tick per second; answers how many there were.

    `progress` is called about once per second of capture with the capture's time. capture.Broken: a bad file.
    """
    count, ticked = 0, 0.0
    for now, source, payload in datagrams(path, port):
        if now - ticked >= 1.0:
            engine.tick(now)
            ticked = now
            if progress is not None:
                progress(now)
        engine.feed([payload], now, source)
        count += 1
    return count
