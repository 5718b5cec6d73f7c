"""Sends what is passed on: one thread and two UDP sockets, which are opened before privileges are dropped.

The pipeline wakes the thread once per batch at most; it takes what waits with one turn of the pipeline's lock and sends
it without. A tenant's datagrams get sequence numbers of their own, per agent and sub-agent, so its receiver sees
none missing; MOST_STREAMS of them are remembered, and one that was forgotten begins at 1 like a restarted agent's. What
the kernel does not take at once is lost and counted. Nothing is ever sent to the port on which this program itself
receives.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from analytics.core.relay import Relay
from analytics.engine import Engine
from analytics.export.targets import Address, Forwarding, Tenant, parse_forwarding, parse_tenant
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.names import Names, Wanted
from analytics.turns import Turns, at_once

MOST_TARGETS = 32  # forwardings and tenants together
MOST_STREAMS = 10_000

T = TypeVar("T", Forwarding, Tenant)
Key = tuple[type, str]  # kind and name


@dataclass
class Sent:
    """Since the target was set, of datagrams and samples; lost: no room, or not taken by the kernel."""

    datagrams: int = 0
    samples: int = 0
    lost: int = 0


class Sender:
    """All forwardings and tenants. Without `start` it takes definitions and sends nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._relay: Relay = engine.pipeline.relay
        self._forwardings: dict[str, Forwarding] = {}
        self._tenants: dict[str, Tenant] = {}
        self._in_use: list[tuple[Key, Forwarding | Tenant]] = []  # by number of the target
        self._before: dict[Key, Sent] = {}  # what was counted before the targets got other numbers
        self._names = Names()
        self._streams: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._sockets: dict[int, socket.socket] = {}
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wake_fd = -1
        self.own_port: int | None = None
        """Of the program's own collector."""

    # -- running --

    def bind(self) -> None:
        """Open the sockets."""
        for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
            try:
                self._sockets[version] = socket.socket(family, socket.SOCK_DGRAM)
            except OSError as error:  # a machine without IPv6
                if error.errno != errno.EAFNOSUPPORT:
                    raise
            else:
                self._sockets[version].setblocking(False)

    def start(self) -> None:
        """Begin to send."""
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._engine.on_relay = self.wake
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets; nothing happens if it was not started."""
        if self._thread is not None:
            self._engine.on_relay = None
            self._stopping = True
            self.wake()
            self._thread.join()
            os.close(self._wake_fd)
            self._thread = None
        for each in self._sockets.values():
            each.close()
        self._sockets = {}

    def wake(self) -> None:
        """Something waits to be sent."""
        os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        while True:
            os.read(self._wake_fd, 8)
            if self._stopping:
                return
            try:
                self.send_waiting()
            except Exception as error:
                self._engine.faults.note("relay", error, time.monotonic())

    def send_waiting(self) -> None:
        """Send all that waits."""
        with self._engine.pipeline:
            waiting, in_use = self._relay.take_waiting(), self._in_use
        for number, datagram in waiting:
            key, target = in_use[number]
            sent = self._numbered(key[1], datagram) if isinstance(target, Tenant) else datagram
            try:
                self._sockets[target.address.version].sendto(sent, (str(target.address), target.port))
            except (OSError, KeyError):  # no room in the socket, no route, no such family
                if key in self._before:
                    self._before[key].lost += 1

    def _numbered(self, name: str, datagram: bytes) -> bytes:
        """The datagram with the tenant's own sequence number: it stands behind version, agent and sub-agent."""
        at = 16 if datagram[7] == 1 else 28
        stream = (name, datagram[4:at])
        sequence = self._streams.pop(stream, 0) + 1 & 0xFFFFFFFF
        self._streams[stream] = sequence
        if len(self._streams) > MOST_STREAMS:
            self._streams.popitem(last=False)
        return datagram[:at] + sequence.to_bytes(4, "big") + datagram[at + 4 :]

    # -- definitions --

    def set_forwarding_in_turns(self, name: str, spec: object) -> Turns[None]:
        """Define one or replace it; InvalidDefinition names the offending word."""
        yield from self._set(
            self._forwardings, name, self._allowed(f"forwarding {name!r}", parse_forwarding(name, spec))
        )

    set_forwarding = at_once(set_forwarding_in_turns)

    def set_tenant_in_turns(self, name: str, spec: object) -> Turns[None]:
        """The same of a tenant."""
        yield from self._set(self._tenants, name, self._allowed(f"tenant {name!r}", parse_tenant(name, spec)))

    set_tenant = at_once(set_tenant_in_turns)

    def clear_forwarding(self, name: str) -> None:
        """Remove one that is there."""
        with self._changing:
            del self._forwardings[name]
            self._apply()

    def clear_tenant(self, name: str) -> None:
        """Remove one that is there."""
        with self._changing:
            del self._tenants[name]
            self._apply()

    def forwardings(self) -> dict[str, tuple[Forwarding, Sent]]:
        """All, and what was sent."""
        counts = self._counts()
        return {name: (each, counts[Forwarding, name]) for name, each in self._forwardings.items()}

    def tenants(self) -> dict[str, tuple[Tenant, Sent]]:
        """All, and what was sent."""
        counts = self._counts()
        return {name: (each, counts[Tenant, name]) for name, each in self._tenants.items()}

    def look_up_names(self) -> Turns[None]:
        """Find the ports that tenants call by name again, if there are such."""
        agents_and_names = {named for tenant in self._tenants.values() for named in tenant.named}
        if agents_and_names:
            names = yield from self._engine.names_in_turns(Wanted(ports={name for _, name in agents_and_names}))
            with self._changing:
                if names.ports != self._names.ports:
                    self._names = names
                    self._apply()

    def _set(self, known: dict[str, T], name: str, target: T) -> Turns[None]:
        with self._changing:
            if name not in known and len(self._forwardings) + len(self._tenants) >= MOST_TARGETS:
                raise InvalidDefinition(f"{name!r}: more than {MOST_TARGETS} forwardings and tenants")
            known[name] = target
            self._apply()
        yield from self.look_up_names()

    def _allowed(self, what: str, target: T) -> T:
        if target.port == self.own_port and is_own(target.address):
            raise InvalidDefinition(
                f"{what}: {target.address} port {target.port} is where this program itself receives"
            )
        return target

    def _apply(self) -> None:
        targets: list[Forwarding | Tenant] = [*self._forwardings.values(), *self._tenants.values()]
        keys: list[Key] = [(Forwarding, name) for name in self._forwardings] + [
            (Tenant, name) for name in self._tenants
        ]
        with self._engine.pipeline:
            counted = self._counts_now()
            self._relay.set_targets([target.target(self._names) for target in targets])
            self._before = {key: counted.get(key, Sent()) for key in keys}
            self._in_use = list(zip(keys, targets, strict=True))

    def _counts(self) -> dict[Key, Sent]:
        with self._engine.pipeline:
            return self._counts_now()

    def _counts_now(self) -> dict[Key, Sent]:
        found = {}
        for (key, _), (datagrams, samples, lost) in zip(self._in_use, self._relay.numbers(), strict=True):
            before = self._before[key]
            found[key] = Sent(before.datagrams + datagrams, before.samples + samples, before.lost + lost)
        return found


def is_own(address: Address) -> bool:
    """Whether it is one of this machine: only such can be bound."""
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
