"""Stories as folders: what the controller is told (input.jsonl) and what it then tells the switches (rules.txt).

    topology.json   the fabric
    input.jsonl     one input a line: {"now": s, "seen": [[flow, port, Mb/s] ...]}   a look at every port
                                      {"now": s, "port": name, "up": true|false}
    rules.txt       every change that follows, "<now> <switch> <change in ovs-ofctl's words>"

A bug from the field becomes a case by writing down what was seen. UPDATE_CASES=1 rewrites rules.txt; read the diff.
"""

import json
import os
from pathlib import Path

import pytest

from controller.commands import Send
from controller.conductor import Conductor, Report
from controller.flow import FlowKey, FlowObservation
from controller.reconcile import describe
from controller.topology import Fabric
from documents.topology import Spec

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/input.jsonl"))


def play(case):
    """The lines of rules.txt that the controller's core gives for this case, without the first programming."""
    conductor = Conductor(fabric=Fabric.from_spec(Spec.from_json(json.loads((case / "topology.json").read_text()))))
    switches = conductor.fabric.switches
    ports = {port.name: port for switch in switches.values() for port in switch.ports.values()}
    for switch in switches.values():
        conductor.switch_up(switch.dpid, Report(None, switch.ports, dict.fromkeys(switch.ports, True)), 0.0)
    for line in (case / "input.jsonl").read_text().splitlines():
        given = json.loads(line)
        now = given["now"]
        if "seen" in given:
            observations = [
                FlowObservation(
                    FlowKey.parse(flow), switches[ports[port].switch].agent, ports[port].ifindex, mbps * 1e6, now
                )
                for flow, port, mbps in given["seen"]
            ]
            commands = conductor.observed(observations, now, complete=True)
        else:
            port = ports[given["port"]]
            commands = conductor.port_changed(switches[port.switch].dpid, port.number, given["up"], now)
        for command in commands:
            assert isinstance(command, Send)
            conductor.confirmed(command.dpid, command.changes, now)
            name = conductor.fabric.by_dpid[command.dpid].name
            yield from (f"{now:g} {name} {describe(change)}" for change in command.changes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    told = "\n".join(play(case)) + "\n"
    if os.environ.get("UPDATE_CASES"):
        (case / "rules.txt").write_text(told)
    assert told == (case / "rules.txt").read_text()
