"""`howdah bench latency`: from a sample's arrival to the answer of a long poll that waits for it, and from the request
that defines a flow to its first result.

An engine of its own with the definitions of the other benchmarks, one client whose poll waits on a kept connection, and
one datagram at a time, whose flow is new and above a threshold. What is measured begins before the datagram is sent and
ends when the whole answer has arrived, so it holds the kernel's part of both. Between an answer and the
next datagram the engine rests, as in a network where elephants are few: caches are cold, processors asleep.

Then, as often, a definition is PUT, a datagram is sent as soon as that is answered, and the flow is asked for until it
is there, each over a connection of its own, as scripts do.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from analytics.bench.client import times
from analytics.bench.contestants import Howdah
from analytics.bench.ingest import free_ports, granted_bytes
from analytics.bench.load import HOST, PATIENCE_S, flow_sample, words
from documents.printable import complain, say

REST_S = 0.02  # the poll has arrived then
POLL_S = 10
AGENT = 0x0A000009
FLOW = {"keys": "ipsource", "value": "bytes", "t": 1}
THRESHOLD = {"metric": "bench_latency", "value": 1000, "byFlow": True}
EVENTS = f"/events/json?thresholdID=bench_latency&maxEvents=10&timeout={POLL_S}&eventID="


def latency(
    events: Annotated[int, typer.Option(min=1, max=60_000, help="How many are measured.")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Milliseconds from a sample's arrival to a waiting long poll's answer, and from a definition to its result."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the process we began ends too
    try:
        with tempfile.TemporaryDirectory(prefix="howdah-bench-") as work:
            report = measured(events, Path(work))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        complain(f"howdah bench: {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print(json.dumps(report))
    else:
        say(f"{events} events, from the sample's arrival to the long poll's answer: {in_words(report)}")
        say(f"{events} definitions, from the request to the first result: {in_words(report['first_result'])}")


def in_words(figures: dict[str, Any]) -> str:
    return "p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms, longest {max_ms:.2f} ms".format(**figures)


def measured(events: int, work: Path) -> dict[str, Any]:
    """The figures of so many events, and as many definitions. RuntimeError: one did not come."""
    [port] = free_ports(0, 1)
    taken_ms = []
    with Howdah(port, granted_bytes(), work) as howdah, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as switch:
        switch.connect((HOST, port))
        howdah.ask("PUT", "/flow/bench_latency/json", FLOW)
        howdah.ask("PUT", "/threshold/bench_latency/json", THRESHOLD)
        with socket.create_connection(howdah.rest, POLL_S + PATIENCE_S) as polling:
            for number in range(1, events + 1):
                polling.sendall(f"GET {EVENTS}{number - 1} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                time.sleep(REST_S)
                datagram = words(5, 1, AGENT, 0, number, number, 1) + flow_sample(number)
                began = time.perf_counter()
                switch.send(datagram)
                answered, found = answer(polling)
                taken_ms.append((answered - began) * 1000)
                if [event["eventID"] for event in found] != [number]:
                    raise RuntimeError(f"event {number} did not come: {found!r}")
        first_ms = [first_result_ms(howdah, switch, events + number) for number in range(1, events + 1)]
    return {**times(taken_ms), "first_result": times(first_ms)}


def first_result_ms(howdah: Howdah, switch: socket.socket, number: int) -> float:
    """From the request that defines a flow to the answer that has it, of one datagram that comes in between.
    RuntimeError: it did not come."""
    datagram = words(5, 1, AGENT, 0, number, number, 1) + flow_sample(number)
    began = time.perf_counter()
    howdah.ask("PUT", "/flow/bench_first/json", FLOW)
    switch.send(datagram)
    while not howdah.ask("GET", "/activeflows/ALL/bench_first/json"):
        if time.perf_counter() - began > PATIENCE_S:
            raise RuntimeError("a new definition has no result")
    taken_ms = (time.perf_counter() - began) * 1000
    howdah.ask("DELETE", "/flow/bench_first/json")
    return taken_ms


def answer(polling: socket.socket) -> tuple[float, Any]:
    """When the last piece of an answer arrived, and the JSON in it. RuntimeError: there is none."""
    said = b""
    while piece := polling.recv(1 << 16):
        arrived = time.perf_counter()
        said += piece
        head, _, body = said.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if length and len(body) >= int(length[1]):
            return arrived, json.loads(body)
    raise RuntimeError(f"howdah closed the connection of a long poll: {said[:80]!r}")
