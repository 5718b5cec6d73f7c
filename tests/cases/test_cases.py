"""Stories as folders: what the controller is given (input.jsonl) and what it then sends to the switches (rules.txt).

    topology.json   the network
    input.jsonl     one input a line, {"now": s, ...} with one of
                      "seen": [[flow, port, Mb/s] ...]    a poll of every port
                      "port": name, "up": true|false      a port's link
                      "policy": {name: value ...}         settings of control.Policy that change
                      "refuses": switch or null           from now on that switch refuses every rule
                      "restart": "controller"             a new controller; the switches connect with what they hold
                      "discover": bits/s                  a new controller without topology; no switch is connected
                      "connect": switch                   a switch connects
                      "tick": true                        time alone; probes cross the links
                      "arp": [host, host]                 the first asks for the second's address
                      "sflow": true                       analytics' names of all ports
    rules.txt       every change that follows, "<now> <switch> <change in ovs-ofctl's words>", and what was adopted or
                    refused, "<now> <count> <name>"

All switches are connected at the start; what they are sent then is not written down. A bug from the field becomes a
case by writing down what was seen. UPDATE_CASES=1 rewrites rules.txt; read the diff.
"""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from controller.commands import Emit
from controller.conductor import Conductor, Report
from controller.discovery import Discovery
from controller.flow import FlowKey, FlowObservation
from controller.reconcile import Installed, PutRule, describe
from controller.topology import Fabric
from documents.topology import Spec
from tests.controller.arp import request

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/input.jsonl"))
COUNTED = ("adopted", "refused_by_cap", "refused_by_switch")


class Play:
    """A network of switches that hold what they are sent, its controller, and the lines of rules.txt so far."""

    def __init__(self, network):
        self.network = network
        self.ports = {port.name: port for switch in network.switches.values() for port in switch.ports.values()}
        self.held = {switch.dpid: Installed({}, {}) for switch in network.switches.values()}
        self.refusing = None
        self.lines = []
        self.start(Conductor(fabric=network), 0.0)
        self.lines.clear()

    def start(self, conductor, now):
        self.conductor = conductor
        self.counts = asdict(conductor.view().counts)
        for name in self.network.switches:
            self.connect(name, now)

    def give(self, now, name, value, more):
        match name:
            case "seen":
                seen = [self.observation(*each, now) for each in value]
                self.execute(self.conductor.observed(seen, now, complete=True), now)
            case "port":
                port = self.ports[value]
                dpid = self.network.switches[port.switch].dpid
                self.execute(self.conductor.port_changed(dpid, port, more["up"], now), now)
            case "policy":
                policy = replace(self.conductor.view().policy, **value)
                self.execute(self.conductor.set_policy(policy, now), now)
            case "refuses":
                self.refusing = value
            case "restart":
                self.start(Conductor(fabric=self.network), now)
            case "discover":
                self.conductor = Conductor(discovery=Discovery(b"key", value))
                self.held = {dpid: Installed({}, {}) for dpid in self.held}
            case "connect":
                self.connect(value, now)
            case "tick":
                self.execute(self.conductor.tick(now), now)
            case "arp":
                asking, asked = (next(host for host in self.network.hosts if host.name == name) for name in value)
                frame = request(asking.mac, asking.ipv4, asked.ipv4)
                self.frame(asking.switch, asking.port, frame, now)
            case "sflow":
                ports = [
                    (switch.agent, port.ifindex, switch.dpid, port.number)
                    for switch in self.network.switches.values()
                    for port in switch.ports.values()
                ]
                self.execute(self.conductor.ports_reported(ports, now), now)
            case _:
                raise AssertionError(f"no such input: {name}")
        self.count(now)

    def observation(self, flow, port, mbps, now):
        agent = self.network.switches[self.ports[port].switch].agent
        return FlowObservation(FlowKey.parse(flow), agent, self.ports[port].ifindex, mbps * 1e6, now)

    def connect(self, name, now):
        switch = self.network.switches[name]
        held = self.held[switch.dpid]
        up = dict.fromkeys(switch.ports, True)
        report = Report(name, switch.ports, up, tuple(held.rules.values()), tuple(held.groups.values()))
        self.execute(self.conductor.switch_up(switch.dpid, report, now), now)

    def frame(self, switch, port, frame, now):
        self.execute(self.conductor.packet_in(self.network.switches[switch].dpid, port, frame, now), now)

    def execute(self, commands, now):
        for command in commands:
            name = self.network.by_dpid[command.dpid].name
            if isinstance(command, Emit):
                link = self.network.link_from.get((name, command.port))
                if link:
                    self.frame(link.target.switch, link.target.number, command.frame, now)
                continue
            refused = [change for change in command.changes if name == self.refusing and isinstance(change, PutRule)]
            for change in refused:
                self.conductor.refused(command.dpid, change)
            self.held[command.dpid].apply(change for change in command.changes if change not in refused)
            self.conductor.confirmed(command.dpid, [c for c in command.changes if c not in refused], now)
            self.lines += [f"{now:g} {name} {describe(change)}" for change in command.changes]

    def count(self, now):
        before, self.counts = self.counts, asdict(self.conductor.view().counts)
        for name in COUNTED:
            if more := self.counts[name] - before[name]:
                self.lines.append(f"{now:g} {more} {name}")


def lines(case):
    play = Play(Fabric.from_spec(Spec.from_json(json.loads((case / "topology.json").read_text()))))
    for line in (case / "input.jsonl").read_text().splitlines():
        given = json.loads(line)
        now = given.pop("now")
        (name, value), *more = given.items()
        play.give(now, name, value, dict(more))
    return play.lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    found = "\n".join(lines(case)) + "\n"
    if os.environ.get("UPDATE_CASES"):
        (case / "rules.txt").write_text(found)
    assert found == (case / "rules.txt").read_text()
