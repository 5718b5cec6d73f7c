"""A listening socket that nothing from outside can close or fill.

Accepting goes on when the process has no descriptors left. Of the connections that are not `released` (still silent, or
in a handshake) at most `most` are kept: the oldest is closed for the newest, so silent ones keep no other out.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from ryu.lib import hub

PAUSE_S = 0.05  # after an accept that failed
PATIENCE_S = 1.0  # how long a connection may take to show that it is not silent when descriptors are short


class Acceptor:
    """Wraps a listening socket; has its other methods too, because eventlet's HTTP server takes it for one.

    refuse: address of a peer -> why it may not connect, or None; note: kind and error of a fault.
    """

    def __init__(
        self,
        server: Any,
        most: int,
        note: Callable[[str, Exception], None],
        refuse: Callable[[str], str | None] = lambda host: None,
    ) -> None:
        self._server, self._most, self._note, self._refuse = server, most, note, refuse
        self._kept: dict[int, tuple[Any, float]] = {}  # id -> connection, and since when; oldest first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def accept(self) -> tuple[Any, tuple[Any, ...]]:
        """The next connection that may stay, and its peer's address."""
        while True:
            try:
                stream, address = self._server.accept()
            except OSError as error:
                self._note("accept", error)
                hub.sleep(PAUSE_S)
                self._close_one_older_than(PATIENCE_S)
                continue
            if refusal := self._refuse(address[0]):
                self._note("connection refused", PermissionError(refusal))
                stream.close()
                continue
            self._kept = {key: kept for key, kept in self._kept.items() if kept[0].fileno() >= 0}
            if len(self._kept) >= self._most:
                self._close_one_older_than(0.0)
            self._kept[id(stream)] = stream, time.monotonic()
            hub.sleep(0)  # the one accepted before is served before this one may cost it its place
            return stream, address

    def release(self, stream: Any) -> bool:
        """Let a connection stay whoever comes after it; False if it was released or closed before."""
        return self._kept.pop(id(stream), None) is not None

    def _close_one_older_than(self, seconds: float) -> None:
        for key, (stream, since) in self._kept.items():
            if time.monotonic() - since >= seconds:
                del self._kept[key]
                close(stream)
            return


def close(stream: Any) -> None:
    """End a connection that another green thread reads: that thread sees the end of the stream and closes it."""
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
