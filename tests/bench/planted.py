"""Faults planted into the controller, each of which the simulation (controller/sim/) has to find.

    python tests/bench/planted.py [NAME ...] [--runs 60] [--minutes 4]

Each is a plausible slip, patched in for the time of a run. Runs of so many simulated minutes are made with one seed
after the other until something does not hold; prints the seed, how many steps it took, and what was said. Ends with
status 1 if one was not found, or if one of these runs fails without any fault planted.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

from controller import openflow
from controller.budget import Budget
from controller.conductor import Conductor
from controller.elephants import Elephant, Tracker
from controller.feature import Entries
from controller.hosts import Hosts
from controller.reconcile import DropGroup, DropRule, Installed, PutGroup, changes
from controller.rules import express
from controller.sessions import Session, Sessions
from controller.sim.simulation import Outcome, Plan, Simulation
from controller.topology import Fabric
from ovs_rules.rule import Output, SetField

Patch = tuple[object, str, object]


def reordered(key: Callable[[object], int]) -> Patch:
    """The changes of a switch in another order."""
    return (sys.modules["controller.conductor"], "changes", lambda *given: sorted(changes(*given), key=key))


def expressed(change: Callable) -> Patch:
    """The rules of an elephant, changed."""

    def wrong(fabric, control, idle_timeout):
        return {name: change(rule) for name, rule in express(fabric, control, idle_timeout).items()}

    return (sys.modules["controller.control"], "express", wrong)


def send_without_barrier(self, todo):
    for change in todo:
        message = openflow.message(self.datapath, change)
        self.datapath.set_xid(message)
        self.sent[message.xid] = change
        self.datapath.send_msg(message)


def wrong_port(rule):
    moved = [Output(action.port % 2 + 1) if isinstance(action, Output) else action for action in rule.actions]
    return replace(rule, actions=tuple(moved))


def requests_without_mask(datapath):
    groups, rules = state_requests(datapath)
    rules.cookie_mask = 0
    return [groups, rules]


def paths_of_all_links(self, fabric):
    whole = replace(fabric, down=frozenset())
    return whole.paths(self.entry.switch, self.exit.switch) if self.exit else []


def all_next_links(self, switch, destination):
    return self._usable_from[switch] if next_links(self, switch, destination) else []


def put_group_once(self, group):
    if group.group_id not in self.groups:
        put_group(self, group)


def close_any(self, datapath):
    return self._by_dpid.pop(datapath.id, None) is not None


def port_up_only(self, dpid, port, is_up, now):
    return port_changed(self, dpid, port, is_up, now) if is_up else []


def all_ports(self, switch):
    return sorted(self.switches[switch].ports)


def tree_of_all_links(self):
    return {name: frozenset(self.link_ports(name)) for name in self.switches}


state_requests, next_links, put_group = openflow.state_requests, Fabric.next_links, Entries.put_group
port_changed, bucket, group_mod, is_up = Conductor.port_changed, openflow._bucket, openflow._group_mod, openflow.is_up
RECONCILE, CONTROL, DISCOVERY = (sys.modules[f"controller.{name}"] for name in ("reconcile", "control", "discovery"))

# name -> what is patched. Those of DISCOVERED need a controller that discovers the fabric.
PLANTED: dict[str, tuple[Patch, ...]] = {
    "no barrier after changes": ((Session, "send", send_without_barrier),),
    "removals before additions": (reordered(lambda change: not isinstance(change, DropRule | DropGroup)),),
    "rules before their groups": (reordered(lambda change: isinstance(change, PutGroup)),),
    "groups removed while rules use them": (reordered(lambda change: not isinstance(change, DropGroup)),),
    "no cookie mask: rules of others are removed": (
        (openflow, "state_requests", requests_without_mask), (RECONCILE, "is_ours", lambda _cookie: True)),
    "groups of others are removed": ((RECONCILE, "is_our_group", lambda _number: True),),
    "rules found on a switch are forgotten": (
        (Installed, "reported", classmethod(lambda cls, rules, groups: cls({}, {}))),),
    "groups found on a switch are forgotten": (
        (Installed, "reported",
         classmethod(lambda cls, rules, groups: cls({rule.identity: rule for rule in rules}, {}))),),
    "a rule that timed out stays in the ledger": ((Conductor, "flow_removed", lambda *_: []),),
    "a refusal is ignored": ((Conductor, "refused", lambda *_: None),),
    "a group is added again instead of changed": (
        (openflow, "_group_mod", lambda datapath, _, group: group_mod(datapath, 0, group)),),
    "a group keeps its first buckets": ((Entries, "put_group", put_group_once),),
    "buckets watch no port": (
        (openflow, "_bucket", lambda n, one, kind: bucket(n, replace(one, watch_port=None), kind)),),
    "a port that goes down is ignored": ((Conductor, "port_changed", port_up_only),),
    "the report takes all ports to be up": ((openflow, "is_up", lambda _port: True),),
    "after a start, links of switches not heard yet are used": ((Conductor, "_keeps", lambda *_: False),),
    "an old connection's end closes the new one": ((Sessions, "close", close_any),),
    "a pin stays on a path whose link is down": ((Elephant, "paths", paths_of_all_links),),
    "a pin leads out of another port": (expressed(wrong_port),),
    "a marked packet goes nowhere": (expressed(lambda rule: replace(rule, goto=None)),),
    "the mark is left out": (expressed(lambda rule: replace(
        rule, actions=tuple(action for action in rule.actions if not isinstance(action, SetField)))),),
    "elephants never end": (
        (Tracker, "ended", lambda *_: []), expressed(lambda rule: replace(rule, idle_timeout=0))),
    "the cap is not kept": ((CONTROL, "within_cap", lambda found, _cap: ([one.flow for one in found], [])),),
    "the budget is not kept": ((Budget, "take", lambda *_: True),),
    "the tree has all links": ((Fabric, "tree", property(tree_of_all_links)),),
    "broadcast leaves by every port": ((Fabric, "flood_ports", all_ports),),
    "next hops need not be nearer": ((Fabric, "next_links", all_next_links),),
    "a host that moved keeps its old place": ((Hosts, "_unanswered", lambda self, question, news: None),),
    "a port that is down becomes an edge port": ((DISCOVERY, "_is_down", lambda *_: False),),
}  # fmt: skip
DISCOVERED = {"a host that moved keeps its old place", "a port that is down becomes an edge port"}

SHAPES = {"a pin stays on a path whose link is down": "2x3x4"}  # with one of two links down nothing is pinned


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With this fault."""
    with ExitStack() as stack:
        for target, attribute, wrong in PLANTED[name]:
            stack.enter_context(mock.patch.object(target, attribute, wrong))
        yield


def found(name: str, runs: int, minutes: float) -> tuple[int, Outcome]:
    """The first run in which something does not hold, or the last of them; and the steps of all."""
    steps = 0
    for seed in range(1, runs + 1):
        plan = Plan(seed, minutes / 60, SHAPES.get(name), name in DISCOVERED if name else None)
        outcome = Simulation(plan, random.Random(seed)).run()
        steps += outcome.counts["steps"]
        if outcome.violation is not None:
            break
    return steps, outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="of faults; by default all")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=4.0)
    options = parser.parse_args()
    missed = 0
    for name in options.names or PLANTED:
        with planted(name):
            steps, outcome = found(name, options.runs, options.minutes)
        missed += outcome.violation is None
        print(f"{name}: seed {outcome.plan.seed}, {steps} steps: {outcome.violation or 'NOT FOUND'}"[:240], flush=True)
    steps, outcome = found("", options.runs // 3, options.minutes)
    print(f"nothing planted: {outcome.plan.seed} runs, {steps} steps: {outcome.violation or 'all holds'}")
    sys.exit(missed > 0 or outcome.violation is not None)


if __name__ == "__main__":
    main()
