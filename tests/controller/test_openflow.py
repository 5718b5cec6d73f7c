"""Values to OpenFlow 1.5 messages, through their bytes, and back to values."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_v1_5 as ofp
from ryu.ofproto import ofproto_v1_5_parser as parser

from controller import openflow
from controller.flow import FlowKey
from controller.load import PortCounters
from controller.pipeline import MARK_MASK, OURS, RuleKind, cookie, pin_group
from controller.reconcile import DropGroup, DropRule, PutGroup, PutRule
from controller.rules import flow_match, groups
from controller.topology import Port
from ovs_rules.rule import Bucket, Group, Output, Rule, SetField, ToGroup
from tests.controller.datapath import Datapath, through_the_wire, wire

DATAPATH = Datapath()
FLOW = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)
ELEPHANT = Rule(
    flow_match(FLOW), (SetField("ip_dscp", 1), Output(4)), None, 0, 1000, cookie(RuleKind.ELEPHANT, FLOW.number), 5
)
RULES = [
    ELEPHANT,
    Rule((), goto=1),
    Rule((("eth_type", 0x0806),), (Output("CONTROLLER"),), priority=3000, cookie=cookie(RuleKind.ARP)),
    Rule((("eth_dst", "00:04:00:00:01:01"),), (ToGroup(0x48000001),), table=1, priority=500),
    Rule((("eth_dst", "01:00:00:00:00:00/01:00:00:00:00:00"),), (Output(1), Output(2)), table=1, hard_timeout=9),
    Rule((("eth_type", 0x0800), ("ipv4_dst", "10.0.0.0/8")), (Output("IN_PORT"),)),
    Rule((("eth_type", 0x86DD), ("ipv6_src", "2001:db8::/32"), ("ipv6_dst", "::/1")), (Output(7),)),
    Rule((("eth_type", 0x0806), ("arp_tpa", "10.0.0.0/30"), ("arp_sha", "00:04:00:00:00:00/ff:ff:00:00:00:00"))),
    Rule((("in_port", 3),), (SetField("eth_dst", "00:04:00:00:01:02"), SetField("udp_dst", 7343), Output(2)), goto=1),
    Rule((("in_port", "LOCAL"),), (SetField("ipv4_src", "10.0.0.1"), Output("LOCAL"))),
]
SELECT = Group(0x48000002, "select", (Bucket((Output(3),), watch_port=3), Bucket((Output(4),), 2)), 0x8B2C4A05)
GROUPS = [
    SELECT,
    Group(1, "all", (Bucket((SetField("eth_dst", "00:04:00:00:01:02"), Output(1))), Bucket((Output(2),)))),
    Group(2, "indirect", (Bucket((ToGroup(1),)),)),
    Group(3, "select", ()),
    *groups(Rule((), (ToGroup(pin_group(4)),))),
]


def described(change):
    """The group of a group mod as a switch would describe it (OpenFlow 1.5, 7.3.4.3 and 7.3.5.10): the same tail."""
    raw = wire(openflow.message(DATAPATH, change))
    _, kind, group_id, array = struct.unpack_from("!HBxIH", raw, 8)
    tail = raw[24:]
    return parser.OFPGroupDescStats.parser(struct.pack("!HBxIH6x", 16 + len(tail), kind, group_id, array) + tail, 0)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_becomes_a_flow_mod_that_reads_back_as_the_same_rule(rule):
    message = through_the_wire(openflow.message(DATAPATH, PutRule(rule)))
    assert isinstance(message, parser.OFPFlowMod)
    assert message.command == ofp.OFPFC_ADD
    read = openflow.rule(message)
    assert (read.identity, read.effect) == (rule.identity, rule.effect)


@given(st.integers(0, 2**64 - 1), st.integers(0, 254), st.integers(0, 65535), st.integers(0, 65535))
def test_the_numbers_of_a_rule_survive(number, table, priority, timeout):
    rule = Rule((("in_port", 1),), (Output(2),), None, table, priority, number, timeout, timeout)
    assert openflow.rule(through_the_wire(openflow.message(DATAPATH, PutRule(rule)))) == rule


def test_a_rule_with_a_timeout_reports_its_end_and_others_do_not():
    flags = [through_the_wire(openflow.message(DATAPATH, PutRule(rule))).flags for rule in (ELEPHANT, RULES[1])]
    assert flags == [ofp.OFPFF_SEND_FLOW_REM, 0]


def test_a_removal_names_exactly_one_rule_whatever_it_points_at():
    message = through_the_wire(openflow.message(DATAPATH, DropRule(ELEPHANT)))
    assert (message.command, message.out_port, message.out_group) == (
        ofp.OFPFC_DELETE_STRICT, ofp.OFPP_ANY, ofp.OFPG_ANY,
    )  # fmt: skip
    assert openflow.rule(message).identity == ELEPHANT.identity


def test_an_action_outside_our_vocabulary_never_equals_a_rule_of_ours():
    message = openflow.message(DATAPATH, PutRule(RULES[3]))
    message.instructions[0].actions[:] = [parser.OFPActionPopVlan()]
    assert openflow.rule(through_the_wire(message)).effect != RULES[3].effect


def test_a_flow_removed_message_names_the_rule_without_its_actions():
    """Open vSwitch reports table, priority, cookie, timeouts and match."""
    removed = parser.OFPFlowRemoved(
        DATAPATH, table_id=0, reason=ofp.OFPRR_IDLE_TIMEOUT, priority=1000, idle_timeout=5, hard_timeout=0,
        cookie=ELEPHANT.cookie, match=parser.OFPMatch(**dict(ELEPHANT.match)), stats=parser.OFPStats(),
    )  # fmt: skip
    rule = openflow.rule(removed)
    assert (rule.identity, rule.cookie, rule.actions) == (ELEPHANT.identity, ELEPHANT.cookie, ())


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("exists", [False, True])
def test_a_group_becomes_a_group_mod_that_describes_the_same_group(group, exists):
    message = through_the_wire(openflow.message(DATAPATH, PutGroup(group, exists)))
    assert message.command == (ofp.OFPGC_MODIFY if exists else ofp.OFPGC_ADD)
    assert openflow.group(described(PutGroup(group, exists))) == group


def test_the_selection_method_stands_as_open_vswitch_reads_it():
    """ovs/include/openflow/netronome-ext.h: experimenter 0x154d, type 1, pad, name 16, parameter 64 bits."""
    raw = wire(openflow.message(DATAPATH, PutGroup(SELECT, False)))
    assert raw.endswith(
        bytes.fromhex("ffff0028 0000154d 00000001 00000000") + b"dp_hash".ljust(16, b"\0")
        + bytes.fromhex("000000008b2c4a05")
    )  # fmt: skip


def test_another_selection_method_is_not_taken_for_ours():
    entry = described(PutGroup(SELECT, False))
    words = struct.unpack("!7I", struct.pack("!4x16sQ", b"hash", 1))
    entry.properties[0].data = words
    assert openflow.group(entry).hash_basis is None


def test_a_group_is_removed_by_number():
    message = through_the_wire(openflow.message(DATAPATH, DropGroup(7)))
    assert (message.command, message.group_id) == (ofp.OFPGC_DELETE, 7)


def test_a_frame_goes_out_of_one_port():
    message = openflow.packet_out(DATAPATH, 3, b"frame" * 12)
    assert [action.port for action in message.actions] == [3]
    assert (message.buffer_id, wire(message)[-60:]) == (ofp.OFP_NO_BUFFER, b"frame" * 12)


def test_only_entries_of_ours_are_asked_for():
    groups, rules = openflow.state_requests(DATAPATH)
    assert groups.group_id == ofp.OFPG_ALL
    assert (rules.cookie, rules.cookie_mask, rules.table_id) == (OURS, MARK_MASK, ofp.OFPTT_ALL)
    assert all(wire(request) for request in (groups, rules, *openflow.counter_requests(DATAPATH)))


def port(number, name=b"leaf1-eth1", state=0, config=0, speed=None):
    """A port as a switch describes it, speed in kb/s."""
    properties = [] if speed is None else [parser.OFPPortDescPropEthernet(curr_speed=speed)]
    return parser.OFPPort(
        port_no=number, length=0, hw_addr="00:00:00:00:00:01", name=name, config=config, state=state,
        properties=properties,
    )  # fmt: skip


def test_ports_become_values_without_the_reserved_ones():
    described = [port(1, speed=10_000_000), port(2, b"x"), port(ofp.OFPP_LOCAL, b"leaf1")]
    assert openflow.ports("leaf1", described) == {
        1: Port("leaf1", 1, "leaf1-eth1", 10_000_000_000),
        2: Port("leaf1", 2, "x", 0),
    }
    assert openflow.local_name(described) == "leaf1"
    assert openflow.local_name(described[:2]) is None


@pytest.mark.parametrize(
    "state, config, up",
    [(0, 0, True), (ofp.OFPPS_LIVE, 0, True), (ofp.OFPPS_LINK_DOWN, 0, False), (0, ofp.OFPPC_PORT_DOWN, False)],
)
def test_a_port_is_up_if_neither_its_link_nor_its_configuration_is_down(state, config, up):
    assert openflow.is_up(port(1, state=state, config=config)) is up


def test_a_port_that_was_removed_is_gone():
    status = [parser.OFPPortStatus(DATAPATH, reason=reason, desc=port(1)) for reason in (ofp.OFPPR_DELETE, 2)]
    assert [openflow.is_gone(message) for message in status] == [True, False]


def test_the_last_part_of_a_reply_has_no_more_flag():
    replies = [parser.OFPFlowDescStatsReply(DATAPATH, flags=flags) for flags in (ofp.OFPMPF_REPLY_MORE, 0)]
    assert [openflow.is_last(reply) for reply in replies] == [False, True]


def test_counters_become_values():
    ports = [
        parser.OFPPortStats(0, number, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, []) for number in (1, ofp.OFPP_LOCAL)
    ]  # fmt: skip
    assert openflow.port_counters(ports) == {
        1: PortCounters(rx_bytes=3, tx_bytes=4, rx_packets=1, tx_packets=2, dropped=11)
    }
    buckets = [parser.OFPBucketCounter(packets, size) for packets, size in ((1, 100), (2, 250))]
    assert openflow.group_counters([parser.OFPGroupStats(group_id=9, bucket_stats=buckets)]) == {
        9: [(1, 100), (2, 250)]
    }
