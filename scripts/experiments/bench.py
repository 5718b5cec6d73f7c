"""A laboratory with what measurements share: fresh source ports, receivers, a tap on the wire, and the validity gate.

Measurements follow each other in it: `measure` waits until the controller knows of no elephant any more, and in the end
ends the programs that were started for it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from zlib import crc32

from documents import programs
from documents.topology import Host, Spec
from scripts.experiments.results import Key, Measurement
from scripts.experiments.stage import Program, Stage, StageError, until
from scripts.experiments.workload import ELEPHANT_PORT, cpu_times, idle_share
from topologies.leafspine import leafspine

LABS: dict[str, Callable[[], Spec]] = {
    "5 Mb/s": lambda: leafspine(4, 4, 4, 5),
    "10 Mb/s": lambda: leafspine(4, 4, 4, 10),
    "one switch": lambda: leafspine(1, 1, 16, 5),
}
SFLOW = {"collector": "127.0.0.1:6343", "sampling": 10, "polling": 1}
READY_S, QUIET_S = 60.0, 60.0
UDP_PORT = 5002  # of streams, beside ELEPHANT_PORT
SOURCE_PORTS = range(20_000, 60_000)  # long enough not to meet again a flow that something still remembers
HEADERS = 42  # bytes of Ethernet, IPv4 and UDP, as HTB counts frames (sFlow counts 4 more)
LEAD_S = 3.0  # between the start of a measurement's programs and its first packet: they have the processors to start up
Values = dict[str, Any]


@dataclass
class Wire:
    """What a tap saw, by flow: the first packet (s), the spines' interfaces in turn, samples, flow mods."""

    first: dict[str, float] = field(default_factory=dict)
    paths: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """(taken, arrived)"""
    _rules: dict[int, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, tap: Program) -> Wire:
        wire = cls()
        for line in tap.lines():
            match line["event"]:
                case "first":
                    wire.first[line["flow"]] = line["at"]
                case "path":
                    wire.paths.setdefault(line["flow"], []).append((line["at"], line["by"]))
                case "sample":
                    wire.samples.setdefault(line["flow"], []).append((line["taken"], line["arrived"]))
                case "rule":
                    wire._rules.setdefault(line["flow_number"], []).append(line["at"])
        return wire

    def rules(self, flow: str) -> list[float]:
        """When flow mods of this elephant were sent; their cookies carry its CRC (controller/README.md)."""
        return self._rules.get(crc32(flow.encode()), [])


class Bench:
    """One laboratory that runs, its hosts by leaf."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.hosts = list(stage.spec.hosts.values())
        self.leaves = [list(hosts) for _, hosts in itertools.groupby(self.hosts, key=lambda host: host.node)]
        self._ports = itertools.cycle(SOURCE_PORTS)

    @classmethod
    def open(cls, stage: Stage) -> Bench:
        """Builds the laboratory and starts its controller."""
        stage.build_fabric({"sflow": SFLOW})
        stage.start_controller()
        until(stage.ready, READY_S, "controller, analytics and sFlow of all switches")
        return cls(stage)

    def measure(self, key: Key, of: Callable[[Bench, Random], Values]) -> Measurement:
        """One measurement and the smallest share of idle processor time meanwhile; what fails is its `error`."""
        before = len(self.stage.programs)
        rng = Random(f"{key.row}/{key.seed}")  # not the case: what is compared has the same flows
        try:
            self.set_policy(marking=True, steering=True)
            with idle_seconds() as idle:
                values = of(self, rng)
            return Measurement(key, values, round(min(idle), 3) if idle else None)
        except (StageError, RuntimeError, OSError, KeyError) as error:
            return Measurement(key, error=" ".join(f"{type(error).__name__}: {error}".split()))
        finally:
            for program in self.stage.programs[before:]:
                program.stop()
                program.output.unlink(missing_ok=True)
            del self.stage.programs[before:]

    def settle(self) -> None:
        """Waits for the end of all elephants."""
        until(lambda: self.stage.ask("status")["elephants"]["live"] == 0, QUIET_S, "the end of the last elephants")

    def set_policy(self, **policy: bool) -> None:
        self.settle()
        self.stage.set_policy(**policy)

    def port(self) -> int:
        """A source port that no flow of this laboratory has used yet."""
        return next(self._ports)

    def receivers(self, interval: float = 0.1) -> dict[str, Program]:
        """A TCP receiver on every host."""
        words = ("receive", "--port", ELEPHANT_PORT, "--interval", interval)
        return self._ready({host.name: self.stage.traffic(host.name, *words) for host in self.hosts})

    def udp_receivers(self, *options: object) -> dict[str, Program]:
        words = ("udp-receive", "--port", UDP_PORT, "--interval", 1, *options)
        return self._ready({host.name: self.stage.traffic(host.name, *words) for host in self.hosts})

    def tcp(self, source: Host, target: Host, *options: object) -> tuple[str, Program]:
        """Starts a TCP flow; its key and its program."""
        port = self.port()
        sender = self.stage.traffic(source.name, "send", f"{target.ipv4}:{ELEPHANT_PORT}@{port}", *options)
        return f"{source.ipv4},{target.ipv4},6,{port},{ELEPHANT_PORT}", sender

    def udp(self, source: Host, target: Host, on_wire: float, size: int, *options: object) -> tuple[str, Program]:
        """Starts a stream of UDP datagrams of `size` bytes that fill `on_wire` bits/s with their frames."""
        port = self.port()
        rate = on_wire * size / (size + HEADERS)
        sender = self.stage.traffic(
            source.name, "udp-send", f"{target.ipv4}:{UDP_PORT}@{port}", "--rate", rate, "--size", size, *options
        )
        return f"{source.ipv4},{target.ipv4},17,{port},{UDP_PORT}", sender

    def tap(self) -> Program:
        """A tap on all interfaces where packets come from hosts or enter a spine."""
        spec = self.stage.spec
        at_spines = {port for link in spec.links.values() for node, port in link.ends
                     if spec.nodes[node].tags.get("role") == "spine"}  # fmt: skip
        words = programs.command(
            "scripts.experiments.tap",
            *(word for port in (ELEPHANT_PORT, UDP_PORT) for word in ("--port", port)),
            *(word for name in sorted(at_spines) for word in ("--spine", name)),
            *(word for host in self.hosts for word in ("--edge", host.port)),
        )
        tap = self.stage.beside("tap", *words)
        self._ready({"tap": tap})
        return tap

    def elephants(self) -> dict[str, dict[str, Any]]:
        """The first record of each flow that was an elephant at any time, with the moves of all its records."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.stage.ask("elephants?all=true"):
            first = found.setdefault(record["flow"], {**record, "moves": 0})
            first["moves"] += record["moves"]
        return found

    def _ready(self, started: dict[str, Program]) -> dict[str, Program]:
        def ready() -> bool:
            if ended := [name for name, program in started.items() if program.process.poll() is not None]:
                raise StageError(f"a program of {', '.join(ended)} ended; programs.log says why")
            return all(program.lines() for program in started.values())

        until(ready, READY_S, "programs in the hosts")
        return started


@contextlib.contextmanager
def idle_seconds() -> Iterator[list[float]]:
    """The idle share of all processors in each second, while it runs."""
    seconds: list[float] = []
    over = threading.Event()

    def watch() -> None:
        before = cpu_times()
        while not over.wait(1.0):
            now = cpu_times()
            seconds.append(idle_share(before, now))
            before = now

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seconds
    finally:
        over.set()
        thread.join()


def sleep_until(moment: float) -> None:
    """Until this second since the epoch."""
    time.sleep(max(0.0, moment - time.time()))
