"""`howdah doctor`: the way of a sample from the switch's settings to the first event, step by step.

    switch's sFlow row -> socket -> analytics -> agents -> ports -> definitions -> thresholds -> events -> controller

Each step is ok, not ok with what to do about it, or a note where nothing can be said or nothing need be wrong. The walk
stops at the first step that lets nothing through, because there is nothing to look at behind it. Nothing is changed.
Exit code 0: no step is not ok; 1: one is; 2: wrong usage.

`walk` is the diagnosis, of values that were gathered before: the switch's by OVSDB, sockets from /proc/net, the rest
from analytics and the controller over HTTP.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from client.commands.asking import URL, Url, show_json
from client.connection import Connection, Refused, Unavailable, WrongAnswer, part
from documents.printable import say

CONTROLLER = "http://127.0.0.1:8080"
MOST_NAMED = 8  # in one line
MOST_LOOKED_AT = 50  # definitions
MOST_HEADER = 612  # Open vSwitch never sends larger ones
LEAST_HEADER = 64  # for addresses and ports behind a tag


@dataclass(frozen=True)
class Step:
    """One step of the way. `ok`: None is a note."""

    step: str
    ok: bool | None
    found: str
    advice: str = ""
    ends: bool = False  # nothing comes further than this


@dataclass(frozen=True)
class Export:
    """A bridge's sFlow row; `targets` are IP:PORT. `ports`: ifIndex by name."""

    bridge: str
    targets: tuple[str, ...]
    sampling: int
    polling: int
    header: int
    agent: str | None
    ports: Mapping[str, int]


@dataclass(frozen=True)
class Switch:
    """This machine's Open vSwitch: bridges with sFlow, and those without. `unknown`: why there is nothing to say."""

    exports: tuple[Export, ...] = ()
    silent: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Facts:
    """What was gathered. Answers of analytics as they are, {} or [] without; `after`: the numbers `waited` s later."""

    url: str
    switch: Switch
    sockets: Mapping[int, int]
    """UDP ports that somebody listens on here -> datagrams that the kernel dropped there."""
    own: frozenset[str] = frozenset()
    """Addresses of this machine among the targets."""
    failure: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    waited: float = 0.0
    agents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    """Data sources that sent interface counters, and those that sent packet samples."""
    sampled: frozenset[str] = frozenset()
    flows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    largest: Mapping[str, float | None] = field(default_factory=dict)
    """The largest flow now of every definition; None: there is none."""
    seen: frozenset[str] = frozenset()
    """Keys that live traffic has, and metrics that are known."""
    metrics: frozenset[str] = frozenset()
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    controller: Mapping[str, Any] | None = None


# -- the walk --


def walk(facts: Facts) -> Iterator[Step]:
    """The steps, up to the first that lets nothing through."""
    for look in (_switch, _socket, _analytics, _arriving, _losses, _agents, _ports, _definitions, _events, _feed):
        for step in look(facts):
            yield step
            if step.ends:
                return


def _switch(facts: Facts) -> Iterator[Step]:
    switch = facts.switch
    if switch.unknown:
        yield Step("switch", None, switch.unknown, "run it where the switch is, or name its database with --db")
        return
    if switch.silent:
        names = _names(switch.silent)
        none = not switch.exports
        yield Step(
            "switch",
            False if none else None,
            f"no sFlow on {names}",
            f"howdah sflow enable {switch.silent[0]}" if none else "",
            ends=False,
        )
    elif not switch.exports:
        yield Step("switch", None, "Open vSwitch has no bridges")
    for one in switch.exports:
        to, agent = ", ".join(one.targets) or "nobody", one.agent or "chosen by Open vSwitch"
        said = (
            f"{one.bridge}: 1 in {one.sampling} to {to}, counters every {one.polling} s, "
            f"{one.header} bytes of each packet, agent {agent}"
        )
        advice = ""
        if not one.targets:
            advice = f"it has no target: howdah sflow enable {one.bridge}"
        elif one.header > MOST_HEADER or one.header < LEAST_HEADER:
            advice = f"header={one.header}: use 128, or 600 to have samples at once ({MOST_HEADER} at most)"
        elif not one.polling:
            advice = "polling=0: no counters, so no port has a name, a speed or a load; set polling=10"
        yield Step("switch", not advice, said, advice)


def _socket(facts: Facts) -> Iterator[Step]:
    for target in sorted({target for one in facts.switch.exports for target in one.targets}):
        address, port = _address(target)
        if address not in facts.own:
            yield Step(
                "socket", None, f"{target} is another machine", f"run howdah doctor there, or with --url {address}"
            )
        elif port not in facts.sockets:
            others = ", ".join(str(number) for number in sorted(facts.sockets)) or "none"
            yield Step(
                "socket",
                False,
                f"nobody listens on UDP port {port} (ports in use: {others})",
                f"howdah analytics --sflow-port {port}, or let the bridge send to where it listens",
            )
        else:
            drops = facts.sockets[port]
            yield Step(
                "socket",
                drops == 0,
                f"UDP port {port} is open, {drops} datagrams dropped by the kernel",
                "use --sflow-sockets 2, or raise net.core.rmem_max" if drops else "",
            )


def _analytics(facts: Facts) -> Iterator[Step]:
    if facts.failure:
        yield Step(
            "analytics",
            False,
            facts.failure,
            "start it: howdah analytics, or ryu-manager controller.app; or say where it is with --url",
            ends=True,
        )
    else:
        yield Step("analytics", True, f"answers at {facts.url}")


def _arriving(facts: Facts) -> Iterator[Step]:
    total = int(facts.after["sFlowDatagramsReceived"])
    new = total - int(facts.before["sFlowDatagramsReceived"])
    if new:
        yield Step("arriving", True, f"{new} datagrams in {facts.waited:.1f} s")
        return
    refused = facts.after["sFlowSourcesRefused"]
    if refused:
        yield Step("arriving", False, f"{refused} datagrams of senders that may not send", "see sflow_sources", True)
    elif total:
        yield Step(
            "arriving",
            False,
            f"nothing in {facts.waited:.1f} s, {total} datagrams before that",
            "without traffic a bridge sends counters only, every `polling` seconds: try --wait 60",
        )
    else:
        yield Step(
            "arriving",
            False,
            f"nothing has ever arrived (looked for {facts.waited:.1f} s)",
            "is there traffic, does the target lead here, is a firewall between?",
            ends=True,
        )


def _losses(facts: Facts) -> Iterator[Step]:
    numbers = facts.after
    wrong = {
        "dropped by the kernel": numbers["sFlowKernelDrops"],
        "of senders that may not send": numbers["sFlowSourcesRefused"],
        "that are no sFlow": numbers["sFlowParseErrors"] + numbers["sFlowUnsupportedVersion"],
        "of agents that sent more than can be taken": numbers["sFlowDatagramsShed"],
        "of agents beyond the budget of memory": numbers["sFlowAgentsRefused"],
        "lost on the way": sum(one["sFlowDatagramsLost"] for one in facts.agents.values()),
    }
    faults = sum(one["sFlowFaults"] for one in facts.agents.values())
    found = [f"{count} datagrams {what}" for what, count in wrong.items() if count]
    found += [f"{faults} structures that did not fit"] if faults else []
    yield Step(
        "decoding",
        not found,
        ", ".join(found) or "nothing lost, dropped or damaged",
        "howdah agents says whose; howdah decode shows what a sender sends" if found else "",
    )


def _agents(facts: Facts) -> Iterator[Step]:
    names = _names([f"{name} ({one['lastSeen'] / 1000:.0f} s ago)" for name, one in facts.agents.items()])
    yield Step("agents", bool(facts.agents), names or "none", "" if facts.agents else "see decoding", not facts.agents)
    for one in facts.switch.exports:
        if one.agent and _is_address(one.agent) and one.agent not in facts.agents:
            yield Step(
                "agents",
                False,
                f"{one.bridge} calls itself {one.agent}, and no such agent was heard",
                "is its target this analytics?",
            )


def _ports(facts: Facts) -> Iterator[Step]:
    samples = sum(one["sFlowFlowSamples"] for one in facts.agents.values())
    counters = sum(one["sFlowCounterSamples"] for one in facts.agents.values())
    rates = sorted({one.sampling for one in facts.switch.exports})
    if samples and counters:
        yield Step("samples", True, f"{samples} packet samples, {counters} counter samples")
    elif samples:
        yield Step("samples", False, f"{samples} packet samples, no counters", "set polling=10 on the bridge")
    else:
        rate = f"at 1 in {', '.join(map(str, rates))}" if rates else "at the agent's sampling rate"
        lower = f"; try sampling={max(1, rates[0] // 10)}" if rates and rates[0] > 1 else ""
        yield Step(
            "samples",
            False,
            f"{counters} counter samples, but no packet sample",
            f"{rate} so many packets must pass before one is sampled: send some{lower}",
        )
    for one in facts.switch.exports:
        indexes = {str(index): name for name, index in one.ports.items()}
        mute = [name for index, name in indexes.items() if index not in facts.counted | facts.sampled]
        idle = [name for index, name in indexes.items() if index in facts.counted - facts.sampled]
        if mute:
            yield Step(
                "ports",
                False if one.polling else None,
                f"{one.bridge}: nothing of {_names(mute)}",
                f"counters come every {one.polling} s; is the port up?" if one.polling else "",
            )
        if idle and samples:
            yield Step(
                "ports",
                None,
                f"{one.bridge}: counters but no packet samples of {_names(idle)}",
                f"no traffic comes in there, or less than some times {one.sampling} packets",
            )
        if indexes and not mute and not idle:
            yield Step("ports", True, f"{one.bridge}: counters and samples of all {len(indexes)} ports")


def _definitions(facts: Facts) -> Iterator[Step]:
    yield Step(
        "flows",
        bool(facts.flows),
        _names(facts.flows) or "no flow is defined",
        "" if facts.flows else "howdah define flow tcp --keys ipsource,ipdestination",
    )
    for name in (name for name, value in facts.largest.items() if value is None):
        keys = [key for key in str(facts.flows[name].get("keys", "")).split(",") if re.fullmatch(r"\w+(\.\d)?", key)]
        unseen = _names(key for key in keys if key not in facts.seen)
        yield Step(
            "flows",
            None,
            f"{name}: no packet counts for it" + (f", none has {unseen}" if unseen else ""),
            "howdah flows --keys stack shows which headers there are",
        )


def _events(facts: Facts) -> Iterator[Step]:
    if not facts.thresholds:
        yield Step(
            "thresholds",
            None,
            "none, so there will be no events",
            "howdah define threshold big --metric mn_flow --value 1000000 --by-flow",
        )
        return
    yield Step("thresholds", True, _names(facts.thresholds))
    for name, one in facts.thresholds.items():
        metric = str(one["metric"]).rpartition(":")[2]
        if metric not in facts.flows and metric not in facts.metrics:
            yield Step(
                "thresholds", False, f"{name}: there is no metric {metric}", "howdah metrics lists those there are"
            )
    if facts.events:
        last = facts.events[0]
        yield Step("events", True, f"last: {last['thresholdID']} on {last['agent']} {last['dataSource']}")
        return
    near = [
        f"{name} begins at {one['value']:.6g}, {one['metric']} is {facts.largest.get(one['metric']) or 0:.6g} at most"
        for name, one in facts.thresholds.items()
        if one["metric"] in facts.flows
    ]
    yield Step("events", None, "none yet" + (f": {_names(near)}" if near else ""), "howdah flows shows what is largest")


def _feed(facts: Facts) -> Iterator[Step]:
    status = facts.controller
    if status is None:
        yield Step("controller", None, "no controller answers", "without one nothing is done about elephants")
        return
    alive = bool(status["analytics"]["alive"])
    where = str(status["analytics"]["url"])
    known = f"{len(status['switches']['connected'])} of {status['switches']['known']} switches connected"
    yield Step(
        "controller",
        alive,
        f"{known}, analytics at {where} {'answers' if alive else 'does not answer'}",
        "" if alive else "see controller.analytics.url in its configuration",
    )


def _names(names: Any) -> str:
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more


def _address(target: str) -> tuple[str, int]:
    """A target of Open vSwitch: IP:PORT, [IPv6]:PORT, or without a port."""
    address, colon, port = target.rpartition(":")
    if colon and port.isdigit() and not address.endswith(":"):
        return address.strip("[]"), int(port)
    return target.strip("[]"), 6343


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# -- gathering --


def switch_here(db: str | None) -> Switch:
    """The bridges of an Open vSwitch, by OVSDB."""
    from ovs_rules.ovsdb import Ovsdb, OvsdbError  # noqa: PLC0415  0.2 s that other commands need not spend

    try:
        with Ovsdb(db, timeout=5.0) as ovsdb:
            bridges = ovsdb.bridges()
    except OvsdbError as fault:
        return Switch(unknown=f"no Open vSwitch: {fault}")
    exports = [
        Export(
            name,
            tuple(filter(None, one.sflow.collector.split(","))),
            one.sflow.sampling,
            one.sflow.polling,
            one.sflow.header,
            one.sflow.agent,
            {port.name: port.ifindex for port in one.ports if port.ifindex is not None},
        )
        for name, one in bridges.items()
        if one.sflow
    ]
    return Switch(tuple(exports), tuple(name for name, one in bridges.items() if not one.sflow))


def sockets_here() -> dict[int, int]:
    """UDP ports that are open in this network namespace -> datagrams dropped there, by /proc/net/udp and udp6."""
    found: dict[int, int] = {}
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            port = int(words[1].rpartition(":")[2], 16)
            found[port] = found.get(port, 0) + int(words[-1])
    return found


def own_addresses(switch: Switch) -> frozenset[str]:
    """The targets' addresses that are this machine's."""
    import socket  # noqa: PLC0415  only to ask whether an address can be bound

    found = set()
    for target in {target for one in switch.exports for target in one.targets}:
        address = _address(target)[0]
        if not _is_address(address):
            continue
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                continue
        found.add(address)
    return frozenset(found)


def gather(connection: Connection, controller: str, db: str | None, wait: float) -> Facts:
    """Look at everything. Waits until something arrives, `wait` seconds at most."""
    switch = switch_here(db)
    known: dict[str, Any] = {
        "url": connection.url,
        "switch": switch,
        "sockets": sockets_here(),
        "own": own_addresses(switch),
        "controller": _status(controller),
    }
    try:
        before = after = connection.get("/analyzer/json")
        began = time.monotonic()
        while after["sFlowDatagramsReceived"] == before["sFlowDatagramsReceived"] and time.monotonic() < began + wait:
            time.sleep(0.2)
            after = connection.get("/analyzer/json")
        flows = connection.get("/flow/json")
        largest = {name: _largest(connection, name) for name in list(flows)[:MOST_LOOKED_AT]}
        return Facts(
            **known,
            before=before,
            after=after,
            waited=time.monotonic() - began,
            agents=connection.get("/agents/json"),
            counted=frozenset(cell["dataSource"] for cell in connection.get("/dump/ALL/ifinoctets/json")),
            sampled=frozenset(_sampled(connection, flows)),
            flows=flows,
            largest=largest,
            seen=frozenset(connection.get("/flowkeys/json")),
            metrics=frozenset(connection.get("/metrics/json")),
            thresholds=connection.get("/threshold/json"),
            events=tuple(connection.get("/events/json", {"maxEvents": 1})),
        )
    except (Unavailable, Refused, WrongAnswer) as fault:
        return Facts(**known, failure=" ".join(str(fault).split()))


def _largest(connection: Connection, name: str) -> float | None:
    found = connection.get(f"/activeflows/ALL/{part(name)}/json", {"maxFlows": 1})
    return float(found[0]["value"]) if found else None


def _sampled(connection: Connection, flows: Mapping[str, Any]) -> list[str]:
    """Data sources of packet samples: those on which a definition that counts all bytes has a value."""
    everything = [name for name, spec in flows.items() if not spec.get("keys") and "filter" not in spec]
    cells = connection.get(f"/dump/ALL/{part(*everything[:1])}/json") if everything else []
    return [cell["dataSource"] for cell in cells]


def _status(url: str) -> Mapping[str, Any] | None:
    try:
        found = Connection(url, os.environ.get("HOWDAH_TOKEN")).get("/v1/status")
    except (Unavailable, Refused, WrongAnswer):
        return None
    return found if isinstance(found, dict) else None


def doctor(
    *,
    url: Url = URL,
    controller: Annotated[
        str, typer.Option(envvar="HOWDAH_URL", help="The controller's northbound interface.")
    ] = CONTROLLER,
    db: Annotated[
        str | None,
        typer.Option("--db", help="OVSDB: tcp:HOST:PORT or the path of a socket.  [default: this machine's]"),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, max=600, help="Seconds to wait for something to arrive.")] = 12.0,
    as_json: Annotated[bool, typer.Option("--json", help="The steps as a JSON list.")] = False,
) -> None:
    """Walk from the switch's sFlow settings to the first event, and say where it stops and what to do."""
    steps = list(walk(gather(Connection(url, os.environ.get("HOWDAH_ANALYTICS_TOKEN")), controller, db, wait)))
    if as_json:
        show_json([asdict(step) for step in steps])
    else:
        for step in steps:
            say(f"{'ok  ' if step.ok else 'note' if step.ok is None else 'NOT '} {step.step:10} {step.found}")
            if step.advice:
                say(f"     {'':10} -> {step.advice}")
    if any(step.ok is False for step in steps):
        raise typer.Exit(1)
