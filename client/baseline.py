"""Baselines: is a value unlike the ones before it?

sFlow-RT's baseline functions as an object. The newest `window` values are kept; a value is high or low when it is more
than `sensitivity` standard deviations from their mean, and the one before it was so too, `repeat` times in a row. Every
value joins the window after it was judged, so a new level becomes normal in time. The public documentation names
window, sensitivity and repeat and no more; the rest is our reading.
"""

from __future__ import annotations

import statistics
from collections import deque


class Baseline:
    """ValueError: window and repeat must be at least 1, sensitivity must not be negative."""

    def __init__(self, window: int, sensitivity: float = 2.0, repeat: int = 1) -> None:
        if window < 1 or repeat < 1 or sensitivity < 0:
            raise ValueError(f"no baseline: window {window}, sensitivity {sensitivity}, repeat {repeat}")
        self._values: deque[float] = deque(maxlen=window)
        self._sensitivity, self._repeat = sensitivity, repeat
        self._in_a_row = ("normal", 0)

    def check(self, value: float) -> str:
        """learning (until the window is full), normal, high or low; the value counts from now on."""
        judged = self._judged(value)
        self._values.append(value)
        before, times = self._in_a_row
        self._in_a_row = (judged, times + 1 if judged == before else 1)
        return judged if judged not in ("high", "low") or self._in_a_row[1] >= self._repeat else "normal"

    def statistics(self) -> dict[str, float]:
        """Mean, sdev, min, max and n of the window; empty without values."""
        if not self._values:
            return {}
        return {
            "mean": statistics.fmean(self._values),
            "sdev": statistics.pstdev(self._values),
            "min": min(self._values),
            "max": max(self._values),
            "n": len(self._values),
        }

    def reset(self) -> None:
        """Learn anew."""
        self._values.clear()
        self._in_a_row = ("normal", 0)

    def _judged(self, value: float) -> str:
        if len(self._values) < (self._values.maxlen or 0):
            return "learning"
        reach = self._sensitivity * statistics.pstdev(self._values)
        distance = value - statistics.fmean(self._values)
        return "high" if distance > reach else "low" if distance < -reach else "normal"
