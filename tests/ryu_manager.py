"""The stock `ryu-manager controller.app` on ports of its own: started, asked, stopped or killed by its pid.

`setpriv --pdeathsig` (util-linux) makes the kernel end a program when the test run that started it is killed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import requests

from tests.patience import PATIENCE_S

BIN = Path(sys.executable).parent
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")  # goes before a command line
OF_ANALYTICS = ("analytics connection", "analytics hung", "supervisor")
# Below those that the kernel gives to whoever asks for none (ip_local_port_range): no connection takes one between the
# look whether it is free and the start of the program that is told it. Each test run counts on from a place of its own.
PORTS = range(10_000, 32_000)
_ports = itertools.islice(itertools.cycle(PORTS), os.getpid() * 997 % len(PORTS), None)


def free_ports(count, kind=socket.SOCK_STREAM):
    """Ports of 127.0.0.1 for programs that have to be told theirs: free, and not given before in this test run."""
    found = []
    while len(found) < count:
        port = next(_ports)
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


class Controller:
    """ryu-manager controller.app on ports of its own."""

    def __init__(self, work, document=None, extra=""):
        self.work = work
        self.openflow, self.http, self.analytics = free_ports(3)
        (self.sflow,) = free_ports(1, socket.SOCK_DGRAM)
        topology = ""
        if document is not None:
            (work / "topology.json").write_text(json.dumps(document))
            topology = "  topology: topology.json\n"
        (work / "howdah.yaml").write_text(
            f"controller:\n{topology}{extra}  analytics:\n    port: {self.analytics}\n    sflow_port: {self.sflow}\n"
        )
        self.process = None
        self.log = work / "controller.log"

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*ENDS_WITH_US, BIN / "ryu-manager", "--verbose", "--ofp-tcp-listen-port", str(self.openflow),
                 "--wsapi-port", str(self.http), "controller.app"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "HOWDAH_CONFIG": str(self.work / "howdah.yaml")},
            )  # fmt: skip

    def stop(self, number=signal.SIGTERM):
        """Ends ryu-manager, and waits until its analytics, which ends with it, is gone too."""
        if self.process is None:
            return
        children = list(self._children())
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        self.process = None
        for child in children:
            assert select.select([child], [], [], PATIENCE_S)[0], "analytics outlives its controller"
            os.close(child)

    def _children(self):
        """Descriptors of the processes that ryu-manager started: each gets readable when its process has ended."""
        with contextlib.suppress(FileNotFoundError):  # it has ended before
            for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    yield os.pidfd_open(int(pid))

    def process_files(self):
        """The open files of the process, by descriptor."""
        return Path(f"/proc/{self.process.pid}/fd").iterdir()

    def get(self, resource):
        return requests.get(f"http://127.0.0.1:{self.http}/v1/{resource}", timeout=PATIENCE_S).json()

    def own_faults(self):
        """Faults by kind, but for those of an analytics that a test ends, or that a slow machine holds up."""
        faults = self.get("status")["faults"]
        return {kind: count for kind, count in faults.items() if kind not in OF_ANALYTICS}

    def connected(self, count):
        try:
            return len(self.get("status")["switches"]["connected"]) == count
        except requests.RequestException:
            return False

    def analytics_pid(self):
        """The process that the controller started last."""
        return int(re.findall(r"analytics started as process (\d+)", self.log.read_text())[-1])

    def analytics_alive(self):
        try:
            return self.get("status")["analytics"]["alive"]
        except requests.RequestException:
            return False
