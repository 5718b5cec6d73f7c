"""Long polls: requests that wait until the engine has something newer than their cursor.

The engine signals each new event through a file descriptor. The event loop watches it, empties it and wakes the
waiting requests, which ask the engine again: a few per turn of the event loop, so that others are answered in between.
Nothing polls, so waiting costs nothing but a connection. The future to wait on is taken before asking, so no event
falls between the two.

The contract towards clients (sFlow-RT's): an answer at once if there is something, otherwise after the full timeout
and empty. Early empty answers make the published scripts spin, any status but 200 ends them. So when more than
MAX_POLLS wait, the one that has waited longest gets the empty answer early, and asks again if it wants to.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

MAX_POLLS = 1024  # a quarter of the connections that there may be (connections.py)
WOKEN_AT_ONCE = 16  # about 2 ms of work

T = TypeVar("T")


class ShuttingDown(Exception):
    """The program ends; the waiting request gets no answer from the engine any more."""


class Poll:
    """One waiting request."""

    def __init__(self, wake_up: asyncio.Future[None]) -> None:
        self.wake_up = wake_up
        self.is_over = False

    def wake(self) -> None:
        if not self.wake_up.done():
            self.wake_up.set_result(None)

    def end(self) -> None:
        """It is answered now, with whatever there is."""
        self.is_over = True
        self.wake()


class LongPolls:
    """Wakes the waiting requests when `fd` becomes readable. Inert until `start`, which needs a running loop."""

    def __init__(self, fd: int, most: int = MAX_POLLS, pace: float = 0.0) -> None:
        """`pace`: least seconds between two wake-ups, so that what happens all the time wakes nobody all the time."""
        self._fd = fd
        self._most = most
        self._pace = pace
        self._next = 0.0
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paced: asyncio.TimerHandle | None = None
        self._polls: dict[Poll, None] = {}  # that wait, longest first
        self._to_wake: dict[Poll, None] = {}

    def start(self) -> None:
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_readable)

    def close(self) -> None:
        """Ends all waits, now and later, with ShuttingDown."""
        if self._loop is None or self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        if self._paced is not None:
            self._paced.cancel()
        self._wake()

    async def wait(self, ask: Callable[[], list[T]], timeout: float, gone: Awaitable[object]) -> list[T]:
        """What `ask` answers, as soon as that is something; empty after `timeout` seconds or once `gone` is done."""
        if self._loop is None:
            raise RuntimeError("start was not called")
        left = asyncio.ensure_future(gone)
        poll = Poll(self._loop.create_future())
        poll.is_over = timeout <= 0
        self._make_room()
        self._polls[poll] = None
        left.add_done_callback(lambda _: poll.end())
        time_out = self._loop.call_later(timeout, poll.end)
        try:
            while True:
                poll.wake_up = self._loop.create_future()
                if self._closed:
                    raise ShuttingDown
                found = ask()
                if found or poll.is_over:
                    return found
                await poll.wake_up
        finally:
            del self._polls[poll]
            self._to_wake.pop(poll, None)
            time_out.cancel()
            left.cancel()

    def _make_room(self) -> None:
        """For one more. One that is over may still be here until its next turn."""
        over = len(self._polls) - self._most + 1
        for poll in itertools.islice(self._polls, max(0, over)):
            poll.end()

    def _on_readable(self) -> None:
        assert self._loop is not None
        os.read(self._fd, 4096)  # an eventfd is emptied by this, a pipe stays readable while bytes are left
        now = self._loop.time()
        if now >= self._next:
            self._next = now + self._pace
            self._wake()
        elif self._paced is None:
            self._paced = self._loop.call_at(self._next, self._wake_paced)

    def _wake_paced(self) -> None:
        assert self._loop is not None
        self._paced = None
        self._next = self._loop.time() + self._pace
        self._wake()

    def _wake(self) -> None:
        under_way = bool(self._to_wake)
        self._to_wake |= self._polls  # those that were to be woken before stay before the others
        if not under_way:
            self._wake_some()

    def _wake_some(self) -> None:
        assert self._loop is not None
        for poll in list(itertools.islice(self._to_wake, WOKEN_AT_ONCE)):
            del self._to_wake[poll]
            poll.wake()
        if self._to_wake:
            self._loop.call_soon(self._wake_some)
