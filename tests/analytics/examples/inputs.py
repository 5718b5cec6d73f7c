"""Millions of inputs out of few structures: records, packets and samples made by structure (generator.py) are mixed
anew into every datagram, and edited.

To make a record by structure costs ten times what mixing ready ones costs, so a stock of them is kept and renewed with
every cycle a little. An *epoch* is a run of inputs that follows from (seed, number of the epoch) alone: epochs may be
shared out among processes, and one that fails can be run again without those before it. CYCLE says how many inputs are
of which kind. Heads are written anew each time, with sequence numbers that mostly rise, so that the engine takes what
it would otherwise refuse as a duplicate.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from analytics.core.wire.structures import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES
from analytics.inputs.capture import datagrams
from tests.analytics.examples.capture_files import capture_file
from tests.analytics.examples.generator import WORDS, Generator

GENERATED, MIXED, EDITED, RECORDED = "generated", "mixed", "mixed and edited", "recorded and edited"
PACKET, CAPTURE, REQUEST = "packet at the datagram's end", "capture file", "request"
CYCLE = (*(MIXED, EDITED, EDITED, EDITED, EDITED, RECORDED, PACKET) * 16, *(RECORDED,) * 11)
CYCLE += (GENERATED, GENERATED, CAPTURE, CAPTURE, REQUEST)

STOCK = 1000  # of each kind of material
START = 1000  # the time of an epoch's first input, in seconds
SOME_WORDS = [*WORDS, *range(16), 100, 1000, 10**6]
LIES = 0.03  # the chance that a count or length written here is not what follows
HEADS = {
    tag: sum(2 if field.type in ("source2", "port2") else 1 for field in structure.fields[:-1])
    for tag, structure in SAMPLES.items()
    if structure.fields[-1].type in ("flow_records", "counter_records")
}  # samples with records: the words in front of their count
SHARES = {(0, 1): 5, (0, 3): 3, (0, 2): 3, (0, 4): 2, (0, 5): 2}  # of HEADS in the mix; another counts 1
PACK = [struct.Struct(f">{count}I").pack for count in range(16)]  # wire.words, for as many words
CARRIERS = {1: 12, 11: 2, 12: 2, 7: 1, 2: 1, 4: 1, 6: 1, 13: 1, 14: 1, 255: 1}  # header protocols and their shares
TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
REQUESTS = (
    '{"keys":"or:ipsource:ip6source,null:vlan,stack","value":"bytes","filter":"ipttl!=1&(vlan=5|tcpflags~.{8}1)"}',
    "{keys:'mask:ipsource:8,[link:inputifindex],eq:vlan:ipttl',value:'frames',t:2.5e0,n:-1,log:true}",
    '{"metric":"ifinutilization","value":80,"timeout":2,"byFlow":false,"filter":{"ifspeed":["1000000"]}}',
    '{"nodes":{"s1":{"agent":"10.0.0.1","ports":{"p1":{"ifindex":"1","speed":10}}}},"links":{"l1":{"node1":"s1",'
    '"port1":"p1","node2":"s2","port2":"p2"}}}',
    "[1,-2.5,\"\\u00e4\",'it\\'s',null,{a:[]}]",
    "^(10\\.0\\.[0-9]{1,3}|[^a-z]*?)$",
)


def edited(chance: random.Random, wire: bytes) -> bytes:
    """A few edits that wire formats dislike: bits, whole words, words a little off, cuts, repeated and removed
    stretches."""
    data = bytearray(wire)
    for _ in range(1 + (chance.getrandbits(8) * 6 >> 8)):
        if not data:
            break
        bits = chance.getrandbits(64)
        at, kind, more = (bits & 0xFFFFF) * len(data) >> 20, bits >> 20 & 7, bits >> 23
        if kind <= 1:
            data[at] ^= 1 << (more & 7)
        elif kind == 2:
            data[at & ~3 : (at & ~3) + 4] = WORDS[more & 15].to_bytes(4, "big")
        elif kind == 3:
            data[at:at] = data[at : at + (more & 63)]
        elif kind == 4:
            del data[at : at + (more & 63)]
        elif kind == 5:
            word = int.from_bytes(data[at & ~3 : (at & ~3) + 4], "big") + (-4, -1, 1, 4)[more & 3]
            data[at & ~3 : (at & ~3) + 4] = (word & 0xFFFFFFFF).to_bytes(4, "big")
        elif kind == 6 and more & 3 == 0:
            del data[at:]
        else:
            data[at : at + 4] = (more & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


class Inputs:
    """All inputs of a seed. The stock and the recorded datagrams are made once and shared by all epochs."""

    def __init__(self, seed: int, stock: int = STOCK) -> None:
        self.seed = seed
        generator = Generator(seed)
        self.flow_records = [generator.record(FLOW_RECORDS) for _ in range(stock)]
        self.counter_records = [generator.record(COUNTER_RECORDS) for _ in range(stock)]
        self.samples = [generator.record(SAMPLES) for _ in range(stock // 2)]
        self.packets = [packet(generator) for _ in range(stock)]
        captures = sorted((Path(__file__).parent / "captures").glob("*.pcap"))
        self.real = [payload for path in captures for _, _, payload in datagrams(path, 6343)]

    def epoch(self, number: int) -> Iterator[tuple[str, bytes]]:
        """(kind of CYCLE, input), without end."""
        return Epoch(self, number).inputs()


def packet(generator: Generator) -> tuple[int, bytes]:
    """(header protocol, bytes of a packet)."""
    (protocol,) = generator.chance.choices(list(CARRIERS), list(CARRIERS.values()))
    if protocol in (11, 12):
        return protocol, generator.network(0, 4 if protocol == 11 else 6)
    if protocol == 1 or generator.chance.random() < 0.2:
        return protocol, generator.ethernet(0)
    return protocol, generator.chance.randbytes(4) + generator.typed_payload(0x0800, 0)


class Epoch:
    """The inputs of one epoch, from stock that it renews for itself."""

    def __init__(self, shared: Inputs, number: int) -> None:
        self.generator = Generator(shared.seed << 32 | number + 1)
        self.chance = self.generator.chance
        self.flow_records, self.counter_records = shared.flow_records[:], shared.counter_records[:]
        self.samples, self.packets, self.real = shared.samples[:], shared.packets[:], shared.real
        self.latest = b""  # datagram mixed: the edited ones are made of it
        self.tags = [tag for tag in HEADS for _ in range(SHARES.get(tag, 1))]

    def inputs(self) -> Iterator[tuple[str, bytes]]:
        while True:
            for kind in CYCLE:
                yield kind, self.input(kind)
            self.renew()

    def input(self, kind: str) -> bytes:
        chance = self.chance
        if kind == EDITED:
            return edited(chance, self.renumbered(self.latest))
        if kind == MIXED:
            self.latest = self.mixed()
            return self.latest
        if kind == RECORDED:
            return edited(chance, self.renumbered(chance.choice(self.real)))
        if kind == PACKET:
            return self.packet_at_the_end()
        if kind == CAPTURE:
            return self.capture()
        return self.request() if kind == REQUEST else self.generator.datagram()

    def renew(self) -> None:
        """Replace a little of the stock."""
        chance, generator = self.chance, self.generator
        for _ in range(2):
            self.flow_records[chance.randrange(len(self.flow_records))] = generator.record(FLOW_RECORDS)
            self.counter_records[chance.randrange(len(self.counter_records))] = generator.record(COUNTER_RECORDS)
            self.packets[chance.randrange(len(self.packets))] = packet(generator)
        self.samples[chance.randrange(len(self.samples))] = generator.record(SAMPLES)

    # -- datagrams --

    def mixed(self) -> bytes:
        """A datagram of one to three samples."""
        samples = [self.sample() for _ in range(1 + self.chance.getrandbits(8) % 3)]
        return self.head(len(samples)) + b"".join(samples)

    def head(self, samples: int) -> bytes:
        chance, generator = self.chance, self.generator
        bits = chance.getrandbits(16)
        generator.sequence += 1 if bits & 0xF else (bits >> 8 & 7) - 3  # also duplicate, and out of order
        sequence = max(0, generator.sequence)
        agent = (10 << 24 | bits >> 4 & 7,) if bits >> 13 else (0x20010DB8, 0, 0, bits >> 4 & 3)
        rest = bits >> 7 & 1, sequence, sequence * 10, self.number(samples)
        return PACK[7](5, 1, *agent, *rest) if len(agent) == 1 else PACK[10](5, 2, *agent, *rest)

    def number(self, real: int) -> int:
        """A count or a length, or a lie."""
        if self.chance.random() >= LIES:
            return real
        return self.chance.choice((*WORDS, real + 1, real + 4, max(0, real - 1), max(0, real - 4)))

    def sample(self) -> bytes:
        """A sample with other records than ever before, or one as the generator made it."""
        chance = self.chance
        if chance.random() < 0.1:
            return chance.choice(self.samples)
        tag = chance.choice(self.tags)
        pile = self.flow_records if SAMPLES[tag].fields[-1].type == "flow_records" else self.counter_records
        records = [chance.choice(pile) for _ in range(1 + chance.getrandbits(8) % 3)]
        if pile is self.flow_records and chance.random() < 0.5:
            records.append(self.sampled_header(*chance.choice(self.packets)))
        return self.sample_of(tag, b"".join(records), len(records))

    def sample_of(self, tag: tuple[int, int], records: bytes, count: int) -> bytes:
        front = self.chance.choices(SOME_WORDS, k=HEADS[tag])
        front[0] = max(0, self.generator.sequence)
        if self.chance.random() < 0.9:
            front[1] &= 7  # few data sources that come again, so that counters become rates
        body = PACK[len(front) + 1](*front, self.number(count)) + records
        return PACK[2](tag[0] << 12 | tag[1], self.number(len(body))) + body

    def sampled_header(self, protocol: int, header: bytes) -> bytes:
        """A record 0:1, padded only if the header's length asks for it."""
        padding = bytes(-len(header) % 4)
        head = PACK[6](1, 16 + len(header) + len(padding), protocol, 1518, 4, len(header))
        return head + header + padding

    def packet_at_the_end(self) -> bytes:
        """A flow sample whose packet, cut anywhere, ends where the datagram ends: to read on is to read outside."""
        protocol, whole = self.chance.choice(self.packets)
        if self.chance.random() < 0.5:
            whole = edited(self.chance, whole)
        length = self.chance.randrange(len(whole) + 1)
        cut = whole[: length & ~3 if length & 1 else length]
        record = PACK[6](1, 16 + len(cut), protocol, 1518, 4, len(cut)) + cut
        return self.head(1) + self.sample_of(self.chance.choice(((0, 1), (0, 1), (0, 3), (0, 5))), record, 1)

    def renumbered(self, wire: bytes) -> bytes:
        """The datagram as the next one of its agent."""
        self.generator.sequence += 1
        at = 16 if wire[7] == 1 else 28
        return wire[:at] + PACK[1](max(0, self.generator.sequence)) + wire[at + 4 :]

    # -- what is no datagram --

    def capture(self) -> bytes:
        """A capture file of a few datagrams."""
        payloads = [self.mixed() if n & 1 else self.chance.choice(self.real) for n in range(self.chance.randrange(8))]
        made = capture_file(self.chance, payloads, START)
        return made if self.chance.random() < 0.4 else edited(self.chance, made)

    def request(self) -> bytes:
        """The text of a request: a body, a pattern or a number, with other words in it."""
        chance = self.chance
        tokens = TOKEN.findall(chance.choice(REQUESTS))
        others = TOKEN.findall(chance.choice(REQUESTS))
        for _ in range(chance.randrange(6)):
            at = chance.randrange(len(tokens))
            tokens[at : at + chance.randrange(3)] = chance.choices(others, k=chance.randrange(3))
            tokens = tokens or others
        text = "".join(tokens).encode()
        return text if chance.random() < 0.8 else edited(chance, text)
