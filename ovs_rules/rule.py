"""Flow rules and groups as plain frozen values: what a switch shall do.

A `Rule` is a match, actions and timeouts in one flow table; a `Group` is a set of buckets. Both know nothing of
Ryu, sockets or switches, so policies and tests handle them as values, and two writers turn them into something a
switch takes: `controller/openflow.py` into OpenFlow 1.5 messages, `text()` below into ovs-ofctl(8) lines.

Match and set-field names are OXM names (OpenFlow 1.5, section 7.2.3.7): `eth_type`, `ipv4_src`, `udp_dst` ...
Values: integers; addresses as text, IPv4 and IPv6 with an optional `/prefix`, MACs with an optional `/mask`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

Value = int | str

ETH_IPV4, ETH_ARP, ETH_IPV6, ETH_LLDP = 0x0800, 0x0806, 0x86DD, 0x88CC
PROTO_TCP, PROTO_UDP, PROTO_ICMPV6 = 6, 17, 58
ND_SOLICITATION, ND_ADVERTISEMENT = 135, 136  # icmpv6_type (RFC 4861)

# Reserved ports by the names ovs-ofctl prints (OpenFlow 1.5, section 7.2.1.1, ofp_port_no).
RESERVED_PORTS = {
    "IN_PORT": 0xFFFFFFF8,
    "NORMAL": 0xFFFFFFFA,
    "FLOOD": 0xFFFFFFFB,
    "ALL": 0xFFFFFFFC,
    "CONTROLLER": 0xFFFFFFFD,
    "LOCAL": 0xFFFFFFFE,
}
DEFAULT_PRIORITY = 0x8000


@dataclass(frozen=True)
class Output:
    """Send the packet, as it stands now, out of `port`: a number or a name of RESERVED_PORTS."""

    port: int | str


@dataclass(frozen=True)
class SetField:
    """Rewrite one header field; checksums follow."""

    field: str
    value: Value


@dataclass(frozen=True)
class ToGroup:
    """Hand the packet to a group of the same switch."""

    group_id: int


@dataclass(frozen=True)
class Resubmit:
    """Look the packet up in this table of the same switch, from within a group too (ovs-actions(7))."""

    table: int


Action = Output | SetField | ToGroup | Resubmit


@dataclass(frozen=True)
class Rule:
    """One flow entry. Timeouts in seconds, 0 = never; `goto` is the table where processing goes on, if any."""

    match: tuple[tuple[str, Value], ...]
    actions: tuple[Action, ...] = ()
    goto: int | None = None
    table: int = 0
    priority: int = DEFAULT_PRIORITY
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0

    @cached_property
    def identity(self) -> tuple[int, int, frozenset[tuple[str, Value]]]:
        """What makes two entries the same entry for a switch: table, priority and match (OpenFlow 1.5, 6.4)."""
        return self.table, self.priority, frozenset(self.match)

    @property
    def effect(self) -> tuple[object, ...]:
        """What the entry does, apart from which packets it is for."""
        return self.actions, self.goto, self.cookie, self.idle_timeout, self.hard_timeout


@dataclass(frozen=True)
class Bucket:
    """One choice of a group. With `watch_port` set the bucket is skipped while that port is down, with `watch_group`
    while no bucket of that group is live.
    """

    actions: tuple[Action, ...]
    weight: int = 1
    watch_port: int | None = None
    watch_group: int | None = None


@dataclass(frozen=True)
class Group:
    """A group entry; `kind` is `select`, `all`, `indirect` or `fast_failover`, of which the first live bucket is taken.

    `hash_basis` (64 bits) chooses OVS's dp_hash selection with that parameter: the upper 32 bits name the hash
    (0 = 5-tuple with UDP ports), the lower 32 its basis (ovs-ofctl(8), selection_method_param). None leaves
    OVS's default, which ignores UDP ports and uses the same basis on every switch.
    """

    group_id: int
    kind: str
    buckets: tuple[Bucket, ...]
    hash_basis: int | None = field(default=None)


# OXM name -> name in ovs-ofctl's classic syntax, which every release understands.
_CLASSIC = {
    "in_port": "in_port",
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "vlan_vid": "dl_vlan",
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "ip_dscp": "nw_tos",
    "tcp_src": "tp_src",
    "tcp_dst": "tp_dst",
    "udp_src": "tp_src",
    "udp_dst": "tp_dst",
}


def text(rule: Rule) -> str:
    """The rule as an ovs-ofctl(8) flow. Table, priority, cookie and timeouts appear where they are not the default."""
    head = [
        f"{name}={value}"
        for name, value, default in (
            ("cookie", f"{rule.cookie:#x}", "0x0"),
            ("table", rule.table, 0),
            ("priority", rule.priority, DEFAULT_PRIORITY),
            ("idle_timeout", rule.idle_timeout, 0),
            ("hard_timeout", rule.hard_timeout, 0),
        )
        if value != default
    ]
    match = [f"{_CLASSIC.get(name, name)}={_value(name, value)}" for name, value in rule.match]
    actions = [_action(action) for action in rule.actions]
    if rule.goto is not None:
        actions.append(f"goto_table:{rule.goto}")
    return " ".join([*head, *match, "actions=" + (",".join(actions) or "drop")])


def group_text(group: Group) -> str:
    """The group as an ovs-ofctl(8) group (needs `-O OpenFlow15` for the selection method)."""
    parts = [f"group_id={group.group_id}", f"type={group.kind}"]
    if group.hash_basis is not None:
        parts += ["selection_method=dp_hash", f"selection_method_param={group.hash_basis}"]
    for bucket_id, bucket in enumerate(group.buckets):
        words = [f"bucket_id={bucket_id}"]
        if group.kind == "select":
            words.append(f"weight:{bucket.weight}")
        if bucket.watch_port is not None:
            words.append(f"watch_port:{bucket.watch_port}")
        if bucket.watch_group is not None:
            words.append(f"watch_group:{bucket.watch_group}")
        parts.append("bucket=" + ",".join([*words, *([_action(action) for action in bucket.actions] or ["drop"])]))
    return ",".join(parts)


def _value(name: str, value: Value) -> str:
    if name == "eth_type":
        return f"{value:#06x}"
    if name == "ip_dscp":  # ovs-ofctl takes the whole ToS byte, DSCP in its upper six bits
        return str(int(value) << 2)
    return str(value)


def _action(action: Action) -> str:
    match action:
        case Output("NORMAL"):
            return "normal"
        case Output(port) if isinstance(port, int):
            return f"output:{port}"
        case Output(port):
            return str(port)
        case ToGroup(group_id):
            return f"group:{group_id}"
        case Resubmit(table):
            return f"resubmit(,{table})"
        case SetField(name, value) if name in _CLASSIC:
            return f"mod_{_CLASSIC[name]}:{_value(name, value)}"
        case SetField(name, value):
            return f"set_field:{value}->{name}"
