"""Random sFlow that knows its structures: valid datagrams of every sample and record, whose counts and lengths lie now
and then.

`Generator.datagram` builds one from the table of core/wire/structures.py and packets layer by layer, so that inputs get
deep into the decoders; inputs.py makes many out of few. Everything follows from the seed.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from functools import partial

from analytics.core.wire.ipv6 import EXTENSIONS, FRAGMENT
from analytics.core.wire.structures import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES, Structure, Tag
from tests.analytics.examples.wire import opaque, words

WORDS = [0, 1, 2, 3, 4, 5, 7, 8, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFC, 0xFFFFFFFF]
ETHERTYPES = [0x0800, 0x86DD, 0x8100, 0x88A8, 0x8847, 0x8848, 0x8863, 0x8864, 0x0806, 0x6558, 0x894F, 0x22F3, 0x88E7]
ETHERTYPES += [0x88E5, 0x8906, 0x88BE, 0x22EB, 0x0026, *[0x0800, 0x86DD] * 5]  # most of what is behind them is IP
PROTOCOLS = [1, 2, 4, 6, 41, 47, 50, 58, 115, 132, 137, 143, 59, 255, *EXTENSIONS, *[17] * 10]
UDP_PORTS = [53, 1701, 2152, 3544, 4341, 4739, 4754, 4789, 4790, 4791, 5247, 6081, 6343, 6635, 8472, 4500]
DEEPEST = 7
NAMES = ("rtmetric_datasource_name", "rtflow_datasource_name")  # never empty
RTMETRIC_SIZES = (0, 4, 8, 4, 8, 4, 8)  # bytes per type; 0: a text
RTFLOW_SIZES = (0, 8, 4, 16, 4, 8, 4, 8)


class Generator:
    """`lies`: the chance that a count or a length is not what follows."""

    def __init__(self, seed: int, lies: float = 0.02) -> None:
        self.chance = random.Random(seed)
        self.lies = lies
        self.sequence = 0
        self.make = self.makers()

    # -- numbers --

    def number(self) -> int:
        return self.chance.choice(WORDS) if self.chance.random() < 0.3 else self.chance.getrandbits(32)

    def count(self, real: int) -> int:
        """How many follow, or a lie."""
        if self.chance.random() >= self.lies:
            return real
        return self.chance.choice([*WORDS, real + 1, max(0, real - 1)])

    def some(self, make: Callable[[], bytes], most: int = 3) -> bytes:
        """A count and so many."""
        real = self.chance.randint(0, most)
        return words(self.count(real)) + b"".join(make() for _ in range(real))

    def text(self, least: int = 0) -> bytes:
        body = self.chance.randbytes(max(least, self.chance.choice([0, 1, 3, 4, 17, 63])))
        wire = opaque(body)
        return words(self.count(len(body))) + wire[4:]

    # -- structures --

    def makers(self) -> dict[str, Callable[[], bytes]]:
        """What makes the fields of each type of core/wire/structures.py that are not just a word."""
        sizes = {"u64": 8, "f64": 8, "mac": 8, "dpid": 8, "source2": 8, "port2": 8, "ip6": 16, "uuid": 16, "u8": 1}
        return {kind: partial(self.chance.randbytes, size) for kind, size in sizes.items()} | {
            "addr": self.address,
            "str": self.text,
            "opaque": self.text,
            "rest": lambda: self.chance.randbytes(4 * self.chance.randrange(8)),
            "u32s": lambda: self.some(self.word),
            "percents": lambda: self.some(self.word, 8),
            "labels": lambda: self.some(self.word),
            "vlans": lambda: self.some(self.word),
            "as_path": lambda: self.some(lambda: self.word() + self.some(self.word)),
            "lanes": lambda: self.some(lambda: self.chance.randbytes(40)),
            "adapters": lambda: self.some(lambda: self.word() + self.some(lambda: self.chance.randbytes(8))),
            "header": self.header,
            "payload": self.header,
            "rtmetrics": lambda: self.some(lambda: self.text(1) + self.typed(RTMETRIC_SIZES)),
            "rtflows": lambda: self.some(lambda: self.text(1) + self.typed(RTFLOW_SIZES)),
        }

    def field(self, kind: str, depth: int) -> bytes:
        """One field of a type of core/wire/structures.py."""
        if kind == "flow_records":
            return self.some(lambda: self.record(FLOW_RECORDS, depth + 1), 4)
        if kind == "counter_records":
            return self.some(lambda: self.record(COUNTER_RECORDS, depth + 1), 4)
        if kind == "pdus":
            return self.some(lambda: self.field("flow_records", depth + 1), 2 if depth < DEEPEST else 0)
        make = self.make.get(kind)
        return make() if make else self.word()

    def word(self) -> bytes:
        return words(self.number())

    def address(self) -> bytes:
        kind = self.chance.choice([0, 1, 1, 2])
        return words(self.count(kind)) + self.chance.randbytes((0, 4, 16)[kind])

    def typed(self, sizes: tuple[int, ...]) -> bytes:
        """A type and a value that fits it, as rtmetric and rtflow have them."""
        kind = self.chance.randrange(len(sizes))
        return words(self.count(kind)) + (self.text() if kind == 0 else self.chance.randbytes(sizes[kind]))

    def record(self, table: Mapping[Tag, Structure], depth: int = 0) -> bytes:
        """A record of the table, or an unknown one."""
        tag = self.chance.choice(list(table))
        if table is FLOW_RECORDS and self.chance.random() < 0.4:
            tag = (0, 1)
        fields = table[tag].fields
        body = b"".join(self.text(1) if field.name in NAMES else self.field(field.type, depth) for field in fields)
        if self.chance.random() < 0.02:
            tag = (self.chance.getrandbits(20), self.chance.getrandbits(12))
        if self.chance.random() < self.lies:
            body = body[: self.chance.randrange(len(body) + 1)]
        return words(tag[0] << 12 | tag[1], self.count(len(body))) + body + bytes(-len(body) % 4)

    def datagram(self) -> bytes:
        """One datagram of one of a few agents, now and then of an older version."""
        self.sequence += 1
        if self.chance.random() < 0.03:
            return self.older()
        samples = self.some(lambda: self.record(SAMPLES), 4)
        agent = words(1) + bytes([10, 0, 0, self.chance.randrange(8)])
        if self.chance.random() < 0.1:
            agent = words(2) + bytes(15) + bytes([self.chance.randrange(8)])
        return words(5) + agent + words(self.chance.randrange(3), self.sequence, self.sequence * 10) + samples

    def older(self) -> bytes:
        """A datagram of version 2 or 4 (core/wire/older.pyx)."""
        version = self.chance.choice([2, 4])
        agent = words(1) + bytes([10, 0, 1, self.chance.randrange(8)])
        samples = self.some(lambda: self.older_sample(version))
        return words(version) + agent + words(self.sequence, self.sequence * 10) + samples

    def older_sample(self, version: int) -> bytes:
        rest = self.chance.randbytes
        if self.chance.random() < 0.3:
            kind = self.chance.randint(1, 7)
            more = (0, 52, 72, 0, 80, 0)[kind - 1] if kind < 7 else 28 - 88
            return words(2) + rest(12) + words(self.count(kind)) + rest(88 + more)
        kind = self.chance.randint(1, 3)
        packet = words(1, self.number()) + self.header() if kind == 1 else rest(32 if kind == 2 else 56)
        extended = self.some(lambda: self.older_record(version))
        return words(1) + rest(28) + words(self.count(kind)) + packet + extended

    def older_record(self, version: int) -> bytes:
        segments = self.some(self.word) if version == 2 else self.make["as_path"]() + self.some(self.word) + self.word()
        kind = self.chance.randint(1, 5)
        bodies = (self.chance.randbytes(16), words(1) + self.chance.randbytes(12), self.chance.randbytes(12) + segments,
                  self.text() + self.text(), self.word() + self.text())  # fmt: skip
        return words(self.count(kind)) + bodies[kind - 1]

    # -- packets --

    def header(self) -> bytes:
        """An opaque packet, cut somewhere."""
        packet = self.ethernet(0) if self.chance.random() < 0.8 else self.network(0)
        packet = packet[: self.chance.choice([64, 128, 256])]
        if self.chance.random() < 0.2:
            packet = packet[: self.chance.randrange(len(packet) + 1)]
        wire = opaque(packet)
        return words(self.count(len(packet))) + wire[4:]

    def ethernet(self, depth: int) -> bytes:
        return self.chance.randbytes(12) + self.typed_payload(self.chance.choice(ETHERTYPES), depth)

    def typed_payload(self, kind: int, depth: int) -> bytes:
        """An Ethernet type and what it announces."""
        head = struct.pack(">H", kind)
        if depth > DEEPEST:
            return head
        if kind in (0x0800, 0x86DD):
            return head + self.network(depth, 4 if kind == 0x0800 else 6)
        if kind in (0x8100, 0x88A8):
            return head + self.chance.randbytes(2) + self.typed_payload(self.chance.choice(ETHERTYPES), depth + 1)
        if kind in (0x8847, 0x8848):
            labels = b"".join(struct.pack(">I", self.number() & ~0x100) for _ in range(self.chance.randrange(4)))
            return head + labels + struct.pack(">I", self.number() | 0x100) + self.inner(depth)
        if kind == 0x6558:
            return head + self.ethernet(depth + 1)
        return head + self.chance.randbytes(self.chance.choice([4, 6, 8, 18])) + self.inner(depth)

    def inner(self, depth: int) -> bytes:
        """What a tunnel may carry."""
        if depth > DEEPEST:
            return b""
        kind = self.chance.randrange(4)
        if kind == 0:
            return self.ethernet(depth + 1)
        if kind == 1:
            return bytes(4) + self.ethernet(depth + 1)
        return self.network(depth + 1) if kind == 2 else self.chance.randbytes(20)

    def network(self, depth: int, version: int = 0) -> bytes:
        """IPv4 with or without options, or IPv6."""
        protocol = self.chance.choice(PROTOCOLS)
        payload = self.transport(protocol, depth)
        if (version or self.chance.choice([4, 6])) == 4:
            options = 4 * self.chance.choice([0, 0, 0, 1, 10])
            first = struct.pack(">BBHHH", 0x40 | (20 + options) // 4, self.chance.getrandbits(8),
                                self.chance.choice([0, 20 + options + len(payload), 0xFFFF]), 7,
                                self.chance.choice([0, 0, 0x4000, 0x2000, 100]))  # fmt: skip
            return first + struct.pack(">BBH", 64, protocol, 0) + self.chance.randbytes(8 + options) + payload
        length = self.chance.choice([0, len(payload), 0xFFFF])
        return struct.pack(">IHBB", 6 << 28, length, protocol, 64) + self.chance.randbytes(32) + payload

    def transport(self, protocol: int, depth: int) -> bytes:
        """What an IP protocol number announces."""
        if depth > DEEPEST:
            return b""
        if protocol in (4, 41):
            return self.network(depth + 1, 4 if protocol == 4 else 6)
        if protocol == 47:
            flags = self.chance.choice([0, 0x8000, 0x2000, 0x1000, 0xB000, 0x3001])
            options = 4 * (flags >> 12).bit_count()
            kind = self.chance.choice(ETHERTYPES)
            return (
                struct.pack(">HH", flags, kind) + self.chance.randbytes(options) + self.typed_payload(kind, depth + 1)
            )
        if protocol == 17:
            ports = (self.chance.getrandbits(16), self.chance.choice(UDP_PORTS))
            payload = self.in_udp(ports[1]) + self.inner(depth)
            return (
                struct.pack(">HHHH", *ports, self.chance.choice([0, self.count(8 + len(payload)) & 0xFFFF]), 0)
                + payload
            )
        if protocol in EXTENSIONS:
            after = self.chance.choice(PROTOCOLS)
            units = self.chance.choice([0, 0, 1, 4])
            fill = self.chance.randbytes(6 + EXTENSIONS[protocol] * units) if protocol != FRAGMENT else bytes(6)
            return bytes([after, units]) + fill + self.transport(after, depth + 1)
        return self.chance.randbytes(24)

    def in_udp(self, port: int) -> bytes:
        """The header of a tunnel, or a message."""
        if port == 53:
            labels = [
                self.chance.randbytes(self.chance.choice([1, 3, 15, 63])) for _ in range(self.chance.randrange(6))
            ]
            name = b"".join(bytes([self.count(len(label)) & 0xFF]) + label for label in labels)
            return (
                struct.pack(">HHHHHH", 7, self.chance.getrandbits(16), self.count(1) & 0xFFFF, 0, 0, 0)
                + name
                + bytes(5)
            )
        if port == 5247:
            words_long = self.chance.choice([1, 2, 2, 4])
            flags = self.chance.choice([0, 0, 0x100, 0x80, 8])
            return struct.pack(">IHH", words_long << 19 | 1 << 9 | flags, 1, 0) + bytes(max(0, 4 * words_long - 8))
        if port == 1701:
            return self.chance.choice([bytes([0, 3, 0, 0, 0, 0, 0, 5]), bytes([0, 2, 0, 5, 0, 6]) + b"\xff\x03\0\x21"])
        return self.chance.choice(
            [
                bytes(8),
                bytes([8, 0, 0, 0, 0, 0, 7, 0]),
                bytes([0, 0, 0x65, 0x58, 0, 0, 7, 0]),
                bytes([0x30, 0xFF]) + bytes(6),
            ]
        )
