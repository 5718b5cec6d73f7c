"""A listening socket that nothing from outside can close or fill.

Accepting goes on when the process has no descriptors left. Of the connections that are not released (still silent, in
a handshake, or between two requests) fewer than `most` are kept: the oldest is closed for the next one, so silent ones
keep no other out. Each has `patience_s` to show that it is not silent; when all are younger, the next waits in the
kernel's queue.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Callable
from typing import Any

from ryu.lib import hub

PAUSE_S = 0.05  # after an accept that failed, or while there is no room


class Acceptor:
    """Wraps a listening socket; has its other methods too, because eventlet's HTTP server takes it for one.

    refuse: address of a peer -> why it may not connect, or None; note: kind and error of a fault.
    """

    def __init__(
        self,
        server: Any,
        most: int,
        patience_s: float,
        note: Callable[[str, Exception], None],
        refuse: Callable[[str], str | None] = lambda host: None,
    ) -> None:
        self._server, self._most, self._patience_s = server, most, patience_s
        self._note, self._refuse = note, refuse
        self._kept: dict[int, tuple[Any, float]] = {}  # id -> connection, and since when; oldest first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def accept(self) -> tuple[Any, tuple[Any, ...]]:
        """The next connection that may stay, and its peer's address."""
        while True:
            self._make_room()
            try:
                stream, address = self._server.accept()
            except OSError as error:
                self._note("accept", error)
                hub.sleep(PAUSE_S)
                self._close_oldest()
                continue
            if refusal := self._refuse(address[0]):
                self._note("connection refused", PermissionError(refusal))
                stream.close()
                continue
            self.keep(stream)
            return stream, address

    def keep(self, stream: Any) -> None:
        """From now on this connection has to show anew that it is not silent."""
        self._kept[id(stream)] = stream, time.monotonic()

    def release(self, stream: Any) -> bool:
        """Let a connection stay whoever comes after it; False if it was released or closed before."""
        return self._kept.pop(id(stream), None) is not None

    def _make_room(self) -> None:
        while len(self._kept) >= self._most:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[0].fileno() >= 0}
            if len(self._kept) >= self._most and not self._close_oldest():
                hub.sleep(PAUSE_S)

    def _close_oldest(self) -> bool:
        """Closes the connection that was silent for longest; False if none has been for `patience_s`."""
        key, (stream, since) = next(iter(self._kept.items()), (0, (None, math.inf)))
        if time.monotonic() - since < self._patience_s:
            return False
        del self._kept[key]
        close(stream)
        return True


def close(stream: Any) -> None:
    """End a connection that another green thread reads: that thread sees the end of the stream and closes it."""
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
