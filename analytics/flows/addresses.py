"""One spelling per address: what users write, as keys show it.

MAC addresses are twelve upper-case hexadecimal digits in keys (00:04:0a..., 00-04-0a..., 0004.0a..., 00040a... all mean
the same one), IPv6 addresses as RFC 5952 has them, an IPv4 address inside of IPv6 (::ffff:192.0.2.1) too.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

MAC = re.compile(r"[0-9a-f]{2}([:-]?[0-9a-f]{2}){5}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}", re.IGNORECASE | re.ASCII)


def mac_key(text: str) -> str | None:
    """A MAC address as keys show it; None: it is none."""
    return re.sub("[:.-]", "", text).upper() if MAC.fullmatch(text) else None


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address; None: it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def spellings(text: str) -> frozenset[str]:
    """The text, and the texts of the keys that it means if it is an address."""
    address = address_of(text) if ":" in text else None
    return frozenset((text, mac_key(text) or text, text if address is None else str(address)))
