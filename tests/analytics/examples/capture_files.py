"""Capture files of every supported kind around given UDP payloads: classic pcap with its four magics, pcapng with
several interfaces and options, each link type, VLAN tags, IPv4 with options, IPv6 with extension headers, and now and
then a length, a port or a link type that is wrong."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from analytics.core.wire.ipv6 import EXTENSIONS
from analytics.inputs.capture import COOKED, COOKED_2, LINKS, LOOPBACK, MAGICS, RAW, TAGS

PORT = 6343
OTHERS = (0x0806, 0x88CC, 0x8847)  # Ethernet types that carry no UDP


def capture_file(chance: random.Random, payloads: Sequence[bytes], now: int) -> bytes:
    """A capture of the payloads, milliseconds apart from `now` (seconds) on."""
    link = chance.choice(LINKS) if chance.random() < 0.98 else chance.getrandbits(9)
    packets = [frame(chance, link, carried(chance, payload)) for payload in payloads]
    return pcap(chance, link, packets, now) if chance.random() < 0.7 else pcapng(chance, link, packets, now)


def carried(chance: random.Random, payload: bytes) -> tuple[int, bytes]:
    """(Ethernet type, IP packet) with the payload in UDP."""
    length = 8 + len(payload)
    if chance.random() < 0.1:
        length = chance.choice((0, 7, 8, length - 1, length + 1, 0xFFFF))
    port = PORT if chance.random() < 0.9 else chance.getrandbits(16)
    udp = struct.pack(">HHHH", chance.getrandbits(16), port, length & 0xFFFF, 0) + payload
    if chance.random() < 0.5:
        words = chance.choice((5, 5, 5, 6, 15, chance.randrange(16)))
        fragment = chance.choice((0, 0, 0, 0, 0x4000, 0x2000, 7))
        protocol = 17 if chance.random() < 0.95 else chance.getrandbits(8)
        head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 4 * words + length & 0xFFFF, 7, fragment, 64, protocol, 0)
        return 0x0800, head + chance.randbytes(8 + 4 * max(0, words - 5)) + udp
    protocol, packet = 17, udp
    for _ in range(chance.choice((0, 0, 0, 1, 2, 9))):
        kind = chance.choice(list(EXTENSIONS))
        units = chance.randrange(3)
        packet = bytes((protocol, units)) + chance.randbytes(6 + EXTENSIONS[kind] * units) + packet
        protocol = kind
    return 0x86DD, struct.pack(">IHBB", 6 << 28, length & 0xFFFF, protocol, 64) + chance.randbytes(32) + packet


def frame(chance: random.Random, link: int, network: tuple[int, bytes]) -> bytes:
    """The packet as that link type has it, sometimes cut."""
    kind, packet = network
    if chance.random() < 0.03:
        kind = chance.choice(OTHERS)
    tags = b"".join(struct.pack(">HH", chance.choice(TAGS), 5) for _ in range(chance.choice((0, 0, 0, 1, 2, 3))))
    typed = tags + struct.pack(">H", kind) + packet
    if link in RAW:
        whole = packet
    elif link in LOOPBACK:
        whole = bytes(4) + packet
    elif link in COOKED_2:
        whole = struct.pack(">H", kind) + bytes(18) + packet
    else:
        whole = chance.randbytes(14 if link in COOKED else 12) + typed
    return whole if chance.random() < 0.95 else whole[: chance.randrange(len(whole))]


def pcap(chance: random.Random, link: int, packets: Sequence[bytes], now: int) -> bytes:
    magic, (order, fraction) = chance.choice(list(MAGICS.items()))
    head = struct.Struct(order + "IIII")
    made = [magic + struct.pack(order + "HHiIII", 2, 4, 0, 0, 65535, link)]
    for number, packet in enumerate(packets):
        part = int(number * 1e-3 / fraction)
        made += head.pack(now, part, len(packet), len(packet)), packet
    return b"".join(made)


def pcapng(chance: random.Random, link: int, packets: Sequence[bytes], now: int) -> bytes:
    order = chance.choice("<>")

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(order + "I", 12 + len(body))
        return struct.pack(order + "I", kind) + length + body + length

    def option(code: int, value: bytes) -> bytes:
        return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    clock = option(9, chance.choice((b"\x06", b"\x09", b"\x94", b"\xff", b"\x00", b"")))
    clock += option(14, struct.pack(order + "q", chance.choice((0, 0, now, -now, 1 << 62)))) + option(0, b"")
    made = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    made += [block(1, struct.pack(order + "HHI", each, 0, 0) + clock) for each in (link, chance.choice(LINKS))]
    for number, packet in enumerate(packets):
        ticks, length = now * 10**6 + number * 1000, len(packet)
        kind = chance.choice((6, 6, 6, 6, 2, 3, chance.randrange(12)))
        which = 0 if chance.random() < 0.98 else chance.randrange(4)
        if kind == 3:
            made.append(block(3, struct.pack(order + "I", length) + packet))
        elif kind == 2:
            made.append(block(2, struct.pack(order + "HHIIII", which, 9, ticks >> 32, ticks & 0xFFFFFFFF, length,
                                             length) + packet))  # fmt: skip
        else:
            head = struct.pack(order + "IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, length, length)
            made.append(block(kind, head + packet + bytes(-length % 4) + option(1, b"a comment")))
    return b"".join(made)
