"""From decisions to rules, from rules to changes: what is sent to a switch, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.flow import FlowKey
from controller.forwarding.l2 import RESOLUTION, Forwarding
from controller.frames import OUR_MAC
from controller.hosts import Hosts
from controller.pipeline import (
    ALIVE,
    FLOODING,
    FORWARDING,
    GROUP_BASE,
    RuleKind,
    cookie,
    is_our_group,
    is_ours,
    kind_of,
    pin_group,
)
from controller.policy import ecmp, replication
from controller.reconcile import DropGroup, DropRule, Installed, PutGroup, PutRule, changes, describe
from controller.rules import Control, adopted, express, groups
from controller.topology import Fabric
from ovs_rules.replication import read
from ovs_rules.rule import Bucket, Group, Output, Rule, SetField, ToGroup, group_text, text
from topologies.fattree import fattree
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(3, 3, 2))
FLOW = FlowKey("10.0.1.1", "10.0.3.2", 17, 4000, 53)
FLOWS = st.sampled_from([4, 6]).flatmap(
    lambda version: st.builds(
        FlowKey,
        st.ip_addresses(v=version).map(str),
        st.ip_addresses(v=version).map(str),
        st.sampled_from([6, 17]),
        st.integers(0, 65535),
        st.integers(0, 65535),
    )
)


def forwarding(fabric, switch):
    """What forwarding wants on a switch."""
    return Forwarding().wanted(fabric, Hosts(fabric.hosts), 0.0)[switch]


def towards(rules, mac):
    (rule,) = [rule for rule in rules.values() if ("eth_dst", mac) in rule.match]
    return rule.actions


def test_a_leaf_sends_its_own_hosts_out_of_their_ports_and_the_rest_through_one_group_per_leaf():
    wanted = forwarding(FABRIC, "leaf1")
    rules, groups = wanted.rules, wanted.groups
    assert towards(rules, "00:04:00:00:01:02") == (Output(2),)
    assert towards(rules, "00:04:00:00:03:01") == towards(rules, "00:04:00:00:03:02") == (ToGroup(GROUP_BASE | 3),)
    assert sorted(groups) == [GROUP_BASE | 2, GROUP_BASE | 3]
    assert all([bucket.watch_port for bucket in group.buckets] == [3, 4, 5] for group in groups.values())


def test_a_spine_has_one_path_to_a_leaf_and_needs_no_group():
    wanted = forwarding(FABRIC, "spine2")
    assert wanted.groups == {}
    assert towards(wanted.rules, "00:04:00:00:03:01") == (Output(3),)


def test_hosts_numbered_in_a_row_take_three_rules_an_edge_elsewhere_and_one_each_at_home():
    fabric = Fabric.from_spec(leafspine(2, 64, 16))
    assert len(of_kind(fabric, "spine1", RuleKind.BLOCK)) == 3 * 64
    assert len(forwarding(fabric, "spine1").rules) <= 200
    assert len(of_kind(fabric, "leaf1", RuleKind.HOST)) == 16
    assert len(of_kind(fabric, "leaf1", RuleKind.BLOCK)) == 3 * 63 + 1  # of its own only what is nobody's


def test_all_rules_and_groups_are_recognisably_ours():
    for switch in FABRIC.switches:
        wanted = forwarding(FABRIC, switch)
        assert all(is_ours(rule.cookie) and kind_of(rule.cookie) for rule in wanted.rules.values())
        assert all(is_our_group(group_id) for group_id in wanted.groups)
    assert not is_ours(0)
    assert not is_ours(0x486F7600000000)
    assert kind_of(cookie(RuleKind.BASE) | 0xEE << 32) is None


def test_what_is_sent_to_nobody_known_follows_the_tree_only_where_all_links_are_known():
    (tree,) = of_kind(FABRIC, "leaf1", RuleKind.TREE)
    assert (tree.table, tree.match, tree.goto) == (FLOODING, (), None)
    missed = next(rule for rule in of_kind(FABRIC, "leaf1", RuleKind.BASE) if rule.table == FORWARDING)
    assert (missed.priority, missed.goto) == (0, FLOODING)
    unsure = Fabric(FABRIC.switches, FABRIC.links, FABRIC.hosts, flood=False)
    assert not of_kind(unsure, "leaf1", RuleKind.TREE)


def of_kind(fabric, switch, kind):
    return [rule for rule in forwarding(fabric, switch).rules.values() if kind_of(rule.cookie) == kind]


def test_arp_and_nd_go_on_everywhere_and_are_copied_to_the_controller_only_where_they_enter():
    copies = of_kind(FABRIC, "leaf1", RuleKind.ARP)
    assert [rule.match for rule in copies] == list(RESOLUTION)
    assert all((rule.actions, rule.goto) == ((Output("CONTROLLER"),), FORWARDING) for rule in copies)
    transit = of_kind(FABRIC, "leaf1", RuleKind.ARP_TRANSIT)
    links = [3, 4, 5]
    assert [rule.match for rule in transit] == [(("in_port", link), *match) for link in links for match in RESOLUTION]
    assert all((rule.actions, rule.goto) == ((), FORWARDING) for rule in transit)
    assert min(rule.priority for rule in transit) > max(rule.priority for rule in copies)
    assert not of_kind(FABRIC, "spine2", RuleKind.ARP) + of_kind(FABRIC, "spine2", RuleKind.ARP_TRANSIT)


def test_what_hosts_answer_to_the_controller_goes_no_further():
    (answer,) = of_kind(FABRIC, "spine1", RuleKind.ANSWER)
    assert (answer.match, answer.actions, answer.goto) == ((("eth_dst", OUR_MAC),), (), None)


def test_group_numbers_differ_even_where_datapath_ids_end_alike():
    document = leafspine(1, 2, 1).to_json()
    document["nodes"]["leaf2"]["dpid"] = "0000000100000001"
    fabric = Fabric.from_spec(type(leafspine()).from_json(document))
    assert len(set(ecmp.group_ids(fabric).values())) == 3


def test_a_steered_flow_on_a_fat_tree_is_pinned_wherever_there_is_a_choice_last_hop_first():
    fabric = Fabric.from_spec(fattree(4))
    source, destination = fabric.hosts[0], fabric.hosts[-1]
    flow = FlowKey(source.ipv4, destination.ipv4, 6, 1, 2)
    path = fabric.paths(source.switch, destination.switch)[3]
    rules = express(fabric, Control(flow, source.switch, 1, path), 5)
    assert list(rules) == [path[1].source.switch, source.switch]
    assert rules[source.switch].actions == (SetField("ip_dscp", 1), ToGroup(pin_group(path[0].source.number)))
    assert rules[path[1].source.switch].actions == (ToGroup(pin_group(path[1].source.number)),)


def test_elephants_pinned_to_one_port_share_one_group_that_falls_back_to_forwarding():
    path = FABRIC.paths("leaf1", "leaf3")[1]
    flows = FLOW, FLOW._replace(source_port=1)
    rules = [express(FABRIC, Control(flow, "leaf1", None, path), 5)["leaf1"] for flow in flows]
    assert groups(rules[0]) == groups(rules[1])
    assert [group_text(group) for group in groups(rules[0])] == [
        f"group_id={ALIVE},type=indirect,bucket=bucket_id=0,drop",
        f"group_id={pin_group(4)},type=fast_failover,bucket=bucket_id=0,watch_port:4,output:4,"
        f"bucket=bucket_id=1,watch_group:{ALIVE},resubmit(,1)",
    ]
    assert groups(express(FABRIC, Control(FLOW, "leaf1", 1, None), 5)["leaf1"]) == []


@given(FLOWS, st.one_of(st.none(), st.integers(0, 63)))
def test_an_elephant_rule_reads_back_as_what_it_is_for(flow, dscp):
    path = FABRIC.paths("leaf1", "leaf3")[1]
    (rule,) = express(FABRIC, Control(flow, "leaf1", dscp, path), 5).values()
    assert adopted(rule) == (flow, dscp, 4)


def test_rules_of_other_kinds_are_not_adopted():
    assert all(adopted(rule) is None for rule in forwarding(FABRIC, "leaf1").rules.values())


def test_changes_put_groups_first_and_take_them_away_last():
    group = Group(GROUP_BASE | 9, "select", (Bucket((Output(1),)), Bucket((Output(2),))), 7)
    old, new = (Rule((("eth_dst", f"00:00:00:00:00:0{n}"),), (ToGroup(GROUP_BASE | 9),), cookie=1) for n in (1, 2))
    todo = changes(Installed({}, {}), {new.identity: new}, {group.group_id: group})
    assert todo == [PutGroup(group, False), PutRule(new)]
    held = Installed({old.identity: old}, {group.group_id: group})
    gone = changes(held, {old.identity: None}, {group.group_id: None})
    assert gone == [DropRule(old), DropGroup(group.group_id)]
    assert changes(held, {}, {}) == []


def test_a_rule_that_reads_back_in_another_order_is_the_same_rule():
    one = Rule((("eth_type", 0x800), ("ip_proto", 6)), (Output(1),))
    two = Rule((("ip_proto", 6), ("eth_type", 0x800)), (Output(1),))
    assert changes(Installed({one.identity: one}, {}), {two.identity: two}, {}) == []


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)), max_size=8),
       st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)), max_size=8))  # fmt: skip
def test_applying_the_changes_gives_what_was_wanted(before, wanted):
    def rules(spec):
        mine = cookie(RuleKind.HOST)
        return {
            (match, priority): Rule((("in_port", match),), (Output(out),), priority=priority, cookie=mine)
            for match, priority, out in spec
        }.values()

    held = Installed.reported(rules(before), [])
    of_each = dict.fromkeys(held.rules) | {rule.identity: rule for rule in rules(wanted)}
    held.apply(changes(held, of_each, {}))
    assert held.rules == {rule.identity: rule for rule in rules(wanted)}
    assert changes(held, of_each, {}) == []


def test_texts_are_what_ovs_ofctl_takes():
    (rule,) = express(FABRIC, Control(FLOW, "leaf1", 1, None), 5).values()
    assert text(rule) == (
        f"cookie={cookie(RuleKind.ELEPHANT, FLOW.number):#x} priority=1000 idle_timeout=5 dl_type=0x0800 nw_proto=17 "
        "nw_src=10.0.1.1 nw_dst=10.0.3.2 tp_src=4000 tp_dst=53 actions=mod_nw_tos:4,goto_table:1"
    )
    group = Group(7, "select", (Bucket((Output(3),), watch_port=3), Bucket((Output(4),), 2)), 39595)
    assert group_text(group) == (
        "group_id=7,type=select,selection_method=dp_hash,selection_method_param=39595,"
        "bucket=bucket_id=0,weight:1,watch_port:3,output:3,bucket=bucket_id=1,weight:2,output:4"
    )
    assert describe(DropGroup(7)) == "del-group group_id=7"


REPLICA = read("udp_port: 6343\ncollector: {address: 10.0.3.2}\ncopies: [{port: 7343}, {host: 10.0.1.2, source: keep}]")


def test_replication_stands_on_the_collectors_leaf_once_per_port_in():
    switch, rules = replication.place(FABRIC, Hosts(FABRIC.hosts), REPLICA, 1)
    assert switch == "leaf3"
    assert sorted(dict(rule.match)["in_port"] for rule in rules) == [1, 3, 4, 5]  # all but the collector's port 2
    assert all(("ipv4_dst", "10.0.3.2") in rule.match for rule in rules)
    assert all(kind_of(rule.cookie) == RuleKind.REPLICATION for rule in rules)
    from_spine1 = next(rule for rule in rules if ("in_port", 3) in rule.match)
    assert from_spine1.actions[0] == Output(2)
    assert Output("IN_PORT") in from_spine1.actions  # the copy leaves where the datagram came from
    assert SetField("eth_dst", "00:04:00:00:01:02") in from_spine1.actions


@pytest.mark.parametrize("name", ["10.9.9.9", "10.0.3.77"])
def test_replication_to_unknown_hosts_is_refused_by_name(name):
    spec = read(f"udp_port: 1\ncollector: {{address: 10.0.3.2}}\ncopies: [{{host: {name}, source: keep}}]")
    with pytest.raises(ValueError, match=name):
        replication.place(FABRIC, Hosts(FABRIC.hosts), spec, 1)
