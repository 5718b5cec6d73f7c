"""Fabrics to simulate, as the controller's values: `LEAVESxSPINESxHOSTS` (hosts per leaf), `fat-tree:K`, `ring:N`.

Switches are numbered from 1; hosts come first among a switch's ports, so host n of edge switch e is at its port n, with
the address 10.0.e.n. All ports have one speed.
"""

from __future__ import annotations

import re
from itertools import count

from controller.topology import Fabric, Host, Link, Port, Switch

SPEED = 10_000_000  # bits/s
MOST = 128  # switches

Ends = list[tuple[str, str]]


def fabric(shape: str) -> Fabric:
    """The fabric of that shape with its hosts. Raises ValueError, one line that names the shape."""
    if found := re.fullmatch(r"(\d+)x(\d+)x(\d+)", shape):
        leaves, spines, hosts = map(int, found.groups())
        edges = [f"leaf{n}" for n in range(1, leaves + 1)]
        tops = [f"spine{n}" for n in range(1, spines + 1)]
        return _built(shape, edges, tops, [(edge, top) for edge in edges for top in tops], hosts)
    if found := re.fullmatch(r"fat-tree:(\d+)", shape):
        return _fat_tree(shape, int(found[1]))
    if found := re.fullmatch(r"ring:(\d+)", shape):
        edges = [f"ring{n}" for n in range(1, int(found[1]) + 1)]
        return _built(shape, edges, [], list(zip(edges, edges[1:] + edges[:1], strict=True)), 1)
    raise ValueError(f"{shape!r} is no fabric: LEAVESxSPINESxHOSTS, fat-tree:K or ring:N")


def _fat_tree(shape: str, k: int) -> Fabric:
    """Al-Fares et al. (SIGCOMM 2008): k pods of k/2 edge and k/2 aggregation switches, (k/2)^2 cores."""
    if k % 2 or not 2 <= k <= 8:
        raise ValueError(f"{shape!r}: k has to be 2, 4, 6 or 8")
    half = k // 2
    edges = [f"edge{n}" for n in range(1, k * half + 1)]
    middles = [f"agg{n}" for n in range(1, k * half + 1)]
    cores = [f"core{n}" for n in range(1, half * half + 1)]
    cables: Ends = []
    for pod in range(k):
        for a in range(half):
            middle = middles[pod * half + a]
            cables += [(edges[pod * half + e], middle) for e in range(half)]
            cables += [(middle, cores[a * half + c]) for c in range(half)]
    return _built(shape, edges, middles + cores, cables, half)


def _built(shape: str, edges: list[str], others: list[str], cables: Ends, hosts: int) -> Fabric:
    names = edges + others
    if not 2 <= len(names) <= MOST or not edges or not 0 < hosts < 100 or any(a == b for a, b in cables):
        raise ValueError(f"{shape!r}: 2 to {MOST} switches, and 1 to 99 hosts at each edge switch")
    used = {name: count(hosts + 1 if name in edges else 1) for name in names}
    wires = [((one, next(used[one])), (other, next(used[other]))) for one, other in cables]
    numbers: dict[str, list[int]] = {name: list(range(1, hosts + 1)) if name in edges else [] for name in names}
    for ends in wires:
        for name, port in ends:
            numbers[name].append(port)
    switches = {
        name: Switch(
            name,
            dpid,
            {n: Port(name, n, f"{name}-eth{n}", SPEED, str(1000 * dpid + n)) for n in numbers[name]},
            f"10.254.0.{dpid}",
        )
        for dpid, name in enumerate(names, 1)
    }
    links = []
    for one, other in wires:
        a, b = (switches[name].ports[port] for name, port in (one, other))
        name = f"{one[0]}-{other[0]}"
        links += [Link(name, a, b), Link(name, b, a)]
    stations = tuple(
        Host(f"h{e}.{n}", f"00:04:00:00:{e:02x}:{n:02x}", edge, n, (f"10.0.{e}.{n}",), fixed=True)
        for e, edge in enumerate(edges, 1)
        for n in range(1, hosts + 1)
    )
    return Fabric(switches, tuple(links), stations)
