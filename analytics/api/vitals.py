"""The part of the analyzer statistics that is about this process and its HTTP side, not about sFlow.

`Vitals` counts HTTP messages and body bytes as they pass, and reads the process's memory and processor use when asked;
`connections`, if the server sets it, answers how many there are and how many there were.
Names are those of sFlow-RT's /analyzer/json (heapUsed is the resident memory).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]  # the types of ASGI 3 (asgi.readthedocs.io)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE = os.sysconf("SC_PAGE_SIZE")


class Vitals:
    """Cumulative counts since start, and the process's own figures."""

    def __init__(self) -> None:
        self.connections: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._messages = self._answers = 0
        self._received = 0
        self._sent = 0
        self._resident = 0
        self._processor = (time.monotonic(), time.process_time(), 0.0)

    def counted(self, app: ASGIApp) -> ASGIApp:
        """The same application, its HTTP messages and body bytes counted here."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            self._messages += 1

            async def counted_receive() -> Message:
                message = await receive()
                self._received += len(message.get("body", b""))
                return message

            async def counted_send(message: Message) -> None:
                self._sent += len(message.get("body", b""))
                self._answers += message["type"] == "http.response.start"
                await send(message)

            await app(scope, counted_receive, counted_send)

        return counting

    def read(self) -> dict[str, Any]:
        """Current values; the processor load is of the time since the last reading at least a second ago."""
        current, total = self.connections()
        return {
            "httpConnectionsCurrent": current,
            "httpConnectionsTotal": total,
            "httpMessagesReceived": self._messages,
            "httpMessagesSent": self._answers,
            "httpBytesReceived": self._received,
            "httpBytesSent": self._sent,
            "heapUsed": self._resident_bytes(),
            "heapMax": os.sysconf("SC_PHYS_PAGES") * PAGE,
            "cpuLoadProcess": self._load(),
        }

    def _load(self) -> float:
        """Share of all processors used by this process, 0..1."""
        then, used_then, load = self._processor
        elapsed = time.monotonic() - then
        if elapsed >= 1.0:
            used = time.process_time()
            load = min(1.0, (used - used_then) / elapsed / (os.cpu_count() or 1))
            self._processor = (then + elapsed, used, load)
        return load

    def _resident_bytes(self) -> int:
        """Second field of /proc/self/statm (proc(5)), in pages; as it was last if no descriptor is left to read it."""
        with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:
            self._resident = int(statm.read().split()[1]) * PAGE
        return self._resident
