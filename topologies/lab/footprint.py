"""What one lab has put on the machine, kept in a file so that any later process can remove exactly that.

Everything a lab makes carries the lab's random id, and the file is written before anything is made:
  bridges and QoS rows    external_ids:howdah-lab=<id>
  switch interfaces       their MAC addresses contain the id (host interfaces are their veth peers and go with them)
  processes               the environment variable HOWDAH_LAB=<id>, inherited by whatever runs inside a host
So a name in the file is removed only if the thing of that name carries the id: after a kill -9, and even if someone
made a bridge of that name meanwhile, nothing but the lab's own is touched.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass
class Footprint:
    """One lab's traces.

    `interfaces` maps switch interfaces to their MACs, `hosts` host names to the shells that hold their namespaces,
    `topology` is the path of the finished document, `about` what `howdah lab status` shows (settings, addresses).
    """

    owner: Process
    lab: str = field(default_factory=lambda: secrets.token_hex(3))
    bridges: list[str] = field(default_factory=list)
    interfaces: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, Process] = field(default_factory=dict)
    topology: str = ""
    ready: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def mac(self, number: int) -> str:
        """The MAC of the lab's interface of this number: locally administered, then the id, then the number."""
        return "0a:" + ":".join(f"{self.lab}{number:04x}"[i : i + 2] for i in range(0, 10, 2))

    # --- the file -----------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: Path) -> Footprint | None:
        """The lab recorded in this file, or None; LabError if the file is not ours."""
        try:
            record = json.loads(path.read_text())
            record["owner"] = Process(**record["owner"])
            record["hosts"] = {name: Process(**process) for name, process in record["hosts"].items()}
            return cls(**record)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(f"{path} is not the state file of a lab: {error!r}") from None

    def claim(self, path: Path) -> None:
        """Write the file, which must not exist yet: FileExistsError if it does."""
        draft = self._draft(path)
        try:
            os.link(draft, path)
        finally:
            draft.unlink()

    def save(self, path: Path) -> None:
        """Replace the file as a whole."""
        self._draft(path).replace(path)

    def _draft(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(self), indent=1))
        return draft

    # --- its hosts ----------------------------------------------------------------------------------------------------

    def command(self, host: str, words: list[str]) -> list[str]:
        """The command line that runs `words` inside a host, from any process; LabError if there is no such host."""
        shell = self.hosts.get(host)
        if shell is None:
            raise LabError(f"no host {host!r}; there are: {', '.join(self.hosts) or 'none'}")
        if not shell.alive():
            raise LabError(f"host {host!r} has ended; the lab was killed (`howdah lab down` removes the rest)")
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
        variable = f"{LAB_VARIABLE}={self.lab}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    environment = (entry / "environ").read_bytes()
                except OSError:  # ended meanwhile
                    continue
                if variable in environment.split(b"\0"):
                    yield int(entry.name)

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


def clear_remains(state: Path) -> bool:
    """Remove what a killed lab has left; whether there was any. LabError if the lab of this state file still runs."""
    footprint = Footprint.read(state)
    if footprint is None:
        return False
    if footprint.owner.alive() and footprint.owner.pid != os.getpid():
        raise LabError(f"a lab is up already (process {footprint.owner.pid}); `howdah lab down` removes it")
    footprint.remove()
    Path(footprint.topology).unlink(missing_ok=True)
    state.unlink(missing_ok=True)
    return True
