"""A client that asks the engine over one kept connection while the load runs, and notes how long each answer took."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import defaultdict
from types import TracebackType
from typing import Any

PATHS = (
    "/activeflows/ALL/five_tuple/json",
    "/metric/ALL/five_tuple,pair,stack,ifinoctets/json",
    "/dump/ALL/ALL/json",
)
EVERY_S = 0.025  # between an answer and the next question
TIMEOUT_S = 10.0


class Client:
    """Asks PATHS in turn in a thread of its own, from entering to leaving; `report` has the figures."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._taken_ms: dict[str, list[float]] = defaultdict(list)
        self._failure: Exception | None = None

    def __enter__(self) -> Client:
        self._connection.connect()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        try:
            for path in itertools.cycle(PATHS):
                began = time.perf_counter()
                self._connection.request("GET", path)
                with self._connection.getresponse() as answer:
                    answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"howdah answered {answer.status} to {path}")
                self._taken_ms[path].append((time.perf_counter() - began) * 1000)
                if self._stop.wait(EVERY_S):
                    return
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self._failure = error

    def report(self) -> dict[str, Any]:
        """Milliseconds from question to whole answer, of all questions and of each path. RuntimeError: one failed."""
        if self._failure is not None:
            raise RuntimeError(f"howdah did not answer: {self._failure}")
        every = [each for taken in self._taken_ms.values() for each in taken]
        return times(every) | {"paths": {path: times(taken) for path, taken in self._taken_ms.items()}}


def times(taken_ms: list[float]) -> dict[str, float]:
    """How many, and the answers' times: half of them, 99 in 100 of them, and all of them took no longer."""
    ordered = sorted(taken_ms)
    at = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {"requests": len(ordered)} | {
        name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
        for name, share in at.items()
    }
