"""The one policy for what goes wrong while a program runs: a fault is counted by its kind, logged at a limited rate,
and shown in the program's status (`faults` in /analyzer/json and /v1/status). What keeps a program from starting is
not a fault: it ends the program with one line.

A kind is a short constant of the code ("udp receive", "event poll"), never text from outside, so there are as many
counters as there are places that count. The first fault of a kind is logged with its traceback if it was raised; after
that a kind gets one line per PERIOD_S at most, which says how many were not logged.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

PERIOD_S = 30.0  # between two lines of one kind


@dataclass
class _Kind:
    count: int = 0
    unlogged: int = 0
    logged_at: float | None = None


class Faults:
    """Counts by kind. Thread-safe."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, error: BaseException, now: float) -> None:
        """Count `error` under `kind`; `now` in seconds, of any clock that goes forward."""
        with self._lock:
            known = self._kinds.setdefault(kind, _Kind())
            known.count += 1
            first = known.logged_at is None
            if known.logged_at is not None and now - known.logged_at < PERIOD_S:
                known.unlogged += 1
                return
            unlogged, known.unlogged, known.logged_at = known.unlogged, 0, now
        more = f" ({unlogged} more since the last line)" if unlogged else ""
        said = " ".join(str(error).split()) or type(error).__name__
        self._log.error("%s: %s%s", kind, said, more, exc_info=error if first and error.__traceback__ else None)

    def counts(self) -> dict[str, int]:
        """Faults since the start, by kind; kinds without any are absent."""
        with self._lock:
            return {kind: known.count for kind, known in self._kinds.items()}
