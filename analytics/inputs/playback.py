"""A capture played to the engine in place of live traffic: at its own pace, some times as fast, or as fast as can be.

The engine's clock goes as many times as fast as ours, so a second of the capture stays a second to the engine: rates,
counters (whose time is the agents' own) and thresholds are those that the network had, at any speed. What waits outside
of the engine, such as a long poll, waits seconds of ours, and the time of an event is when it was played. When the
capture has ended, time goes on at its usual pace.

A capture that is played again goes on where it ended; between two rounds the engine forgets the numbers by which it
recognises loss, duplicates and restarts of the senders. Counters have no rate between the last and the first.

Memory does not grow with the file. As fast as can be is some 100,000 datagrams a second, shared with the requests.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from pathlib import Path
from typing import BinaryIO

from analytics.engine import Engine
from analytics.inputs import capture

log = logging.getLogger(__name__)

AT_ONCE_S = 0.002  # of playing before requests are served, when nothing has to be waited for
ALONE_S = 1.0  # from the only datagram of a capture to its next round


class PlayedClock:
    """Seconds of the engine, `pace` of which go by in one of ours; at pace 0 only `go_on` moves it."""

    def __init__(self, pace: float) -> None:
        self._then = self._since = time.monotonic()
        self._pace = pace

    def __call__(self) -> float:
        """Now."""
        return self._then + (time.monotonic() - self._since) * self._pace

    def go_on(self, now: float, pace: float) -> None:
        """It is `now`, and from here on time goes at this pace."""
        self._then, self._since, self._pace = now, time.monotonic(), pace

    def wait(self, then: float) -> float:
        """Our seconds until then."""
        return (then - self()) / self._pace if self._pace else 0.0

    def wall(self, then: float) -> float:
        """The epoch seconds of a time that the clock showed."""
        return time.time() - ((self() - then) / self._pace if self._pace else 0.0)


class Playback:
    """Plays `file`, named `path` in errors; OSError or ValueError at once if there is nothing to play.

    `speed` 0: as fast as can be; `port`: the UDP port of sFlow, None for any.
    """

    def __init__(self, path: str | Path, file: BinaryIO, engine: Engine, clock: PlayedClock, port: int | None, *,
                 speed: float = 1.0, loop: bool = False) -> None:  # fmt: skip
        self._path, self._file, self._engine, self._clock = path, file, engine, clock
        self._port, self._speed, self._loop = port, speed, loop
        self._round = self._open()
        self._first = next(self._round)
        self._turn_ends = 0.0

    def _open(self) -> capture.Datagrams:
        self._file.seek(0)
        file = os.fdopen(os.dup(self._file.fileno()), "rb")  # which the reader closes
        return capture.sflow(self._path, self._port, file, option="--sflow-port")

    async def play(self) -> None:
        """To the end of the capture, or for ever."""
        begin = self._clock()
        while True:
            last = await self._play_round(begin)
            self._clock.go_on(max(last, self._clock()), self._speed if self._loop else 1.0)
            if not self._loop:
                return
            begin = self._clock()
            self._engine.forget_sequences()
            self._round = self._open()
            self._first = next(self._round)

    async def _play_round(self, begin: float) -> float:
        """Play what was opened, its first datagram at `begin`; answers when the next round may begin."""
        offset, due, count = begin - self._first[0], begin, 0
        try:
            for when, source, payload in itertools.chain([self._first], self._round):
                due = max(due, when + offset)
                count += 1
                await self._wait(due)
                try:
                    self._engine.feed([payload], due, source)
                except Exception as error:
                    self._engine.faults.note("replay", error, time.monotonic())
        except capture.MalformedCapture as fault:  # what came before it was played; the answers stay
            log.error("%s", fault)
        pause = (due - begin) / (count - 1) if count > 1 else ALONE_S
        await self._wait(due + pause if self._loop else due)
        return due + pause if self._loop else due

    async def _wait(self, due: float) -> None:
        """Until it is time; requests have their turn when there is nothing to wait for, too."""
        wait = self._clock.wait(due)
        if not self._speed:
            self._clock.go_on(max(due, self._clock()), 0.0)
        if wait > 0.0 or time.monotonic() >= self._turn_ends:
            await asyncio.sleep(max(0.0, wait))
            self._turn_ends = time.monotonic() + AT_ONCE_S
