"""Raw key bytes -> the text users see, one function per kind of field (the last column of core/dissect/packet.ROWS).

The same text must come from the same bytes wherever it is made (`Program.text` for plain keys, the evaluator for
functions and filters). Kinds in INJECTIVE give different texts for different bytes, so their bytes may serve as the
key itself.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from analytics.core.dissect.packet import STACK_NAMES
from analytics.core.wire.reasons import DROP_REASONS

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


def text(raw: bytes) -> str:
    """A text from the network: what is not printable is escaped as in Python, `\\x0a`; a byte that is no UTF-8 as
    `\\udcff`; a backslash as two. Different bytes give different texts."""
    plain = raw.rstrip(b"\0").decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    if plain.isprintable():
        return plain
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in plain)


def _path(raw: bytes) -> str:
    """The path of a URL: without scheme and host, without query and fragment."""
    url = text(raw).partition("?")[0].partition("#")[0]
    scheme, found, rest = url.partition("://")
    return "/" + rest.partition("/")[2] if found and scheme.isalpha() else url


def _labels(raw: bytes) -> str:
    """MPLS labels or VLANs, outermost first: one less than the words, of which 0 ends the list."""
    return "-".join(str(each - 1) for each in struct.unpack(">16I", raw) if each)


def _options(raw: bytes) -> str:
    """Options of a header in hexadecimal; the first byte is their length."""
    return raw[1 : 1 + raw[0]].hex().upper()


def _word(words: tuple[str, ...]) -> Callable[[bytes], str]:
    """The word that a number stands for, or the number."""
    return lambda raw: words[number(raw)] if number(raw) < len(words) else str(number(raw))


WORDS = {
    "httpmethod": ("OTHER", "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT"),
    "memcacheprotocol": ("other", "ascii", "binary"),
    "memcachecommand": ("OTHER", "SET", "ADD", "REPLACE", "APPEND", "PREPEND", "CAS", "GET", "GETS", "INCR", "DECR",
                        "DELETE", "STATS", "FLUSH", "VERSION", "QUIT", "TOUCH"),
    "memcachestatus": ("UNKNOWN", "OK", "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "STORED", "NOT_STORED", "EXISTS",
                       "NOT_FOUND", "DELETED"),
    "appstatus": ("SUCCESS", "OTHER", "TIMEOUT", "INTERNAL_ERROR", "BAD_REQUEST", "FORBIDDEN", "TOO_LARGE",
                  "NOT_IMPLEMENTED", "NOT_FOUND", "UNAVAILABLE", "UNAUTHORIZED"),
    "acldirection": ("unknown", "ingress", "egress"),
    "tcpdirection": ("unknown", "received", "sent"),
    "transactiondirection": ("unknown", "client", "server"),
    "transactionstatus": ("OK", "FAILURE", "NO_MEMORY", "TIMEOUT", "NOT_PERMITTED"),
    "urldirection": ("unknown", "source", "destination"),
    "wifiversion": ("unknown", "a", "b", "g", "n"),
}  # fmt: skip
"""What the numbers of some fields stand for (sflow-wire.md section 3); other numbers are shown as they are."""

IBBT_TRANSPORTS = ("RC", "UC", "RD", "UD", "CNP", "XRC")
IBBT_OPERATIONS = ("SEND_FIRST", "SEND_MIDDLE", "SEND_LAST", "SEND_LAST_WITH_IMMEDIATE", "SEND_ONLY",
                   "SEND_ONLY_WITH_IMMEDIATE", "RDMA_WRITE_FIRST", "RDMA_WRITE_MIDDLE", "RDMA_WRITE_LAST",
                   "RDMA_WRITE_LAST_WITH_IMMEDIATE", "RDMA_WRITE_ONLY", "RDMA_WRITE_ONLY_WITH_IMMEDIATE",
                   "RDMA_READ_REQUEST", "RDMA_READ_RESPONSE_FIRST", "RDMA_READ_RESPONSE_MIDDLE",
                   "RDMA_READ_RESPONSE_LAST", "RDMA_READ_RESPONSE_ONLY", "ACKNOWLEDGE", "ATOMIC_ACKNOWLEDGE",
                   "COMPARE_SWAP", "FETCH_ADD", "RESYNC", "SEND_LAST_WITH_INVALIDATE",
                   "SEND_ONLY_WITH_INVALIDATE")  # fmt: skip
CONGESTION_NOTIFICATION = 0x81
DNS_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 17: "RP",
             18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR", 36: "KX", 37: "CERT",
             39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC",
             48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP",
             59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS",
             99: "SPF", 108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY",
             256: "URI", 257: "CAA", 32768: "TA", 32769: "DLV"}  # fmt: skip


def _operation(raw: bytes) -> str:
    """The operation in an InfiniBand opcode, whose upper three bits are the transport."""
    if number(raw) == CONGESTION_NOTIFICATION:
        return "CNP"
    operation = number(raw) & 0x1F
    return IBBT_OPERATIONS[operation] if operation < len(IBBT_OPERATIONS) else str(operation)


def _transport(raw: bytes) -> str:
    transport = number(raw) >> 5
    return IBBT_TRANSPORTS[transport] if transport < len(IBBT_TRANSPORTS) else str(transport)


RENDER: dict[str, Callable[[bytes], str]] = {
    "number": lambda raw: str(number(raw)),
    "ip": lambda raw: f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}",
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
    "signed": lambda raw: str(number(raw) - (number(raw) >> 31 << 32)),
    "truth": lambda raw: "true" if number(raw) else "false",
    "text": text,
    "url": text,
    "uripath": _path,
    "dnsname": text,
    "dnstype": lambda raw: DNS_TYPES.get(number(raw), f"TYPE{number(raw)}"),  # RFC 3597
    "labels": _labels,
    "place": lambda raw: str(number(raw)),
    "ipoptions": _options,
    "tcpoptions": _options,
    "ibbtopname": _operation,
    "ibbttransport": _transport,
    **{kind: _word(words) for kind, words in WORDS.items()},
}
INJECTIVE = frozenset({"number", "ip", "ip6", "mac", "bits2", "bits3", "bits9", "dscpname", "direction", "stack"})
INJECTIVE |= {"reason", "address", "aspath", "communities", "signed", "truth", "text", "url", "dnsname", "dnstype"}
INJECTIVE |= {"labels", *WORDS}
