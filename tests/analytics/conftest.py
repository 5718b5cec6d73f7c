"""What the tests of analytics share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from analytics.engine import Engine
from tests.analytics.program import Program


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine without definitions."""
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts analytics with options; what still runs at the end is killed."""
    programs: list[Program] = []

    def starter(*options: str) -> Program:
        programs.append(Program(*options))
        return programs[-1]

    yield starter
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.communicate()
        program.http.close()
