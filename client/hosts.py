"""Where hosts are: from a flow that counts who sends into the network at its edge (topologyLocateHost... of sFlow-RT).

One entry per host and port in the engine, for some minutes after the host's last packet; the engine bounds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from client.topology import Topology

FLOW = "script_hosts"
MISSING, SEPARATOR = "-", "_SEP_"
FIELDS = ("mac", "vlan", "ipaddress", "ip6address")
SPEC = {
    "keys": f"macsource,null:vlan:{MISSING},null:ipsource:{MISSING},null:ip6source:{MISSING}",
    "value": "frames",
    "filter": "direction=ingress&link:inputifindex=null",
    "n": 20,
    "t": 600,
    "fs": SEPARATOR,
}

Host = dict[str, str | None]


def located(flows: Iterable[Mapping[str, Any]], topology: Topology, address: str | None) -> Iterator[Host]:
    """Of active flows of SPEC those of an address (MAC, IPv4 or IPv6), or all: node, port, agent, ifindex, FIELDS."""
    for flow in flows:
        words = [None if word == MISSING else word for word in flow["key"].split(SEPARATOR)]
        host: Host = dict(zip(FIELDS, words, strict=True))
        if address is None or address in (host["mac"], host["ipaddress"], host["ip6address"]):
            port = topology.port_at(flow["agent"], flow["dataSource"])
            place: Host = {"node": None, "port": None} if port is None else {"node": port.node, "port": port.port}
            yield place | {"agent": flow["agent"], "ifindex": flow["dataSource"]} | host
