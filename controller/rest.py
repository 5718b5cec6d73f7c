"""The northbound interface: what the controller knows and does, as JSON under /v1. Pure: a request comes in as values.

    GET /v1/status     counts, switches, faults          GET /v1/elephants[?all=true]   live (and ended) elephants
    GET /v1/fabric     switches, hosts, link ends        GET /v1/controls               the rule of each elephant
    GET /v1/links      load and elephants per direction  GET /v1/ecmp                   groups, members, bytes, flows
    GET PUT /v1/policy marking and steering on or off    GET /v1/topology               the topology document

HEAD is answered as GET is; other methods get 405, parameters that a resource does not take get 400.

Every answer is made from one view (view.py). Rates are bits/s, times seconds since the epoch. A link is busy from 80 %
of its speed on, and then "mice", "elephant" or "collision" by the number of elephants on it (0, 1, more), as sFlow-RT's
fabric view has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import msgspec

from controller import rules
from controller.commands import Command
from controller.conductor import Conductor
from controller.load import Meter
from controller.pipeline import RuleKind, kind_of
from controller.policy.ecmp import group_ids, imbalance
from controller.policy.marking import Mark
from controller.records import ElephantRecord
from controller.topology import Link, Path, switches_of
from controller.view import View
from documents.faults import Faults
from ovs_rules.rule import Group, Output, text

BUSY = 0.8
MAX_CAP = 1_000_000  # rules per switch
MAX_MARKS = 1000  # every decision about a flow may look at all of them
READING = ("GET", "HEAD")
ALL = {"true": True, "false": False, "1": True, "0": False}  # values of elephants?all=
SHOWN = 60  # characters of a wrong word that an answer quotes


@dataclass
class Health:
    """What app.py knows of the analytics process: its URL, whether it answers, how often it was started."""

    analytics: str = ""
    analytics_alive: bool = False
    analytics_starts: int = 0


class PolicyChange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of PUT /v1/policy: what is absent stays as it is."""

    marking: bool | msgspec.UnsetType = msgspec.UNSET
    steering: bool | msgspec.UnsetType = msgspec.UNSET
    dscp: Annotated[int, msgspec.Meta(ge=0, le=63)] | msgspec.UnsetType = msgspec.UNSET
    cap: Annotated[int, msgspec.Meta(ge=0, le=MAX_CAP)] | msgspec.UnsetType = msgspec.UNSET
    controls_per_second: Annotated[int, msgspec.Meta(ge=1, le=MAX_CAP)] | msgspec.UnsetType = msgspec.UNSET
    marks: Annotated[tuple[Mark, ...], msgspec.Meta(max_length=MAX_MARKS)] | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    commands: tuple[Command, ...] = ()
    allow: str = ""


Query = Mapping[str, str]


class Northbound:
    """Answers requests from the conductor's view, the port loads, the state of analytics and the faults."""

    def __init__(self, conductor: Conductor, meter: Meter, health: Health, faults: Faults) -> None:
        self.conductor = conductor
        self.meter = meter
        self.health = health
        self.faults = faults
        self._resources: dict[str, Callable[[View, Query], Any]] = {
            "status": self._status,
            "fabric": self._fabric,
            "topology": lambda view, query: view.fabric.to_spec(view.hosts).to_json(),
            "elephants": self._elephants,
            "controls": self._controls,
            "links": lambda view, query: [self._link(view, link) for link in view.fabric.links],
            "ecmp": self._ecmp,
            "policy": self._policy,
        }

    def answer(self, method: str, path: str, query: Query, body: bytes, now: float) -> Answer:
        """200 with a body, 204 after a change, or 4xx with {"error": one line that names what is wrong}."""
        name = path.strip("/")
        resource = self._resources.get(name)
        if resource is None:
            known = ", ".join(sorted(self._resources))
            return Answer(404, {"error": f"no such resource: /v1/{path[:SHOWN]}; there are {known}"})
        methods = (*READING, "PUT") if name == "policy" else READING
        if method not in methods:
            allow = ", ".join(methods)
            return Answer(405, {"error": f"/v1/{name} answers to {allow}, not to {method[:SHOWN]}"}, allow=allow)
        for parameter, value in query.items():
            if name != "elephants" or parameter != "all":
                return Answer(400, {"error": f"/v1/{name} takes no parameter '{parameter[:SHOWN]}'"})
            if value.lower() not in ALL:
                return Answer(400, {"error": f"/v1/{name}: all '{value[:SHOWN]}' is neither true nor false"})
        if method == "PUT":
            return self._set_policy(body, now)
        return Answer(200, resource(self.conductor.view(), query))

    def _status(self, view: View, query: Query) -> Any:
        connected = [view.fabric.by_dpid[dpid].name for dpid in view.installed]
        return {
            "switches": {"known": len(view.fabric.switches), "connected": sorted(connected)},
            "analytics": {
                "url": self.health.analytics,
                "alive": self.health.analytics_alive,
                "starts": self.health.analytics_starts,
            },
            "elephants": {"live": len(view.elephants), "total": view.counts.elephants},
            "counts": asdict(view.counts),
            "problems": list(view.problems),
            "faults": self.faults.counts(),
            "policy": self._policy(view, query),
        }

    def _policy(self, view: View, query: Query) -> Any:
        policy = view.policy
        return msgspec.to_builtins({name: getattr(policy, name) for name in PolicyChange.__struct_fields__})

    def _set_policy(self, body: bytes, now: float) -> Answer:
        try:
            wanted = msgspec.json.decode(body, type=PolicyChange)
        except msgspec.MsgspecError as error:
            return Answer(400, {"error": f"/v1/policy: {error}"})
        given = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not msgspec.UNSET}
        policy = replace(self.conductor.view().policy, **given)
        return Answer(204, None, tuple(self.conductor.set_policy(policy, now)))

    def _fabric(self, view: View, query: Query) -> Any:
        fabric = view.fabric
        return {
            "switches": [
                {
                    "name": switch.name,
                    "dpid": f"{switch.dpid:016x}",
                    "agent": switch.agent,
                    "role": switch.role,
                    "connected": switch.dpid in view.installed,
                    "rules": _rule_counts(view, switch.dpid),
                    "ports": [
                        {
                            **asdict(port),
                            "up": (switch.name, port.number) not in fabric.down,
                            "rx_bps": self.meter.load(switch.dpid, port.number).rx,
                            "tx_bps": self.meter.load(switch.dpid, port.number).tx,
                        }
                        for port in switch.ports.values()
                    ],
                }
                for switch in fabric.switches.values()
            ],
            "hosts": [{**asdict(host), "ipv4": host.ipv4} for host in view.hosts],
            "links": sorted({link.name for link in fabric.links}),
        }

    def _elephants(self, view: View, query: Query) -> Any:
        records = list(view.elephants)
        if ALL[query.get("all", "false").lower()]:
            records = [*view.ended, *records]
        return [self._elephant(view, record) for record in sorted(records, key=lambda record: record.detected_at)]

    def _elephant(self, view: View, record: ElephantRecord) -> Any:
        path = view.paths.get(record.flow)
        links: Path = path or ()
        return {
            **asdict(record),
            "flow": str(record.flow),
            "wanted_path": switches_of(path, record.ingress) if path is not None else None,
            "share_of_busiest_link": max((record.rate / link.speed for link in links if link.speed), default=0.0),
            "busiest_link_utilisation": max((self._utilisation(view, link) for link in links), default=0.0),
        }

    def _controls(self, view: View, query: Query) -> Any:
        return [
            {
                "flow": str(control.flow),
                "dscp": control.dscp,
                "path": switches_of(control.path, control.ingress) if control.path is not None else None,
                "rules": {
                    switch: text(rule)
                    for switch, rule in rules.express(view.fabric, control, view.policy.idle_timeout).items()
                },
            }
            for control in view.controls.values()
        ]

    def _link(self, view: View, link: Link) -> Any:
        flows = view.elephants_on.get(link, [])
        utilisation = self._utilisation(view, link)
        busy = ("mice", "elephant", "collision")[min(len(flows), 2)]
        return {
            "name": link.name,
            "from": link.source.switch,
            "to": link.target.switch,
            "from_port": link.source.name,
            "to_port": link.target.name,
            "speed_bps": link.speed,
            "load_bps": self._load(view, link),
            "utilisation": utilisation,
            "up": not view.fabric.down
            & {(link.source.switch, link.source.number), (link.target.switch, link.target.number)},
            "elephants": [str(flow) for flow in flows],
            "flows_seen": view.flows_seen.get((link.target.switch, link.target.number), 0),
            "state": busy if utilisation >= BUSY else "calm",
        }

    def _load(self, view: View, link: Link) -> float:
        return self.meter.load(view.fabric.switches[link.source.switch].dpid, link.source.number).tx

    def _utilisation(self, view: View, link: Link) -> float:
        return self._load(view, link) / link.speed if link.speed else 0.0

    def _ecmp(self, view: View, query: Query) -> Any:
        return [
            self._group(view, view.fabric.by_dpid[dpid].name, dpid, group)
            for dpid, held in view.installed.items()
            for group in held.groups.values()
            if group.kind == "select"
        ]

    def _group(self, view: View, switch: str, dpid: int, group: Group) -> Any:
        numbers = [int(a.port) for bucket in group.buckets for a in bucket.actions if isinstance(a, Output)]
        counters = self.meter.members.get((dpid, group.group_id), [])
        counters = [*counters, *[(0, 0)] * (len(numbers) - len(counters))]  # not yet counted
        members = [
            self._member(view, switch, dpid, number, counted)
            for number, counted in zip(numbers, counters, strict=False)
        ]
        return {
            "switch": switch,
            "group": group.group_id,
            "destination": next((n for n, i in group_ids(view.fabric).items() if i == group.group_id), None),
            "hash_basis": group.hash_basis,
            "imbalance": imbalance({index: member["bytes"] for index, member in enumerate(members)}),
            "members": members,
        }

    def _member(self, view: View, switch: str, dpid: int, number: int, counted: tuple[int, int]) -> dict[str, Any]:
        link = view.fabric.link_from.get((switch, number))
        packets, size = counted
        return {
            "port": number,
            "name": view.fabric.switches[switch].ports[number].name,
            "to": link.target.switch if link else None,
            "up": (switch, number) not in view.fabric.down,
            "packets": packets,
            "bytes": size,
            "load_bps": self.meter.load(dpid, number).tx,
            "elephants": len(view.elephants_on.get(link, [])) if link else 0,
            "flows_seen": view.flows_seen.get((link.target.switch, link.target.number), 0) if link else 0,
        }


def _rule_counts(view: View, dpid: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    held = view.installed.get(dpid)
    for rule in held.rules.values() if held else ():
        kind = kind_of(rule.cookie)
        name = kind.name.lower() if isinstance(kind, RuleKind) else "unknown"
        counts[name] = counts.get(name, 0) + 1
    return counts
