"""The receivers of `howdah bench ingest`: a bare drain, `howdah analytics` and nfdump's sfcapd, a process each.

All three are started, differ in nothing but their class, are asked what they took once the load has been sent, and
ended. What reached a process is what was sent less what the kernel dropped at its socket, which /proc/net/udp
says of all alike; the drain and the engine must have counted the same themselves.

The module itself is the drain, with the arguments PORT BUFFER_BYTES; it ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from analytics.bench.decode import DEFINITIONS
from analytics.bench.load import HOST, PATIENCE_S, first_line, processors
from documents import programs

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

POLL_S = 0.002
THRESHOLD = {"metric": "five_tuple", "value": 1e12, "byFlow": True}
TICKS = os.sysconf("SC_CLK_TCK")


class Taken(NamedTuple):
    """What a contestant says that it took; None: it does not count these."""

    datagrams: int | None
    samples: int | None
    shed: int = 0


class Queue(NamedTuple):
    """A UDP socket's receive queue as the kernel sees it."""

    octets: int
    dropped: int


def queue_of(port: int) -> Queue | None:
    """The IPv4 socket bound to a UDP port, None if there is none (proc(5), net/udp)."""
    for line in Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]:
        row = line.split()
        if int(row[1].rpartition(":")[2], 16) == port:
            return Queue(int(row[4].partition(":")[2], 16), int(row[12]))
    return None


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll until it holds; RuntimeError says what did not happen."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} within {patience_s:g} s")
        time.sleep(POLL_S)


class Contestant:
    """A process that receives on a port; inert until it is entered, gone when it is left. Kept off the sender's
    processor where there are several."""

    name = ""

    def __init__(self, port: int, buffer_bytes: int, work: Path) -> None:
        self.port, self.buffer_bytes = port, buffer_bytes
        self.work = work / self.name
        self.said = work / f"{self.name}.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def taken(self, reached: int) -> Taken:
        """Asked once, when the queue is empty; so many datagrams have reached the process."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        with self.said.open("wb") as said:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(self.command(), stdin=pipe, stdout=pipe, stderr=said, text=True)
        try:
            os.sched_setaffinity(self.process.pid, processors()[1])
            wait_for(self.is_ready, f"{self.name} did not open UDP port {self.port}")
            self.begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.work, ignore_errors=True)

    def begin(self) -> None:
        """What is to be said to it before the load comes."""

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            last = self.said.read_text(errors="replace").strip().splitlines()
            raise RuntimeError(f"{self.name} ended: {last[-1] if last else self.process.returncode}")
        return queue_of(self.port) is not None

    def used_s(self) -> float:
        """Processor seconds of the process so far (proc(5), stat)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def settled(self) -> int:
        """Wait until nothing is queued; answers how many datagrams the kernel dropped at the socket."""
        wait_for(lambda: self.queue().octets == 0, f"{self.name} did not empty its queue")
        return self.queue().dropped

    def queue(self) -> Queue:
        found = queue_of(self.port)
        if found is None:
            raise RuntimeError(f"{self.name} ended while it was sent to")
        return found


class Bare(Contestant):
    """Reads and throws away: the yardstick."""

    name = "drain"

    def command(self) -> list[str]:
        return programs.command("analytics.bench.contestants", self.port, self.buffer_bytes)

    def taken(self, reached: int) -> Taken:
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return Taken(json.loads(output)["datagrams"], None)


class Howdah(Contestant):
    """`howdah analytics` as users run it, with the three definitions and a threshold set over REST."""

    name = "howdah"

    def command(self) -> list[str]:
        settings = self.work / "howdah.yaml"
        settings.write_text(f"analytics:\n  receive_buffer: {self.buffer_bytes}\n")
        where = ["--host", HOST, "--port", 0, "--sflow-host", HOST, "--sflow-port", self.port]
        return programs.command("analytics", *where, "--parent-pid", os.getpid(), "--config", settings)

    def begin(self) -> None:
        ready = re.search(r"ready: http://([0-9.]+):(\d+)", first_line(self.process))
        if ready is None:
            raise RuntimeError("howdah ended before it was ready")
        self.rest = ready[1], int(ready[2])
        for name in ("mn_bytes", "mn_flow"):  # there from the start, and not among the three
            self.ask("DELETE", f"/flow/{name}/json")
        for name, definition in DEFINITIONS.items():
            self.ask("PUT", f"/flow/{name}/json", definition)
        self.ask("PUT", "/threshold/elephant/json", THRESHOLD)

    def taken(self, reached: int) -> Taken:
        with contextlib.suppress(RuntimeError):  # then what it counted is reported
            wait_for(lambda: sum(self.datagrams()) >= reached, "the last batch was not taken", 1.0)
        agents = self.ask("GET", "/agents/json").values()
        kinds = ("sFlowFlowSamples", "sFlowCounterSamples", "sFlowDiscardSamples")
        received, shed = self.datagrams()
        return Taken(received, sum(agent[kind] for agent in agents for kind in kinds), shed)

    def datagrams(self) -> tuple[int, int]:
        """(received, shed)"""
        numbers = self.ask("GET", "/analyzer/json")
        return int(numbers["sFlowDatagramsReceived"]), int(numbers["sFlowDatagramsShed"])

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://{self.rest[0]}:{self.rest[1]}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read() or b"null")


class Sfcapd(Contestant):
    """nfdump's collector, writing about 160 bytes a flow sample to a temporary directory; it keeps no others."""

    name = "sfcapd"

    @staticmethod
    def is_installed() -> bool:
        return bool(shutil.which("sfcapd") and shutil.which("nfdump"))

    def command(self) -> list[str]:
        where = ["-b", HOST, "-p", str(self.port), "-w", str(self.work)]
        return ["sfcapd", *where, "-B", str(self.buffer_bytes), "-t", "3600"]

    def taken(self, reached: int) -> Taken:
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)
        flows = 0
        for stored in self.work.glob("nfcapd.*"):
            listed = subprocess.run(["nfdump", "-r", str(stored), "-I"], capture_output=True, text=True, check=True)
            flows += sum(int(count) for count in re.findall(r"^Flows: (\d+)$", listed.stdout, re.MULTILINE))
        return Taken(None, flows)


def main() -> None:
    """The drain's process."""
    from analytics.core.receive import Drain  # noqa: PLC0415  the command line needs no native core

    drain = Drain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[2]))
        made.bind((HOST, int(sys.argv[1])))
        drain.run(made.fileno(), sys.stdin.fileno())
    with contextlib.suppress(BrokenPipeError):  # the parent process is gone
        print(json.dumps({"datagrams": drain.datagrams}), flush=True)


if __name__ == "__main__":
    main()
