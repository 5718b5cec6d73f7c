"""Private Open vSwitches: own database, own daemon, own run directory; nothing of the machine's is touched.

`private_ovs`  dummy mode, no root: bridges with `datapath_type=dummy` (the default of `add_bridge` here) trace packets,
               connect to a controller by OpenFlow and send genuine sFlow; packets go in with `netdev-dummy/receive`.
`netdev_ovs`   (root) the userspace datapath inside a network namespace of its own: bridges are real interfaces there,
               LOCAL ports hold addresses, `host()` hangs further namespaces on veth pairs, and `socket()` gives the
               test itself a socket in any of them.

The daemons are children of the test run, ended by pid, and by the kernel should the run be killed. Both fixtures are
per test: it may kill or restart its switch.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.ryu_manager import ENDS_WITH_US

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
SBIN = ":/usr/local/sbin:/usr/sbin:/sbin"  # the daemons' home, which a plain user's PATH may lack
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000  # sched.h


def run(argv: Sequence[str | Path], env: dict[str, str] | None = None, check: bool = True) -> str:
    """The command's standard output; a failure shows what the command said."""
    argv = [str(word) for word in argv]
    done = subprocess.run(argv, env=env, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class OpenVSwitch:
    """One ovsdb-server and one ovs-vswitchd. `db` is the OVSDB remote for `ovs-vsctl --db` and the Python bindings."""

    datapath = "dummy"
    options: tuple[str, ...] = ("--enable-dummy",)
    prefix: tuple[str, ...] = ()  # goes before each daemon's command line

    def __init__(self, rundir: Path) -> None:
        self.rundir = rundir
        self.db = f"unix:{rundir}/db.sock"
        self.env = os.environ | {f"OVS_{kind}DIR": str(rundir) for kind in ("RUN", "LOG", "DB", "SYSCONF")}
        self.env["PATH"] += SBIN
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def vsctl(self, *words: str, timeout: float = PATIENCE_S) -> str:
        """ovs-vsctl on this database; waits until the switch has done it."""
        return run(["ovs-vsctl", f"--timeout={timeout:g}", f"--db={self.db}", *words], self.env).strip()

    def ofctl(self, *words: str, version: str = "OpenFlow10,OpenFlow13,OpenFlow15", check: bool = True) -> str:
        """ovs-ofctl; a bridge is named by its name, as usual: its management socket is found in the run directory."""
        return run(["ovs-ofctl", f"--protocols={version}", *words], self.env, check)

    def appctl(self, *words: str, target: str = "ovs-vswitchd") -> str:
        return run(["ovs-appctl", "--target", f"{self.rundir}/{target}.ctl", *words], self.env)

    def sent_out(self, bridge: str, port: str) -> int:
        """Packets sent out of a port, as of now (OVSDB has them every five seconds)."""
        (sent,) = re.findall(r"tx pkts=(\d+)", self.ofctl("dump-ports", bridge, port))
        return int(sent)

    def add_bridge(self, name: str, *settings: str) -> None:
        """A bridge that drops what no rule matches; `settings` are further `column=value` of its Bridge row."""
        self.vsctl("add-br", name, "--", "set", "bridge", name, f"datapath_type={self.datapath}",
                   "fail_mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow15", *settings)  # fmt: skip

    def start(self) -> None:
        run(["ovsdb-tool", "create", self.rundir / "conf.db", SCHEMA], self.env)
        self.start_daemon("ovsdb-server", self.rundir / "conf.db", f"--remote=p{self.db}")
        run(["ovs-vsctl", f"--db={self.db}", "--no-wait", "init"], self.env)
        self.start_switch()

    def start_switch(self) -> None:
        """Start ovs-vswitchd, for the first time or after `stop_daemon("ovs-vswitchd")`."""
        self.start_daemon("ovs-vswitchd", self.db, "--disable-system", *self.options)

    def start_daemon(self, name: str, *words: str | Path) -> None:
        log = self.rundir / f"{name}.log"
        with log.open("ab") as sink:
            argv = [
                *ENDS_WITH_US,
                *self.prefix,
                name,
                *map(str, words),
                f"--unixctl={self.rundir}/{name}.ctl",
                f"--pidfile={self.rundir}/{name}.pid",
            ]
            daemon = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        self.daemons[name] = daemon
        deadline = time.monotonic() + PATIENCE_S
        while (
            run(
                ["ovs-appctl", "--timeout=5", "--target", f"{self.rundir}/{name}.ctl", "version"], self.env, check=False
            )
            == ""
        ):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop_daemon(self, name: str, kill: bool = False) -> None:
        """End one daemon by its pid: politely, or with SIGKILL as a crash would."""
        daemon = self.daemons.pop(name, None)
        if daemon is None:
            return
        daemon.kill() if kill else daemon.terminate()
        try:
            daemon.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        for leftover in (self.rundir / f"{name}.ctl", self.rundir / f"{name}.pid"):
            leftover.unlink(missing_ok=True)

    def stop(self) -> None:
        for name in ("ovs-vswitchd", "ovsdb-server"):
            self.stop_daemon(name)


class NamespacedSwitch(OpenVSwitch):
    """The userspace datapath in network namespace `netns`. Bridges appear there as interfaces of their name."""

    datapath = "netdev"
    options = ()

    def __init__(self, rundir: Path) -> None:
        super().__init__(rundir)
        self.netns = f"hwd-{uuid.uuid4().hex[:8]}"
        self.prefix = ("ip", "netns", "exec", self.netns)
        self.namespaces: list[str] = []

    def start(self) -> None:
        self._add_namespace(self.netns)
        super().start()

    def stop(self) -> None:
        super().stop()
        for namespace in reversed(self.namespaces):
            run(["ip", "netns", "del", namespace], check=False)

    def exec(self, *argv: str, host: str | None = None) -> str:
        """Run a command inside the switch's namespace, or inside the one of a host."""
        return run([*self.argv(host), *argv], self.env)

    def argv(self, host: str | None = None) -> list[str]:
        """What to put before a command line to run it there (None: in the switch's own namespace)."""
        return ["ip", "netns", "exec", f"{self.netns}-{host}" if host else self.netns]

    def address(self, bridge: str, address: str) -> None:
        """Give the bridge's LOCAL port an address such as `10.0.0.1/24`, and a MAC that stays when ports come."""
        self.vsctl("set", "bridge", bridge, 'other_config:hwaddr="00:04:00:00:00:01"')
        self.exec("ip", "address", "add", address, "dev", bridge)
        self.exec("ip", "link", "set", bridge, "up")

    def host(self, name: str, bridge: str, ofport: int, address: str) -> str:
        """A host namespace with interface `eth0` on the bridge's port `ofport`; returns its MAC address."""
        namespace, wire = f"{self.netns}-{name}", f"{bridge}-{name}"
        self._add_namespace(namespace)
        self.exec("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        # With the userspace datapath the kernel still sees what a port receives, and would answer ARP for LOCAL there.
        self.exec("sysctl", "-qw", f"net.ipv4.conf.{wire}.arp_ignore=8", f"net.ipv6.conf.{wire}.disable_ipv6=1")
        self.exec("ip", "link", "set", wire, "up")
        self.exec("ip", "address", "add", address, "dev", "eth0", host=name)
        self.exec(
            "ethtool", "-K", "eth0", "tx", "off", host=name
        )  # the userspace datapath passes unfinished checksums on
        self.exec("ip", "link", "set", "eth0", "up", host=name)
        self.vsctl("add-port", bridge, wire, "--", "set", "interface", wire, f"ofport_request={ofport}")
        (link,) = json.loads(self.exec("ip", "-json", "link", "show", "eth0", host=name))
        return str(link["address"])

    def socket(
        self,
        host: str | None = None,
        address: tuple[str, int] | None = None,
        family: int = socket.AF_INET,
        kind: int = socket.SOCK_DGRAM,
    ) -> socket.socket:
        """A socket of this process living in the switch's or a host's namespace, bound if `address` is given."""
        made: list[socket.socket] = []

        def enter_and_make() -> None:  # setns(2) moves one thread, so this one is thrown away afterwards
            with open(f"/run/netns/{self.argv(host)[-1]}") as namespace:
                if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.socket(family, kind))

        thread = threading.Thread(target=enter_and_make)
        thread.start()
        thread.join()
        (sock,) = made
        if address:
            sock.bind(address)
        sock.settimeout(PATIENCE_S)
        return sock

    def _add_namespace(self, namespace: str) -> None:
        run(["ip", "netns", "add", namespace])
        self.namespaces.append(namespace)
        run(["ip", "-n", namespace, "link", "set", "lo", "up"])


def _running(kind: type[OpenVSwitch]) -> Iterator[OpenVSwitch]:
    if not SCHEMA.exists() or not shutil.which("ovs-vswitchd", path=os.environ["PATH"] + SBIN):
        pytest.skip("Open vSwitch is not installed (run scripts/setup)")
    rundir = Path(tempfile.mkdtemp(prefix="howdah-ovs-"))  # short: a socket's path has 107 characters
    switch = kind(rundir)
    try:
        switch.start()
        yield switch
    finally:
        switch.stop()
        shutil.rmtree(rundir, ignore_errors=True)


@pytest.fixture
def private_ovs() -> Iterator[OpenVSwitch]:
    """A private Open vSwitch in dummy mode; needs no root."""
    yield from _running(OpenVSwitch)


@pytest.fixture
def netdev_ovs() -> Iterator[OpenVSwitch]:
    """A private Open vSwitch with the userspace datapath in a network namespace of its own; needs root."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    yield from _running(NamespacedSwitch)
