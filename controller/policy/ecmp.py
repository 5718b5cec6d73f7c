"""ECMP: one select group per destination edge, hashed differently on every switch, and how even it turns out.

Open vSwitch's default group hash leaves out UDP ports and uses one basis everywhere, so all UDP between two hosts
takes one path and two tiers in a row make the same choice (polarisation). Ours hashes the 5-tuple, ports of UDP
included, on a basis taken from the datapath id.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from controller.pipeline import GROUP_BASE, GROUP_MASK
from controller.topology import Fabric
from ovs_rules.rule import Bucket, Group, Output

FIVE_TUPLE = 0  # upper half of selection_method_param: the symmetric hash would be 1


def hash_basis(dpid: int) -> int:
    """The dp_hash parameter of a switch: 5-tuple hash, basis from the datapath id."""
    return FIVE_TUPLE << 32 | crc32(dpid.to_bytes(8, "big"))


def group_ids(fabric: Fabric) -> dict[str, int]:
    """Destination switch -> group number: the low 24 bits of its datapath id, or the next free ones on a clash."""
    taken: dict[int, str] = {}
    for switch in sorted(fabric.switches.values(), key=lambda switch: switch.dpid):
        number = switch.dpid & ~GROUP_MASK
        while number in taken:
            number = number + 1 & ~GROUP_MASK
        taken[number] = switch.name
    return {name: GROUP_BASE | number for number, name in taken.items()}


def group_towards(fabric: Fabric, switch: str, destination: str, group_id: int) -> Group | None:
    """The select group of `switch` for an edge switch elsewhere; None where there is at most one next hop."""
    links = fabric.next_links(switch, destination)
    if len(links) < 2:
        return None
    buckets = tuple(Bucket((Output(link.source.number),), watch_port=link.source.number) for link in links)
    return Group(group_id, "select", buckets, hash_basis(fabric.switches[switch].dpid))


def imbalance(shares: Mapping[int, float]) -> float:
    """How uneven the members of a group are loaded: busiest over mean, 1.0 when even or idle (dimensionless)."""
    total = sum(shares.values())
    return max(shares.values()) * len(shares) / total if total else 1.0
