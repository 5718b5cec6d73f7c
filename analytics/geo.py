"""Files that the user names, which say where addresses are and who made a device; read with the rights of who starts
the program, before it becomes another user (privileges.py).

Databases have MaxMind's format (MMDB 2.0); GeoLite2 and others with the same fields fit. They are mapped into memory:
the kernel keeps what is used of them and may drop it, so they cost no heap. To replace one, rename a new file over it
and restart. Vendors are one dict of IEEE's registry: 40,000 names in about 6 MB.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import maxminddb

OLD_REGISTRY = re.compile(r"\s*([0-9A-Fa-f]{2})-?([0-9A-Fa-f]{2})-?([0-9A-Fa-f]{2})\s+\((?:hex|base 16)\)\s+(\S.*)")
MOST_VENDOR_BYTES = 64 << 20


class GeoDatabase:
    """Countries or autonomous systems by address. ValueError, one line: the file cannot be read."""

    def __init__(self, path: str) -> None:
        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_AUTO)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ValueError(f"cannot read the database {path}: {error}") from None

    def country(self, address: str, attribute: str) -> str | None:
        """`code` (ISO 3166), `name` (in English) or `continent` (its code) of where an address is."""
        found = self._find(address)
        if attribute == "continent":
            return _text(found, "continent", "code")
        place = found.get("country") or found.get("registered_country")
        return _text({"country": place}, "country", *(("iso_code",) if attribute == "code" else ("names", "en")))

    def system(self, address: str) -> tuple[int, str | None] | None:
        """Number and organisation of the autonomous system of an address."""
        found = self._find(address)
        number = found.get("autonomous_system_number")
        return (number, _text(found, "autonomous_system_organization")) if isinstance(number, int) else None

    def _find(self, address: str) -> Mapping[str, Any]:
        try:
            found = self._reader.get(address)
        except ValueError:  # no address, or one of version 6 in a database of version 4
            return {}
        return found if isinstance(found, dict) else {}


def _text(found: object, *names: str) -> str | None:
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) and found else None


class VendorFile:
    """Who makes devices with a MAC address, by its first 24 bits: IEEE's oui.csv, or oui.txt and what looks like it.
    OSError or ValueError, one line: the file cannot be read."""

    def __init__(self, path: str) -> None:
        file = Path(path)
        if file.stat().st_size > MOST_VENDOR_BYTES:
            raise ValueError(f"{path} has more than {MOST_VENDOR_BYTES} bytes: it is no list of vendors")
        text = file.read_text(encoding="utf-8", errors="replace")
        self._names = dict(_from_csv(text) if text.lower().startswith("registry,") else _from_text(text))
        if not self._names:
            raise ValueError(f"{path} names no vendor: it is neither IEEE's oui.csv nor oui.txt")

    def vendor(self, mac: str) -> str | None:
        """The vendor of a MAC address as keys show it."""
        return self._names.get(mac[:6])


def _from_csv(text: str) -> Iterator[tuple[str, str]]:
    """Registry, assignment, organisation, address."""
    for row in csv.reader(text.splitlines()[1:]):
        if len(row) >= 3 and re.fullmatch("[0-9A-Fa-f]{6}", row[1]):
            yield row[1].upper(), row[2].strip()


def _from_text(text: str) -> Iterator[tuple[str, str]]:
    """`00-00-0C   (hex)   Cisco Systems, Inc`, or the line below it: `00000C   (base 16)   Cisco Systems, Inc`."""
    for line in text.splitlines():
        found = OLD_REGISTRY.match(line)
        if found:
            yield "".join(found.groups()[:3]).upper(), found[4].strip()
