"""Numbered logs of the newest of what happened: "everything after N" (sflow-rt-api.md 1.3, 1.4), for whoever asks.

A log is the one buffer of all its readers: each has only a cursor, the number of the last item it saw. So a thousand
readers take no more memory than one, and a slow one loses what was forgotten meanwhile, while no other loses anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

MAX_EVENTS = 1000  # sFlow-RT's events.max
MAX_FLOWS = 1000  # and flows.max

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a flow is sampled as it comes in: `output` is the ifIndex by which it leaves, 0 if the samples do not say,
    `rate` that one packet in so many is sampled, `samples` how many were so far."""

    agent: str
    source: str
    output: int
    rate: int
    samples: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test has found of a flow: `state` is start, update (it is seen elsewhere) or end; `confidence` the
    probability that it is true, at least; `path` where it is seen, in the order in which it was."""

    state: str
    confidence: float
    path: tuple[Location, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A threshold was exceeded: `value` beyond `limit`, at `time` (epoch seconds) on one data source of an agent.

    `key` is the flow's, None for counters; `values` are the other ones of its definition; `found` is there if it was
    found by a test, and the event may then also be an update or the end. `id` is 0 until it is in the log.
    """

    threshold: str
    metric: str
    limit: float
    value: float
    agent: str
    source: str
    time: float
    key: str | None = None
    values: tuple[float | None, ...] = ()
    found: Finding | None = None
    id: int = 0


class Log(Generic[T]):
    """Keeps the newest `most` items; their ids start at 1 and never repeat. An answer costs by what is new to it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: list[T] = []  # id n at (n - 1) modulo `most`
        self.newest = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def next(self) -> int:
        """The id of the next item."""
        return self.newest + 1

    def add(self, item: T) -> None:
        """Keep an item, in place of the oldest if there are too many."""
        if len(self._items) < self._most:
            self._items.append(item)
        else:
            self._items[self.newest % self._most] = item
        self.newest += 1

    def after(self, cursor: int | None, most: int, wanted: Callable[[T], bool] | None = None) -> list[T]:
        """Items newer than the id `cursor` (None: of any age), newest first, at most `most`, all or those `wanted`."""
        ids = range(self.newest, max(self.place(cursor), self.newest - len(self)), -1)
        fresh = (self._items[(id_ - 1) % self._most] for id_ in ids)
        return list(islice(fresh if wanted is None else filter(wanted, fresh), max(most, 0)))

    def since(self, cursor: int, most: int) -> tuple[int, list[T]]:
        """(how many items after `cursor` are forgotten, those that followed, oldest first, at most `most`)."""
        cursor = self.place(cursor)
        first = max(cursor, self.newest - len(self)) + 1
        ids = range(first, min(self.newest, first + most - 1) + 1)
        return first - 1 - cursor, [self._items[(id_ - 1) % self._most] for id_ in ids]

    def place(self, cursor: int | None) -> int:
        """An id larger than the newest is from before a restart: it counts as none, and its owner sees items again."""
        return 0 if cursor is None or not 0 <= cursor <= self.newest else cursor
