"""Token buckets: how often something may happen per second, by key (a port, a switch).

Whoever sends forged sFlow or floods of ARP decides how often the controller is asked to act; a budget decides how often
it does. Cost: constant per question; one small record per key that took something within the last `burst / rate`
seconds or was not asked about since, so as many as there are ports or switches.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Budget(Generic[Key]):
    """Each key may take `rate` tokens a second, and `burst` at once after a pause. Times in s, never going back."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._left: dict[Key, tuple[float, float]] = {}  # tokens, and when that was so

    def take(self, keys: Collection[Key], now: float) -> bool:
        """Takes one token of every key; none if one of them has none left."""
        left = {key: self._tokens(key, now) for key in keys}
        if any(tokens < 1.0 for tokens in left.values()):
            return False
        self._left.update((key, (tokens - 1.0, now)) for key, tokens in left.items())
        return True

    def _tokens(self, key: Key, now: float) -> float:
        tokens, since = self._left.get(key, (self.burst, now))
        return min(self.burst, tokens + (now - since) * self.rate)
