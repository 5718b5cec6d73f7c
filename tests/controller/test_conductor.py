"""The conductor: observations in, rules out, through restarts of every program it works with."""

import time
from dataclasses import replace

import pytest

from controller import control
from controller.commands import Complain, Emit, Send
from controller.conductor import Conductor, Report
from controller.control import Policy
from controller.elephants import GRACE, Limits
from controller.feature import Entries, Feature
from controller.flow import FlowKey, FlowObservation
from controller.pipeline import RuleKind, cookie, kind_of, pin_group
from controller.reconcile import DropRule, Installed, PutRule
from controller.topology import Fabric
from ovs_rules.rule import Output, Resubmit, Rule, SetField, ToGroup
from tests.controller.arp import request
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5)
IFINDEX = {port.name: 10 * node_number + port.ofport for node_number, node in enumerate(SPEC.nodes.values(), 1)
           for port in node.ports.values()}  # fmt: skip
FABRIC = Fabric.from_spec(SPEC.with_ifindexes(IFINDEX))
ONE = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)
TWO = FlowKey("10.0.1.2", "10.0.2.2", 6, 5002, 80)
LEAF1, LEAF2, SPINE1, SPINE2 = 1, 2, 0x101, 0x102
PLACES = [(LEAF1, 1), (LEAF1, 2), (LEAF2, 1), (LEAF2, 2)]


def seen(flow, port, rate, at):
    """`flow` seen at the port called `port`, Mb/s."""
    switch = FABRIC.switches[port.split("-")[0]]
    return FlowObservation(flow, switch.agent, str(IFINDEX[port]), rate * 1e6, at)


class Switches:
    """What the switches hold, kept by executing every command as a switch does."""

    def __init__(self):
        self.held = {switch.dpid: Installed({}, {}) for switch in FABRIC.switches.values()}
        self.sent = []

    def execute(self, conductor, commands, now):
        for command in commands:
            if isinstance(command, Send):
                self.held[command.dpid].apply(command.changes)
                self.sent += [(command.dpid, change) for change in command.changes]
                conductor.confirmed(command.dpid, command.changes, now)

    def connect(self, conductor, dpid, now):
        ports = FABRIC.by_dpid[dpid].ports
        held = self.held[dpid]
        report = Report(
            None, ports, dict.fromkeys(ports, True), tuple(held.rules.values()), tuple(held.groups.values())
        )
        self.execute(conductor, conductor.switch_up(dpid, report, now), now)

    def elephant_rules(self, dpid):
        return [rule for rule in self.held[dpid].rules.values() if kind_of(rule.cookie) == RuleKind.ELEPHANT]

    def news(self):
        """The changes sent since the last call."""
        out, self.sent = self.sent, []
        return out


@pytest.fixture
def switches():
    return Switches()


def started(switches, policy=None, now=0.0):
    conductor = Conductor(policy or Policy(), FABRIC)
    for dpid in switches.held:
        switches.connect(conductor, dpid, now)
    return conductor


def poll(conductor, switches, now, *observations):
    switches.execute(conductor, conductor.observed(observations, now, complete=True), now)


def collide(conductor, switches, now):
    """Both elephants enter leaf1 and are seen on spine1."""
    poll(
        conductor, switches, now,
        seen(ONE, "leaf1-eth1", 2.4, now), seen(TWO, "leaf1-eth2", 2.4, now),
        seen(ONE, "spine1-eth1", 2.4, now), seen(TWO, "spine1-eth1", 2.4, now),
    )  # fmt: skip


def test_an_elephant_is_marked_where_it_enters_and_only_there(switches):
    conductor = started(switches)
    event = [seen(ONE, "leaf1-eth1", 0.6, 5.0)]
    switches.execute(conductor, conductor.observed(event, 5.0, complete=False), 5.1)
    (rule,) = switches.elephant_rules(LEAF1)
    assert rule.actions == (SetField("ip_dscp", 1),)
    assert (rule.table, rule.goto, rule.idle_timeout) == (0, 1, 5)
    assert dict(rule.match)["tcp_src"] == 5001
    assert not switches.elephant_rules(LEAF2) + switches.elephant_rules(SPINE1)
    record = conductor.elephants.records.live[ONE]
    assert (record.detected_at, record.marked_at, record.ingress) == (5.0, 5.1, "leaf1")


def test_below_ten_percent_of_the_edge_port_nothing_happens(switches):
    conductor = started(switches)
    switches.news()
    poll(conductor, switches, 5.0, seen(ONE, "leaf1-eth1", 0.49, 5.0), seen(ONE, "spine1-eth1", 3.0, 5.0))
    assert switches.news() == []


def test_colliding_elephants_part_by_one_atomic_rule_change(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    (moved,) = [rule for rule in switches.elephant_rules(LEAF1) if rule.goto is None]
    assert moved.actions == (SetField("ip_dscp", 1), ToGroup(pin_group(4)))  # leaf1's port 4 leads to spine2
    pin = switches.held[LEAF1].groups[pin_group(4)]
    assert [bucket.actions for bucket in pin.buckets] == [(Output(4),), (Resubmit(1),)]
    record = next(r for r in conductor.elephants.records.live.values() if r.moves)
    assert (record.first_path, record.steered_at) == (["leaf1", "spine1", "leaf2"], 5.0)
    assert "leaf1->spine1" in record.reason
    changes = [change for _, change in switches.news() if isinstance(change, PutRule | DropRule)]
    assert not any(isinstance(change, DropRule) for change in changes)


def test_a_move_is_seen_when_samples_come_from_the_new_spine(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    flow = next(flow for flow, control in conductor.elephants.controls.items() if control.path)
    assert conductor.elephants.records.live[flow].seen_moved_at is None
    port = {ONE: "leaf1-eth1", TWO: "leaf1-eth2"}[flow]
    poll(
        conductor, switches, 6.0,
        seen(flow, port, 4.8, 6.0),
        seen(flow, "spine1-eth1", 0.5, 6.0), seen(flow, "spine2-eth1", 4.0, 6.0),
    )  # fmt: skip
    assert conductor.elephants.records.live[flow].seen_moved_at == 6.0
    assert conductor.elephants.records.live[flow].path == ["leaf1", "spine2", "leaf2"]


def test_settled_elephants_cause_no_changes(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    switches.news()
    for now in (6.0, 7.0, 10.0, 20.0):
        collide(conductor, switches, now)
    assert switches.news() == []


def test_a_quiet_elephant_ends_and_its_rule_goes(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    poll(conductor, switches, 6.0, seen(ONE, "leaf1-eth1", 0.1, 6.0), seen(TWO, "leaf1-eth2", 4.0, 6.0))
    assert len(switches.elephant_rules(LEAF1)) == 2
    poll(conductor, switches, 7.5, seen(TWO, "leaf1-eth2", 4.0, 7.5))
    assert [rules_flow(rule) for rule in switches.elephant_rules(LEAF1)] == ["10.0.1.2"]
    assert [record.flow for record in conductor.elephants.records.past] == [ONE]


def test_an_event_from_a_clock_that_is_ahead_keeps_no_elephant_alive(switches):
    conductor = started(switches)
    switches.execute(conductor, conductor.observed([seen(ONE, "leaf1-eth1", 1.0, 3605.0)], 5.0, complete=False), 5.0)
    assert conductor.elephants.records.live[ONE].detected_at == 5.0
    poll(conductor, switches, 8.0)
    assert not conductor.elephants.tracker.live


def test_without_polls_nothing_ends(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    switches.execute(conductor, conductor.observed([], 500.0, complete=False), 500.0)
    assert len(switches.elephant_rules(LEAF1)) == 2


def test_an_idle_rule_ends_its_elephant(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    (rule,) = [rule for rule in switches.elephant_rules(LEAF1) if rules_flow(rule) == "10.0.1.1"]
    del switches.held[LEAF1].rules[rule.identity]
    removed = Rule(rule.match, table=rule.table, priority=rule.priority, cookie=rule.cookie)
    switches.execute(conductor, conductor.flow_removed(LEAF1, removed, 12.0), 12.0)
    assert ONE not in conductor.elephants.controls
    assert len(switches.elephant_rules(LEAF1)) == 1


def test_a_restarted_controller_adopts_what_it_finds_and_sends_nothing(switches):
    collide(started(switches), switches, 5.0)
    held = {dpid: dict(installed.rules) for dpid, installed in switches.held.items()}
    switches.news()
    again = started(switches, now=8.0)
    assert switches.news() == []
    assert {dpid: installed.rules for dpid, installed in switches.held.items()} == held
    assert again.counts.adopted == 2
    assert sum(control.path is not None for control in again.elephants.controls.values()) == 1
    assert again.elephants.tracker.ended(8.0 + GRACE) == []


def test_adopted_elephants_not_seen_again_end(switches):
    collide(started(switches), switches, 5.0)
    again = started(switches, now=8.0)
    poll(again, switches, 8.0 + GRACE + 10)
    assert switches.elephant_rules(LEAF1) == []


def test_elephants_seen_before_their_switch_reconnects_find_their_rules_there(switches):
    """Analytics may be back before the switches are; the order of its observations must not matter."""
    collide(started(switches), switches, 5.0)
    held = dict(switches.held[LEAF1].rules)
    switches.news()
    again = Conductor(Policy(), FABRIC)
    poll(again, switches, 8.0, seen(TWO, "leaf1-eth2", 4.0, 8.0))
    poll(again, switches, 8.1, seen(ONE, "leaf1-eth1", 4.0, 8.1))
    for dpid in switches.held:
        switches.connect(again, dpid, 8.2)
    assert switches.news() == []
    assert switches.held[LEAF1].rules == held
    assert again.counts.adopted == 2


def test_a_restarted_switch_gets_everything_back(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    before = dict(switches.held[LEAF1].rules), dict(switches.held[LEAF1].groups)
    conductor.switch_down(LEAF1)
    switches.held[LEAF1] = Installed({}, {})
    switches.connect(conductor, LEAF1, 9.0)
    assert (switches.held[LEAF1].rules, switches.held[LEAF1].groups) == before


def test_foreign_rules_are_never_touched(switches):
    foreign = Rule((("in_port", 1),), (Output(2),), cookie=0x1234)
    switches.held[LEAF1].rules[foreign.identity] = foreign
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    poll(conductor, switches, 60.0)
    assert switches.held[LEAF1].rules[foreign.identity] is foreign


def test_stale_rules_of_ours_are_removed(switches):
    stale = Rule((("eth_dst", "00:04:00:00:09:09"),), (Output(2),), table=1, priority=500, cookie=cookie(RuleKind.HOST))
    switches.held[LEAF1].rules[stale.identity] = stale
    started(switches)
    assert stale.identity not in switches.held[LEAF1].rules


def test_a_link_down_takes_the_spine_out_of_the_far_leaf_and_frees_pinned_elephants(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    switches.execute(conductor, conductor.port_changed(SPINE2, FABRIC.switches["spine2"].ports[2], False, 8.0), 8.0)
    assert all(rule.goto == 1 for rule in switches.elephant_rules(LEAF1))
    assert not any(group.kind == "select" for group in switches.held[LEAF1].groups.values())  # one next hop is left
    remote = [r for r in switches.held[LEAF1].rules.values() if ("eth_dst", "00:04:00:00:02:01") in r.match]
    assert [rule.actions for rule in remote] == [(Output(3),)]


def test_a_refused_rule_is_counted_and_not_sent_again(switches):
    conductor = started(switches)
    commands = conductor.observed([seen(ONE, "leaf1-eth1", 2.0, 5.0)], 5.0, complete=True)
    (refused,) = commands[0].changes
    conductor.refused(LEAF1, refused)
    conductor.confirmed(LEAF1, commands[0].changes, 5.1)
    assert conductor.elephants.records.live[ONE].marked_at is None
    assert conductor.observed([seen(ONE, "leaf1-eth1", 2.0, 6.0)], 6.0, complete=True) == []
    assert conductor.counts.refused_by_switch == 1
    poll(conductor, switches, 6.5, seen(ONE, "leaf1-eth1", 2.0, 6.5), seen(TWO, "leaf1-eth2", 2.0, 6.5))
    assert [rules_flow(rule) for rule in switches.elephant_rules(LEAF1)] == ["10.0.1.2"]


def test_switching_marking_and_steering_off_takes_the_rules_back(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    switches.execute(conductor, conductor.set_policy(Policy(steering=False), 6.0), 6.0)
    assert all(rule.goto == 1 for rule in switches.elephant_rules(LEAF1))
    switches.execute(conductor, conductor.set_policy(Policy(steering=False, marking=False), 7.0), 7.0)
    assert switches.elephant_rules(LEAF1) == []


def test_at_the_cap_the_largest_win_and_the_refusal_is_counted_once(switches):
    conductor = started(switches, Policy(limits=Limits(), cap=1))
    for now in (5.0, 6.0):
        poll(conductor, switches, now, seen(ONE, "leaf1-eth1", 1.0, now), seen(TWO, "leaf1-eth2", 4.0, now))
    assert [rules_flow(rule) for rule in switches.elephant_rules(LEAF1)] == ["10.0.1.2"]
    assert conductor.counts.refused_by_cap == 1
    assert conductor.elephants.records.live[ONE].state == "refused"


def test_forged_flows_cost_a_bounded_number_of_rules_a_second_and_the_largest_get_them(switches):
    """sFlow of 2,250 new elephants a second made as many changes of rules a second."""
    conductor = started(switches, Policy(Limits(share=0.001), controls_per_second=10))  # 10,000 flows a port
    switches.news()
    flows = [FlowKey("10.0.1.1", "10.0.2.1", 6, 1024 + number, 80) for number in range(2000)]
    poll(conductor, switches, 5.0, *(seen(flow, "leaf1-eth1", 1.0 + flow.source_port / 1000, 5.0) for flow in flows))
    assert {dict(rule.match)["tcp_src"] for rule in switches.elephant_rules(LEAF1)} == set(range(3014, 3024))
    assert conductor.view().counts.deferred == 990  # of the 1000 within the cap
    assert {record.state for record in conductor.view().elephants} == {"marked", "deferred", "refused"}
    poll(conductor, switches, 5.5, *(seen(flow, "leaf1-eth1", 1.0 + flow.source_port / 1000, 5.5) for flow in flows))
    assert {dict(rule.match)["tcp_src"] for rule in switches.elephant_rules(LEAF1)} == set(range(3009, 3024))
    assert conductor.view().counts.deferred == 990
    assert len(switches.news()) == 15


def test_of_more_elephants_than_a_port_can_carry_the_smallest_are_forgotten(switches):
    """With a share of a tenth ten flows can be there at a time, and ten times as many are believed, at each port."""
    conductor = started(switches)
    flows = [FlowKey("10.0.1.1", "10.0.2.1", 6, 1024 + number, 80) for number in range(300)]
    forged = [seen(flow, "leaf1-eth1", 1.0 + flow.source_port / 1000, 5.0) for flow in flows]
    poll(conductor, switches, 5.0, *forged, seen(TWO, "leaf1-eth2", 1.0, 5.0))
    assert {flow.source_port for flow in conductor.elephants.tracker.live} == {*range(1224, 1324), TWO.source_port}
    assert conductor.view().counts.untracked == 200


def test_of_more_elephants_than_can_be_the_smallest_are_forgotten(switches, monkeypatch):
    monkeypatch.setattr(control, "TRACKED", 20)
    conductor = started(switches, Policy(cap=10))
    flows = [FlowKey("10.0.1.1", "10.0.2.1", 6, 1024 + number, 80) for number in range(50)]
    poll(conductor, switches, 5.0, *(seen(flow, "leaf1-eth1", 1.0 + flow.source_port / 1000, 5.0) for flow in flows))
    assert {flow.source_port for flow in conductor.elephants.tracker.live} == set(range(1054, 1074))
    assert conductor.view().counts.untracked == 30
    assert {dict(rule.match)["tcp_src"] for rule in switches.elephant_rules(LEAF1)} == set(range(1064, 1074))


def test_a_link_down_frees_pinned_elephants_whatever_the_budget(switches):
    conductor = started(switches, Policy(controls_per_second=2))
    collide(conductor, switches, 5.0)
    collide(conductor, switches, 6.0)
    assert [rule for rule in switches.elephant_rules(LEAF1) if rule.goto is None]
    poll(conductor, switches, 6.0, seen(ONE._replace(source_port=1), "leaf1-eth1", 2.4, 6.0))  # takes the last token
    for number in (3, 4):  # both of leaf1's links
        port = FABRIC.by_dpid[LEAF1].ports[number]
        switches.execute(conductor, conductor.port_changed(LEAF1, port, False, 6.0), 6.0)
    assert not [rule for rule in switches.elephant_rules(LEAF1) if rule.goto is None]


def test_a_switch_that_the_topology_does_not_know_is_left_alone():
    conductor = Conductor(Policy(), FABRIC)
    assert conductor.switch_up(0xBAD, Report("other", {}, {}), 0.0) == []
    assert conductor.packet_in(0xBAD, 1, b"\0" * 60, 0.0) == []


def test_arp_teaches_hosts_at_edge_ports_alone_and_no_frame_is_sent(switches):
    conductor = started(switches)
    switches.news()
    frame = request("02:00:00:00:00:07", "10.0.1.7", "10.0.2.1")
    assert conductor.packet_in(SPINE1, 1, frame, 1.0) == []
    commands = conductor.packet_in(LEAF1, 2, frame, 2.0)
    assert {command.dpid for command in commands if isinstance(command, Send)} == {LEAF1, LEAF2, SPINE1, SPINE2}
    assert not any(isinstance(command, Emit) for command in commands)
    assert [host.switch for host in conductor.view().hosts if "10.0.1.7" in host.addresses] == ["leaf1"]


def rules_flow(rule):
    """The source address of an elephant rule."""
    return dict(rule.match)["ipv4_src"]


class Pins(Feature):
    """A further source of rules: one per switch it is asked about."""

    def __init__(self):
        self.rule = Rule((("in_port", 1),), (Output(2),), priority=1500, cookie=cookie(RuleKind.BASE, 1))
        self.entries = {"leaf1": Entries([self.rule])}
        self.inputs = []

    def wanted(self, fabric, hosts, now):
        return self.entries

    def problems(self):
        return ["one problem"]

    def observed(self, fabric, hosts, seen, now, *, complete):
        self.inputs.append(("observed", len(seen), now, complete))

    def reconsider(self, fabric, hosts, now):
        self.inputs.append(("reconsider", sorted(fabric.down), now))

    def in_force(self, rule, now):
        if rule == self.rule:
            self.inputs.append(("in_force", rule.priority, now))

    def expired(self, rule, now):
        self.inputs.append(("expired", rule.priority, now))


def test_a_further_feature_is_joined_and_gets_every_input(switches):
    pins = Pins()
    rule = pins.rule
    conductor = Conductor(fabric=FABRIC, more=(pins,))
    for dpid in switches.held:
        switches.connect(conductor, dpid, 0.0)
    assert [dpid for dpid, held in switches.held.items() if rule.identity in held.rules] == [LEAF1]
    assert conductor.view().problems == ("one problem",)
    poll(conductor, switches, 1.0, seen(ONE, "leaf1-eth1", 2.0, 1.0))
    assert len(switches.elephant_rules(LEAF1)) == 1
    conductor.port_changed(SPINE2, FABRIC.switches["spine2"].ports[2], False, 2.0)
    conductor.flow_removed(LEAF1, rule, 3.0)
    assert pins.inputs == [
        ("in_force", 1500, 0.0), ("observed", 1, 1.0, True),
        ("reconsider", [("spine2", 2)], 2.0), ("expired", 1500, 3.0),
    ]  # fmt: skip
    pins.entries["leaf1"].become([])
    poll(conductor, switches, 4.0)
    assert rule.identity not in conductor.view().installed[LEAF1].rules


def test_a_feature_that_fails_is_a_fault_and_keeps_no_rule_of_others_from_the_switches(switches):
    class Broken(Feature):
        def wanted(self, fabric, hosts, now):
            raise KeyError("no such switch")

    conductor = Conductor(fabric=FABRIC, more=(Broken(),))
    for dpid in switches.held:
        switches.connect(conductor, dpid, 0.0)
    commands = conductor.observed([seen(ONE, "leaf1-eth1", 2.0, 1.0)], 1.0, complete=True)
    assert [command.kind for command in commands if isinstance(command, Complain)] == ["feature Broken"]
    switches.execute(conductor, commands, 1.0)
    assert len(switches.elephant_rules(LEAF1)) == 1
    assert any(kind_of(rule.cookie) == RuleKind.BLOCK for rule in switches.held[SPINE2].rules.values())


def test_what_a_host_costs_the_conductor_does_not_grow_with_the_hosts(switches):
    """Rules for every switch included. A factor that tells constant from linear, which would be a hundred or more."""
    conductor = started(switches)

    def seconds(first, count):
        began = time.perf_counter()
        for n in range(first, first + count):
            mac, address = (0x02 << 40 | n).to_bytes(6, "big").hex(":"), f"10.1.{n >> 8}.{n & 255}"
            commands = conductor.packet_in(*PLACES[n % 4], request(mac, address, "10.0.2.1"), 1.0 + n / 100)
            assert len(commands) == 4
        return time.perf_counter() - began

    first = min(seconds(20 * n, 20) for n in range(3)) * 5
    seconds(60, 1600)
    last = min(seconds(1660 + 100 * n, 100) for n in range(3))
    assert last < 10 * first


def test_where_tests_decide_events_alone_start_place_and_end_an_elephant(switches):
    conductor = started(switches)
    conductor.rely_on_tests(True)

    def observe(now, *observations, complete=False):
        switches.execute(conductor, conductor.observed(observations, now, complete=complete), now)

    def told(flow, port, at, *, ended=False):
        return replace(seen(flow, port, 0.0 if ended else 5.0, at), found=5e5, ended=ended)

    observe(1.0, seen(ONE, "leaf1-eth1", 5.0, 1.0), complete=True)
    assert not switches.elephant_rules(LEAF1)
    for flow, edge in ((ONE, "leaf1-eth1"), (TWO, "leaf1-eth2")):
        observe(2.0, told(flow, edge, 2.0), told(flow, "spine1-eth1", 2.0))
    assert not conductor.unsettled(2.0)
    paths = {flow: [link.target.switch for link in path] for flow, path in conductor.view().paths.items()}
    assert sorted(paths.values()) == [["spine1", "leaf2"], ["spine2", "leaf2"]]
    moved = next(flow for flow in paths if paths[flow][0] == "spine2")
    observe(2.1, told(moved, "spine2-eth1", 2.1))
    (record,) = [each for each in conductor.view().elephants if each.flow == moved]
    assert (record.moves, record.seen_moved_at) == (1, 2.1)
    observe(3.0, told(ONE, "leaf1-eth1", 3.0, ended=True))
    assert [each.flow for each in conductor.view().elephants] == [TWO]
    assert len(switches.elephant_rules(LEAF1)) == 1


def test_a_view_stays_as_it_was(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    view = conductor.view()
    before = repr(view)
    poll(conductor, switches, 60.0)
    conductor.set_policy(Policy(marking=False), 61.0)
    conductor.switch_down(LEAF1)
    assert repr(view) == before
    assert (len(view.elephants), len(conductor.view().elephants)) == (2, 0)


def test_definitions_are_the_same_object_until_the_fabric_changes(switches):
    conductor = started(switches)
    first = conductor.definitions()
    assert (first.thresholds, first.ports) == ({5_000_000: 500_000.0}, False)
    poll(conductor, switches, 1.0, seen(ONE, "leaf1-eth1", 2.0, 1.0))
    assert conductor.definitions() is first
    conductor.port_changed(SPINE2, FABRIC.switches["spine2"].ports[2], False, 2.0)
    assert conductor.definitions().fabric is conductor.view().fabric


def test_flows_are_counted_per_port_in_the_latest_poll_only(switches):
    conductor = started(switches)
    poll(conductor, switches, 1.0, seen(ONE, "leaf1-eth1", 0.1, 1.0), seen(TWO, "leaf1-eth1", 0.1, 1.0))
    assert conductor.view().flows_seen == {("leaf1", 1): 2}
    conductor.observed([seen(ONE, "leaf1-eth2", 1.0, 2.0)], 2.0, complete=False)
    assert conductor.view().flows_seen == {("leaf1", 1): 2}
    poll(conductor, switches, 3.0)
    assert conductor.view().flows_seen == {}


def test_time_alone_changes_nothing_in_a_given_fabric(switches):
    conductor = started(switches)
    collide(conductor, switches, 5.0)
    switches.news()
    assert conductor.tick(7.0) == []
    assert conductor.ports_reported([("10.254.0.9", "1", LEAF1, 1)], 8.0) == []
    assert conductor.view().fabric is FABRIC


def test_an_elephant_that_ends_in_the_poll_that_shows_its_last_is_no_error(switches):
    """Analytics shows a flow that ended for seconds, at ever smaller rates."""
    conductor = started(switches)
    poll(conductor, switches, 5.0, seen(ONE, "leaf1-eth1", 2.4, 5.0))
    poll(conductor, switches, 7.5, seen(ONE, "leaf1-eth1", 0.01, 7.5))
    assert switches.elephant_rules(LEAF1) == []


def test_after_a_restart_links_that_nobody_has_reported_yet_are_not_put_to_use(switches):
    """leaf2's link to spine1 is down. Until both have said so the new controller leaves leaf1 as it is."""
    conductor = started(switches)
    for dpid, number in ((LEAF2, 3), (SPINE1, 2)):
        port = FABRIC.by_dpid[dpid].ports[number]
        switches.execute(conductor, conductor.port_changed(dpid, port, False, 1.0), 1.0)
    switches.news()
    fresh = Conductor(Policy(), FABRIC)
    for dpid in (LEAF1, SPINE2):
        switches.connect(fresh, dpid, 10.0)
    assert switches.news() == []
    for dpid, number in ((LEAF2, 3), (SPINE1, 2)):
        held = switches.held[dpid]
        ports = FABRIC.by_dpid[dpid].ports
        up = {**dict.fromkeys(ports, True), number: False}
        report = Report(None, ports, up, tuple(held.rules.values()), tuple(held.groups.values()))
        switches.execute(fresh, fresh.switch_up(dpid, report, 11.0), 11.0)
    assert switches.news() == []


def test_a_switch_that_stays_away_keeps_the_others_waiting_for_ten_seconds_only(switches):
    started(switches)
    switches.held[LEAF1].rules.popitem()
    switches.news()
    fresh = Conductor(Policy(), FABRIC)
    switches.connect(fresh, LEAF1, 10.0)
    switches.execute(fresh, fresh.tick(19.0), 19.0)
    assert switches.news() == []
    switches.execute(fresh, fresh.tick(20.0), 20.0)
    assert [dpid for dpid, _ in switches.news()] == [LEAF1]
