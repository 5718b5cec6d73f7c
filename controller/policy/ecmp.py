"""ECMP: one select group per destination edge, hashed differently on every switch, and how even it turns out.

Open vSwitch's default group hash leaves out UDP ports and uses one basis everywhere, so all UDP between two hosts
takes one path and two tiers in a row make the same choice (polarisation). Ours hashes the 5-tuple, ports of UDP
included, on a basis taken from the datapath id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from zlib import crc32

from controller.pipeline import GROUP_BASE, GROUP_MASK
from controller.topology import Fabric, Link, Switch
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


@lru_cache(1024)
def buckets(ports: tuple[int, ...]) -> tuple[Bucket, ...]:
    """One for each of these ports, of equal weight, as long as it is up; one object for all groups that have them."""
    return tuple(Bucket((Output(port),), watch_port=port) for port in ports)


def group_over(links: Sequence[Link], switch: Switch, group_id: int) -> Group:
    """The select group of a switch over links that leave it."""
    return Group(group_id, "select", buckets(tuple(link.source.number for link in links)), hash_basis(switch.dpid))


def imbalance(shares: Mapping[int, float]) -> float:
    """How uneven the members of a group are loaded: busiest over mean, 1.0 when even or idle (dimensionless)."""
    total = sum(shares.values())
    return max(shares.values()) * len(shares) / total if total else 1.0
