"""The stage of an experiment: a fabric, the controller with its analytics, and programs inside hosts.

Nothing here is special to experiments: the lab is what `howdah lab up` builds, the controller is the stock
`ryu-manager`, and all that is known of both comes from their HTTP interfaces. `close` ends what was started, whatever
state it is in.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from documents.topology import Spec
from topologies import traffic
from topologies.lab import keeper
from topologies.lab.footprint import STATE, Footprint, clear_remains
from topologies.lab.lab import TOPOLOGY

CONTROLLER = "http://127.0.0.1:8080"
ANALYTICS = "http://127.0.0.1:8008"
BIN = Path(sys.executable).parent
PORTS = {
    "sFlow": (socket.SOCK_DGRAM, 6343),
    "analytics": (socket.SOCK_STREAM, 8008),
    "controller": (socket.SOCK_STREAM, 8080),
    "OpenFlow": (socket.SOCK_STREAM, 6653),
}


ENDED_WITHIN_S = 15.0  # what a program gets to clean up before it is killed


class StageError(Exception):
    """Something the experiment needs is missing or did not happen; one line for the user."""


@dataclass
class Program:
    """A program inside a host, with its JSON lines as they come."""

    process: subprocess.Popen[bytes]
    output: Path

    def lines(self) -> list[dict[str, Any]]:
        """All complete lines so far."""
        with self.output.open() as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def stop(self) -> None:
        if self.process.poll() is None:
            end(self.process)


@dataclass
class Stage:
    """`work` is a directory for logs and outputs; `spec` the network; `settings` the controller's, as YAML text."""

    spec: Spec
    work: Path
    settings: str = ""
    programs: list[Program] = field(default_factory=list)
    controller: subprocess.Popen[bytes] | None = None
    footprint: Footprint | None = None

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Setting up

    @staticmethod
    def check_ports() -> None:
        """StageError names the first port that another program has."""
        for what, (kind, number) in PORTS.items():
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", number))
                except OSError:
                    protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
                    raise StageError(f"{protocol} port {number} ({what}) is in use by another program") from None

    def build_fabric(self, options: dict[str, Any]) -> float:
        """Builds the lab; seconds it took."""
        clear_remains(STATE)
        took = keeper.launch(self.spec, options, document=TOPOLOGY, state=STATE)
        self.footprint = Footprint.read(STATE)
        return took

    def start_controller(self) -> None:
        """Starts ryu-manager; `ready` says when it has programmed the fabric."""
        config = self.work / "howdah.yaml"
        config.write_text(self.settings)
        with (self.work / "controller.log").open("ab") as log:
            self.controller = subprocess.Popen(
                [BIN / "ryu-manager", "controller.app"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOWDAH_CONFIG": str(config), "HOWDAH_TOPOLOGY": str(TOPOLOGY)},
                start_new_session=True,  # Ctrl-C is for us; we end it
            )

    def ready(self) -> bool:
        """All switches connected, analytics answering and receiving sFlow from every one of them."""
        if self.controller is not None and self.controller.poll() is not None:
            last = (self.work / "controller.log").read_text().strip().splitlines()[-1:]
            raise StageError(f"ryu-manager ended: {' '.join(last)}")
        try:
            status = self.ask("status")
            agents = self.ask_analytics("agents/json")
        except requests.RequestException:
            return False
        known = status["switches"]["known"]
        connected = len(status["switches"]["connected"])
        return connected == len(agents) == known and bool(status["analytics"]["alive"])

    # The HTTP interfaces

    def ask(self, resource: str) -> Any:
        """The controller's answer to GET /v1/<resource>."""
        return _json(requests.get(f"{CONTROLLER}/v1/{resource}", timeout=5))

    def ask_analytics(self, path: str) -> Any:
        return _json(requests.get(f"{ANALYTICS}/{path}", timeout=5))

    def set_policy(self, **policy: bool) -> None:
        """Changes the controller's policy."""
        requests.put(f"{CONTROLLER}/v1/policy", json=policy, timeout=5).raise_for_status()

    # Hosts

    def run(self, host: str, *words: str) -> Program:
        """Starts a command inside a host."""
        assert self.footprint is not None
        return self._start(host, self.footprint.command(host, list(words)))

    def beside(self, name: str, *words: str) -> Program:
        """Starts a command beside the hosts, which ends with the lab; `name` is for its output."""
        return self._start(name, list(words))

    def _start(self, name: str, words: list[str]) -> Program:
        assert self.footprint is not None
        output = self.work / f"{len(self.programs):03}-{name}.jsonl"
        with output.open("wb") as lines, (self.work / "programs.log").open("ab") as errors:
            process = subprocess.Popen(
                words,
                env=self.footprint.environment(),
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=errors,
                start_new_session=True,
            )
        program = Program(process, output)
        self.programs.append(program)
        return program

    def traffic(self, host: str, *words: object) -> Program:
        """Starts one of the programs of topologies/traffic inside a host."""
        return self.run(host, *traffic.command(*words))

    # Ending

    def stop_programs(self) -> None:
        for program in self.programs:
            program.stop()

    def end_controller(self) -> None:
        """Ends the controller with its analytics; the switches keep what they were told."""
        if self.controller is not None:
            end(self.controller)
            self.controller = None
            with contextlib.suppress(StageError):  # analytics ends when it sees that the controller has
                until(ports_are_free, ENDED_WITHIN_S, "the end of analytics")

    def close(self) -> None:
        """Ends the programs, the controller with its analytics, and the lab."""
        self.stop_programs()
        self.programs.clear()
        self.end_controller()
        if self.footprint is not None:
            subprocess.run([BIN / "howdah", "lab", "down"], check=False, stdout=subprocess.DEVNULL)
            self.footprint = None


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program by SIGTERM, which unlike SIGINT is never ignored from its start, and if need be by SIGKILL."""
    process.terminate()
    try:
        process.wait(ENDED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(condition: Callable[[], Any], seconds: float, what: str, period: float = 0.1) -> Any:
    """Waits for a true value and returns it; StageError says what did not happen."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise StageError(f"{what}: not within {seconds:.0f} s")
        time.sleep(period)
    return value


def ports_are_free() -> bool:
    """Whether another experiment could start."""
    with contextlib.suppress(StageError):
        Stage.check_ports()
        return True
    return False


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else float("nan")


def _json(answer: requests.Response) -> Any:
    answer.raise_for_status()
    return answer.json()
