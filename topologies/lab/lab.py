"""The network of a description on this machine: Open vSwitch bridges, shaped veth links and Mininet hosts.

Mininet holds the network (nodes, `net.get("h1").cmd(...)`, its CLI works on `lab.net`), but what it would do with
hundreds of single commands is done in five batches: one `ip -batch` makes every veth pair in its final namespace, one
shell per host sets address and rate, one `tc -batch` sets all switch ends, one ovs-vsctl transaction makes all bridges,
one OVSDB transaction sets sFlow. Steps of `start`, each recorded in the footprint before it is taken:

  1. refuse names that exist, claim the state file    4. bridges, with QoS type linux-noop: without it Open vSwitch
  2. host shells (a network namespace each)              clears our queues whenever it restarts
  3. veth pairs, rates, addresses                     5. sFlow; read ifindexes back; write the topology document
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 12):
    import setuptools  # noqa: F401  brings distutils, which mininet 2.3.0 imports and Python 3.12 dropped

from mininet.link import Link
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch

from documents.topology import Spec
from ovs_rules.ovsdb import Bridge, Ovsdb, OvsdbError, Sflow, run_directory
from topologies.lab import rundir
from topologies.lab.footprint import EXTERNAL_ID, LAB_VARIABLE, STATE, About, Footprint, Process, remove_remains
from topologies.lab.machine import (
    LabError,
    batch,
    heredoc,
    in_namespace,
    interfaces,
    last_line,
    require_root,
    run,
    silence_ipv6,
    together,
)
from topologies.lab.sendbuffer import widen
from topologies.lab.shaping import tc_lines

TOPOLOGY = Path("/run/howdah/topology.json")
CONTROLLER = "tcp:127.0.0.1:6653"
PROTOCOLS = "OpenFlow13,OpenFlow15"
QUEUE = 100  # packets
PREFIX_LENGTH = 16
OFPORT_MAX = 0xFEFF  # the highest number that Open vSwitch assigns (ovs-vswitchd.conf.db(5), ofport_request)
Mininet.inited = True  # else it would rewrite a dozen sysctls of the machine
FIRST_FRAME = "0180c200000e0a000000000088b5" + 46 * "00"  # never forwarded (802.1D); EtherType for experiments
SFLOW = Sflow(sampling=10, polling=1)


class Lab:
    """A running network; `with Lab(spec) as lab:` starts it and removes it again.

    `controller` is what the bridges connect to (None: nothing), `sflow` the settings of every bridge, whose agent
    address comes from the description (None: no sFlow). `qos` adds the two classes to each link's rate, `queue` is
    their length in packets. `static_arp` gives every host the MACs of all others. `datapath` is netdev or system (None:
    system if the kernel module is there). The finished document goes to `topology`, the footprint to `state`.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        controller: str | None = CONTROLLER,
        sflow: Sflow | None = SFLOW,
        qos: bool = True,
        queue: int = QUEUE,
        static_arp: bool = False,
        datapath: str | None = None,
        topology: Path = TOPOLOGY,
        state: Path = STATE,
    ) -> None:
        _check_buildable(spec)
        self.spec = spec
        self.controller = controller
        self.sflow = sflow.checked() if sflow else None
        self.qos = qos
        self.queue = queue
        self.static_arp = static_arp
        self.datapath = datapath or ""
        self.topology_file = topology
        self.state = state
        self.net: Mininet | None = None
        self._footprint: Footprint | None = None

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def topology(self) -> dict[str, Any]:
        """The topology document, with ifindexes once started."""
        return self.spec.to_json()

    def host(self, name: str) -> Host:
        """Mininet's host of this name: `.popen([...])`, `.cmd("...")`, `.pexec([...])`, `.IP()`."""
        if self.net is None or name not in self.spec.hosts:
            raise LabError(f"no host {name!r} in a running lab")
        return self.net.get(name)

    def start(self) -> None:
        """Build everything; on any failure or interruption nothing is left. LabError says what was in the way."""
        require_root()
        self.datapath = self.datapath or usable_datapath()
        self._footprint = self._claim()
        try:
            self._add_nodes(self._footprint)
            self._add_links(self._footprint)
            self._add_bridges(self._footprint)
            self._observe()
            self._footprint.ready = True
            self._footprint.save(self.state)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Remove exactly what `start` made; harmless when there is nothing."""
        footprint, self._footprint = self._footprint, None
        if footprint is None:
            return
        try:
            footprint.remove()
            footprint.remove_document()
            self.state.unlink(missing_ok=True)
        finally:
            for node in self.net.values() if self.net else ():
                node.terminate()  # closes its terminal and ends its shell
            self.net = None
            rundir.unlock(self.state)

    # --- 1 ------------------------------------------------------------------------------------------------------------

    def _claim(self) -> Footprint:
        """The footprint of what is going to be made, written to the state file, which holds one lab."""
        rundir.lock(self.state)
        try:
            return self._recorded()
        except BaseException:
            rundir.unlock(self.state)
            raise

    def _recorded(self) -> Footprint:
        remove_remains(self.state)
        footprint = Footprint(owner=Process.of(os.getpid()), topology=str(self.topology_file), about=self._about())
        footprint.bridges = list(self.spec.nodes)
        footprint.interfaces = {port.name: footprint.mac(n) for n, (_, port) in enumerate(self.spec.ports(), 1)}
        _refuse_names_in_use([*footprint.bridges, *footprint.interfaces])
        footprint.claim(self.state)
        return footprint

    def _about(self) -> About:
        return About(
            datapath=self.datapath,
            controller=self.controller,
            sflow=asdict(self.sflow) if self.sflow else None,
            qos=self.qos,
            queue=self.queue,
            link_bps=sorted({port.speed for _, port in self.spec.ports() if port.speed}),
            roles=dict(Counter(node.role or "switch" for node in self.spec.nodes.values())),
            addresses={host.name: host.addresses[0] for host in self.spec.hosts.values()},
        )

    # --- 2 ------------------------------------------------------------------------------------------------------------

    def _add_nodes(self, footprint: Footprint) -> None:
        """Mininet's nodes: for a host this makes its network namespace, for a switch nothing but a shell."""
        self.net = net = Mininet(controller=None, build=False)
        environment = {**os.environ, LAB_VARIABLE: footprint.lab}
        for host in self.spec.hosts.values():
            shell = net.addHost(host.name, cls=_LabHost, environment=environment)
            footprint.hosts[host.name] = Process.of(shell.pid)
        for node in self.spec.nodes.values():
            net.addSwitch(node.name, cls=_LabSwitch, environment=environment, dpid=node.dpid, datapath=self.datapath)
        footprint.save(self.state)

    # --- 3 ------------------------------------------------------------------------------------------------------------

    def _add_links(self, footprint: Footprint) -> None:
        macs = footprint.interfaces
        pairs = [
            f"link add {link.port1} address {macs[link.port1]} type veth "
            f"peer name {link.port2} address {macs[link.port2]}"
            for link in self.spec.links.values()
        ]
        pairs += [
            f"link add {host.port} address {macs[host.port]} type veth "
            f"peer name {host.name}-eth0 address {host.mac} netns {footprint.hosts[host.name].pid}"
            for host in self.spec.hosts.values()
        ]
        wired = [port for _, port in self.spec.ports() if port.name in self._wired()]
        batch(["ip"], pairs)
        for port in wired:  # or the machine's own IPv6 stack would send on every port of the fabric
            silence_ipv6(port.name)
        batch(["ip"], [f"link set {port.name} up" for port in wired])
        batch(["tc"], [line for port in wired for line in self._rate(port.name, port.speed)])
        together({host: in_namespace(footprint.hosts[host].pid, self._host_script(host)) for host in self.spec.hosts})
        self._register_links(macs)

    def _wired(self) -> set[str]:
        """The ports that have a cable: on a description from a file some may be left open."""
        linked = {port for link in self.spec.links.values() for _, port in link.ends}
        return linked | {host.port for host in self.spec.hosts.values()}

    def _rate(self, interface: str, speed: int | None) -> list[str]:
        return tc_lines(interface, speed, self.queue, classes=self.qos) if speed else []

    def _host_script(self, name: str) -> str:
        """What a host's namespace needs.

        Checksums are made in software, because a userspace switch gets the frames as they are; and TCP hands down
        single segments (gso_max_segs), so that queues hold packets and not bundles of them.
        """
        host, interface = self.spec.hosts[name], f"{name}-eth0"
        speed = self.spec.nodes[host.node].ports[host.port].speed
        neighbours = [other for other in self.spec.hosts.values() if self.static_arp and other != host]
        setup = [
            "link set lo up",
            f"address add {host.ipv4}/{PREFIX_LENGTH} broadcast + dev {interface}",
            f"link set {interface} gso_max_segs 1 up",
            *(f"neighbour add {one.ipv4} lladdr {one.mac} dev {interface} nud permanent" for one in neighbours),
        ]
        return "\n".join(
            [
                "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e $f ] || echo 1 > $f; done",
                *heredoc("ip -batch -", setup),
                f"ethtool -K {interface} tx off > /dev/null",
                *heredoc("tc -batch -", self._rate(interface, speed)),
            ]
        )

    def _register_links(self, macs: dict[str, str]) -> None:
        """Register the links with Mininet, so that its nodes know their interfaces, addresses and neighbours."""
        assert self.net is not None
        for link in self.spec.links.values():
            (node1, port1), (node2, port2) = link.ends
            ofports = [self.spec.nodes[node].ports[port].ofport for node, port in link.ends]
            names = {"intfName1": port1, "intfName2": port2, "addr1": macs[port1], "addr2": macs[port2]}
            self.net.addLink(node1, node2, *ofports, cls=_ExistingLink, up=None, **names)
        for host in self.spec.hosts.values():
            ofport = self.spec.nodes[host.node].ports[host.port].ofport
            names = {"intfName1": f"{host.name}-eth0", "intfName2": host.port}
            addresses = {"addr1": host.mac, "addr2": macs[host.port]}
            link = self.net.addLink(host.name, host.node, 0, ofport, cls=_ExistingLink, up=None, **names, **addresses)
            link.intf1.ip, link.intf1.prefixLen = host.ipv4, PREFIX_LENGTH

    # --- 4 ------------------------------------------------------------------------------------------------------------

    def _add_bridges(self, footprint: Footprint) -> None:
        lab, wired = f"external_ids:{EXTERNAL_ID}={footprint.lab}", self._wired()
        words = ["--id=@qos", "create", "qos", "type=linux-noop", lab]
        for node in self.spec.nodes.values():
            words += ["--", "add-br", node.name, "--", "set", "bridge", node.name]
            words += [f"datapath_type={self.datapath}", "fail_mode=secure", f"protocols={PROTOCOLS}", lab]
            words += [f"other_config:{key}" for key in (f"datapath-id={node.dpid}", f"dp-desc={node.name}")]
            words += ["other_config:disable-in-band=true"]
            if self.controller:
                words += ["--", "set-controller", node.name, self.controller]
                words += ["--", "set", "controller", node.name, "max_backoff=1000"]  # ms until it tries again
            for port in node.ports.values():
                if port.name in wired:
                    words += ["--", "add-port", node.name, port.name, "--", "set", "port", port.name, "qos=@qos"]
                    words += ["--", "set", "interface", port.name, f"ofport_request={port.ofport}"]
        made = run(["ovs-vsctl", "--timeout=30", "--", *words])
        if made.returncode:
            raise LabError(f"Open vSwitch: {last_line(made.stderr)}")

        if self.datapath == "netdev":
            self._widen_send_buffer(len(wired) * self.queue * (2 if self.qos else 1))

    def _widen_send_buffer(self, packets: int) -> None:
        """Let all queues fill at once (see sendbuffer). What forbids it costs fidelity, not the lab: it is logged."""
        try:
            if not widen(packets, run_directory()):  # opened with the first packet, so let there be one
                node = next(node for node in self.spec.nodes.values() if node.ports)
                port = next(iter(node.ports.values()))
                words = [node.name, f"in_port=controller packet={FIRST_FRAME} actions=output:{port.ofport}"]
                run(["ovs-ofctl", "-O", "OpenFlow13", "packet-out", *words])
                widen(packets, run_directory())
        except OSError as error:
            logging.getLogger(__name__).warning("Open vSwitch may drop what should wait in queues: %s", error)

    # --- 5 ------------------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        """Set sFlow, check that every port got its number, read the ifindexes, write the topology document."""
        try:
            with Ovsdb() as db:
                if self.sflow:
                    agents = {name: replace(self.sflow, agent=node.agent) for name, node in self.spec.nodes.items()}
                    db.enable_sflow(agents)
                bridges = db.bridges()
        except OvsdbError as error:
            raise LabError(str(error)) from None
        self.spec = self.spec.with_ifindexes(_ifindexes(self.spec, bridges, self._wired()))
        self.topology_file.parent.mkdir(parents=True, exist_ok=True)
        rundir.write(self.topology_file, json.dumps(self.topology, indent=1) + "\n")


def usable_datapath() -> str:
    """system if Open vSwitch's kernel module is loaded or can be, else netdev (its userspace datapath)."""
    if Path("/sys/module/openvswitch").exists():
        return "system"
    with contextlib.suppress(LabError):  # no modprobe, no modules
        if run(["modprobe", "--quiet", "openvswitch"]).returncode == 0:
            return "system"
    return "netdev"


class _LabNode:
    """A Mininet node all of whose processes carry the lab's id in their environment."""

    def __init__(self, name: str, environment: dict[str, str], **params: Any) -> None:
        self.environment = environment
        super().__init__(name, **params)  # type: ignore[call-arg]

    def _popen(self, command: list[str], **params: Any) -> Any:
        """Start a process; an `env` of the caller's is kept, the id added."""
        wanted = params.pop("env", None)
        environment = self.environment if wanted is None else {**wanted, LAB_VARIABLE: self.environment[LAB_VARIABLE]}
        return super()._popen(command, env=environment, **params)  # type: ignore[misc]


class _LabHost(_LabNode, Host):
    pass


class _LabSwitch(_LabNode, OVSSwitch):
    pass


class _ExistingLink(Link):
    """A link whose interfaces exist already."""

    @classmethod
    def makeIntfPair(cls, *_: Any, **__: Any) -> None:
        return None


def _check_buildable(spec: Spec) -> None:
    """LabError unless every node has what a bridge needs, and every name fits an interface."""
    names = [*spec.nodes, *(port.name for _, port in spec.ports()), *(f"{host}-eth0" for host in spec.hosts)]
    for name in names:
        if (
            not 0 < len(name) <= 15
            or not name.isascii()
            or any(c in name for c in "/ :\t\n\"'\\,=@")
            or name in {".", ".."}
        ):
            raise LabError(f"{name!r} cannot be the name of an interface (at most 15 plain characters)")
        if names.count(name) > 1:
            raise LabError(f"{name!r} names more than one bridge or interface")
    for node in spec.nodes.values():
        if node.dpid is None:
            raise LabError(f"node {node.name!r} has no dpid")
    for node, port in spec.ports():
        if port.ofport is None:
            raise LabError(f"node {node.name!r} port {port.name!r} has no ofport")
        if port.ofport > OFPORT_MAX:
            raise LabError(f"node {node.name!r} port {port.name!r}: Open vSwitch has no ofport above {OFPORT_MAX}")
    at: dict[str, str] = {}
    for host in spec.hosts.values():
        if len(host.addresses) != 1 or host.ipv4 is None:
            raise LabError(f"host {host.name!r} needs one IPv4 address and no other here")
        if at.setdefault(host.port, host.name) != host.name:
            raise LabError(f"host {host.name!r}: port {host.port!r} has host {at[host.port]!r}; here a port has one")


def _refuse_names_in_use(names: list[str]) -> None:
    try:
        with Ovsdb() as db:
            bridges = db.bridges()
    except OvsdbError as error:
        raise LabError(f"{error} (is Open vSwitch running?)") from None
    present = interfaces()
    for name in names:
        if name in bridges:
            raise LabError(f"a bridge {name!r} exists already and is not the lab's; nothing was changed")
        if name in present:
            raise LabError(f"an interface {name!r} exists already and is not the lab's; nothing was changed")


def _ifindexes(spec: Spec, bridges: dict[str, Bridge], wired: set[str]) -> dict[str, int]:
    """The ifindex of every wired port; LabError if a port did not come up as it was asked for."""
    found = {}
    for node in spec.nodes.values():
        present = {interface.name: interface for interface in bridges[node.name].ports}
        for port in node.ports.values():
            if port.name in wired:
                interface = present.get(port.name)
                if interface is None or interface.ifindex is None or interface.ofport != port.ofport:
                    raise LabError(f"Open vSwitch did not take {port.name!r} as port {port.ofport} of {node.name!r}")
                found[port.name] = interface.ifindex
    return found
