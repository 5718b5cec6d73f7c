"""UDP payloads out of capture files: classic pcap (microsecond or nanosecond, either byte order).

    file    magic 4 | version 2+2 | 8 | snaplen 4 | link type 4
    packet  seconds 4 | fraction 4 | captured 4 | original 4 | bytes

Link types: Ethernet with VLAN tags, Linux cooked v1 and v2, raw IP, BSD loopback. Carriers: IPv4 and IPv6 without
extension headers; fragments are left out. Reading is lazy: memory does not grow with the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9), b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}  # fmt: skip
MAX_PACKET = 1 << 18  # larger than any link's packets: the file is broken
ETHERNET, RAW, LOOPBACK, COOKED, COOKED_2 = (1,), (12, 14, 101, 228, 229), (0, 108), (113,), (276,)
TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)


class Broken(ValueError):
    """A file that is no capture, or ends within a packet; the message names file and offset."""


def datagrams(path: str | Path, port: int) -> Iterator[tuple[float, str, bytes]]:
    """(capture time, source address, payload) of every UDP datagram to `port` in a capture file."""
    with Path(path).open("rb") as file:
        head = file.read(24)
        if len(head) < 24 or head[:4] not in MAGICS:
            raise Broken(f"{path}: offset 0: not a pcap file")
        order, fraction = MAGICS[head[:4]]
        link = struct.unpack(order + "I", head[20:24])[0] & 0xFFFF
        if link not in (*ETHERNET, *RAW, *LOOPBACK, *COOKED, *COOKED_2):
            raise Broken(f"{path}: offset 20: link type {link} is not supported")
        for now, packet in _packets(path, file, order, fraction):
            found = _udp(_network(packet, link), port)
            if found is not None:
                yield now, *found


def _packets(path: str | Path, file: BinaryIO, order: str, fraction: float) -> Iterator[tuple[float, bytes]]:
    while head := file.read(16):
        offset = file.tell() - len(head)
        if len(head) < 16:
            raise Broken(f"{path}: offset {offset}: ends within a packet's header")
        seconds, rest, length, _ = struct.unpack(order + "IIII", head)
        if length > MAX_PACKET:
            raise Broken(f"{path}: offset {offset}: a packet of {length} bytes")
        packet = file.read(length)
        if len(packet) < length:
            raise Broken(f"{path}: offset {offset}: ends within a packet")
        yield seconds + rest * fraction, packet


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


def _udp(packet: bytes, port: int) -> tuple[str, bytes] | None:
    """(source address, payload) of an unfragmented UDP datagram to `port`."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        header, protocol, source = (packet[0] & 0xF) * 4, packet[9], packet[12:16]
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None
    elif packet[0] >> 4 == 6:
        header, protocol, source = 40, packet[6], packet[8:24]
    else:
        return None
    datagram = packet[header:]
    if protocol != 17 or len(datagram) < 8 or len(source) not in (4, 16):
        return None
    _, to, length, _ = struct.unpack(">HHHH", datagram[:8])
    return (str(ip_address(source)), datagram[8:length]) if to == port else None
