"""A numbered log of the newest events: "everything after N", newest first (sflow-rt-api.md 1.3, 1.4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice

MAX_EVENTS = 1000  # sFlow-RT's events.max


@dataclass(frozen=True, slots=True)
class Event:
    """A threshold was exceeded: `value` beyond `limit`, at `time` (epoch seconds) on one data source of an agent.

    `key` is the flow's, None for counters; `values` are the other ones of its definition. `id` is 0 until the
    log numbers the event.
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
    id: int = 0


class EventLog:
    """Keeps the newest `most` events; ids start at 1 and never repeat. Older events are forgotten."""

    def __init__(self, most: int = MAX_EVENTS) -> None:
        self._log: deque[Event] = deque(maxlen=most)
        self.generated = 0

    def __len__(self) -> int:
        return len(self._log)

    def add(self, event: Event) -> int:
        """Number an event and keep it."""
        self.generated += 1
        self._log.appendleft(replace(event, id=self.generated))
        return self.generated

    def after(self, event_id: int | None, most: int, threshold: str | None = None) -> list[Event]:
        """Events newer than `event_id` (None: any age), newest first, at most `most`, of one threshold if asked.

        An id larger than the newest is from before a restart: it counts as none, so such a client sees events again.
        """
        if event_id is None or event_id > self.generated:
            event_id = -1
        fresh = (event for event in self._log if event.id > event_id)
        chosen = (event for event in fresh if threshold is None or event.threshold == threshold)
        return list(islice(chosen, max(most, 0)))
