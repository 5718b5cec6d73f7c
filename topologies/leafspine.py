"""Leaf-spine fabrics: every leaf is wired to every spine, hosts sit behind leaves.

On a leaf the hosts come first (eth1..ethH), then the spines; on a spine port l leads to leaf l. Numbers follow
from positions: host n of leaf l is 10.0.l.n with MAC 00:04:00:00:ll:nn; the dpid of leaf l is l and of spine s is
0x100+s; agents are 10.254.0.1 upward, leaves first. `cable` and `host_at` also serve the fat-tree.
"""

from __future__ import annotations

from documents.topology import Host, Link, Node, Port, Spec, SpecError

INTERFACE_NAME_MAX = 15  # IFNAMSIZ of Linux less the closing zero


def leafspine(
    spines: int = 4, leaves: int = 4, hosts_per_leaf: int = 4, link_mbps: float = 5, prefix: str = ""
) -> Spec:
    """The fabric, all links at `link_mbps` Mbit/s.

    `prefix` goes before the names of switches (not of hosts, which live in namespaces of their own), so that two labs
    fit on one machine. SpecError names a count, a rate or a name that is out of bounds.
    """
    counted("spines", spines, 1, 255)
    counted("leaves", leaves, 1, 255)
    counted("hosts per leaf", hosts_per_leaf, 0, 254)
    speed = bits_per_second(link_mbps)
    nodes: dict[str, Node] = {}
    links: dict[str, Link] = {}
    hosts: dict[str, Host] = {}
    for leaf in range(1, leaves + 1):
        name = f"{prefix}leaf{leaf}"
        nodes[name] = switch(name, hosts_per_leaf + spines, speed, dpid=leaf, agent=leaf, role="leaf")
        for n in range(1, hosts_per_leaf + 1):
            host = host_at(nodes[name], leaf, n, number=len(hosts) + 1)
            hosts[host.name] = host
    for spine in range(1, spines + 1):
        name = f"{prefix}spine{spine}"
        nodes[name] = switch(name, leaves, speed, dpid=0x100 + spine, agent=leaves + spine, role="spine")
        for leaf in range(1, leaves + 1):
            link = cable(nodes[f"{prefix}leaf{leaf}"], hosts_per_leaf + spine, nodes[name], leaf)
            links[link.name] = link
    return Spec(nodes, links, hosts)


def switch(name: str, ports: int, speed: int, *, dpid: int, agent: int, role: str) -> Node:
    """A switch whose ports `<name>-eth1` .. all run at `speed` bits/s; its agent is the address 10.254.0.<agent>."""
    if len(longest := f"{name}-eth{ports}") > INTERFACE_NAME_MAX:
        raise SpecError(f"node {name!r}: interface name {longest!r} exceeds Linux's {INTERFACE_NAME_MAX} characters")
    interfaces = {f"{name}-eth{n}": Port(f"{name}-eth{n}", ofport=n, speed=speed) for n in range(1, ports + 1)}
    address = f"10.254.{agent >> 8}.{agent & 0xFF}"
    return Node(name, interfaces, agent=address, dpid=f"{dpid:016x}", tags={"role": role})


def cable(node1: Node, ofport1: int, node2: Node, ofport2: int) -> Link:
    """The link between two ports, named after its nodes."""
    ends = (node1.name, f"{node1.name}-eth{ofport1}", node2.name, f"{node2.name}-eth{ofport2}")
    return Link(f"{node1.name}-{node2.name}", *ends)


def host_at(node: Node, edge: int, n: int, *, number: int) -> Host:
    """Host `h<number>`: the n-th behind edge switch `edge` (both from 1), on the port of that number."""
    return Host(
        f"h{number}", node.name, f"{node.name}-eth{n}", f"00:04:00:00:{edge:02x}:{n:02x}", (f"10.0.{edge}.{n}",)
    )


def counted(what: str, value: int, low: int, high: int) -> None:
    """SpecError unless low <= value <= high."""
    if not low <= value <= high:
        raise SpecError(f"{what}: {value} is not within {low}..{high}")


def bits_per_second(link_mbps: float) -> int:
    """The rate in bits/s; SpecError unless it is at least 0.1 Mbit/s (below, a full frame takes over 120 ms)."""
    if not 0.1 <= link_mbps <= 100_000:
        raise SpecError(f"link rate: {link_mbps} Mbit/s is not within 0.1..100000")
    return round(link_mbps * 1_000_000)
