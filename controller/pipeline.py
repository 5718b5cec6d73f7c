"""The OpenFlow pipeline as named data: tables, priorities, cookies, group numbers.

Table 0 holds the exceptions (elephants, replication), its miss goes on to table 1, which knows hosts; what it does not
know goes on to table 2, the loop-free tree. Every entry of ours carries a cookie that starts with MARK and names its
kind and its control, so that a restarted controller recognises what it finds and nothing that is not ours is ever
touched. Groups have no cookie in OpenFlow; ours are recognised by the upper byte of their number.

    cookie:  | MARK, 24 bits | kind, 8 bits | control, 32 bits |
    group:   | 0x48, 8 bits  | number of the destination edge, 24 bits |
    group:   | 0x49, 8 bits  | port that elephants are pinned to, 24 bits; 0 = ALIVE |
"""

from __future__ import annotations

from enum import IntEnum

EXCEPTIONS = 0
FORWARDING = 1
FLOODING = 2

MARK = 0x486F77  # "How"
MARK_MASK = 0xFFFFFF << 40
OURS = MARK << 40
GROUP_BASE = 0x48000000
GROUP_MASK = 0xFF000000
PIN_BASE = 0x49000000
ALIVE = PIN_BASE
"""A group that is always live. Every bucket of a fast failover group has to watch something: the last one this."""


class RuleKind(IntEnum):
    """What an entry of ours is for; stands in its cookie. The ARP kinds are for Neighbour Discovery (IPv6) too."""

    BASE = 1
    ARP = 2
    DISCOVERY = 3
    HOST = 4
    TREE = 5
    ELEPHANT = 6
    REPLICATION = 7
    ARP_TRANSIT = 8
    ANSWER = 10
    MUTED_ARP = 11
    MUTED_LLDP = 12
    BLOCK = 13


# Within a table the larger number wins. Replication copies a datagram that an elephant rule may match as well, and
# goes on to forward it itself, so it stands above. ARP that comes over a link was copied to the controller where it
# entered the fabric. A BLOCK of hosts elsewhere adds the bits it matches, so that the longest wins; HOST is for those
# of the switch itself, ANSWER ends what was sent to the controller and copied to it before.
PRIORITY = {
    RuleKind.BASE: 0,
    RuleKind.ELEPHANT: 1000,
    RuleKind.REPLICATION: 2000,
    RuleKind.ARP: 3000,
    RuleKind.ARP_TRANSIT: 3100,
    RuleKind.MUTED_ARP: 3200,
    RuleKind.DISCOVERY: 4000,
    RuleKind.MUTED_LLDP: 4100,
    RuleKind.TREE: 400,
    RuleKind.BLOCK: 500,
    RuleKind.HOST: 600,
    RuleKind.ANSWER: 600,
}


def cookie(kind: RuleKind, control: int = 0) -> int:
    """The cookie of an entry of `kind` that belongs to `control` (32 bits; 0 = to none)."""
    return OURS | kind << 32 | control & 0xFFFFFFFF


def is_ours(value: int) -> bool:
    return value & MARK_MASK == OURS


def kind_of(value: int) -> RuleKind | None:
    """The kind in a cookie of ours; None where a later release of Howdah wrote a kind we do not know."""
    try:
        return RuleKind(value >> 32 & 0xFF)
    except ValueError:
        return None


def is_our_group(group_id: int) -> bool:
    return group_id & GROUP_MASK in (GROUP_BASE, PIN_BASE)


def pin_group(port: int) -> int:
    """The number of the group that sends elephants out of a port."""
    return PIN_BASE | port


def pinned_port(group_id: int) -> int | None:
    """The port of a group that `pin_group` numbered; None for others."""
    return group_id & ~GROUP_MASK if group_id & GROUP_MASK == PIN_BASE and group_id != ALIVE else None
