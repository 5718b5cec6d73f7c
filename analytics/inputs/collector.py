"""Where live datagrams come from: UDP sockets with a thread each.

A thread enters core/receive once and stays there without the GIL (recvmmsg, decode, aggregate); the sockets are made
here, so that a port in use is one clear error before anything runs. With several sockets the kernel spreads senders
over them (SO_REUSEPORT), one sender always to the same, so that its datagrams stay in order.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time

from analytics.core.receive import Receiver
from analytics.engine import Engine
from analytics.inputs.settings import CollectorSettings, prefix
from analytics.metrics.numbers import ReceivingNumbers
from documents.faults import Faults

RETRY_S = 1.0  # after the socket failed


class Collector:
    """Inert until `start`; `stop` returns when the threads have ended. May be started again."""

    def __init__(self, engine: Engine, settings: CollectorSettings) -> None:
        self._settings = settings
        senders = [prefix(source) for source in settings.sources]
        self._receivers = [Receiver(engine.pipeline, senders) for _ in range(settings.sockets)]
        self._stop_fd = -1
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.buffer_bytes = 0
        self._faults = engine.faults
        engine.receiving = self

    @property
    def address(self) -> tuple[str, int]:
        """The address and port that are bound (a port asked as 0 is known now)."""
        if not self._sockets:
            raise RuntimeError("the collector is not started")
        host, port, *_ = self._sockets[0].getsockname()
        return host, port

    @property
    def numbers(self) -> ReceivingNumbers:
        """Of all sockets together, since the collector was made."""
        received = self._receivers
        return ReceivingNumbers(
            batches=sum(each.batches for each in received),
            datagrams=sum(each.datagrams for each in received),
            kernel_drops=sum(each.dropped for each in received),
            refused=sum(each.refused for each in received),
            shed=sum(each.shed for each in received),
            sockets=len(self._sockets),
            buffer_bytes=self.buffer_bytes,
        )

    def bind(self) -> None:
        """Open the sockets; what arrives waits in them until `start`. OSError names the address that could not be
        bound."""
        if self._sockets:
            raise RuntimeError("the collector is bound already")
        self._sockets = self._bind()

    def start(self) -> None:
        """Begin to receive; binds first where that was not done, with the same errors."""
        if self._threads:
            raise RuntimeError("the collector is started already")
        if not self._sockets:
            self.bind()
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        for receiver, made in zip(self._receivers, self._sockets, strict=True):
            receiver.new_socket()
            sockets = (receiver, made.fileno(), self._stop_fd, self._faults)
            self._threads.append(threading.Thread(target=_run, args=sockets, name="sflow", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads and close the sockets; nothing happens if it was not started."""
        if self._threads:
            os.eventfd_write(self._stop_fd, 1)  # stays readable: every thread sees it
            for thread in self._threads:
                thread.join()
            os.close(self._stop_fd)
        for made in self._sockets:
            made.close()
        self._threads, self._sockets = [], []

    def _bind(self) -> list[socket.socket]:
        """The sockets, bound to one port. The first is bound alone before it is shared: SO_REUSEPORT would let us
        join a port that another process already reads."""
        host, port = self._settings.host, self._settings.port
        made: list[socket.socket] = []
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
            family, _, _, _, address = found[0]
            if self._settings.sockets > 1:
                with _socket(family, shared=False) as probe:
                    probe.bind(address)
                    address = (address[0], probe.getsockname()[1], *address[2:])
            for _ in range(self._settings.sockets):
                made.append(_socket(family, shared=self._settings.sockets > 1))
                made[-1].bind(address)
        except OSError as error:
            for each in made:
                each.close()
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise OSError(error.errno, f"cannot receive sFlow on {host} UDP port {port}: {why}") from None
        self.buffer_bytes = min(_enlarge(each, self._settings.buffer_bytes) for each in made)
        return made


def _socket(family: int, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # whatever the system's default
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RXQ_OVFL", 40), 1)
    return made


def _run(receiver: Receiver, fd: int, stop: int, faults: Faults) -> None:
    """Receive until `stop` is readable, whatever goes wrong."""
    stopped = False
    while not stopped:
        try:
            receiver.run(fd, stop)
            stopped = True
        except OSError as error:
            faults.note("sflow socket", error, time.monotonic())
            stopped = bool(select.select([stop], [], [], RETRY_S)[0])
        except Exception as error:  # a bug in what a batch needs Python for; the batch was not fully counted
            faults.note("sflow batch", error, time.monotonic())


def _enlarge(made: socket.socket, wanted: int) -> int:
    """Ask for a large receive buffer, past the system's limit if we may; answers what the kernel gave."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    try:
        made.setsockopt(socket.SOL_SOCKET, force, wanted)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    return made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
