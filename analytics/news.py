"""What has happened: the logs of events, flow records and elephants, and descriptors that say when there is more.

The engine calls everything here with the pipeline's lock held. A writer pays for one write to an eventfd, however many
readers there are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from analytics.core.listener import Recorded
from analytics.events.elephants import Change
from analytics.events.log import Event, Log
from analytics.flows.records import FlowRecord
from analytics.metrics.directory import GONE, DataSource


class Topic(Enum):
    """The logs, by the names that clients use."""

    THRESHOLDS = "thresholds"
    FLOWS = "flows"
    ELEPHANTS = "elephants"


Item = Event | FlowRecord | Change
Cursor = Mapping[Topic, int]
"""Per topic the id of the last item seen."""


@dataclass(frozen=True)
class Piece:
    """What came after a cursor, oldest first by topic: each item with the cursor behind it. `lost`: how many items are
    forgotten, by topic. `cursor`: behind all this."""

    items: Sequence[tuple[Item, Cursor]]
    lost: Mapping[Topic, int]
    cursor: Cursor


class News:
    """The logs; `wall` gives the epoch seconds of a time of the engine's clock, in which events and records come."""

    def __init__(self, max_events: int, max_flows: int, wall: Callable[[float], float]) -> None:
        self.events: Log[Event] = Log(max_events)
        self.flows: Log[FlowRecord] = Log(max_flows)
        self.elephants: Log[Change] = Log(max_events)
        self.records_lost = 0  # of data sources or texts that are forgotten
        self._wall = wall
        self._logs: Mapping[Topic, Log[Any]] = {
            Topic.THRESHOLDS: self.events,
            Topic.FLOWS: self.flows,
            Topic.ELEPHANTS: self.elephants,
        }
        self._fds = {topic: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for topic in (*Topic, None)}

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))

    def fd(self, topic: Topic | None) -> int:
        """An eventfd that is readable whenever there may be something new of a topic, or (None) of any; its reader
        empties it."""
        return self._fds[topic]

    def close(self) -> None:
        """Release the descriptors."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def emit(self, event: Event) -> None:
        """A threshold was exceeded."""
        self.events.add(replace(event, time=self._wall(event.time), id=self.events.next))
        self._signal(Topic.THRESHOLDS)

    def tell(self, change: Change) -> None:
        """An elephant."""
        self.elephants.add(change)
        self._signal(Topic.ELEPHANTS)

    def record(self, recorded: Sequence[Recorded], sources: Sequence[DataSource]) -> None:
        """Flow records; data sources by index."""
        shift = self._wall(0.0)
        for cache, source, key_id, carried, (start, last, total, samples) in recorded:
            program = cache.program
            texts = program.texts.get(key_id)
            agent, name = sources[source]
            if texts is None or (agent, name) == GONE:
                self.records_lost += 1
                continue
            times = start + shift, last + shift
            self.flows.add(FlowRecord(self.flows.next, program, texts, carried, agent, name, total, *times, samples))
        self._signal(Topic.FLOWS)

    def newest(self) -> Cursor:
        """The cursor of one who wants only what comes."""
        return {topic: log.newest for topic, log in self._logs.items()}

    def since(self, cursor: Cursor, topics: Collection[Topic], most: int) -> Piece:
        """Items of `topics` after a cursor, at most `most` of each."""
        items: list[tuple[Item, Cursor]] = []
        lost: dict[Topic, int] = {}
        for topic in topics:
            missed, found = self._logs[topic].since(cursor[topic], most)
            if missed:
                lost[topic] = missed
            first = self._logs[topic].place(cursor[topic]) + missed + 1
            for id_, item in enumerate(found, first):
                cursor = {**cursor, topic: id_}
                items.append((item, cursor))
            if not found:
                cursor = {**cursor, topic: first - 1}
        return Piece(items, lost, cursor)

    def _signal(self, topic: Topic) -> None:
        for fd in (self._fds[topic], self._fds[None]):
            with contextlib.suppress(BlockingIOError):  # readable already, 2^64 - 2 items ago
                os.eventfd_write(fd, 1)
