"""The connections of the HTTP server: how many there are, how long each may take, how much memory they hold.

uvicorn bounds idle kept connections only: it takes heads and answers of any size and duration, its limit_concurrency
counts silent connections like real ones and then refuses everybody, and asyncio logs without end when accept fails.
So connections are accepted here, and uvicorn's protocol is told of time and memory:

1. There are at most MAX_CONNECTIONS (and half of the process's descriptors), of one address at most MAX_PER_PEER unless
   it is loopback. When one more comes, an old one is closed for it: the oldest that has not sent a whole request, else
   the one idle longest, else the oldest of all. So silent ones keep no request out, on loopback neither, where all
   have one address.
2. A request's head has HEAD_S and MAX_HEAD bytes, its body BODY_S. An answer must have been taken within ANSWER_S.
3. The bodies that are not answered yet have at most MAX_BODIES bytes, answers not taken MAX_ANSWERS: beyond that the
   one that has taken longest goes. Requests that wait in one connection behind another (pipelining): MAX_PIPELINED.
4. When accept fails (no descriptors are left), those that have been silent for SILENT_S are closed; accepting goes on.

What is closed is a fault by its kind, but for one that never said a word (browsers open such). Cost: three moves in
dictionaries per request; once a second all connections are looked at.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import itertools
import math
import resource
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from documents.faults import Faults

MAX_CONNECTIONS = 4096
MAX_PER_PEER = 1024
MAX_HEAD = 32 * 1024  # bytes; a path and query may have half of that (documents.httpguard)
MAX_PIPELINED = 16
MAX_BODIES = 16 * 1024 * 1024  # bytes: four of the largest
MAX_ANSWERS = 64 * 1024 * 1024  # bytes
HEAD_S = 10.0
BODY_S = 60.0
ANSWER_S = 60.0
LINGER_S = 5.0  # what a client that was refused has for reading why
PATIENCE_S = 2.0  # with a body when there are too many
SILENT_S = 0.25  # when there are no descriptors: who has just come has mostly sent its request
PAUSE_S = 0.05  # after an accept that failed
SWEEP_S = 1.0
AT_ONCE = 64  # connections looked at, about 2 ms if all of them end


class Refused(Exception):
    """Ends the parser's work on a connection that was refused."""


class Connections:
    """All connections. `serve` accepts them, `watch` ends those that take too long. `most_answers`: bytes of answers
    not taken, where that is less than MAX_ANSWERS."""

    def __init__(self, faults: Faults, most_answers: float = math.inf) -> None:
        self._faults = faults
        self._most_answers = min(MAX_ANSWERS, most_answers)
        self._most = min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        # Each connection is in one of these, the longest there first.
        self._asking: dict[Connection, None] = {}  # no whole request yet
        self._idle: dict[Connection, None] = {}  # answered
        self._answering: dict[Connection, None] = {}
        self._per_peer: dict[str, int] = {}
        self._total = 0
        self._body_bytes = 0

    async def serve(self, listener: socket.socket, protocol: Callable[[], Connection]) -> None:
        """Accept for as long as it is not cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                stream, address = await loop.sock_accept(listener)
            except ConnectionError:  # it has left already
                continue
            except OSError as error:
                self.note("http accept", error)
                self._end_silent()
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                self._make_room(peer_of(address[0]))
                await loop.connect_accepted_socket(protocol, stream)
            except Exception as error:
                self._faults.note("http accept", error, time.monotonic())
                stream.close()

    async def watch(self) -> None:
        """Look at all connections now and then, for as long as it is not cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep(time.monotonic())

    async def sweep(self, now: float) -> None:
        """End what takes too long or, not taking its answers, too much; some at a time, others are answered between."""
        stuck: list[tuple[float, Connection]] = []
        for number, connection in enumerate(self._all(), 1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if connection.is_late(now):
                if connection.has_begun:
                    self.note("http time-out", TimeoutError(f"{connection.peer}: no whole request in time"))
                connection.abort()
            elif (since := connection.stuck_since(now)) is not None:
                stuck.append((since, connection))
        unsent = sum(connection.unsent() for _, connection in stuck)
        for since, connection in sorted(stuck, key=lambda row: row[0]):
            if now - since > ANSWER_S or (unsent > self._most_answers and since < now):
                unsent -= connection.unsent()
                self.end(connection, "http time-out", TimeoutError(f"{connection.peer}: does not take its answer"))

    def counts(self) -> tuple[int, int]:
        """How many there are, and how many there were."""
        return len(self._asking) + len(self._idle) + len(self._answering), self._total

    # What connections say of themselves

    def opened(self, connection: Connection) -> None:
        self._total += 1
        self._per_peer[connection.peer] = self._per_peer.get(connection.peer, 0) + 1
        self._asking[connection] = None

    def closed(self, connection: Connection) -> None:
        if self._leave(connection):
            self._per_peer[connection.peer] -= 1
            if not self._per_peer[connection.peer]:
                del self._per_peer[connection.peer]

    def asks(self, connection: Connection) -> None:
        self._leave(connection)
        self._asking[connection] = None

    def is_answered(self, connection: Connection) -> None:
        self._leave(connection)
        self._idle[connection] = None

    def waits_for_answer(self, connection: Connection) -> None:
        self._leave(connection)
        self._answering[connection] = None

    def hold(self, connection: Connection, size: int) -> None:
        """A piece of a body came in (or, with a negative size, was let go). Beyond MAX_BODIES the connection whose body
        has been on its way longest is refused if that is long, else this one."""
        self._body_bytes += size
        while size > 0 and self._body_bytes > MAX_BODIES:
            oldest = next((each for each in self._asking if each.body_bytes), connection)
            victim = oldest if oldest.asked_for(time.monotonic()) > PATIENCE_S else connection
            self.note("http full", MemoryError(f"{victim.peer}: too many bodies at once"))
            victim.refuse(503, f"all bodies that are being received have more than {MAX_BODIES} bytes; try again")
            if victim is connection:
                raise Refused

    def end(self, connection: Connection, kind: str, error: Exception) -> None:
        self.note(kind, error)
        connection.abort()

    def note(self, kind: str, error: Exception) -> None:
        self._faults.note(kind, error.with_traceback(None), time.monotonic())

    def _leave(self, connection: Connection) -> bool:
        groups = [group for group in (self._asking, self._idle, self._answering) if connection in group]
        for group in groups:
            del group[connection]
        return bool(groups)

    def _all(self) -> list[Connection]:
        """In the order in which they are given up."""
        return [*self._asking, *self._idle, *self._answering]

    def _make_room(self, peer: str) -> None:
        """For one more of this peer. What is aborted leaves at the next turn of the event loop, so count without it."""
        in_order: Iterator[Connection] = itertools.chain(self._asking, self._idle, self._answering)
        if self._per_peer.get(peer, 0) >= MAX_PER_PEER and not is_loopback(peer):
            in_order = (each for each in in_order if each.peer == peer)
        elif self.counts()[0] < self._most:
            return
        if victim := next(in_order, None):
            self.end(victim, "http full", ConnectionAbortedError(f"{victim.peer}: closed for a newer connection"))
            self.closed(victim)

    def _end_silent(self) -> None:
        now = time.monotonic()
        for connection in [*self._asking, *self._idle]:
            if connection.asked_for(now) > SILENT_S:
                connection.abort()


class Connection(HttpToolsProtocol):
    """One connection: uvicorn's protocol, which tells `bounds` what it is doing."""

    def __init__(self, bounds: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.peer = ""
        self._bounds = bounds
        self._cycles: deque[RequestResponseCycle] = deque()  # requests whose heads are there, not answered yet
        self._whole = 0  # how many of them are there in whole
        self.has_begun = False  # to send a request
        self._arriving = True  # of which nothing need be there yet
        self._in_head = True
        self._head_bytes = self.body_bytes = 0  # of bodies: of all that are not answered
        self._asks_since = time.monotonic()
        self._arrive_by = self._asks_since + HEAD_S
        self._stuck_since: float | None = None
        self._refused = False

    def is_late(self, now: float) -> bool:
        """The client, not we, keeps a request from getting here."""
        return now > self._arrive_by and not self.flow.read_paused

    def asked_for(self, now: float) -> float:
        """For how many seconds its request has been on its way."""
        return now - self._asks_since

    def stuck_since(self, now: float) -> float | None:
        """The look at which the client had not taken all of an answer, and has not done so since."""
        if not self.unsent():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        return self._stuck_since

    def unsent(self) -> int:
        """Bytes of answers that the client has not taken."""
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        self._arrive_by = math.inf
        self.transport.abort()

    def refuse(self, status: int, why: str) -> None:
        """Answer this and close; what the client still sends is read for a while, or it would not see the answer."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._let_go()
        if any(cycle.response_started for cycle in self._cycles):
            self.abort()
            return
        body = why.encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self.flow.resume_reading()
        self._linger()

    def _linger(self) -> None:
        self._arrive_by = time.monotonic() + LINGER_S
        self.has_begun = False  # to send what we wait for: that it does not come is no fault

    def _let_go(self) -> None:
        """End the work on its requests."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        self._release()

    def _release(self) -> None:
        self._bounds.hold(self, -self.body_bytes)
        self.body_bytes = 0

    # What asyncio, the parser and uvicorn call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = peer_of(self.client[0]) if self.client else ""
        self._bounds.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_go()
        self._bounds.closed(self)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        began_before = self._arriving and self._in_head
        if not self._arriving:
            self._begin()
        super().data_received(data)
        if began_before and self._arriving and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse_head()

    def _begin(self) -> None:
        self._arriving = self._in_head = True
        self.has_begun = False
        self._head_bytes = 0
        self._asks_since = time.monotonic()
        self._arrive_by = self._asks_since + HEAD_S
        if not self._whole:
            self._bounds.asks(self)

    def _refuse_head(self) -> None:
        self.refuse(431, f"path, query and headers have more than {MAX_HEAD} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._arriving:  # behind another
            self._begin()
        self.has_begun = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._arrive_by = time.monotonic() + BODY_S
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._refuse_head()
            raise Refused
        if len(self._cycles) > MAX_PIPELINED:
            self._bounds.end(self, "http full", ConnectionAbortedError(f"{self.peer}: too many requests at once"))
            raise Refused
        super().on_headers_complete()
        self._cycles.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self.body_bytes += len(body)
            self._bounds.hold(self, len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._arriving = False
        self._arrive_by = math.inf
        if not self.cycle.response_complete:
            self._whole += 1
            self._bounds.waits_for_answer(self)
        elif not self._whole:
            self._bounds.is_answered(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._release()
        self._cycles.popleft()
        self._whole = max(0, self._whole - 1)
        if self._whole or self.transport.is_closing():
            return
        if not self._arriving:
            self._bounds.is_answered(self)
        elif not self._in_head:  # answered before its body was there: a refusal, which the client shall see
            self._linger()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, msg)


@functools.lru_cache(MAX_CONNECTIONS)
def peer_of(host: str) -> str:
    """Whose connection it is: an IPv4 address, or the /64 of an IPv6 one, all of which one host may have."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64))) if not address.is_loopback else host


@functools.lru_cache(MAX_CONNECTIONS)
def is_loopback(peer: str) -> bool:
    return ipaddress.ip_address(peer.partition("/")[0]).is_loopback
