"""What the tests of analytics share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from analytics.engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine without definitions."""
    made = Engine()
    yield made
    made.close()
