"""Captures fed to the engine as fast as they can be read, at the times of the capture.

Classic pcap goes through core/capfile.pyx in large pieces of a mapped file; pcapng, which is rarer, datagram by
datagram through capture.py. Both tick the engine once a second of capture time, so flows expire as they did live.
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from analytics.core.capfile import play
from analytics.engine import Engine
from analytics.inputs.capture import LINKS, MAGICS, MalformedCapture, datagrams
from analytics.inputs.settings import SFLOW_PORT
from documents.files import open_regular

CHUNK = 4 << 20
HEADER = 24


class _Clock:
    """Ticks the engine when a second of capture has gone by."""

    def __init__(self, engine: Engine, progress: Callable[[float], None] | None) -> None:
        self._engine, self._progress = engine, progress
        self.due = 1.0  # capture time of the next tick

    def tick(self, now: float) -> None:
        self._engine.tick(now)
        self.due = now + 1.0
        if self._progress is not None:
            self._progress(now)


def replay(
    path: str | Path, engine: Engine, port: int = SFLOW_PORT, progress: Callable[[float], None] | None = None
) -> int:
    """Feed every sFlow datagram of a capture; answers how many there were.

    `progress` is called about once per second of capture with the capture's time. Raises OSError, and MalformedCapture
    for a file that is not a capture or is damaged (what came before the damage was fed).
    """
    clock = _Clock(engine, progress)
    with open_regular(path) as file:
        head = file.read(HEADER)
        if len(head) == HEADER and head[:4] in MAGICS:
            return _pcap(str(path), file, head, engine, port, clock)
    count = 0
    for now, source, payload in datagrams(path, port):
        if now >= clock.due:
            clock.tick(now)
        engine.feed([payload], now, source)
        count += 1
    return count


def _pcap(name: str, file: BinaryIO, head: bytes, engine: Engine, port: int, clock: _Clock) -> int:
    order, fraction = MAGICS[head[:4]]
    link = int.from_bytes(head[20:24], "big" if order == ">" else "little") & 0xFFFF
    if link not in LINKS:
        raise MalformedCapture(f"{name}: offset 20: link type {link} is not supported")
    count, offset = 0, HEADER
    with mmap(file.fileno(), 0, access=ACCESS_READ) as pages, memoryview(pages) as data:
        while offset < len(data):
            with data[offset : offset + CHUNK] as chunk:
                used, fed, due = play(engine.pipeline, chunk, order == ">", fraction, link, port, clock.due)
            if used < 0:
                raise MalformedCapture(f"{name}: offset {offset - 1 - used}: a packet larger than any link's")
            if not used and not due:
                raise MalformedCapture(f"{name}: offset {offset}: ends within a packet")
            count, offset = count + fed, offset + used
            if due:
                clock.tick(due)
    return count
