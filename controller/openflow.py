"""Between our values and Ryu's messages: changes become flow mods and group mods, reports become rules and groups.

OpenFlow 1.5 only. It is the one version in which a group's hash can be chosen (the selection method is a group
property of 1.5 and later), and every Open vSwitch since 2.12 speaks it by default. What Open vSwitch does
not take from 1.5 (the new OFPMP_FLOW_STATS) is not used.

Three parsers of Ryu 4.34 are replaced on import: those of buckets and of group descriptions read properties past the
end of what they belong to (the first never returns on what Open vSwitch sends), that of experimenters' actions reads
what no rule of ours has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from ryu.ofproto import ofproto_v1_5 as ofp
from ryu.ofproto import ofproto_v1_5_parser as parser

from controller.load import PortCounters
from controller.pipeline import MARK_MASK, OURS
from controller.reconcile import Change, DropGroup, DropRule, PutGroup, PutRule
from controller.topology import Port
from ovs_rules.rule import RESERVED_PORTS, Action, Bucket, Group, Output, Resubmit, Rule, SetField, ToGroup, Value

OFP_VERSION = ofp.OFP_VERSION

# Open vSwitch's group property for the selection method: ovs-ofctl(8); vendor code and layout in OVS's
# include/openflow/netronome-ext.h: pad 4, method name 16, parameter 64 bits, then fields.
_NTR_VENDOR, _NTR_SELECTION_METHOD = 0x0000154D, 1
_SELECTION = struct.Struct("!4x16sQ")
# Nicira's action NXAST_RESUBMIT_TABLE: subtype, port (here the one the packet came in), table (ovs-actions(7)).
_NX_VENDOR, _NX_RESUBMIT_TABLE, _NX_IN_PORT = 0x00002320, 14, 0xFFF8
_RESUBMIT = struct.Struct("!HHB3x")
_GROUP_KINDS = {
    "all": ofp.OFPGT_ALL,
    "select": ofp.OFPGT_SELECT,
    "indirect": ofp.OFPGT_INDIRECT,
    "fast_failover": ofp.OFPGT_FF,
}
_KIND_NAMES = {number: name for name, number in _GROUP_KINDS.items()}
_IP_FIELDS = {"ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst", "ipv6_nd_target", "arp_spa", "arp_tpa"}
_PORT_NAMES = {number: name for name, number in RESERVED_PORTS.items()}


def _parse_bucket(cls: type, buf: bytes, offset: int) -> Any:
    """OFPBucket.parser with the properties read up to the end of the bucket (OpenFlow 1.5, 7.3.4.3.1)."""
    bucket = cls()
    bucket.len, bucket.action_array_len, bucket.bucket_id = struct.unpack_from(ofp.OFP_BUCKET_PACK_STR, buf, offset)
    actions = offset + ofp.OFP_BUCKET_SIZE
    properties = actions + bucket.action_array_len
    bucket.actions = _elements(parser.OFPAction.parser, buf, actions, properties)
    bucket.properties = _properties(parser.OFPGroupBucketProp.parse, buf[properties : offset + bucket.len])
    return bucket


def _parse_group(cls: type, buf: bytes, offset: int) -> Any:
    """OFPGroupDescStats.parser with the properties read up to the end of the group (OpenFlow 1.5, 7.3.5.10)."""
    group = cls()
    group.length, group.type, group.group_id, group.bucket_array_len = struct.unpack_from(
        ofp.OFP_GROUP_DESC_STATS_PACK_STR, buf, offset
    )
    buckets = offset + ofp.OFP_GROUP_DESC_STATS_SIZE
    properties = buckets + group.bucket_array_len
    group.buckets = _elements(parser.OFPBucket.parser, buf, buckets, properties)
    group.properties = _properties(parser.OFPGroupProp.parse, buf[properties : offset + group.length])
    return group


def _elements(parse: Callable[[bytes, int], Any], buf: bytes, at: int, end: int) -> list[Any]:
    """What stands from `at` to `end`, each as long as it says."""
    found = []
    while at < end:
        found.append(parse(buf, at))
        at += found[-1].len
    return found


def _properties(parse: Callable[[bytes], tuple[Any, bytes]], rest: bytes) -> list[Any]:
    found = []
    while rest:
        prop, rest = parse(rest)
        found.append(prop)
    return found


def _parse_experimenter_action(cls: type, buf: bytes, offset: int) -> Any:
    """OFPActionExperimenter.parser that keeps every action as it is: ours are none, and Ryu's parsers of Nicira's
    actions trust the lengths in them."""
    _, length, experimenter = struct.unpack_from(ofp.OFP_ACTION_EXPERIMENTER_HEADER_PACK_STR, buf, offset)
    data = buf[offset + ofp.OFP_ACTION_EXPERIMENTER_HEADER_SIZE : offset + length]
    action = parser.OFPActionExperimenterUnknown(experimenter, data)
    action.len = length
    return action


parser.OFPBucket.parser = classmethod(_parse_bucket)
parser.OFPGroupDescStats.parser = classmethod(_parse_group)
parser.OFPActionExperimenter.parser = classmethod(_parse_experimenter_action)


# Towards the switch


def message(datapath: Any, change: Change) -> Any:
    """The OpenFlow message that makes this change."""
    match change:
        case PutRule(rule):
            return _flow_mod(datapath, ofp.OFPFC_ADD, rule)
        case DropRule(rule):
            return _flow_mod(datapath, ofp.OFPFC_DELETE_STRICT, rule)
        case PutGroup(group, exists):
            return _group_mod(datapath, ofp.OFPGC_MODIFY if exists else ofp.OFPGC_ADD, group)
        case DropGroup(group_id):
            return parser.OFPGroupMod(datapath, ofp.OFPGC_DELETE, ofp.OFPGT_ALL, group_id, ofp.OFPG_BUCKET_ALL)


def packet_out(datapath: Any, port: int, data: bytes) -> Any:
    """Sends `data` out of one port."""
    return parser.OFPPacketOut(
        datapath,
        ofp.OFP_NO_BUFFER,
        parser.OFPMatch(in_port=ofp.OFPP_CONTROLLER),
        [parser.OFPActionOutput(port)],
        data,
    )


def barrier(datapath: Any) -> Any:
    return parser.OFPBarrierRequest(datapath)


def state_requests(datapath: Any) -> list[Any]:
    """Asks for all flow entries of ours (the switch filters by cookie) and all groups."""
    return [
        parser.OFPGroupDescStatsRequest(datapath, 0, ofp.OFPG_ALL),
        parser.OFPFlowDescStatsRequest(
            datapath, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, OURS, MARK_MASK, parser.OFPMatch()
        ),
    ]


def counter_requests(datapath: Any) -> list[Any]:
    """Asks for the counters of all ports and all groups."""
    return [
        parser.OFPPortStatsRequest(datapath, 0, ofp.OFPP_ANY),
        parser.OFPGroupStatsRequest(datapath, 0, ofp.OFPG_ALL),
    ]


def _flow_mod(datapath: Any, command: int, rule: Rule) -> Any:
    instructions = []
    if rule.actions:
        actions = [_action(action) for action in rule.actions]
        instructions.append(parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
    if rule.goto is not None:
        instructions.append(parser.OFPInstructionGotoTable(rule.goto))
    return parser.OFPFlowMod(
        datapath,
        cookie=rule.cookie,
        table_id=rule.table,
        command=command,
        idle_timeout=rule.idle_timeout,
        hard_timeout=rule.hard_timeout,
        priority=rule.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        flags=ofp.OFPFF_SEND_FLOW_REM if rule.idle_timeout or rule.hard_timeout else 0,
        match=parser.OFPMatch(**{name: _match_value(name, value) for name, value in rule.match}),
        instructions=instructions,
    )


def _group_mod(datapath: Any, command: int, group: Group) -> Any:
    properties = []
    if group.hash_basis is not None:
        words = struct.unpack("!7I", _SELECTION.pack(b"dp_hash", group.hash_basis))
        properties.append(
            parser.OFPGroupPropExperimenter(
                type_=ofp.OFPGPT_EXPERIMENTER, experimenter=_NTR_VENDOR, exp_type=_NTR_SELECTION_METHOD, data=words
            )
        )
    buckets = [_bucket(number, bucket, group.kind) for number, bucket in enumerate(group.buckets)]
    return parser.OFPGroupMod(
        datapath, command, _GROUP_KINDS[group.kind], group.group_id, ofp.OFPG_BUCKET_ALL, buckets, properties
    )


def _bucket(number: int, bucket: Bucket, kind: str) -> Any:
    properties = []
    if kind == "select":
        properties.append(parser.OFPGroupBucketPropWeight(type_=ofp.OFPGBPT_WEIGHT, weight=bucket.weight))
    if bucket.watch_port is not None:
        properties.append(parser.OFPGroupBucketPropWatch(type_=ofp.OFPGBPT_WATCH_PORT, watch=bucket.watch_port))
    if bucket.watch_group is not None:
        properties.append(parser.OFPGroupBucketPropWatch(type_=ofp.OFPGBPT_WATCH_GROUP, watch=bucket.watch_group))
    actions = [_action(action) for action in bucket.actions]
    return parser.OFPBucket(bucket_id=number, actions=actions, properties=properties)


def _action(action: Action) -> Any:
    match action:
        case Output(port):
            number = RESERVED_PORTS[port] if isinstance(port, str) else port
            return parser.OFPActionOutput(number, ofp.OFPCML_NO_BUFFER)
        case ToGroup(group_id):
            return parser.OFPActionGroup(group_id)
        case SetField(name, value):
            return parser.OFPActionSetField(**{name: value})
        case Resubmit(table):
            return parser.OFPActionExperimenterUnknown(
                _NX_VENDOR, _RESUBMIT.pack(_NX_RESUBMIT_TABLE, _NX_IN_PORT, table)
            )


def _match_value(name: str, value: Value) -> Any:
    """Ryu wants masked values as (value, mask)."""
    if isinstance(value, str) and "/" in value:
        if name in _IP_FIELDS:
            network = ip_network(value, strict=False)
            return str(network.network_address), str(network.netmask)
        address, mask = value.split("/")
        return address, mask
    if name == "in_port" and isinstance(value, str):
        return RESERVED_PORTS[value]
    return value


# From the switch


def rule(entry: Any) -> Rule:
    """An OFPFlowDesc or OFPFlowRemoved as a Rule; of a removed entry the actions are not reported."""
    actions: list[Action] = []
    goto = None
    for instruction in getattr(entry, "instructions", ()):
        if instruction.type == ofp.OFPIT_GOTO_TABLE:
            goto = instruction.table_id
        elif instruction.type == ofp.OFPIT_APPLY_ACTIONS:
            actions += [read for action in instruction.actions if (read := _read_action(action))]
    match = tuple((name, _read_value(name, value)) for name, value in entry.match.items())
    return Rule(
        match,
        tuple(actions),
        goto,
        entry.table_id,
        entry.priority,
        entry.cookie,
        entry.idle_timeout,
        entry.hard_timeout,
    )


def group(entry: Any) -> Group:
    """An OFPGroupDescStats as a Group."""
    basis = None
    for prop in entry.properties:
        if getattr(prop, "experimenter", None) == _NTR_VENDOR and len(prop.data) >= 7:
            method, parameter = _SELECTION.unpack(struct.pack("!7I", *prop.data[:7]))
            basis = parameter if method.rstrip(b"\0") == b"dp_hash" else None
    buckets = tuple(_read_bucket(bucket) for bucket in entry.buckets)
    return Group(entry.group_id, _KIND_NAMES.get(entry.type, "unknown"), buckets, basis)


def ports(switch: str, descriptions: Any) -> dict[int, Port]:
    """OFPPort descriptions as ports of `switch`, without the reserved ones."""
    return {
        port.port_no: Port(switch, port.port_no, _text(port.name), _speed(port))
        for port in descriptions
        if port.port_no <= ofp.OFPP_MAX
    }


def local_name(descriptions: Any) -> str | None:
    """The bridge's name, which Open vSwitch gives its LOCAL port."""
    return next((_text(port.name) for port in descriptions if port.port_no == ofp.OFPP_LOCAL), None)


def is_up(port: Any) -> bool:
    return not (port.state & ofp.OFPPS_LINK_DOWN or port.config & ofp.OFPPC_PORT_DOWN)


def is_gone(status: Any) -> bool:
    """A port status message that says the port was removed."""
    return bool(status.reason == ofp.OFPPR_DELETE)


def is_last(reply: Any) -> bool:
    """The last part of a multipart reply."""
    return not reply.flags & ofp.OFPMPF_REPLY_MORE


def port_counters(body: Any) -> dict[int, PortCounters]:
    """OFPPortStats as counters by port number."""
    return {
        port.port_no: PortCounters(
            port.rx_bytes, port.tx_bytes, port.rx_packets, port.tx_packets, port.rx_dropped + port.tx_dropped
        )
        for port in body
        if port.port_no <= ofp.OFPP_MAX
    }


def group_counters(body: Any) -> dict[int, list[tuple[int, int]]]:
    """OFPGroupStats as (packets, bytes) of each bucket, by group."""
    return {
        entry.group_id: [(bucket.packet_count, bucket.byte_count) for bucket in entry.bucket_stats] for entry in body
    }


def _speed(port: Any) -> int:
    """Bits/s from an ethernet property (OpenFlow gives kb/s), 0 where there is none."""
    return next((prop.curr_speed * 1000 for prop in port.properties if hasattr(prop, "curr_speed")), 0)


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _read_bucket(bucket: Any) -> Bucket:
    weight, watch, watch_group = 1, None, None
    for prop in bucket.properties:
        if prop.type == ofp.OFPGBPT_WEIGHT:
            weight = prop.weight
        elif prop.type == ofp.OFPGBPT_WATCH_PORT and prop.watch != ofp.OFPP_ANY:
            watch = prop.watch
        elif prop.type == ofp.OFPGBPT_WATCH_GROUP and prop.watch != ofp.OFPG_ANY:
            watch_group = prop.watch
    actions = tuple(read for action in bucket.actions if (read := _read_action(action)))
    return Bucket(actions, weight, watch, watch_group)


def _read_action(action: Any) -> Action | None:
    """Our value of an action; None for one that no rule of ours has."""
    match action.type:
        case ofp.OFPAT_OUTPUT:
            return Output(_PORT_NAMES.get(action.port, action.port))
        case ofp.OFPAT_GROUP:
            return ToGroup(action.group_id)
        case ofp.OFPAT_SET_FIELD:
            return SetField(action.key, _read_value(action.key, action.value))
        case ofp.OFPAT_EXPERIMENTER if action.experimenter == _NX_VENDOR and len(action.data) == _RESUBMIT.size:
            subtype, _, table = _RESUBMIT.unpack(action.data)
            return Resubmit(table) if subtype == _NX_RESUBMIT_TABLE else None
    return None


def _prefix_length(mask: str) -> int | str:
    """A mask of leading ones as their number, any other as it is."""
    address = ip_address(mask)
    ones = int(address).bit_count()
    leading = ip_network((0, ones)) if address.version == 4 else ip_network((bytes(16), ones))
    return ones if leading.netmask == address else mask


def _read_value(name: str, value: Any) -> Value:
    """The value as rules have it: masked addresses as text, IP networks as address/prefix."""
    if isinstance(value, tuple):
        address, mask = value
        return f"{address}/{_prefix_length(mask)}" if name in _IP_FIELDS else f"{address}/{mask}"
    read: Value = _PORT_NAMES.get(value, value) if name == "in_port" else value
    return read
