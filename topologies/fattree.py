"""The fat-tree of k pods (Al-Fares et al., SIGCOMM 2008): k^3/4 hosts, all switches with k ports of one speed.

Each pod has k/2 edge and k/2 aggregation switches, fully meshed; aggregation switch a of every pod is wired to the
same k/2 cores. Edge switches are numbered through the pods and take the place of leaves: hosts first (eth1..), then
upwards; host n of edge e is 10.0.e.n. dpids: edge e = e, aggregation a = 0x100+a, core c = 0x200+c.
"""

from __future__ import annotations

from documents.topology import Host, Link, Node, Spec, SpecError
from topologies.leafspine import bits_per_second, cable, counted, host_at, switch


def fattree(k: int = 4, link_mbps: float = 5, prefix: str = "") -> Spec:
    """The fat-tree, all links at `link_mbps` Mbit/s; `prefix` as in `leafspine`. SpecError unless k is even, 2..16."""
    counted("k", k, 2, 16)
    if k % 2:
        raise SpecError(f"k: {k} is odd; a fat-tree halves its ports")
    speed, half = bits_per_second(link_mbps), k // 2
    edges = _tier(prefix + "edge", "edge", k * half, k, speed, dpid=0, agent=0)
    aggregations = _tier(prefix + "agg", "aggregation", k * half, k, speed, dpid=0x100, agent=k * half)
    cores = _tier(prefix + "core", "core", half * half, k, speed, dpid=0x200, agent=2 * k * half)
    links: list[Link] = []
    hosts: list[Host] = []
    for pod in range(k):
        for e in range(half):
            edge = edges[pod * half + e]
            hosts += [host_at(edge, pod * half + e + 1, n + 1, number=len(hosts) + n + 1) for n in range(half)]
            links += [cable(edge, half + a + 1, aggregations[pod * half + a], e + 1) for a in range(half)]
        for a in range(half):
            up = aggregations[pod * half + a]
            links += [cable(up, half + c + 1, cores[a * half + c], pod + 1) for c in range(half)]
    return Spec(
        {node.name: node for node in edges + aggregations + cores},
        {link.name: link for link in links},
        {host.name: host for host in hosts},
    )


def _tier(name: str, role: str, count: int, ports: int, speed: int, *, dpid: int, agent: int) -> list[Node]:
    """`count` switches numbered from 1; `dpid` and `agent` are the numbers just below the first one's."""
    return [switch(f"{name}{n}", ports, speed, dpid=dpid + n, agent=agent + n, role=role) for n in range(1, count + 1)]
