"""Open vSwitch's configuration through OVSDB: bridges, their ports (OpenFlow number, ifIndex) and their sFlow settings.

One `Ovsdb` is one connection (RFC 7047) through the `ovs` bindings: it asks the server for its schema, replicates only
the columns named in COLUMNS, and sends each change as one transaction, then waits until ovs-vswitchd has applied it
(as ovs-vsctl does). Every change returns the ovs-vsctl command lines that equal it. Calls block for a few ms and need
no thread, so they are fit for an eventlet process. What goes wrong is an `OvsdbError` that names the bridge or socket.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import shlex
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ovs.poller imports eventlet, which announces its retirement on stderr
    import ovs.db.error
    import ovs.db.idl
    import ovs.jsonrpc
    import ovs.poller
    import ovs.stream

SFLOW_PORT = 6343  # IANA
HEADER_MAX = 612  # a full-size sample packs to 88 B + header, and Open vSwitch drops samples above 700 B whole
HEADER_PROMPT = 600  # the smallest header with which each full-size sample pushes out the one before

COLUMNS = {
    "Open_vSwitch": ["bridges", "next_cfg", "cur_cfg", "ovs_version"],
    "Bridge": ["name", "ports", "sflow", "datapath_id", "datapath_type", "external_ids", "controller"],
    "Controller": ["target", "is_connected"],
    "Port": ["name", "interfaces"],
    "Interface": ["name", "ofport", "ifindex", "mac_in_use", "link_state", "type"],
    "sFlow": ["agent", "targets", "sampling", "polling", "header"],
}


class OvsdbError(Exception):
    """OVSDB cannot be reached, refused a change, or has no such bridge; one line that names it."""


@dataclass(frozen=True)
class Sflow:
    """The sFlow settings of one bridge (`checked` says whether they can work).

    `collector` is IP:PORT (port 6343 if left out), `sampling` 1-in-N packets, `polling` the seconds between counter
    samples (0: none), `header` the bytes sent of each sampled packet, `agent` an IP address or an interface that has
    one (None: Open vSwitch takes the address it would use to reach the collector).
    """

    collector: str = f"127.0.0.1:{SFLOW_PORT}"
    sampling: int = 10
    polling: int = 1
    header: int = HEADER_PROMPT
    agent: str | None = None

    def checked(self) -> Sflow:
        """The same settings, the collector's port filled in; ValueError names one that cannot work."""
        if self.sampling < 1:
            raise ValueError(f"sampling: {self.sampling} is not 1 or more (1-in-N packets)")
        if self.polling < 0:
            raise ValueError(f"polling: {self.polling} is not 0 or more seconds")
        if not 14 <= self.header <= HEADER_MAX:
            raise ValueError(f"header: {self.header} is not within 14..{HEADER_MAX} (larger samples are never sent)")
        return replace(self, collector=_collector(self.collector))


@dataclass(frozen=True)
class Interface:
    """One port of a bridge; `ofport` and `ifindex` are None until (or unless) ovs-vswitchd could open it."""

    name: str
    ofport: int | None
    ifindex: int | None
    mac: str | None
    up: bool


@dataclass(frozen=True)
class Bridge:
    """One bridge: `dpid` as 16 hex digits (None before ovs-vswitchd made it), its ports except its own LOCAL port.

    `controllers` says of each OpenFlow controller's target whether it is connected.
    """

    name: str
    dpid: str | None
    datapath_type: str
    ports: tuple[Interface, ...]
    sflow: Sflow | None
    controllers: Mapping[str, bool]
    external_ids: Mapping[str, str]


def default_remote() -> str:
    """The socket of this machine's OVSDB server; OVS_RUNDIR moves it, as for Open vSwitch's own programs."""
    return f"unix:{run_directory()}/db.sock"


def run_directory() -> Path:
    """Where Open vSwitch keeps its sockets and process ids."""
    return Path(os.environ.get("OVS_RUNDIR", "/var/run/openvswitch"))


class Ovsdb:
    """A connection to an OVSDB server; use as a context manager or `close()` it.

    `remote` is `tcp:HOST:PORT`, `unix:PATH` or a plain path; `timeout` bounds every wait, in seconds.
    """

    def __init__(self, remote: str | None = None, timeout: float = 15.0) -> None:
        self.remote = _remote(default_remote() if remote is None else remote)
        self.timeout = timeout
        try:
            helper = ovs.db.idl.SchemaHelper(schema_json=self._schema())
            for table, columns in COLUMNS.items():
                helper.register_columns(table, columns)
            self._idl = ovs.db.idl.Idl(self.remote, helper)
        except (ovs.db.error.Error, LookupError, TypeError, ValueError, AttributeError):
            raise OvsdbError(f"{self.remote}: no Open vSwitch database (a schema that is none)") from None
        try:
            self._wait(self._idl.has_ever_connected, "does not answer")
        except OvsdbError:
            self.close()
            raise

    def __enter__(self) -> Ovsdb:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._idl.close()

    def bridges(self) -> dict[str, Bridge]:
        """All bridges by name, as the database stands now."""
        while self._idl.run():
            pass
        return {row.name: _bridge(row) for row in sorted(self._rows("Bridge").values(), key=lambda row: row.name)}

    def enable_sflow(self, settings: Mapping[str, Sflow]) -> list[str]:
        """Give each named bridge these settings, in one transaction; the ovs-vsctl command of each.

        Asking for what is set already changes nothing. ValueError if a setting cannot work.
        """
        settings = {name: wanted.checked() for name, wanted in settings.items()}
        present = self._named(settings)
        txn = ovs.db.idl.Transaction(self._idl)
        for name, wanted in settings.items():
            if _sflow(present[name].sflow) != wanted:
                row = txn.insert(self._idl.tables["sFlow"])
                row.targets, row.sampling, row.polling = [wanted.collector], [wanted.sampling], [wanted.polling]
                row.header, row.agent = [wanted.header], [wanted.agent] if wanted.agent else []
                present[name].sflow = [row]
        self._commit(txn)
        return [enable_command(name, wanted) for name, wanted in settings.items()]

    def disable_sflow(self, names: Iterable[str]) -> list[str]:
        """Take the sFlow settings off the named bridges; the ovs-vsctl command of each."""
        present = self._named(names)
        txn = ovs.db.idl.Transaction(self._idl)
        for row in present.values():
            if row.sflow:
                row.sflow = []
        self._commit(txn)
        return [disable_command(name) for name in present]

    # --- the connection -----------------------------------------------------------------------------------------------

    def _schema(self) -> dict[str, Any]:
        error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(self.remote), int(self.timeout * 1000))
        if error:
            why = os.strerror(error) if error > 0 else "no such host"  # getaddrinfo's errors are negative
            raise OvsdbError(f"no OVSDB server at {self.remote}: {why}")
        rpc = ovs.jsonrpc.Connection(stream)
        try:
            error, reply = self._transact(rpc, ovs.jsonrpc.Message.create_request("get_schema", ["Open_vSwitch"]))
        finally:
            rpc.close()
        if error or reply.error:
            why = os.strerror(error) if error > 0 else "the connection was closed" if error else reply.error
            raise OvsdbError(f"{self.remote}: no Open vSwitch database ({why})")
        schema: dict[str, Any] = reply.result
        return schema

    def _transact(self, rpc: Any, request: Any) -> tuple[int, Any]:
        """(0, the reply) or (an error number, -1 for the end of the connection, None). The bindings' own
        `transact_block` waits for ever for a server that accepts and says nothing."""
        deadline = time.monotonic() + self.timeout
        error, reply = rpc.send(request), None
        while not error and (reply is None or reply.id != request.id):
            rpc.run()
            error, reply = rpc.recv()
            if error == errno.EAGAIN:
                left = deadline - time.monotonic()
                if left <= 0:
                    return errno.ETIMEDOUT, None
                error, poller = 0, ovs.poller.Poller()
                rpc.wait(poller)
                rpc.recv_wait(poller)
                poller.timer_wait(int(left * 1000) + 1)
                poller.block()
        return error, reply

    def _wait(self, done: Any, complaint: str) -> None:
        """Serve the connection until done() holds; OvsdbError with the complaint when the time is up."""
        deadline = time.monotonic() + self.timeout
        while not done():  # asked before the first run(): an open transaction must be sent before that
            self._idl.run()
            if done():
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise OvsdbError(f"{self.remote}: {complaint} within {self.timeout:g} s")
            poller = ovs.poller.Poller()
            self._idl.wait(poller)
            poller.timer_wait(int(left * 1000) + 1)
            poller.block()

    def _commit(self, txn: Any) -> None:
        """Send a transaction and wait until ovs-vswitchd acted on it: it copies next_cfg to cur_cfg when it has."""
        txn.add_comment("howdah")
        root = next(iter(self._rows("Open_vSwitch").values()))
        root.increment("next_cfg")
        states = ovs.db.idl.Transaction
        final: list[str] = []

        def ended() -> bool:
            final[:] = [txn.commit()]
            return bool(final[0] != states.INCOMPLETE)

        self._wait(ended, "no answer to a change")
        if final[0] == states.UNCHANGED:
            return
        if final[0] != states.SUCCESS:
            raise OvsdbError(f"{self.remote}: change refused: {txn.get_error() or states.status_to_string(final[0])}")
        target = txn.get_increment_new_value()
        self._wait(lambda: root.cur_cfg >= target, "ovs-vswitchd did not apply a change")

    def _rows(self, table: str) -> Mapping[Any, Any]:
        rows: Mapping[Any, Any] = self._idl.tables[table].rows
        return rows

    def _named(self, names: Iterable[str]) -> dict[str, Any]:
        while self._idl.run():
            pass
        present = {row.name: row for row in self._rows("Bridge").values()}
        for name in names:
            if name not in present:
                raise OvsdbError(f"no bridge {name!r}; there are: {', '.join(sorted(present)) or 'none'}")
        return {name: present[name] for name in names}


def enable_command(bridge: str, settings: Sflow) -> str:
    """The ovs-vsctl command line that gives a bridge these settings."""
    agent = [f'agent="{settings.agent}"'] if settings.agent else []
    words = ["--id=@sflow", "create", "sflow", f'targets="{settings.collector}"', f"sampling={settings.sampling}"]
    words += [f"polling={settings.polling}", f"header={settings.header}", *agent, "--", "set", "bridge", bridge]
    return shlex.join(["ovs-vsctl", "--", *words, "sflow=@sflow"])


def disable_command(bridge: str) -> str:
    """The ovs-vsctl command line that takes sFlow off a bridge."""
    return shlex.join(["ovs-vsctl", "clear", "bridge", bridge, "sflow"])


def _remote(text: str) -> str:
    """As the bindings want it; OvsdbError for what they would end the program over."""
    if text.startswith("tcp:"):
        host, _, port = text[4:].rpartition(":")
        if host.strip("[]") and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            return text
    else:
        path = text.removeprefix("unix:")
        if path and ":" not in path and "\0" not in path:
            return f"unix:{path}"
    raise OvsdbError(f"{text!r} is neither tcp:HOST:PORT nor the path of an OVSDB server's socket")


def _collector(text: str) -> str:
    """IP:PORT with the port filled in; ValueError names what is no address."""
    host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", str(SFLOW_PORT))
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        raise ValueError(f"collector: {text!r} is not IP:PORT") from None
    if not 0 < number < 65536:
        raise ValueError(f"collector: port {port} of {text!r} is not within 1..65535")
    return f"{address}:{number}" if address.version == 4 else f"[{address}]:{number}"


def _bridge(row: Any) -> Bridge:
    interfaces = [_interface(one) for port in row.ports for one in port.interfaces if one.name != row.name]
    return Bridge(
        name=row.name,
        dpid=row.datapath_id[0] if row.datapath_id else None,
        datapath_type=row.datapath_type or "system",
        ports=tuple(sorted(interfaces, key=lambda one: (one.ofport or 0, one.name))),
        sflow=_sflow(row.sflow),
        controllers={one.target: one.is_connected for one in row.controller},
        external_ids=dict(row.external_ids),
    )


def _interface(row: Any) -> Interface:
    ofport = row.ofport[0] if row.ofport else None
    return Interface(
        name=row.name,
        ofport=ofport if ofport and ofport > 0 else None,  # -1: ovs-vswitchd could not open it
        ifindex=row.ifindex[0] if row.ifindex and row.ifindex[0] > 0 else None,
        mac=row.mac_in_use[0] if row.mac_in_use else None,
        up=bool(row.link_state) and row.link_state[0] == "up",
    )


def _sflow(rows: Any) -> Sflow | None:
    """The settings of a bridge's sFlow row. Where the row says nothing, Open vSwitch's defaults (400, 30 s, 128 B)."""
    if not rows:
        return None
    row = rows[0]
    return Sflow(
        collector=",".join(row.targets),
        sampling=row.sampling[0] if row.sampling else 400,
        polling=row.polling[0] if row.polling else 30,
        header=row.header[0] if row.header else 128,
        agent=row.agent[0] if row.agent else None,
    )
