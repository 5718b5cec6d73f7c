"""`howdah bench questions`: how long questions take, and hold others up, in a network of ten thousand switches.

One engine in one process: a thread feeds it a million flows of many agents and data sources at a given rate, and
meanwhile the largest flows over all of them are asked for, again and again. A step of a question is what others wait
for (turns.py), at most one turn of the lock: its processor time bounds from above how long a question holds that, on a
busy machine too. Elapsed times of answers have everything in them, waiting for the lock and for the interpreter. Last
come the counters of `PORTS` ports that nobody has asked for before.
"""

from __future__ import annotations

import gc
import json
import random
import struct
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from analytics.bench.client import times
from analytics.bench.load import RATE, SAMPLES, counter_sample, frame, tagged, words
from analytics.flows.definitions import Mode
from analytics.turns import Turns
from documents.console import PlainConsole

MEMORY = 8 << 30  # of the engine: half a million data sources need more than the usual bound
BATCH = 64  # datagrams
ROUNDS = 20  # of everything, until all data sources are taken in: newcomers have to repeat
PORTS = 10_000  # whose counters are asked for at once
ASKED = (("top 20", 20, Mode.MAX), ("top 100", 100, Mode.MAX), ("sum", 20, Mode.SUM), ("avg", 20, Mode.AVG))
DEFINITION = {"keys": "ipsource,ipdestination", "value": "bytes", "t": 10}


def datagrams(agents: int, sources: int, flows: int) -> list[bytes]:
    """As many samples as flows: each flow once, at one port of one of the agents; frames of many lengths."""
    made = []
    each = -(-flows // agents)
    for agent in range(agents):
        for number, first in enumerate(range(0, each, SAMPLES)):
            samples = []
            for flow in range(first, min(first + SAMPLES, each)):
                port, key = 1 + flow % sources, agent * each + flow
                length = 64 + key * 2654435761 % 1454
                header = tagged(1, words(1, length, 4, 128) + frame(key))
                samples.append(tagged(1, words(1, port, RATE, RATE, 0, port, 0, 1) + header))
            head = words(5, 1, 0x0A000000 + agent, 0, 1 + number, number, len(samples))
            made.append(head + b"".join(samples))
    random.Random(1).shuffle(made)
    return made


def polled(ports: int) -> list[bytes]:
    """Counters of so many ports of one agent."""
    every = range(1, ports + 1)
    return [
        words(5, 1, 0x0AFFFFFF, 0, 1 + number, 1000, 8) + b"".join(counter_sample(port) for port in every[first:][:8])
        for number, first in enumerate(range(0, ports - 7, 8))
    ]


class Feeding:
    """A thread that feeds the engine at a rate, from entering to leaving."""

    def __init__(self, engine: Any, load: list[bytes], rate: float) -> None:
        self._engine, self._load, self._rate = engine, load, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples = 0

    def __enter__(self) -> Feeding:
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.monotonic() - self.began

    def _run(self) -> None:
        for batch in endlessly(self._load):
            due = self.began + self.samples / self._rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                break
            self._engine.feed(batch, time.monotonic())
            self.samples += sum(struct.unpack_from(">I", datagram, 24)[0] for datagram in batch)


def endlessly(load: list[bytes]) -> Iterator[list[bytes]]:
    while True:
        yield from (load[first : first + BATCH] for first in range(0, len(load), BATCH))


def stepped(turns: Turns[Any], steps: list[float]) -> Any:
    """What a question answers; the milliseconds of processor time of its steps are appended."""
    while True:
        began = time.thread_time()
        try:
            next(turns)
        except StopIteration as end:
            return end.value
        finally:
            steps.append((time.thread_time() - began) * 1000)


def questions(
    agents: Annotated[int, typer.Option(min=1, max=50_000, help="Agents that send.")] = 10_000,
    sources: Annotated[int, typer.Option(min=1, max=1000, help="Data sources of each.")] = 48,
    flows: Annotated[int, typer.Option(min=1, max=4_000_000, help="Live flows, shared out among them.")] = 1_000_000,
    rate: Annotated[float, typer.Option(min=1, help="Flow samples per second meanwhile.")] = 200_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each kind of question is asked.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Milliseconds of answers over all data sources, and of their longest steps, under load."""
    report = _measured(agents, sources, flows, rate, seconds)
    if as_json:
        print(json.dumps(report))
        return
    columns = ("answers", "p50 ms", "p99 ms", "CPU p50 ms", "step CPU p99 ms", "longest step CPU ms")
    table = Table("question", *(Column(name, justify="right") for name in columns))
    for name, row in report["questions"].items():
        whole, step = row["answer"], row["step"]
        figures = (whole["p50_ms"], whole["p99_ms"], row["cpu"]["p50_ms"], step["p99_ms"], step["max_ms"])
        table.add_row(name, str(whole["requests"]), *(f"{figure:.1f}" for figure in figures))
    console = PlainConsole()
    console.print(
        f"{report['agents']:,} agents, {report['sources']:,} data sources, {report['flows']:,} flows; "
        f"{report['samples_per_s']:,.0f} samples/s meanwhile"
    )
    console.print(table)


def _measured(agents: int, sources: int, flows: int, rate: float, seconds: float) -> dict[str, Any]:
    from analytics.engine import Engine, EngineSettings  # noqa: PLC0415  the command line needs no native core

    engine = Engine(EngineSettings(memory=MEMORY, max_entries=max(1 << 20, 2 * flows)))
    gc.freeze()  # as the server does when it begins
    try:
        engine.set_flow("pair", DEFINITION)
        load = datagrams(agents, sources, flows)
        each = -(-flows // agents)
        for _ in range(ROUNDS):
            for first in range(0, len(load), BATCH):
                engine.feed(load[first : first + BATCH], time.monotonic())
            if engine.pipeline.ledger.counts[1] >= agents * min(sources, each):
                break
        asked: dict[str, Any] = {}
        with Feeding(engine, load, rate) as feeding:
            for name, most, mode in ASKED:
                asked[name] = _asked(engine, most, mode, seconds)
        for round_ in range(2):
            for datagram in polled(PORTS):
                engine.feed([datagram], time.monotonic() + round_)
        metric = engine.metric_in_turns(["10.255.255.255"], ["ifinoctets"], {}, time.monotonic() + 1)
        asked[f"counters of {PORTS:,} ports"] = _timed(iter([metric]))
        numbers = engine.numbers()
        return {
            "agents": numbers.agents,
            "sources": engine.pipeline.ledger.counts[1],
            "flows": numbers.flow_entries,
            "samples_per_s": feeding.samples / feeding.seconds,
            "questions": asked,
        }
    finally:
        engine.close()


def _asked(engine: Any, most: int, mode: Mode, seconds: float) -> dict[str, Any]:
    """The same question again and again."""
    end = time.monotonic() + seconds

    def again() -> Iterator[Turns[Any]]:
        while True:
            yield engine.active_flows_in_turns(["ALL"], "pair", time.monotonic(), most, 0.0, mode)
            if time.monotonic() >= end:
                break

    return _timed(again())


def _timed(questions: Iterator[Turns[Any]]) -> dict[str, Any]:
    """Elapsed and processor times of the answers, processor times of all their steps. RuntimeError: nothing found."""
    elapsed: list[float] = []
    used: list[float] = []
    steps: list[float] = []
    for question in questions:
        began, before = time.perf_counter(), len(steps)
        if not stepped(question, steps):
            raise RuntimeError("a question has no answer")
        elapsed.append((time.perf_counter() - began) * 1000)
        used.append(sum(steps[before:]))
    return {"answer": times(elapsed), "cpu": times(used), "step": times(steps)}
