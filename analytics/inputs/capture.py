"""UDP payloads out of captures: classic pcap (micro- or nanosecond, either byte order) and pcapng.

    pcap    magic 4 | version 2+2 | 8 | snaplen 4 | link type 4      packet   seconds 4 | fraction 4 | captured 4 |
                                                                             original 4 | bytes
    pcapng  blocks: type 4 | length 4 | body | length 4              section, interface, enhanced, simple, old packet

Link types: Ethernet with VLAN tags, Linux cooked v1 and v2, raw IP, BSD loopback. Carriers: IPv4, and IPv6 with
extension headers; fragments are left out. Reading is lazy and sequential, so a pipe will do, and memory does not grow
with the file. Damage is reported with its offset.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO, NamedTuple

from analytics.core.wire.ipv6 import EXTENSIONS, FRAGMENT, MAX_EXTENSIONS

MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9), b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}  # fmt: skip
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6  # pcapng block types
SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
RESOLUTION, TIME_OFFSET = 9, 14  # options of an interface block
MAX_PACKET = 1 << 18  # larger than any link's packets: the file is damaged
MAX_BLOCK = 1 << 24  # of pcapng; names and comments are small too
ETHERNET, RAW, LOOPBACK, COOKED, COOKED_2 = (1,), (12, 14, 101, 228, 229), (0, 108), (113,), (276,)
LINKS = (*ETHERNET, *RAW, *LOOPBACK, *COOKED, *COOKED_2)
TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
PROGRESS_STEP = 1 << 20
PLAIN = struct.Struct(">12xHB5xHxB2x4s6xHH2x")  # Ethernet, IPv4 without options, UDP: what nearly all packets are

VERSIONS = (b"\0\0\0\5", b"\0\0\0\4", b"\0\0\0\2")
ADDRESS_TYPES = (b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\0")
LEAST_DATAGRAM = 24  # bytes of a datagram without samples
MOST_NAMED = 5  # ports in a message

Packets = Iterator[tuple[float, int, bytes]]
Datagrams = Iterator[tuple[float, str, bytes]]


class MalformedCapture(ValueError):
    """The file is not a capture, or ends within a packet; the message names file and offset."""


class CaptureInterface(NamedTuple):
    """How to read the packets of one pcapng interface."""

    link: int
    ticks: float  # per second
    offset: float  # seconds added


class _Source:
    """A file read in order, with its offset; `progress` is called with it every megabyte."""

    def __init__(self, name: str, file: BinaryIO, progress: Callable[[int], None] | None) -> None:
        self.name, self.offset = name, 0
        self._file, self._progress, self._next = file, progress, PROGRESS_STEP

    def read(self, length: int) -> bytes:
        """Up to `length` bytes, fewer only at the end."""
        data = self._file.read(length)
        self.offset += len(data)
        if self._progress is not None and self.offset >= self._next:
            self._progress(self.offset)
            self._next = self.offset + PROGRESS_STEP
        return data

    def malformed(self, what: str, offset: int) -> MalformedCapture:
        return MalformedCapture(f"{self.name}: offset {offset}: {what}")


def sflow(
    path: str | Path,
    port: int | None,
    file: BinaryIO | None = None,
    progress: Callable[[int], None] | None = None,
    option: str = "--port",
) -> Datagrams:
    """`datagrams` of a capture that somebody believes to hold sFlow: at the end MalformedCapture if there was none,
    with the ports that sFlow went to instead, and the command line's `option` that chooses one."""
    elsewhere: Counter[int] = Counter()
    some = False
    for arrival in datagrams(path, port, file, progress, elsewhere):
        some = True
        yield arrival
    if not some:
        raise MalformedCapture(f"{path}: {_nothing(port, elsewhere, option)}")


def _nothing(port: int | None, elsewhere: Counter[int], option: str) -> str:
    if port is None:
        return "no sFlow in it"
    if not elsewhere:
        return f"no sFlow to UDP port {port} in it, nor to another"
    (first, count), *others = elsewhere.most_common(MOST_NAMED)
    rest = "".join(f", {many} to port {number}" for number, many in others)
    more = f" and {len(elsewhere) - MOST_NAMED} more ports" if len(elsewhere) > MOST_NAMED else ""
    found = f"{count} datagram{'s' * (count != 1)} to port {first}{rest}{more}"
    return f"no sFlow to UDP port {port} in it, but {found}: choose one with {option}"


def looks_like_sflow(payload: bytes) -> bool:
    """It begins as a datagram of sFlow does: a version that exists, and an address type of its own."""
    version, kind = payload[:4], payload[4:8]
    return version in VERSIONS and kind in ADDRESS_TYPES and len(payload) >= LEAST_DATAGRAM


def datagrams(
    path: str | Path,
    port: int | None,
    file: BinaryIO | None = None,
    progress: Callable[[int], None] | None = None,
    elsewhere: Counter[int] | None = None,
) -> Datagrams:
    """(capture time, source address, payload) of every UDP datagram to `port` in a capture file; of what looks like
    sFlow, whatever its port, if that is None.

    `file` is read instead of opening `path`, which then only names it in errors; `progress` is called with the offset
    every megabyte; in `elsewhere` is counted what looks like sFlow, by the other port it goes to. Raises OSError, and
    MalformedCapture when the damage is reached or the file is not a capture.
    """
    with Path(path).open("rb") if file is None else file as opened:
        source = _Source(str(path), opened, progress)
        for now, link, packet in _packets(source):
            if link == 1 and len(packet) > PLAIN.size:
                kind, version, fragment, protocol, sender, to, length = PLAIN.unpack_from(packet)
                if to == port and kind == 0x0800 and version == 0x45 and protocol == 17 and fragment & 0x3FFF == 0:
                    yield now, _address(sender), _payload(packet, PLAIN.size, length)
                    continue
            found = _udp(_network(packet, link))
            if found is None:
                continue
            address, to, payload = found
            if to == port or (port is None and looks_like_sflow(payload)):
                yield now, address, payload
            elif elsewhere is not None and looks_like_sflow(payload):
                elsewhere[to] += 1


def _packets(source: _Source) -> Packets:
    """(time, link type, packet), in whichever of the two formats."""
    magic = source.read(4)
    if magic == SECTION_MAGIC:
        return _pcapng(source)
    if magic not in MAGICS:
        raise source.malformed("not a pcap file", 0)
    head = source.read(20)
    if len(head) < 20:
        raise source.malformed("not a pcap file", 0)
    order, fraction = MAGICS[magic]
    link = _supported(struct.unpack(order + "I", head[16:20])[0] & 0xFFFF, source, 20)
    return _pcap(source, order, fraction, link)


def _pcap(source: _Source, order: str, fraction: float, link: int) -> Packets:
    unpack, read = struct.Struct(order + "IIII").unpack, source.read
    while head := read(16):
        offset = source.offset - len(head)
        if len(head) < 16:
            raise source.malformed("ends within a packet's header", offset)
        seconds, rest, length, _ = unpack(head)
        if length > MAX_PACKET:
            raise source.malformed(f"a packet of {length} bytes", offset)
        packet = read(length)
        if len(packet) < length:
            raise source.malformed("ends within a packet", offset)
        yield seconds + rest * fraction, link, packet


def _blocks(source: _Source) -> Iterator[tuple[int, int, str, bytes]]:
    """(offset, type, byte order, body) of each pcapng block; the first one's type was read already."""
    order, start = "<", SECTION_MAGIC
    while start:
        offset = source.offset - len(start)
        head = source.read(8 if start == SECTION_MAGIC else 4)
        if len(start) < 4 or len(head) < (8 if start == SECTION_MAGIC else 4):
            raise source.malformed("ends within a block's header", offset)
        if start == SECTION_MAGIC:
            order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(head[4:], "")
            if not order:
                raise source.malformed("a section without byte order", offset)
        kind, length = struct.unpack(order + "II", start + head[:4])
        if length % 4 or not 8 + len(head) - 4 + 4 <= length <= MAX_BLOCK:
            raise source.malformed(f"a block of {length} bytes", offset)
        body = source.read(length - len(head) - 4)
        if len(body) < length - len(head) - 4:
            raise source.malformed("ends within a block", offset)
        yield offset, kind, order, body[:-4]
        start = source.read(4)


def _pcapng(source: _Source) -> Packets:
    interfaces: list[CaptureInterface] = []
    for offset, kind, order, body in _blocks(source):
        try:
            if kind == SECTION:
                interfaces = []
            elif kind == INTERFACE:
                interfaces.append(_interface(order, body))
            elif kind in (PACKET, OLD_PACKET):
                number, high, low, length, _ = struct.unpack(order + "IIIII", body[:20])
                interface = interfaces[number if kind == PACKET else struct.unpack(order + "H", body[:2])[0]]
                when = (high << 32 | low) / interface.ticks + interface.offset
                yield when, _supported(interface.link, source, offset), body[20 : 20 + length]
            elif kind == SIMPLE_PACKET:  # it carries no time
                length = min(struct.unpack(order + "I", body[:4])[0], len(body) - 4)
                yield 0.0, _supported(interfaces[0].link, source, offset), body[4 : 4 + length]
        except struct.error:
            raise source.malformed("a block that is too short", offset) from None
        except IndexError:
            raise source.malformed("a packet of an interface that was not described", offset) from None


def _supported(link: int, source: _Source, offset: int) -> int:
    if link not in LINKS:
        raise source.malformed(f"link type {link} is not supported", offset)
    return link


def _interface(order: str, body: bytes) -> CaptureInterface:
    """An interface block: link type, and of its options the resolution and offset of its clock."""
    link = struct.unpack(order + "H", body[:2])[0]
    ticks, offset, at = 1e6, 0.0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack(order + "HH", body[at : at + 4])
        value = body[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == RESOLUTION and value:  # a power of 10, or of 2 with the top bit set
            ticks = 2.0 ** (value[0] & 0x7F) if value[0] & 0x80 else 10.0 ** value[0]
        elif code == TIME_OFFSET:
            offset = float(struct.unpack(order + "q", value)[0])
        at += 4 + (length + 3 & ~3)
    return CaptureInterface(link, ticks, offset)


def _network(packet: bytes, link: int) -> bytes:
    """The IP packet inside a frame; empty if there is none."""
    if link in RAW:
        return packet
    if link in LOOPBACK:
        return packet[4:]
    if link in COOKED_2:
        return packet[20:] if packet[:2] in (b"\x08\x00", b"\x86\xdd") else b""
    at = 14 if link in COOKED else 12
    kind = int.from_bytes(packet[at : at + 2], "big")
    while kind in TAGS:
        at += 4
        kind = int.from_bytes(packet[at : at + 2], "big")
    return packet[at + 2 :] if kind in (0x0800, 0x86DD) else b""


def _udp(packet: bytes) -> tuple[str, int, bytes] | None:
    """(source address, destination port, payload) of an unfragmented UDP datagram."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        header, protocol, source = (packet[0] & 0xF) * 4, packet[9], packet[12:16]
        if int.from_bytes(packet[6:8], "big") & 0x3FFF or header < 20:
            return None
    elif packet[0] >> 4 == 6:
        header, protocol = _behind_extensions(packet)
        source = packet[8:24]
    else:
        return None
    datagram = packet[header:]
    if protocol != 17 or len(datagram) < 8 or len(source) not in (4, 16):
        return None
    _, to, length, _ = struct.unpack(">HHHH", datagram[:8])
    return _address(source), to, _payload(datagram, 8, length)


def _payload(data: bytes, at: int, length: int) -> bytes:
    """The payload that a UDP header which ends at `at` announces; all that follows if its length is impossible."""
    return data[at : at - 8 + length if length >= 8 else None]


def _behind_extensions(packet: bytes) -> tuple[int, int]:
    """(offset, protocol) behind an IPv6 header and its extension headers; a fragment header ends them."""
    at, protocol = 40, packet[6]
    for _ in range(MAX_EXTENSIONS):
        if protocol not in EXTENSIONS or protocol == FRAGMENT or at + 2 > len(packet):
            break
        at, protocol = at + 8 + EXTENSIONS[protocol] * packet[at + 1], packet[at]
    return at, protocol


_addresses: dict[bytes, str] = {}


def _address(packed: bytes) -> str:
    """As text; agents are few, so the last thousand are remembered."""
    text = _addresses.get(packed)
    if text is None:
        if len(_addresses) >= 1000:
            _addresses.clear()
        text = _addresses[packed] = str(ip_address(packed))
    return text
