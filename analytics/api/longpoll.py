"""Long polls: requests that wait until the engine has something newer than their cursor.

The engine signals each new event through a file descriptor. The event loop watches it, empties it and wakes every
waiting request, which asks the engine again. Nothing polls, so an event is answered in the time of one wake-up and a
thousand waiting requests cost nothing. The future to wait on is taken before asking, so no event falls between the two.

The contract towards clients (sFlow-RT's): an answer at once if there is something, otherwise after the full timeout
and empty. Early empty answers make the published scripts spin, any status but 200 ends them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class ShuttingDown(Exception):
    """The program ends; the waiting request gets no answer from the engine any more."""


class LongPolls:
    """Wakes every waiting request when `fd` becomes readable. Inert until `start`, which needs a running loop."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake_up: asyncio.Future[None] | None = None

    def start(self) -> None:
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._wake_up = self._loop.create_future()
        self._loop.add_reader(self._fd, self._on_readable)

    def close(self) -> None:
        """Ends all waits, now and later, with ShuttingDown."""
        if self._loop is None or self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._wake()

    async def wait(self, ask: Callable[[], list[T]], timeout: float, gone: Awaitable[object]) -> list[T]:
        """What `ask` answers, as soon as that is something; empty after `timeout` seconds or once `gone` is done."""
        if self._loop is None:
            raise RuntimeError("start was not called")
        deadline = self._loop.time() + timeout
        left_task = asyncio.ensure_future(gone)
        try:
            while True:
                wake_up = self._wake_up
                assert wake_up is not None
                if self._closed:
                    raise ShuttingDown
                found = ask()
                remaining = deadline - self._loop.time()
                if found or remaining <= 0 or left_task.done():
                    return found
                await asyncio.wait((wake_up, left_task), timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left_task.cancel()

    def _on_readable(self) -> None:
        os.read(self._fd, 4096)  # an eventfd is emptied by this, a pipe stays readable while bytes are left
        self._wake()

    def _wake(self) -> None:
        assert self._loop is not None and self._wake_up is not None
        wake_up, self._wake_up = self._wake_up, self._loop.create_future()
        wake_up.set_result(None)
