"""How long attacks last, and the table of what they did.

Each lasts HOWDAH_ATTACK_S seconds, a few by default, the soak test HOWDAH_SOAK_S; README.md says how to attack for an
hour. The figures of all are printed at the end, and written to the file HOWDAH_ATTACK_REPORT if that is set, one JSON
object a line.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ovs.conftest import netdev_ovs
from tests.ryu_manager import BIN, ENDS_WITH_US

__all__ = ["netdev_ovs"]
ATTACK_S = float(os.environ.get("HOWDAH_ATTACK_S", "3"))
SOAK_S = float(os.environ.get("HOWDAH_SOAK_S", "5"))
REPORT = os.environ.get("HOWDAH_ATTACK_REPORT")
READY = re.compile(r"ready: http://127\.0\.0\.1:(\d+) sflow \S+:(\d+)")
_rows: list[dict[str, Any]] = []


@pytest.fixture
def attack_s() -> float:
    """Seconds that an attack lasts."""
    return ATTACK_S


@pytest.fixture
def soak_s() -> float:
    """Seconds of the soak test."""
    return SOAK_S


@pytest.fixture
def options() -> Sequence[object]:
    """What `analytics` is started with beside its ports, for tests to say otherwise."""
    return ()


@pytest.fixture
def analytics(options: Sequence[object]) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """(its process, HTTP port, sFlow port)."""
    process = subprocess.Popen(
        [*ENDS_WITH_US, BIN / "howdah", "analytics", "--port", "0", "--sflow-port", "0", *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    found = READY.search(line)
    assert found, line + process.stderr.read()
    yield process, int(found[1]), int(found[2])
    process.terminate()
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Mapping[str, Any]], None]:
    """Adds figures of this test to the table."""

    def add(figures: Mapping[str, Any]) -> None:
        row = {"attack": request.node.name, **figures}
        _rows.append(row)
        if REPORT:
            with Path(REPORT).open("a") as out:
                out.write(json.dumps(row) + "\n")

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _rows:
        terminalreporter.section("attacks")
    for row in _rows:
        terminalreporter.write_line(" ".join(f"{name}={value}" for name, value in row.items()))
