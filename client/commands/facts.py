"""What `howdah doctor` looks at: the switch by OVSDB, sockets from /proc/net, analytics and the controller over HTTP.

All of it is looked at once, before anything is said about it (walk.py); nothing is changed. Of definitions the first
MOST_LOOKED_AT are asked for their largest flow, one question each.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from client.connection import Connection, Refused, Unavailable, WrongAnswer, part

MOST_LOOKED_AT = 50


@dataclass(frozen=True)
class Export:
    """A bridge's sFlow row; `targets` are IP:PORT. `ports`: ifIndex by name."""

    bridge: str
    targets: tuple[str, ...]
    sampling: int
    polling: int
    header: int
    agent: str | None
    ports: Mapping[str, int]


@dataclass(frozen=True)
class Switch:
    """This machine's Open vSwitch: bridges with sFlow, and those without. `unknown`: why there is nothing to say."""

    exports: tuple[Export, ...] = ()
    silent: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Facts:
    """What was gathered. Answers of analytics as they are, {} or [] without; `after`: the numbers `waited` s later."""

    url: str
    switch: Switch
    sockets: Mapping[int, int]
    """UDP ports that somebody listens on here -> datagrams that the kernel dropped there."""
    own: frozenset[str] = frozenset()
    """Addresses of this machine among the targets."""
    failure: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    waited: float = 0.0
    agents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    """Data sources that sent interface counters, and those that sent packet samples."""
    sampled: frozenset[str] = frozenset()
    flows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    largest: Mapping[str, float | None] = field(default_factory=dict)
    """The largest flow now of every definition; None: there is none."""
    seen: frozenset[str] = frozenset()
    """Keys that live traffic has, and metrics that are known."""
    metrics: frozenset[str] = frozenset()
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    controller: Mapping[str, Any] | None = None


def switch_here(db: str | None) -> Switch:
    """The bridges of an Open vSwitch, by OVSDB."""
    from ovs_rules.ovsdb import Ovsdb, OvsdbError  # noqa: PLC0415  0.2 s that other commands need not spend

    try:
        with Ovsdb(db, timeout=5.0) as ovsdb:
            bridges = ovsdb.bridges()
    except OvsdbError as fault:
        return Switch(unknown=f"no Open vSwitch: {fault}")
    exports = [
        Export(
            name,
            tuple(filter(None, one.sflow.collector.split(","))),
            one.sflow.sampling,
            one.sflow.polling,
            one.sflow.header,
            one.sflow.agent,
            {port.name: port.ifindex for port in one.ports if port.ifindex is not None},
        )
        for name, one in bridges.items()
        if one.sflow
    ]
    return Switch(tuple(exports), tuple(name for name, one in bridges.items() if not one.sflow))


def sockets_here() -> dict[int, int]:
    """UDP ports that are open in this network namespace -> datagrams dropped there, by /proc/net/udp and udp6."""
    found: dict[int, int] = {}
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            port = int(words[1].rpartition(":")[2], 16)
            found[port] = found.get(port, 0) + int(words[-1])
    return found


def own_addresses(switch: Switch) -> frozenset[str]:
    """The targets' addresses that are this machine's."""
    found = set()
    for target in {target for one in switch.exports for target in one.targets}:
        address = address_of(target)[0]
        if not is_address(address):
            continue
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                continue
        found.add(address)
    return frozenset(found)


def gather(connection: Connection, controller: str, db: str | None, wait: float) -> Facts:
    """Look at everything. Waits until something arrives, `wait` seconds at most."""
    switch = switch_here(db)
    known: dict[str, Any] = {
        "url": connection.url,
        "switch": switch,
        "sockets": sockets_here(),
        "own": own_addresses(switch),
        "controller": _status(controller),
    }
    try:
        before = after = connection.get("/analyzer/json")
        began = time.monotonic()
        while after["sFlowDatagramsReceived"] == before["sFlowDatagramsReceived"] and time.monotonic() < began + wait:
            time.sleep(0.2)
            after = connection.get("/analyzer/json")
        flows = connection.get("/flow/json")
        largest = {name: _largest(connection, name) for name in list(flows)[:MOST_LOOKED_AT]}
        return Facts(
            **known,
            before=before,
            after=after,
            waited=time.monotonic() - began,
            agents=connection.get("/agents/json"),
            counted=frozenset(cell["dataSource"] for cell in connection.get("/dump/ALL/ifinoctets/json")),
            sampled=frozenset(_sampled(connection, flows)),
            flows=flows,
            largest=largest,
            seen=frozenset(connection.get("/flowkeys/json")),
            metrics=frozenset(connection.get("/metrics/json")),
            thresholds=connection.get("/threshold/json"),
            events=tuple(connection.get("/events/json", {"maxEvents": 1})),
        )
    except (Unavailable, Refused, WrongAnswer) as fault:
        return Facts(**known, failure=" ".join(str(fault).split()))


def _largest(connection: Connection, name: str) -> float | None:
    found = connection.get(f"/activeflows/ALL/{part(name)}/json", {"maxFlows": 1})
    return float(found[0]["value"]) if found else None


def _sampled(connection: Connection, flows: Mapping[str, Any]) -> list[str]:
    """Data sources of packet samples: those on which a definition that counts all bytes has a value."""
    everything = [name for name, spec in flows.items() if not spec.get("keys") and "filter" not in spec]
    cells = connection.get(f"/dump/ALL/{part(*everything[:1])}/json") if everything else []
    return [cell["dataSource"] for cell in cells]


def _status(url: str) -> Mapping[str, Any] | None:
    try:
        found = Connection(url, os.environ.get("HOWDAH_TOKEN")).get("/v1/status")
    except (Unavailable, Refused, WrongAnswer):
        return None
    return found if isinstance(found, dict) else None


def address_of(target: str) -> tuple[str, int]:
    """A target of Open vSwitch: IP:PORT, [IPv6]:PORT, or without a port."""
    address, colon, port = target.rpartition(":")
    if colon and port.isdigit() and not address.endswith(":"):
        return address.strip("[]"), int(port)
    return target.strip("[]"), 6343


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
