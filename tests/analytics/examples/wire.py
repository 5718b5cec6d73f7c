"""Build sFlow datagrams and packets for tests: plain functions, bytes out, lengths right unless a test wants them
wrong."""

from __future__ import annotations

import struct
from ipaddress import ip_address


def words(*values: int) -> bytes:
    """32-bit unsigned words."""
    return struct.pack(f">{len(values)}I", *values)


def opaque(data: bytes) -> bytes:
    """XDR opaque<>: length, bytes, padding."""
    return words(len(data)) + data + bytes(-len(data) % 4)


def record(tag: int, body: bytes) -> bytes:
    return words(tag) + opaque(body)


def sampled_header(header: bytes, frame_length: int = 1518, protocol: int = 1, stripped: int = 4) -> bytes:
    return record(1, words(protocol, frame_length, stripped) + opaque(header))


def extended_switch(src_vlan: int, src_priority: int, dst_vlan: int, dst_priority: int) -> bytes:
    return record(1001, words(src_vlan, src_priority, dst_vlan, dst_priority))


def flow_sample(
    *records: bytes,
    sequence: int = 1,
    source: tuple[int, int] = (0, 5),
    rate: int = 100,
    ports: tuple[int, int] = (5, 6),
    drops: int = 0,
    expanded: bool = False,
) -> bytes:
    """A flow sample 0:1, or 0:3 if expanded (ports are then plain ifIndexes)."""
    body = b"".join(records)
    if expanded:
        head = words(sequence, *source, rate, sequence * rate, drops, 0, ports[0], 0, ports[1], len(records))
        return record(3, head + body)
    head = words(sequence, source[0] << 24 | source[1], rate, sequence * rate, drops, *ports, len(records))
    return record(1, head + body)


def discard(
    *records: bytes,
    sequence: int = 1,
    source: tuple[int, int] = (0, 5),
    drops: int = 0,
    ports: tuple[int, int] = (5, 0),
    reason: int = 258,
) -> bytes:
    """A discarded packet 0:5; ports are ifIndexes, 0 unknown."""
    return record(5, words(sequence, *source, drops, *ports, reason, len(records)) + b"".join(records))


def counter_sample(
    *records: bytes, sequence: int = 1, source: tuple[int, int] = (0, 5), expanded: bool = False
) -> bytes:
    source_words = words(*source) if expanded else words(source[0] << 24 | source[1])
    return record(4 if expanded else 2, words(sequence) + source_words + words(len(records)) + b"".join(records))


UNKNOWN_COUNTER = 0xFFFFFFFF


def if_counters(
    index: int = 5,
    speed: int = 10_000_000,
    octets: tuple[int, int] = (0, 0),
    packets: tuple[int, int] = (0, 0),
    status: int = 3,
) -> bytes:
    """generic interface counters 0:1 as Open vSwitch fills them."""
    unknown = UNKNOWN_COUNTER
    return record(
        1,
        words(index, 6)
        + struct.pack(">Q", speed)
        + words(1, status)
        + struct.pack(">Q", octets[0])
        + words(packets[0], unknown, unknown, 0, 0, unknown)
        + struct.pack(">Q", octets[1])
        + words(packets[1], unknown, unknown, 0, 0, 0),
    )


def host_descr(name: str) -> bytes:
    """host_descr 0:2000 of a Linux machine."""
    return record(2000, opaque(name.encode()) + bytes(16) + words(3, 2) + opaque(b"6.1"))


def host_cpu(load_one: float) -> bytes:
    """host_cpu 0:2003; all but the load of the last minute is made up."""
    return record(2003, struct.pack(">fff", load_one, 0.5, 0.25) + words(1, 100, 4, 2000, 3600, *range(12)))


def datagram(
    *samples: bytes, agent: str = "10.0.0.1", sub_agent: int = 0, sequence: int = 1, uptime: int = 1000
) -> bytes:
    address = ip_address(agent)
    head = words(5, 1 if address.version == 4 else 2) + address.packed
    return head + words(sub_agent, sequence, uptime, len(samples)) + b"".join(samples)


def ethernet(payload: bytes, kind: int = 0x0800, tags: tuple[tuple[int, int], ...] = ()) -> bytes:
    """An Ethernet frame 00:00:00:00:00:01 -> 00:00:00:00:00:02 with (tpid, tci) tags."""
    stack = b"".join(struct.pack(">HH", *tag) for tag in tags)
    return bytes.fromhex("000000000002000000000001") + stack + struct.pack(">H", kind) + payload


def ipv4(
    payload: bytes,
    protocol: int,
    src: str = "10.0.1.1",
    dst: str = "10.0.2.2",
    fragment: int = 0,
    tos: int = 0,
    options: bytes = b"",
) -> bytes:
    header = 20 + len(options)
    return (
        struct.pack(">BBHHHBBH", 0x40 | header // 4, tos, header + len(payload), 7, fragment, 64, protocol, 0)
        + ip_address(src).packed
        + ip_address(dst).packed
        + options
        + payload
    )


def ipv6(payload: bytes, protocol: int, src: str = "2001:db8::1", dst: str = "2001:db8::2", tos: int = 0) -> bytes:
    head = struct.pack(">IHBB", 6 << 28 | tos << 20, len(payload), protocol, 64)
    return head + ip_address(src).packed + ip_address(dst).packed + payload


def tcp(sport: int = 40000, dport: int = 5001, flags: int = 0x10) -> bytes:
    return struct.pack(">HHIIHHHH", sport, dport, 1, 2, 5 << 12 | flags, 65535, 0, 0)


def udp(sport: int = 40000, dport: int = 5001, payload: bytes = bytes(8)) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp_frame(src: str = "10.0.1.1", dst: str = "10.0.2.2", sport: int = 40000, dport: int = 5001) -> bytes:
    return ethernet(ipv4(tcp(sport, dport), 6, src, dst))
