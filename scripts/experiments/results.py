"""What was measured so far, a line of JSON for each measurement, appended as soon as it is finished.

So a run that ended early, by Ctrl-C or a loss of power, is taken up where it stopped: a second start measures what is
missing, what failed, and what did not pass the validity gate.

    {"row": "detection", "case": "tcp-5", "seed": 3, "values": {...}, "idle": 0.61, "error": null, "at": 1763764000.0}

`idle` is the smallest share of the processors' time that was idle in any second of it. Below IDLE_MIN the gate fails.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

IDLE_MIN = 0.35  # Mininet-HiFi's fidelity check (CoNEXT 2012)
LINES = "measurements.jsonl"


@dataclass(frozen=True)
class Key:
    """Which measurement: of a row, one of its cases, with a seed."""

    row: str
    case: str
    seed: int


@dataclass(frozen=True)
class Measurement:
    key: Key
    values: dict[str, Any] = field(default_factory=dict)
    idle: float | None = None
    error: str | None = None
    at: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether it was carried through on a machine that was idle enough."""
        return self.error is None and (self.idle is None or self.idle >= IDLE_MIN)


class ResultsError(Exception):
    """The directory holds what is no result; one line that names the file and the line."""


class Results:
    """The measurements in a directory, made if need be. The last of a key counts, a valid one before others."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / LINES
        self.by_key: dict[Key, Measurement] = {}
        directory.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            text = self.path.read_text()
            whole = text[: text.rfind("\n") + 1]
            if whole != text:  # the power went while the last one was written
                self.path.write_text(whole)
            for number, line in enumerate(whole.splitlines(), 1):
                self._take(self._read(line, number))

    def _read(self, line: str, number: int) -> Measurement:
        try:
            found = msgspec.json.decode(line, type=_Line)
        except msgspec.MsgspecError as error:
            raise ResultsError(f"{self.path}:{number}: {error}") from None
        return Measurement(Key(found.row, found.case, found.seed), found.values, found.idle, found.error, found.at)

    def _take(self, measurement: Measurement) -> None:
        before = self.by_key.get(measurement.key)
        if before is None or measurement.valid or not before.valid:
            self.by_key[measurement.key] = measurement

    def add(self, measurement: Measurement) -> None:
        measurement = Measurement(**{**vars(measurement), "at": round(time.time(), 3)})
        line = {**asdict(measurement.key), **{n: v for n, v in asdict(measurement).items() if n != "key"}}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(measurement)

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those without a valid measurement."""
        return [key for key in keys if key not in self.by_key or not self.by_key[key].valid]

    def of(self, row: str, case: str) -> list[Measurement]:
        """Those that were carried through, by seed: the valid ones, or all if none is valid."""
        found = [one for key, one in sorted(self.by_key.items(), key=lambda item: item[0].seed)
                 if (key.row, key.case) == (row, case) and one.error is None]  # fmt: skip
        return [one for one in found if one.valid] or found


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    row: str
    case: str
    seed: int
    values: dict[str, Any]
    idle: float | None
    error: str | None
    at: float
