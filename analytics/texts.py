"""Raw key bytes -> the text users see, one function per kind of field (the last column of core/packet.ROWS).

The same text must come from the same bytes wherever it is made (`Program.text` for plain keys, the evaluator for
functions and filters). Kinds in INJECTIVE give different texts for different bytes, so their bytes may serve as the
key itself.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from analytics.core.packet import STACK_NAMES
from analytics.reasons import DROP_REASONS

INTERNAL = (0x3FFFFFFF, 0xFFFFFFFF)  # interface values that mean the device itself
DSCP_NAMES = {0: "CS0", 1: "LE", 44: "VOICE-ADMIT", 46: "EF"}
DSCP_NAMES |= {8 * n: f"CS{n}" for n in range(1, 8)}
DSCP_NAMES |= {8 * n + 2 * drop: f"AF{n}{drop}" for n in range(1, 5) for drop in range(1, 4)}


def number(raw: bytes) -> int:
    """The value of a numeric field: the native core keeps it as one machine word."""
    return int.from_bytes(raw[:4], sys.byteorder)


def _port(raw: bytes) -> str:
    form, value = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:8], "big")
    if form == 0:
        return "internal" if value in INTERNAL else str(value)
    return {1: "discard", 2: "multiple"}.get(form, "unknown")


def _flag(test: Callable[[bytes], bool]) -> Callable[[bytes], str]:
    return lambda raw: "true" if test(raw) else "false"


def _stack(raw: bytes) -> str:
    """The core keeps two machine words, the outermost protocol in the lowest byte of the first."""
    bytes_ = b"".join(int.from_bytes(raw[at : at + 8], sys.byteorder).to_bytes(8, "little") for at in (0, 8))
    return ".".join(STACK_NAMES[protocol] for protocol in bytes_ if protocol)


def _address(raw: bytes) -> str:
    kind = int.from_bytes(raw[:4], "big")
    return str(IPv4Address(raw[4:8])) if kind == 1 else str(IPv6Address(raw[4:20]))


def _autonomous_systems(raw: bytes) -> str:
    """AS numbers, nearest first; 0, which is no AS, ends the list."""
    numbers = struct.unpack(">16I", raw)
    return "-".join(str(each) for each in numbers if each)


def _communities(raw: bytes) -> str:
    """`as:value`, as BGP writes them; joined like AS numbers, because the comma joins keys."""
    numbers = struct.unpack(">16I", raw)
    return "-".join(f"{each >> 16}:{each & 0xFFFF}" for each in numbers if each)


RENDER: dict[str, Callable[[bytes], str]] = {
    "number": lambda raw: str(number(raw)),
    "ip": lambda raw: str(IPv4Address(raw[:4])),
    "ip6": lambda raw: str(IPv6Address(raw[:16])),
    "mac": lambda raw: raw[:6].hex().upper(),
    "isbroadcast": _flag(lambda raw: raw[:6] == b"\xff" * 6),
    "ismulticast": _flag(lambda raw: bool(raw[0] & 1) and raw[:6] != b"\xff" * 6),
    "isunicast": _flag(lambda raw: not raw[0] & 1),
    "bits2": lambda raw: f"{number(raw):02b}",
    "bits3": lambda raw: f"{number(raw):03b}",
    "bits9": lambda raw: f"{number(raw):09b}",
    "dscpname": lambda raw: DSCP_NAMES.get(number(raw), str(number(raw))),
    "yesno": lambda raw: "yes" if number(raw) else "no",
    "direction": lambda raw: "ingress" if number(raw) == 1 else "egress",
    "port": _port,
    "stack": _stack,
    "reason": lambda raw: DROP_REASONS.get(number(raw), str(number(raw))),
    "address": _address,
    "aspath": _autonomous_systems,
    "communities": _communities,
}
INJECTIVE = frozenset({"number", "ip", "ip6", "mac", "bits2", "bits3", "bits9", "dscpname", "direction", "stack"})
INJECTIVE |= {"reason", "address", "aspath", "communities"}
