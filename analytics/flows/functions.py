"""The functions of the key language (sflow-rt-api.md 2.6): one row of FUNCTIONS each.

A function sees the texts of its keys (None: missing) and its literal arguments, and answers a text or None. It runs in
Python, once per combination of raw fields never seen before; what it answered is remembered with the flow's key. So
what it costs does not grow with the traffic, and what it looks up (Lookups) must be there at once: no function waits.

Signature letters: k a key, t a text, w one of the row's words, i a whole number; behind them `?` makes the last
optional, `+` repeats it.

Where the reference says "unverified", these are our choices: the defaults of `country` (code), `asn` (number) and `oui`
(name); `bits:key:first:count`, the bits of a number from `first` on, 0 the lowest; `oid:key`, the value as SNMP writes
it in an index (RFC 2578, 7.7); `digest:key:algorithm`, `md5:key` in hexadecimal, and `hash:key:modulus`, its CRC-32.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from analytics.flows.addresses import address_of, mac_key, spellings

TOPOLOGY = "topology"  # tables, as Function.tables names them
HOSTS = "hosts"
NAMES = "dns"
COUNTRIES = "country"
SYSTEMS = "asn"
VENDORS = "oui"


def group_table(name: str) -> str:
    """What Function.tables calls a group."""
    return f"group {name}"


def map_table(name: str) -> str:
    """What Function.tables calls a map."""
    return f"map {name}"


class Lookups(Protocol):
    """What a key function can look up outside of the sample; None: not known. Ports are ifIndexes as text."""

    def link(self, agent: str, port: str) -> str | None:
        """The name of the link at a port of an agent."""

    def node(self, agent: str, port: str) -> str | None:
        """The name of the topology's node that has a port."""

    def ifname(self, agent: str, port: str) -> str | None:
        """The name of a port."""

    def is_edge(self, agent: str, port: str) -> bool:
        """Whether traffic enters and leaves the fabric at a port."""

    def is_core(self, agent: str, port: str) -> bool:
        """Whether a port ends a link."""

    def group(self, name: str, address: str) -> str | None:
        """The label of an address in a group."""

    def map_label(self, name: str, text: str) -> str | None:
        """The label of a value in a map."""

    def country(self, address: str, attribute: str) -> str | None:
        """Where an address is: code, name, continent."""

    def system(self, address: str) -> tuple[int, str | None] | None:
        """Number and description of the autonomous system of an address."""

    def vendor(self, mac: str) -> str | None:
        """Who makes devices with such a MAC address."""

    def host(self, mac: str, attribute: str) -> str | None:
        """An attribute of the host that has a MAC address."""

    def reverse_name(self, address: str) -> str | None:
        """The DNS name of an address."""


@dataclass(frozen=True)
class Sample:
    """What a key function can see: the texts of the raw fields, the agent, and what it may look up."""

    texts: Mapping[str, str | None]
    agent: str
    lookups: Lookups


@dataclass(frozen=True)
class Function:
    """A key function: `apply` has the sample and the arguments. `by_agent`: its value differs between agents; `tables`:
    names of what it looks up, of the arguments; `words`: what a `w` may be."""

    signature: str
    apply: Callable[..., str | None]
    by_agent: bool = False
    tables: Callable[..., Iterable[str]] = lambda *_: ()
    words: tuple[str, ...] = ()


# -- texts --


def _prefix(_: Sample, text: str | None, delimiter: str, count: int) -> str | None:
    return None if text is None else delimiter.join(text.split(delimiter)[:count] if delimiter else [text])


def _suffix(_: Sample, text: str | None, delimiter: str, count: int) -> str | None:
    """The last tokens; a delimiter at the end, as DNS names have it, stays there."""
    if text is None or not delimiter:
        return text
    tokens = text.removesuffix(delimiter).split(delimiter)
    tail = delimiter.join(tokens[-count:] if count > 0 else [])
    return tail + delimiter if text.endswith(delimiter) else tail


def _first(_: Sample, text: str | None, delimiter: str, *wanted: str) -> str | None:
    tokens = [] if text is None else text.split(delimiter) if delimiter else [text]
    return next((token for token in tokens if token in wanted), None)


def _concat(_: Sample, separator: str, *texts: str | None) -> str | None:
    return None if None in texts else separator.join(text for text in texts if text is not None)


def _equal(_: Sample, left: str | None, right: str | None) -> str | None:
    return None if left is None or right is None else str(left == right).lower()


URL_PARTS: dict[str, Callable[[SplitResult], str | None]] = {
    "scheme": lambda url: url.scheme,
    "authority": lambda url: url.netloc,
    "userinfo": lambda url: url.netloc.rpartition("@")[0],
    "host": lambda url: url.hostname,
    "port": lambda url: None if url.port is None else str(url.port),
    "path": lambda url: url.path,
    "query": lambda url: url.query,
    "fragment": lambda url: url.fragment,
}


def _uri(_: Sample, url: str | None, part: str) -> str | None:
    """A part of a URL (RFC 3986), None where it is empty."""
    try:
        return None if url is None else URL_PARTS[part](urlsplit(url)) or None
    except ValueError:  # not a URL: a bracket that is not closed, a port that is no number
        return None


def _digest(_: Sample, text: str | None, algorithm: str = "sha256") -> str | None:
    return None if text is None else hashlib.new(algorithm, _bytes(text), usedforsecurity=False).hexdigest()


def _hash(_: Sample, text: str | None, modulus: int = 0) -> str | None:
    if text is None:
        return None
    number = zlib.crc32(_bytes(text))
    return str(number % modulus if modulus > 0 else number)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- numbers and addresses --


def _range(_: Sample, text: str | None, low: int, high: int | None = None) -> str | None:
    number = _number(text)
    return None if number is None else str(low <= number and (high is None or number <= high)).lower()


def _bits(_: Sample, text: str | None, first: int, count: int = 1) -> str | None:
    number = _number(text)
    return None if number is None or not 0 <= first <= 64 >= count >= 0 else str(number >> first & (1 << count) - 1)


def _number(text: str | None) -> int | None:
    digits = "" if text is None else text.removeprefix("-")
    return int(text) if text is not None and digits.isascii() and digits.isdigit() and len(digits) < 40 else None


def _mask(_: Sample, text: str | None, bits: int) -> str | None:
    address = None if text is None else address_of(text)
    if address is None or not 0 <= bits <= address.max_prefixlen:
        return None
    return str(ip_network((address, bits), strict=False).network_address)


def _oid(_: Sample, text: str | None) -> str | None:
    if text is None or (_number(text) is not None and len(text) != 12):
        return text
    mac, address = mac_key(text), address_of(text)
    if mac is not None:
        octets = bytes.fromhex(mac)
    elif address is not None:
        octets = address.packed
    else:
        octets = _bytes(text)
        octets = bytes([min(len(octets), 255)]) + octets[:255]
    return str(address) if isinstance(address, IPv4Address) else ".".join(map(str, octets))


# -- what is looked up --


def _at_port(look_up: Callable[[Lookups, str, str], str | None]) -> Callable[[Sample, str | None], str | None]:
    return lambda sample, port: None if port is None else look_up(sample.lookups, sample.agent, port)


def _group(sample: Sample, address: str | None, *names: str) -> str | None:
    """The label in the first of the groups that has one."""
    labels = () if address is None else (sample.lookups.group(name, address) for name in names)
    return next((label for label in labels if label is not None), None)


def _map(sample: Sample, text: str | None, name: str) -> str | None:
    return None if text is None else sample.lookups.map_label(name, text)


def _country(sample: Sample, address: str | None, attribute: str = "code") -> str | None:
    return None if address is None else sample.lookups.country(address, attribute)


def _system(sample: Sample, address: str | None, attribute: str = "number") -> str | None:
    found = None if address is None else sample.lookups.system(address)
    if found is None:
        return None
    number, description = found
    if attribute == "number":
        return str(number)
    return description if attribute == "descr" or description is None else f"{number} {description}"


def _vendor(sample: Sample, mac: str | None, attribute: str = "name") -> str | None:
    if mac is None or mac_key(mac) is None:
        return None
    return mac[:6] if attribute == "number" else sample.lookups.vendor(mac)


def _host(sample: Sample, mac: str | None, attribute: str) -> str | None:
    return None if mac is None else sample.lookups.host(mac, attribute)


def _name(sample: Sample, address: str | None) -> str | None:
    return None if address is None else sample.lookups.reverse_name(address)


FUNCTIONS: dict[str, Function] = {
    "or": Function("k+", lambda _, *texts: next((text for text in texts if text is not None), None)),
    "null": Function("kt?", lambda _, text, instead="null": instead if text is None else text),
    "if": Function("ktkk", lambda _, text, value, then, other: then if text in spellings(value) else other),
    "eq": Function("kk", _equal),
    "range": Function("kii?", _range),
    "bits": Function("kii?", _bits),
    "prefix": Function("kti", _prefix),
    "suffix": Function("kti", _suffix),
    "first": Function("ktt+", _first),
    "concat": Function("tk+", _concat),
    "mask": Function("ki", _mask),
    "oid": Function("k", _oid),
    "uri": Function("kw", _uri, words=tuple(URL_PARTS)),
    "md5": Function("k", lambda sample, text: _digest(sample, text, "md5")),
    "digest": Function("kw?", _digest, words=("md5", "sha1", "sha256")),
    "hash": Function("ki?", _hash),
    "link": Function("k", _at_port(lambda lookups, *port: lookups.link(*port)), True, lambda *_: (TOPOLOGY,)),
    "node": Function("k", _at_port(lambda lookups, *port: lookups.node(*port)), True, lambda *_: (TOPOLOGY,)),
    "ifname": Function("k", _at_port(lambda lookups, *port: lookups.ifname(*port)), True, lambda *_: (TOPOLOGY, HOSTS)),
    "group": Function("kt+", _group, tables=lambda _, *names: map(group_table, names)),
    "map": Function("kt", _map, tables=lambda _, name: (map_table(name),)),
    "country": Function("kw?", _country, tables=lambda *_: (COUNTRIES,), words=("code", "name", "continent")),
    "asn": Function("kw?", _system, tables=lambda *_: (SYSTEMS,), words=("number", "descr", "both")),
    "oui": Function(
        "kw?",
        _vendor,
        tables=lambda _, attribute="name": () if attribute == "number" else (VENDORS,),
        words=("number", "name"),
    ),
    "host": Function("kt", _host, tables=lambda *_: (HOSTS,)),
    "dns": Function("k", _name, tables=lambda *_: (NAMES,)),
}
