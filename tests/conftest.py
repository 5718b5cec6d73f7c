"""What all tests share: a test's tier follows from its folder, waiting is polling, random tests can be repeated.

Signals: a run in the background of a script, or under nohup, starts with SIGINT ignored, and every program that a test
starts would inherit that; so we take it back. SIGTERM ends a run as Ctrl-C does: fixtures clean up.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

from tests.patience import PATIENCE_S

T = TypeVar("T")

TIERS = ("ovs", "lab")  # tests/<tier>/ carries the marker of that name
POLL_S = 0.02

# Shared machines pause; a pause is no failure.
PAUSES = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("howdah", **PAUSES)
hypothesis.settings.register_profile("ci", **PAUSES, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "howdah")


def pytest_configure() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end_cleanly)


def end_cleanly(*_: object) -> None:
    """Fixtures clean up, for which they get PATIENCE_S; then SIGALRM ends whatever still hangs."""
    signal.alarm(round(PATIENCE_S))
    raise KeyboardInterrupt


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        tier = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        if tier in TIERS:
            item.add_marker(tier)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., object]:
    """`eventually(condition)`: poll until the condition is truthy and return that value.

    An AssertionError inside the condition counts as "not yet"; at the end it is the failure that the test shows.
    """

    def wait(condition: Callable[[], T], timeout: float = PATIENCE_S) -> T:
        deadline = time.monotonic() + timeout
        while True:
            last = time.monotonic() >= deadline
            try:
                value = condition()
            except AssertionError:
                if last:
                    raise
            else:
                if value:
                    return value
                if last:
                    raise AssertionError(f"not true within {timeout:g} s; last value: {value!r}")
            time.sleep(POLL_S)

    return wait
