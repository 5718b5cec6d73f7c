"""A numbered log of the newest events: "everything after N", newest first (sflow-rt-api.md 1.3, 1.4)."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

MAX_EVENTS = 1000  # sFlow-RT's events.max


class EventLog:
    """Keeps the newest `most` events; ids start at 1 and never repeat. `lost` counts what reached nobody's query."""

    def __init__(self, most: int = MAX_EVENTS) -> None:
        self._log: deque[dict[str, Any]] = deque(maxlen=most)
        self.generated = 0

    def add(self, event: dict[str, Any]) -> int:
        """Number an event and keep it."""
        self.generated += 1
        self._log.appendleft({"eventID": self.generated, **event})
        return self.generated

    def after(self, event_id: int | None, most: int, threshold_id: str | None = None) -> list[dict[str, Any]]:
        """Events newer than `event_id` (None: any age), newest first, at most `most`, of one threshold if asked.

        An id larger than the newest is from before a restart: it counts as none, so such a client sees events again.
        """
        if event_id is None or event_id > self.generated:
            event_id = -1
        fresh = (event for event in self._log if event["eventID"] > event_id)
        chosen = (event for event in fresh if threshold_id is None or event["thresholdID"] == threshold_id)
        return list(islice(chosen, max(most, 0)))
