"""A descriptor that becomes readable when somebody rings: how the receive thread wakes an event loop (eventfd(2))."""

from __future__ import annotations

import contextlib
import os


class Bell:
    """Ring from any thread; watch `fileno()` for reading, and `hush()` before looking at what it announced."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is ringing already
            os.eventfd_write(self._fd, 1)

    def hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
