"""The diagnosis of `howdah doctor`: facts go in, the steps of the way come out, up to the first that lets nothing
through, because there is nothing to look at behind it.

    switch's sFlow row -> socket -> analytics -> agents -> ports -> definitions -> thresholds -> events -> controller

Pure; a step costs what the facts have of it, and names MOST_NAMED of them at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from client.commands.facts import Facts, address_of, is_address

MOST_NAMED = 8  # in one line
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
        address, port = address_of(target)
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
        if one.agent and is_address(one.agent) and one.agent not in facts.agents:
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
