"""A model of an OpenFlow 1.5 switch, as far as Open vSwitch and our messages use it: what it holds and what packets do.

It takes the messages of controller/openflow.py, as Ryu's objects, in the order in which they come, and answers with
what stands in Ryu's events. Rules are interpreted, whatever wrote them: priorities and masks by tuple space search, as
Open vSwitch has it (one dictionary per table, priority and set of masks), `apply actions` and `goto table`, groups of
all four types with liveness by port and by group. tests/ovs/test_model.py compares it with Open vSwitch.

What a packet may do is a list of alternatives, one per bucket that a select group might choose; what it does do follows
a hash. Both are remembered per header until something changes, which `version` counts. Cost: a lookup asks as many
dictionaries as the table has pairs of priority and masks, however many rules; a change empties its switch's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from zlib import crc32

from controller import openflow
from controller.sim.packet import IN_PORT, INDEX, BadMatch, Header, Masks, changed, compiled, number
from ovs_rules.rule import RESERVED_PORTS, Action, Bucket, Group, Output, Rule, SetField, ToGroup

# OpenFlow 1.5: 7.3.4.2 and 7.3.4.3 (commands), 7.5.4 (errors as type, code), 7.3.5 (flags), 7.2.1 (ports).
ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = range(3)
SEND_FLOW_REMOVED = 1
ANY = 0xFFFFFFFF
ALL_TABLES = 0xFF
ALL_GROUPS = 0xFFFFFFFC
BAD_TABLE, BAD_OUT_GROUP, BAD_PREREQUISITE = (3, 2), (2, 9), (4, 9)
TABLE_FULL, OUT_OF_GROUPS, GROUP_EXISTS, UNKNOWN_GROUP = (5, 1), (6, 3), (6, 0), (6, 8)
LINK_DOWN, REPLY_MORE, PORT_DELETED, PORT_CHANGED = 1, 1, 1, 2
SELECT, FAST_FAILOVER = "select", "ff"
KINDS = ("all", SELECT, "indirect", FAST_FAILOVER)
PART = 16  # entries of one part of an answer: small, so that answers have several
DEEPEST = 64  # groups in groups

Outputs = tuple[tuple[int, Header], ...]
Chooser = Callable[[Group, Sequence[Bucket], Header], Sequence[Bucket]]


@dataclass
class Entry:
    """A flow entry: the rule, the message that brought it, and when it began and was last used (s)."""

    rule: Rule
    message: Any
    began: float
    used: float
    masks: Masks
    values: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """Something a switch says: the name of Ryu's event without EventOFP, and what stands in its `msg`."""

    event: str
    msg: Any


@dataclass
class Result:
    """What a packet may do: the alternatives, and the entries that it uses in any of them."""

    alternatives: list[Outputs]
    used: list[Entry] = field(default_factory=list)


class Switch:
    """One switch. `ports` are (number, name, bits/s); `refuses` says for which rules and groups it has no room."""

    def __init__(self, name: str, dpid: int, ports: Iterable[tuple[int, str, int]]) -> None:
        self.name, self.dpid = name, dpid
        self.ports = {number: (port, speed) for number, port, speed in ports}
        self.up = dict.fromkeys(self.ports, True)
        self.version = 0
        self.entries: dict[Any, Entry] = {}
        self.groups: dict[int, tuple[Group, Any]] = {}
        self.refuses: Callable[[Rule | Group], bool] = lambda _: False
        self._tables: dict[int, dict[tuple[int, Masks], dict[tuple[int, ...], Entry]]] = {}
        self._order: dict[int, list[tuple[Masks, dict[tuple[int, ...], Entry]]]] = {}
        self._possible: dict[Header, Result] = {}
        self._actual: dict[Header, Result] = {}

    # Its state

    def touch(self) -> None:
        """Something changed that packets may notice."""
        self.version += 1
        self._possible.clear()
        self._actual.clear()

    def set_port(self, number: int, up: bool) -> Answer:
        self.up[number] = up
        self.touch()
        return Answer("PortStatus", SimpleNamespace(desc=self._describe(number), reason=PORT_CHANGED))

    def restart(self) -> None:
        """Loses all entries."""
        self.entries.clear()
        self.groups.clear()
        self._tables.clear()
        self._order.clear()
        self.touch()

    def port_descriptions(self) -> dict[int, Any]:
        """OFPPort of every port; the LOCAL port has the bridge's name."""
        local = SimpleNamespace(port_no=RESERVED_PORTS["LOCAL"], name=self.name, state=LINK_DOWN, config=0)
        local.properties = []
        return {**{number: self._describe(number) for number in self.ports}, local.port_no: local}

    def _describe(self, number: int) -> Any:
        name, speed = self.ports[number]
        state = 0 if self.up[number] else LINK_DOWN
        ethernet = SimpleNamespace(curr_speed=speed // 1000)
        return SimpleNamespace(port_no=number, name=name, state=state, config=0, properties=[ethernet])

    def expire(self, now: float) -> list[Answer]:
        """Removes the entries whose time is over."""
        timed = [entry for entry in self.entries.values() if entry.rule.idle_timeout or entry.rule.hard_timeout]
        over = [entry for entry in timed if _is_over(entry, now)]
        return [answer for entry in over for answer in self._remove(entry)]

    # Messages

    def receive(self, message: Any, now: float) -> list[Answer]:
        """Takes one message of the controller; its answers, in order."""
        match type(message).__name__:
            case "OFPFlowMod":
                return self._flow_mod(message, now)
            case "OFPGroupMod":
                return self._group_mod(message)
            case "OFPBarrierRequest":
                return [Answer("BarrierReply", SimpleNamespace(xid=message.xid))]
            case "OFPFlowDescStatsRequest":
                entries = [entry.message for entry in self.entries.values() if _is_asked(entry.rule, message)]
                return list(_parts("FlowDescStatsReply", message.xid, entries))
            case "OFPGroupDescStatsRequest":
                return list(_parts("GroupDescStatsReply", message.xid, [found for _, found in self.groups.values()]))
            case other:
                raise NotImplementedError(f"the model switch knows no {other}")

    def _flow_mod(self, message: Any, now: float) -> list[Answer]:
        rule = openflow.rule(message)
        if message.command == DELETE_STRICT:
            held = self.entries.get(rule.identity)
            return self._remove(held) if held and _has_cookie(held.rule, message) else []
        if message.command == DELETE:
            wanted = [entry for entry in self.entries.values() if _is_within(entry, rule, message)]
            return [answer for entry in wanted for answer in self._remove(entry)]
        if message.command != ADD:
            raise NotImplementedError(f"the model switch knows no flow-mod command {message.command}")
        try:
            masks, values = compiled(rule.match)
        except BadMatch:
            return [_error(message, BAD_PREREQUISITE)]
        if rule.goto is not None and rule.goto <= rule.table:
            return [_error(message, BAD_TABLE)]
        if any(isinstance(action, ToGroup) and action.group_id not in self.groups for action in rule.actions):
            return [_error(message, BAD_OUT_GROUP)]
        if rule.identity not in self.entries and self.refuses(rule):
            return [_error(message, TABLE_FULL)]
        entry = Entry(rule, message, now, now, masks, values)
        self.entries[rule.identity] = entry
        table = self._tables.setdefault(rule.table, {})
        if (rule.priority, masks) not in table:
            table[rule.priority, masks] = {}
            self._order.pop(rule.table, None)
        table[rule.priority, masks][values] = entry
        self.touch()
        return []

    def _group_mod(self, message: Any) -> list[Answer]:
        if message.command == GROUP_DELETE:
            return self._delete_groups(message.group_id)
        exists = message.group_id in self.groups
        if exists == (message.command == GROUP_ADD):
            return [_error(message, GROUP_EXISTS if exists else UNKNOWN_GROUP)]
        group = openflow.group(message)
        actions = [action for bucket in group.buckets for action in bucket.actions]
        if any(isinstance(action, ToGroup) and action.group_id not in self.groups for action in actions):
            return [_error(message, BAD_OUT_GROUP)]
        if self.refuses(group):
            return [_error(message, OUT_OF_GROUPS)]
        self.groups[group.group_id] = group, message
        self.touch()
        return []

    def _delete_groups(self, number: int) -> list[Answer]:
        """With a group go the rules and the groups that lead to it (OpenFlow 1.5, 6.7)."""
        gone = set(self.groups) if number == ALL_GROUPS else {number} & self.groups.keys()
        for group_id in gone:
            self.groups.pop(group_id, None)
        self.touch()
        answers: list[Answer] = []
        for entry in [entry for entry in self.entries.values() if _leads_to(entry.rule.actions, gone)]:
            answers += self._remove(entry)
        for group, _ in list(self.groups.values()):
            if any(_leads_to(bucket.actions, gone) for bucket in group.buckets):
                answers += self._delete_groups(group.group_id)
        return answers

    def _remove(self, entry: Entry) -> list[Answer]:
        rule = entry.rule
        del self.entries[rule.identity]
        table = self._tables[rule.table]
        del table[rule.priority, entry.masks][entry.values]
        if not table[rule.priority, entry.masks]:
            del table[rule.priority, entry.masks]
            self._order.pop(rule.table, None)
        self.touch()
        return [_removed(entry.message)] if entry.message.flags & SEND_FLOW_REMOVED else []

    # Packets

    def possible(self, packet: Header) -> Result:
        """What the packet may do, whatever the select groups choose."""
        found = self._possible.get(packet)
        if found is None:
            found = self._possible[packet] = self._process(packet, lambda _group, alive, _packet: alive)
        return found

    def actual(self, packet: Header) -> Result:
        """What the packet does: one alternative, select groups choosing by a hash of its addresses and ports."""
        found = self._actual.get(packet)
        if found is None:
            found = self._actual[packet] = self._process(packet, _by_hash)
        return found

    def _process(self, packet: Header, choose: Chooser) -> Result:
        used: list[Entry] = []
        return Result(self._in_table(0, packet, choose, used), used)

    def _in_table(self, table: int, packet: Header, choose: Chooser, used: list[Entry]) -> list[Outputs]:
        entry = self.lookup(table, packet)
        if entry is None:
            return [()]
        used.append(entry)
        after, alternatives = self._act(entry.rule.actions, packet, choose)
        if entry.rule.goto is None:
            return alternatives
        rest = self._in_table(entry.rule.goto, after, choose, used)
        return [before + later for before in alternatives for later in rest]

    def lookup(self, table: int, packet: Header) -> Entry | None:
        """The entry of the table that the packet uses; None on a miss."""
        order = self._order.get(table)
        if order is None:
            subtables = self._tables.get(table, {})
            priorities = sorted(subtables, key=lambda key: -key[0])
            order = self._order[table] = [(masks, subtables[priority, masks]) for priority, masks in priorities]
        for masks, entries in order:
            entry = entries.get(tuple([packet[index] & mask for index, mask in masks]))
            if entry is not None:
                return entry
        return None

    def _act(
        self, actions: Sequence[Action], packet: Header, choose: Chooser, depth: int = 0
    ) -> tuple[Header, list[Outputs]]:
        alternatives: list[Outputs] = [()]
        for action in actions:
            match action:
                case SetField(name, value):
                    packet = changed(packet, name, number(value))
                case Output(port):
                    out = self._output(number(port), packet)
                    alternatives = [before + out for before in alternatives]
                case ToGroup(group_id):
                    choices = self._in_group(group_id, packet, choose, depth)
                    alternatives = [before + more for before in alternatives for more in choices]
        return packet, alternatives

    def _output(self, port: int, packet: Header) -> Outputs:
        """A packet does not leave by the port where it came in, unless by the reserved port IN_PORT."""
        if port == RESERVED_PORTS["IN_PORT"]:
            return ((packet[IN_PORT], packet),)
        return () if port == packet[IN_PORT] else ((port, packet),)

    def _in_group(self, group_id: int, packet: Header, choose: Chooser, depth: int) -> list[Outputs]:
        """Each bucket has a copy of its own of the packet (OpenFlow 1.5, 5.6.1)."""
        if group_id not in self.groups or depth > DEEPEST:
            return [()]
        group = self.groups[group_id][0]
        alive = [bucket for bucket in group.buckets if self._is_alive(bucket)]
        match group_kind(self.groups[group_id][1]):
            case "all":
                copies: list[Outputs] = [()]
                for bucket in group.buckets:
                    more = self._act(bucket.actions, packet, choose, depth + 1)[1]
                    copies = [before + later for before in copies for later in more]
                return copies
            case "select":
                chosen = choose(group, alive, packet) if alive else ()
            case "ff":
                chosen = alive[:1]
            case _:
                chosen = group.buckets[:1]
        found = [outputs for bucket in chosen for outputs in self._act(bucket.actions, packet, choose, depth + 1)[1]]
        return found or [()]

    def _is_alive(self, bucket: Bucket, depth: int = 0) -> bool:
        """By the port and by the group it watches; a bucket that watches nothing is."""
        group_id = getattr(bucket, "watch_group", None)
        if bucket.watch_port is None and group_id is None:
            return True
        if bucket.watch_port is not None and self.up.get(bucket.watch_port, False):
            return True
        if group_id is None or group_id not in self.groups or depth > DEEPEST:
            return False
        return any(self._is_alive(other, depth + 1) for other in self.groups[group_id][0].buckets)


def group_kind(message: Any) -> str:
    """Of a group-mod: all, select, indirect or ff."""
    return KINDS[message.type]


_HASHED = tuple(
    INDEX[name]
    for name in ("ip_proto", "ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst", "tcp_src", "tcp_dst", "udp_src", "udp_dst")
)


def _by_hash(group: Group, alive: Sequence[Bucket], packet: Header) -> Sequence[Bucket]:
    text = f"{group.hash_basis} {[packet[index] for index in _HASHED]}"
    return (alive[crc32(text.encode()) % len(alive)],)


def _is_over(entry: Entry, now: float) -> bool:
    rule = entry.rule
    idle = rule.idle_timeout and now - entry.used > rule.idle_timeout
    return bool(idle or (rule.hard_timeout and now - entry.began > rule.hard_timeout))


def _has_cookie(rule: Rule, message: Any) -> bool:
    return bool((rule.cookie ^ message.cookie) & message.cookie_mask == 0)


def _is_asked(rule: Rule, request: Any) -> bool:
    return _has_cookie(rule, request) and request.table_id in (ALL_TABLES, rule.table)


def _is_within(entry: Entry, rule: Rule, message: Any) -> bool:
    """Whether a non-strict flow-mod is about this entry: its match is as narrow or narrower (OpenFlow 1.5, 6.4)."""
    if not _is_asked(entry.rule, message):
        return False
    masks, values = compiled(rule.match)
    held = dict(zip(entry.masks, entry.values, strict=True))
    by_field = {index: (mask, value) for (index, mask), value in held.items()}
    return all(
        index in by_field and mask & by_field[index][0] == mask and by_field[index][1] & mask == value
        for (index, mask), value in zip(masks, values, strict=True)
    )


def _leads_to(actions: Iterable[Action], groups: set[int]) -> bool:
    return any(isinstance(action, ToGroup) and action.group_id in groups for action in actions)


def _removed(message: Any) -> Answer:
    told = ("match", "table_id", "priority", "cookie", "idle_timeout", "hard_timeout")
    return Answer("FlowRemoved", SimpleNamespace(**{name: getattr(message, name) for name in told}))


def _error(message: Any, error: tuple[int, int]) -> Answer:
    return Answer("ErrorMsg", SimpleNamespace(xid=message.xid, type=error[0], code=error[1]))


def _parts(event: str, xid: int, body: Sequence[Any]) -> Iterator[Answer]:
    """An answer in parts, of which all but the last say that more follows."""
    for first in range(0, len(body) or 1, PART):
        flags = REPLY_MORE if first + PART < len(body) else 0
        yield Answer(event, SimpleNamespace(xid=xid, flags=flags, body=body[first : first + PART]))
