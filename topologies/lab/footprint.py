"""What one lab has put on the machine, kept in a file so that any later process can remove exactly that.

Everything a lab makes carries the lab's random id, and the file is written before anything is made:
  bridges and QoS rows    external_ids:howdah-lab=<id>
  switch interfaces       their MAC addresses contain the id (host interfaces are their veth peers and go with them)
  processes               the environment variable HOWDAH_LAB=<id>, inherited by whatever runs inside a host
So a name in the file is removed only if the thing of that name carries the id: after a kill -9, and even if someone
made a bridge of that name meanwhile, nothing but the lab's own is touched. What the file says is checked as it is read:
it names no address, process or document that is not the lab's.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from documents.files import read_text
from topologies.lab import rundir
from topologies.lab.machine import LabError, interfaces, last_line, run

STATE = Path("/run/howdah/lab.json")
LAB_VARIABLE = "HOWDAH_LAB"
EXTERNAL_ID = "howdah-lab"
GONE_WITHIN = 20.0  # seconds that killed processes get to disappear


@dataclass(frozen=True)
class Process:
    """A process that cannot be confused with a later one of the same number: `started` is in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process now running as `pid`; ProcessLookupError if there is none, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            raise ProcessLookupError(f"no process {pid}") from None
        fields = stat.rpartition(")")[2].split()  # fields 3.. of proc(5); the name before may contain anything
        if fields[0] == "Z":
            raise ProcessLookupError(f"process {pid} has ended")
        return cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether it still runs."""
        try:
            return Process.of(self.pid) == self
        except ProcessLookupError:
            return False


@dataclass(frozen=True)
class About:
    """What `howdah lab status` shows of a lab: its settings, rates in bits/s, host -> address."""

    datapath: str = ""
    controller: str | None = None
    sflow: Mapping[str, Any] | None = None
    qos: bool = True
    queue: int = 0
    link_bps: list[float] = field(default_factory=list)
    roles: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)


Name = Annotated[str, msgspec.Meta(pattern=r"^[^\s/:\"'\\,=@-][^\s/:\"'\\,=@]{0,14}$")]
"""Of a bridge or an interface: it goes into command lines."""


@dataclass
class Footprint:
    """One lab's traces.

    `interfaces` maps switch interfaces to their MACs, `hosts` host names to the shells that hold their namespaces,
    `topology` is the path of the finished document.
    """

    owner: Process
    lab: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{6}$")] = field(default_factory=lambda: secrets.token_hex(3))
    bridges: list[Name] = field(default_factory=list)
    interfaces: dict[Name, str] = field(default_factory=dict)
    hosts: dict[str, Process] = field(default_factory=dict)
    topology: str = ""
    ready: bool = False
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        ours = self.mac(0)[:-6]
        for name, mac in self.interfaces.items():
            if not re.fullmatch(re.escape(ours) + "(:[0-9a-f]{2}){2}", mac):
                raise ValueError(f"interface {name!r} has the address {mac!r}, which is not of this lab")

    def mac(self, number: int) -> str:
        """The MAC of the lab's interface of this number: locally administered, then the id, then the number."""
        return "0a:" + ":".join(f"{self.lab}{number:04x}"[i : i + 2] for i in range(0, 10, 2))

    # --- the file -----------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: Path) -> Footprint | None:
        """The lab recorded in this file, or None; LabError if the file is not ours, or says what no lab says."""
        try:
            return msgspec.json.decode(rundir.read_text(path), type=cls)
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise LabError(f"{path} is not the state file of a lab: {error}") from None

    def claim(self, path: Path) -> None:
        """Write the file, which must not exist yet: FileExistsError if it does."""
        rundir.prepare(path.parent)
        rundir.create(path, self._text())

    def save(self, path: Path) -> None:
        """Replace the file as a whole."""
        rundir.write(path, self._text())

    def _text(self) -> str:
        return json.dumps(asdict(self), indent=1)

    # --- its hosts ----------------------------------------------------------------------------------------------------

    def command(self, host: str, words: list[str]) -> list[str]:
        """The command line that runs `words` inside a host, from any process; LabError if there is no such host."""
        shell = self.hosts.get(host)
        if shell is None:
            raise LabError(f"no host {host!r}; there are: {', '.join(self.hosts) or 'none'}")
        if not shell.alive():
            raise LabError(f"host {host!r} has ended; the lab was killed (`howdah lab down` removes the rest)")
        if not self._carried_by(shell.pid):
            raise LabError(f"process {shell.pid} is not host {host!r} of this lab")
        return ["mnexec", "-a", str(shell.pid), *words]

    def environment(self) -> dict[str, str]:
        """This process's environment with the lab's id: what runs inside a host must have it, to end with the lab."""
        return {**os.environ, LAB_VARIABLE: self.lab}

    def popen(self, host: str, words: list[str], **params: Any) -> subprocess.Popen[Any]:
        """Start a program inside a host of a lab that another process holds; `params` as of subprocess.Popen."""
        return subprocess.Popen(self.command(host, words), env=self.environment(), **params)

    # --- removal ------------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove everything of this lab from the machine, processes first. LabError names what could not be removed."""
        self._end_processes()
        complaints = self._remove_bridges() + self._remove_interfaces()
        if complaints:
            raise LabError("; ".join(complaints))

    def processes(self) -> Iterator[int]:
        """The processes that carry the lab's id, except this one."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._carried_by(int(entry.name)):
                yield int(entry.name)

    def _carried_by(self, pid: int) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # ended meanwhile, or not for us to read
            return False
        return f"{LAB_VARIABLE}={self.lab}".encode() in environment.split(b"\0")

    def _end_processes(self) -> None:
        """Kill until none is left: a process may have started another one while we were looking."""
        deadline = time.monotonic() + GONE_WITHIN
        while time.monotonic() < deadline:
            found = list(self.processes())
            if not found:
                return
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.01)
        raise LabError(f"processes {', '.join(map(str, found))} of the lab do not end")

    def _remove_bridges(self) -> list[str]:
        """Delete the bridges that carry the id, then the QoS rows, which can go once no port refers to them."""
        condition = f"external_ids:{EXTERNAL_ID}={self.lab}"
        find = ["--bare", "--timeout=10", "--no-heading"]
        bridges = run(["ovs-vsctl", *find, "--columns=name", "find", "bridge", condition])
        rows = run(["ovs-vsctl", *find, "--columns=_uuid", "find", "qos", condition])
        if bridges.returncode or rows.returncode:
            return [f"Open vSwitch: {last_line(bridges.stderr or rows.stderr)}"]
        complaints = []
        for delete, names in ((["del-br"], bridges.stdout.split()), (["destroy", "qos"], rows.stdout.split())):
            words = [word for name in names for word in ("--", "--if-exists", *delete, name)]
            deleted = run(["ovs-vsctl", "--timeout=10", *words]) if words else None
            if deleted and deleted.returncode:
                complaints.append(f"Open vSwitch: {last_line(deleted.stderr)}")
        return complaints

    def _remove_interfaces(self) -> list[str]:
        """Delete the interfaces of ours; those of an ended namespace may go by themselves meanwhile."""
        run(["ip", "-force", "-batch", "-"], "".join(f"link delete {name}\n" for name in self._present()))
        left = self._present()
        return [f"interfaces not removed: {', '.join(left)}"] if left else []

    def _present(self) -> list[str]:
        present = interfaces()
        return [name for name, mac in self.interfaces.items() if present.get(name) == mac]

    def remove_document(self) -> None:
        """Remove the topology document, if what is there is one of a network with our bridges."""
        path = Path(self.topology)
        try:
            document = msgspec.json.decode(read_text(path, follow=False), type=_Document)
        except (OSError, ValueError, RecursionError):  # none, or something else by now
            return
        if sorted(document.nodes) == sorted(self.bridges):
            path.unlink(missing_ok=True)


class _Document(msgspec.Struct):
    nodes: dict[str, Any]


def clear_remains(state: Path) -> bool:
    """Remove what a killed lab has left; whether there was any. LabError if the lab of this state file still runs."""
    with rundir.locked(state):
        return remove_remains(state)


def remove_remains(state: Path) -> bool:
    """As `clear_remains`, by who has the lock."""
    footprint = Footprint.read(state)
    if footprint is None:
        return False
    footprint.remove()
    footprint.remove_document()
    state.unlink(missing_ok=True)
    return True
