"""OpenFlow 1.5 messages as Open vSwitch sends them, one of each kind that the controller reads; mutations of them."""

from __future__ import annotations

import random
import struct

from ryu.ofproto import ofproto_v1_5_parser as parser

VERSION = 6
LENGTHS = (*range(10), 12, 15, 16, 17, 24, 32, 40, 48, 0x8000, 0xFFFF)  # that a mutation writes


def message(kind: int, body: bytes, version: int = VERSION) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), 1) + body


def multipart(kind: int, body: bytes, *, more: bool = False) -> bytes:
    return message(19, struct.pack("!HH4x", kind, more) + body)


def serialized(*parts: object) -> bytes:
    made = bytearray()
    for part in parts:
        part.serialize(made, len(made))
    return bytes(made)


MATCH = serialized(
    parser.OFPMatch(
        eth_type=0x800, ipv4_src="10.0.0.1", ipv4_dst=("10.0.0.0", "255.255.0.0"), ip_proto=6, tcp_src=80, in_port=3
    )
)
STATISTICS = struct.pack("!HHHBBII", 0, 16, 0x8002, 0, 8, 1, 2)  # one field: duration
ACTIONS = serialized(
    parser.OFPActionSetField(ip_dscp=1),
    parser.OFPActionSetField(ipv4_dst="10.0.0.2"),
    parser.OFPActionOutput(3, 0),
    parser.OFPActionGroup(7),
)
EXPERIMENTER_ACTION = struct.pack("!HHIHHIQQ", 0xFFFF, 32, 0x2320, 6, 0, 0, 1, 2)  # of Nicira: register move


def flow_description() -> bytes:
    inside = MATCH + STATISTICS + struct.pack("!HH4x", 4, 8 + len(ACTIONS)) + ACTIONS + struct.pack("!HHB3x", 1, 8, 1)
    return struct.pack("!H2xBxHHHHHQ", 24 + len(inside), 0, 100, 5, 0, 0, 0, 0x486F77 << 40) + inside


def bucket(number: int, actions: bytes) -> bytes:
    properties = struct.pack("!HHH2x", 0, 8, 1) + struct.pack("!HHI", 1, 8, number)
    return struct.pack("!HHI", 8 + len(actions) + len(properties), len(actions), number) + actions + properties


def group(number: int, actions: bytes = b"") -> bytes:
    buckets = b"".join(bucket(port, actions or serialized(parser.OFPActionOutput(port, 0))) for port in range(1, 5))
    hashing = struct.pack("!HHII4x16sQ", 0xFFFF, 40, 0x154D, 1, b"dp_hash", 5)
    length = 16 + len(buckets) + len(hashing)
    return struct.pack("!HBxIH6x", length, 1, number, len(buckets)) + buckets + hashing


def port(number: int) -> bytes:
    ethernet = struct.pack("!HH4xIIIIII", 0, 32, 0, 0, 0, 0, 1000, 1000)
    name = f"eth{number}".encode()
    return struct.pack("!IH2x6s2x16sII", number, 40 + len(ethernet), b"\2" + bytes(5), name, 0, 0) + ethernet


def port_counters(number: int) -> bytes:
    ethernet = struct.pack("!HH4xQQQQ", 0, 40, 1, 2, 3, 4)
    return struct.pack("!H2xIIIQQQQQQQQ", 80 + len(ethernet), number, 1, 1, *range(8)) + ethernet


def group_counters(number: int) -> bytes:
    return struct.pack("!H2xII4xQQIIQQQQ", 40 + 32, number, 1, 1, 2, 3, 4, *range(4))


MESSAGES = {
    "hello": message(0, struct.pack("!HHI", 1, 8, 1 << VERSION)),
    "error": message(1, struct.pack("!HH", 1, 2) + message(14, bytes(48))),
    "echo request": message(2, b""),
    "echo reply": message(3, b"data"),
    "features": message(6, struct.pack("!QIBB2xII", 1, 0, 254, 0, 0x4F, 0)),
    "packet-in": message(
        10, struct.pack("!IHBBQ", 0xFFFFFFFF, 20, 1, 0, 7) + serialized(parser.OFPMatch(in_port=3)) + bytes(2 + 20)
    ),
    "flow-removed": message(11, struct.pack("!BBHHHQ", 0, 0, 100, 5, 0, 0x486F77) + MATCH + STATISTICS),
    "port-status": message(12, struct.pack("!B7x", 0) + port(3)),
    "flow descriptions": multipart(1, flow_description() * 3),
    "port counters": multipart(4, port_counters(1) + port_counters(2)),
    "group counters": multipart(6, group_counters(1) + group_counters(2)),
    "group descriptions": multipart(7, group(1) + group(2) + group(3, EXPERIMENTER_ACTION)),
    "port descriptions": multipart(13, port(1) + port(2)),
    "barrier reply": message(21, b""),
}


def with_length(wire: bytes | bytearray) -> bytes:
    """The bytes as one message: the header's length is theirs."""
    whole = bytearray(wire[:0xFFFF]).ljust(8, b"\0")
    struct.pack_into("!H", whole, 2, len(whole))
    return bytes(whole)


def mutated(source: random.Random) -> bytes:
    """One of MESSAGES with a few bytes, lengths or pieces changed."""
    wire = bytearray(source.choice(list(MESSAGES.values())))
    for _ in range(source.choice((1, 1, 1, 2, 3, 6))):
        at = source.randrange(1, len(wire))
        match source.randrange(6):
            case 0:
                wire[at] = source.randrange(256)
            case 1:
                wire[at & ~1 : (at & ~1) + 2] = struct.pack("!H", source.choice((*LENGTHS, len(wire) - at)))
            case 2:
                del wire[at : at + source.choice((1, 2, 4, 8, 16))]
            case 3:
                wire[at:at] = bytes(source.choice((1, 2, 4, 8, 16)))
            case 4:
                piece = source.randrange(len(wire))
                wire[at:at] = wire[piece : piece + source.choice((4, 8, 16, 32, 64))]
            case 5:
                wire[at : at + 8] = bytes(8)
        wire = bytearray(with_length(wire))
    return bytes(wire)
