"""What is passed on, and to whom (sflow-rt-api.md 1.2): forwardings take whole datagrams, tenants chosen samples.

A forwarding is `{address, port, agents}`, a tenant `{collectorAddress, collectorPort, filters}` with filters `ifindex`
and `ifname` (a port each: `10.0.0.1_2`, `10.0.0.1_eth3`), `cidr` and `mac`; a sample that matches one of them is the
tenant's. Addresses are addresses and not names, because nothing is looked up after privileges were dropped.
Values in, values out; core/relay.pyx does it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from analytics.flows.definitions import check_name
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.names import Names

DEFAULT_PORT = 6343
MOST_CONDITIONS = 256  # of one kind: compared one after the other with every sample
FORWARDING = ("address", "port", "agents")  # attributes
TENANT = ("collectorAddress", "collectorPort", "filters")
FILTERS = ("ifindex", "ifname", "cidr", "mac")
MAPPED = bytes(10) + b"\xff\xff"

Address = IPv4Address | IPv6Address
Target = tuple[list[bytes]] | tuple[list[bytes], list[tuple[bytes, int]], list[tuple[bytes, int]], list[bytes]]
"""As core/relay.pyx takes them (Relay.set_targets)."""


@dataclass(frozen=True)
class Forwarding:
    """Datagrams of `agents`, or of all, as they came. `spec`: as it was put, with defaults."""

    address: Address
    port: int
    agents: tuple[Address, ...]
    spec: Mapping[str, Any]

    def target(self, names: Names) -> Target:
        """For core/relay.pyx."""
        return ([agent.packed for agent in self.agents],)


@dataclass(frozen=True)
class Tenant:
    """Samples that match a filter. `named`: (agent, ifname) of ports whose ifIndex the switch says."""

    address: Address
    port: int
    ports: tuple[tuple[Address, int], ...]
    named: tuple[tuple[str, str], ...]
    prefixes: tuple[tuple[bytes, int], ...]
    macs: tuple[bytes, ...]
    spec: Mapping[str, Any]

    def target(self, names: Names) -> Target:
        """The same; a port whose name nobody has said has no samples."""
        found = [(ip_address(agent), int(names.ports[agent, name][1])) for agent, name in self.named
                 if (agent, name) in names.ports]  # fmt: skip
        ports = [(agent.packed, index) for agent, index in (*self.ports, *found)]
        return [], ports, list(self.prefixes), list(self.macs)


def parse_forwarding(name: str, spec: object) -> Forwarding:
    """InvalidDefinition names the offending word."""
    what = f"forwarding {name!r}"
    check_name("forwarding", name)
    given = _given(what, spec, FORWARDING)
    agents = given.get("agents", [])
    if not isinstance(agents, list) or len(agents) > MOST_CONDITIONS:
        raise InvalidDefinition(f"{what}: agents is not a list of at most {MOST_CONDITIONS} addresses")
    of = tuple(_address(what, "agents", agent) for agent in agents)
    address, port = _address(what, "address", given.get("address")), _port(what, "port", given.get("port"))
    listed = {"agents": [str(agent) for agent in of]} if of else {}
    return Forwarding(address, port, of, {"address": str(address), "port": port, **listed})


def parse_tenant(name: str, spec: object) -> Tenant:
    """InvalidDefinition names the offending word."""
    what = f"tenant {name!r}"
    check_name("tenant", name)
    given = _given(what, spec, TENANT)
    filters = _given(f"{what}: filters", given.get("filters", {}), FILTERS)
    if not any(filters.values()):
        raise InvalidDefinition(f"{what}: filters is missing or chooses nothing: {', '.join(FILTERS)}")
    for kind, values in filters.items():
        if not isinstance(values, list) or len(values) > MOST_CONDITIONS:
            raise InvalidDefinition(f"{what}: filter {kind!r} is not a list of at most {MOST_CONDITIONS} values")
        for value in values:
            if not isinstance(value, str):
                raise InvalidDefinition(f"{what}: filter {kind!r}: {str(value)[:60]!r} is not text")
    address = _address(what, "collectorAddress", given.get("collectorAddress"))
    port = _port(what, "collectorPort", given.get("collectorPort"))
    ports = []
    for text in filters.get("ifindex", ()):
        agent, index = _place(what, "ifindex", text)
        if not (index.isascii() and index.isdigit() and int(index) < 1 << 30):
            raise InvalidDefinition(f"{what}: filter 'ifindex': {text[:60]!r} is not <agent>_<ifIndex>")
        ports.append((agent, int(index)))
    named = [(str(agent), port) for agent, port in (_place(what, "ifname", text) for text in filters.get("ifname", ()))]
    return Tenant(
        address,
        port,
        tuple(ports),
        tuple(named),
        tuple(_prefix(what, text) for text in filters.get("cidr", ())),
        tuple(_mac(what, text) for text in filters.get("mac", ())),
        {
            "collectorAddress": str(address),
            "collectorPort": port,
            "filters": {kind: list(values) for kind, values in filters.items()},
        },
    )


def _given(what: str, spec: object, words: tuple[str, ...]) -> dict[str, Any]:
    """The attributes that are given; null means the default."""
    if not isinstance(spec, Mapping):
        raise InvalidDefinition(f"{what}: not a JSON object: {str(spec)[:60]!r}")
    for word in spec:
        if word not in words:
            raise InvalidDefinition(f"{what}: unknown attribute {str(word)[:60]!r}, not one of {', '.join(words)}")
    return {word: value for word, value in spec.items() if value is not None}


def _address(what: str, word: str, value: object) -> Address:
    """Of one machine."""
    try:
        found = ip_address(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.is_multicast or found.is_unspecified or str(found) == "255.255.255.255":
        raise InvalidDefinition(f"{what}: {word} is missing or not the address of a machine: {str(value)[:60]!r}")
    return found


def _port(what: str, word: str, value: object) -> int:
    if value is None:
        return DEFAULT_PORT
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise InvalidDefinition(f"{what}: {word} is not a port from 1 to 65535: {str(value)[:60]!r}")
    return value


def _place(what: str, kind: str, text: str) -> tuple[Address, str]:
    """`<agent>_<port>`: an address has no underscore, a port's name may."""
    agent, _, port = text.partition("_")
    try:
        if port:
            return ip_address(agent), port
    except ValueError:
        pass
    raise InvalidDefinition(f"{what}: filter {kind!r}: {text[:60]!r} is not <agent>_<port>")


def _prefix(what: str, text: str) -> tuple[bytes, int]:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidDefinition(f"{what}: filter 'cidr': {text[:60]!r} is not an address or prefix") from None
    if network.version == 4:
        return MAPPED + network.network_address.packed, 96 + network.prefixlen
    return network.network_address.packed, network.prefixlen


def _mac(what: str, text: str) -> bytes:
    digits = re.sub("[:.-]", "", text)
    if not re.fullmatch("[0-9A-Fa-f]{12}", digits):
        raise InvalidDefinition(f"{what}: filter 'mac': {text[:60]!r} is not a MAC address")
    return bytes.fromhex(digits)
