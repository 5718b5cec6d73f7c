"""A switch as analytics hears it: sFlow datagrams over UDP, numbered as they are sent."""

from __future__ import annotations

import socket

from tests.analytics.examples import wire

AGENT = "192.168.0.11"


class Switch:
    """`source` is what a Program says: "sflow HOST:PORT"."""

    def __init__(self, source, agent=AGENT):
        host, port = source.removeprefix("sflow ").rsplit(":", 1)
        self.address, self.agent = (host, int(port)), agent
        self.sequence = 0

    def send(self, *samples):
        self.sequence += 1
        payload = wire.datagram(*samples, agent=self.agent, sequence=self.sequence, uptime=10_000 * self.sequence)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(payload, self.address)

    def segment(self, source="10.0.1.1", destination="10.0.2.2", *, port=15, rate=1000, flags=0x10, sport=40000):
        """A TCP segment of 1500 bytes that came in on `port`, 1 in `rate`."""
        frame = wire.ethernet(wire.ipv4(wire.tcp(sport, 5001, flags), 6, source, destination))
        header = wire.sampled_header(frame, 1500)
        self.send(wire.flow_sample(header, source=(0, port), rate=rate, ports=(port, 16), sequence=self.sequence))

    def port(self, name, ifindex, *, speed=10_000_000_000, octets=0):
        """The counters of a port."""
        counters = wire.if_counters(ifindex, speed, octets=(octets, 0))
        named = wire.record(1005, wire.opaque(name.encode()))
        self.send(wire.counter_sample(counters, named, source=(0, ifindex), sequence=self.sequence))

    def host(self, name, load_one):
        """The counters of the machine itself."""
        counters = (wire.host_descr(name), wire.host_cpu(load_one))
        self.send(wire.counter_sample(*counters, source=(2, 1), sequence=self.sequence))
