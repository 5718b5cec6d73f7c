"""Reads along on this machine's interfaces, so that delays are measured on the wire, whatever the programs say.

Runs as a program beside a lab and prints JSON lines until SIGTERM; times are the kernel's, in seconds since the epoch.
What it reads: packets of the experiment's flows where they enter a switch of the lab (from a host, or by a link), sFlow
datagrams and OpenFlow messages on the loopback interface.

    {"event": "first", "flow", "at"}                  the first packet of a flow with data, where its host is attached
    {"event": "path", "flow", "by", "at"}             the first packet of a flow on another interface of a spine
    {"event": "sample", "flow", "taken", "arrived"}   a packet that was sampled, and when its sample came in
    {"event": "rule", "flow_number", "at"}            an elephant's flow mod; the number is the cookie's lower half

A socket of its own with a filter in the kernel (packet(7)) costs some microseconds a packet; experiments that use it
keep to a few flows. It remembers the packets of the last REMEMBERED_S seconds, to find the one that was sampled.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from analytics.core.wire import sflow
from controller.pipeline import RuleKind, cookie

ETH_P_IP = 0x0800
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35  # asm-generic/socket.h
RECEIVE_BUFFER = 1 << 23
OPENFLOW_PORT, SFLOW_PORT = 6653, 6343
TCP, UDP = 6, 17
IPV4_HEADER = struct.Struct("!BxHH2xBB2x4s4s")  # version and length, total length, id, TTL, protocol, addresses
ETHERNET = 14
OPENFLOW_HEADER = struct.Struct("!BBHI")
FLOW_MOD, FLOW_ADD = 14, 0
REMEMBERED_S = 2.0
ELEPHANT = cookie(RuleKind.ELEPHANT, 0) >> 32
TIMESPEC = struct.Struct("@qq")


class Packet(NamedTuple):
    """An IPv4 packet's flow as analytics writes it, its identification, its ports and its payload."""

    flow: str
    number: int
    ports: tuple[int, int]
    payload: bytes


def packet(data: bytes) -> Packet | None:
    """The packet whose IPv4 header begins here; None if it is neither TCP nor UDP, or cut within its headers."""
    if len(data) < 28:
        return None
    first, total, number, _, protocol, source, destination = IPV4_HEADER.unpack_from(data)
    header = (first & 15) * 4
    if protocol == TCP and len(data) >= header + 14:
        length = (data[header + 12] >> 4) * 4
    elif protocol == UDP:
        length = 8
    else:
        return None
    ports = struct.unpack_from("!HH", data, header)
    flow = f"{socket.inet_ntoa(source)},{socket.inet_ntoa(destination)},{protocol},{ports[0]},{ports[1]}"
    return Packet(flow, number, ports, data[header + length : total])


class Tap:
    """What is known of the flows so far. `spines` and `edges` are names of interfaces: where packets enter a spine, and
    where they come from hosts; `indexes` are ifIndexes by name."""

    def __init__(self, spines: set[str], edges: set[str], indexes: dict[str, int]) -> None:
        self.spines, self.edges, self.indexes = spines, edges, indexes
        self.started: set[str] = set()
        self.on: dict[str, str] = {}
        self.passed: dict[tuple[int, str, int], float] = {}  # ifIndex, flow, identification -> when
        self.recent: deque[tuple[float, tuple[int, str, int]]] = deque()
        self.streams: dict[tuple[int, int], bytearray] = {}

    def feed(self, interface: str, data: bytes, at: float) -> Iterator[dict[str, Any]]:
        """What this packet shows; `data` begins with the IPv4 header."""
        found = packet(data)
        if found is None:
            return
        if interface in self.spines or interface in self.edges:
            yield from self._of_a_flow(interface, found, at)
        elif interface == "lo" and found.ports[1] == SFLOW_PORT:
            yield from self._sflow(found.payload, at)
        elif interface == "lo" and found.ports[0] == OPENFLOW_PORT:
            yield from self._openflow(found, at)

    def _of_a_flow(self, interface: str, found: Packet, at: float) -> Iterator[dict[str, Any]]:
        seen = (self.indexes[interface], found.flow, found.number)
        self.passed[seen] = at
        self.recent.append((at, seen))
        while self.recent[0][0] < at - REMEMBERED_S:
            self.passed.pop(self.recent.popleft()[1], None)
        if interface in self.edges:
            if found.payload and found.flow not in self.started:
                self.started.add(found.flow)
                yield {"event": "first", "flow": found.flow, "at": at}
        elif self.on.get(found.flow) != interface:
            self.on[found.flow] = interface
            yield {"event": "path", "flow": found.flow, "by": interface, "at": at}

    def _sflow(self, payload: bytes, at: float) -> Iterator[dict[str, Any]]:
        datagram = sflow.decode(payload)
        for sample in datagram["samples"] if datagram is not None else ():
            if sample["kind"] != "flow" or "header" not in sample:
                continue
            found = packet(sample["header"][ETHERNET:])
            if found is not None:
                taken = self.passed.get((sample["input"][1], found.flow, found.number))
                if taken is not None:
                    yield {"event": "sample", "flow": found.flow, "taken": taken, "arrived": at}

    def _openflow(self, found: Packet, at: float) -> Iterator[dict[str, Any]]:
        """Messages may begin and end anywhere in a segment; what is no message's beginning starts the stream anew."""
        stream = self.streams.setdefault(found.ports, bytearray())
        stream += found.payload
        while len(stream) >= OPENFLOW_HEADER.size:
            version, kind, length, _ = OPENFLOW_HEADER.unpack_from(stream)
            if not 1 <= version <= 6 or length < OPENFLOW_HEADER.size:
                stream.clear()
            if len(stream) < length:
                return
            body = bytes(stream[OPENFLOW_HEADER.size : length])
            del stream[:length]
            if kind == FLOW_MOD and int.from_bytes(body[:4], "big") == ELEPHANT and body[17] == FLOW_ADD:
                yield {"event": "rule", "flow_number": int.from_bytes(body[4:8], "big"), "at": at}


def listening(ports: list[int]) -> socket.socket:
    """A socket that gets what enters any interface towards these ports, and sFlow and OpenFlow from the controller."""
    to = [*ports, SFLOW_PORT]
    code = [(0x28, 0, 0, 22)]  # the destination port, where the IPv4 header has no options
    code += [(0x15, len(to) + 2 - n, 0, port) for n, port in enumerate(to)]  # to the last line if it is this one
    code += [(0x28, 0, 0, 20), (0x15, 1, 0, OPENFLOW_PORT), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(code), ctypes.addressof(program)))
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    return sock


def main() -> int:
    parser = argparse.ArgumentParser(prog="tap", description="Reads along on the interfaces of a lab.")
    parser.add_argument("--spine", action="append", default=[], metavar="IFACE", help="where packets enter a spine")
    parser.add_argument("--edge", action="append", default=[], metavar="IFACE", help="where packets come from a host")
    parser.add_argument("--port", action="append", type=int, required=True, help="destination port of flows")
    options = parser.parse_args()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    names = {*options.spine, *options.edge}
    tap = Tap({*options.spine}, {*options.edge}, {name: socket.if_nametoindex(name) for name in names})
    sock = listening(options.port)
    sock.settimeout(0.2)
    print(json.dumps({"event": "ready"}), flush=True)
    while not ended:
        try:
            data, ancillary, _, address = sock.recvmsg(1 << 17, socket.CMSG_SPACE(TIMESPEC.size))
        except TimeoutError:
            continue
        seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
        for line in tap.feed(address[0], data, seconds + nanoseconds / 1e9):
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
