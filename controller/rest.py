"""The northbound interface: what the controller knows and does, as JSON under /v1. Pure: a request comes in as values.

    GET /v1/status     counts, switches, analytics       GET /v1/elephants[?all=true]   live (and ended) elephants
    GET /v1/fabric     switches, hosts, link ends        GET /v1/controls               the rule of each elephant
    GET /v1/links      load and elephants per direction  GET /v1/ecmp                   groups, members, bytes, flows
    GET PUT /v1/policy marking and steering on or off    GET /v1/topology               the topology document

Rates are bits/s, times seconds since the epoch. A link is busy from 80 % of its speed on, and then "mice", "elephant"
or "collision" by the number of elephants on it (0, 1, more), as sFlow-RT's fabric view has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import msgspec

from controller import rules
from controller.commands import Command
from controller.conductor import Conductor
from controller.flow import FlowKey
from controller.load import Meter
from controller.pipeline import Kind, kind_of
from controller.policy.ecmp import group_ids, imbalance
from controller.records import Record
from controller.topology import Link, switches_of
from ovs_rules.rule import Group, Output, text

BUSY = 0.8


@dataclass
class Health:
    """What the shell knows of its surroundings."""

    analytics: str = ""
    analytics_alive: bool = False
    analytics_starts: int = 0
    flows_on: dict[tuple[str, int], int] = field(default_factory=dict)
    """(switch, port number) -> distinct flows in the latest look, at most the top flows analytics keeps per port."""


class PolicyChange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of PUT /v1/policy: what is absent stays as it is."""

    marking: bool | msgspec.UnsetType = msgspec.UNSET
    steering: bool | msgspec.UnsetType = msgspec.UNSET
    dscp: Annotated[int, msgspec.Meta(ge=0, le=63)] | msgspec.UnsetType = msgspec.UNSET
    cap: Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    commands: tuple[Command, ...] = ()


class Northbound:
    """Answers requests from the controller's state."""

    def __init__(self, conductor: Conductor, meter: Meter, health: Health) -> None:
        self.conductor = conductor
        self.meter = meter
        self.health = health
        self._views: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "status": self._status,
            "fabric": self._fabric,
            "topology": lambda query: conductor.fabric.to_spec().to_json(),
            "elephants": self._elephants,
            "controls": self._controls,
            "links": lambda query: [self._link(link) for link in conductor.fabric.links],
            "ecmp": self._ecmp,
            "policy": self._policy,
        }

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes, now: float) -> Answer:
        """200 with a body, 204 after a change, or 4xx with {"error": one line that names what is wrong}."""
        view = self._views.get(path.strip("/"))
        if view is None:
            return Answer(404, {"error": f"no such resource: /v1/{path}; there are {', '.join(sorted(self._views))}"})
        if method == "GET":
            return Answer(200, view(query))
        if path != "policy":
            return Answer(405, {"error": f"/v1/{path} can only be read"})
        return self._set_policy(body, now)

    def _status(self, query: Mapping[str, str]) -> Any:
        connected = [self.conductor.fabric.by_dpid[dpid].name for dpid in self.conductor.installed]
        return {
            "switches": {"known": len(self.conductor.fabric.switches), "connected": sorted(connected)},
            "analytics": {
                "url": self.health.analytics,
                "alive": self.health.analytics_alive,
                "starts": self.health.analytics_starts,
            },
            "elephants": {"live": len(self.conductor.tracker.live), "total": self.conductor.counts.elephants},
            "counts": asdict(self.conductor.counts),
            "problems": self.conductor.problems,
            "policy": self._policy(query),
        }

    def _policy(self, query: Mapping[str, str]) -> Any:
        policy = self.conductor.policy
        return {"marking": policy.marking, "steering": policy.steering, "dscp": policy.dscp, "cap": policy.cap}

    def _set_policy(self, body: bytes, now: float) -> Answer:
        try:
            wanted = msgspec.json.decode(body, type=PolicyChange)
        except msgspec.MsgspecError as error:
            return Answer(400, {"error": f"/v1/policy: {error}"})
        policy = replace(self.conductor.policy, **msgspec.to_builtins(wanted))
        return Answer(204, None, tuple(self.conductor.set_policy(policy, now)))

    def _fabric(self, query: Mapping[str, str]) -> Any:
        fabric = self.conductor.fabric
        return {
            "switches": [
                {
                    "name": switch.name,
                    "dpid": f"{switch.dpid:016x}",
                    "agent": switch.agent,
                    "role": switch.role,
                    "connected": switch.dpid in self.conductor.installed,
                    "rules": self._rule_counts(switch.dpid),
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
            "hosts": [asdict(host) for host in fabric.hosts],
            "links": sorted({link.name for link in fabric.links}),
        }

    def _rule_counts(self, dpid: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        held = self.conductor.installed.get(dpid)
        for rule in held.rules.values() if held else ():
            kind = kind_of(rule.cookie)
            name = kind.name.lower() if isinstance(kind, Kind) else "unknown"
            counts[name] = counts.get(name, 0) + 1
        return counts

    def _elephants(self, query: Mapping[str, str]) -> Any:
        records = list(self.conductor.ledger.live.values())
        if query.get("all", "").lower() in ("1", "true", "yes"):
            records = [*self.conductor.ledger.past, *records]
        return [self._elephant(record) for record in sorted(records, key=lambda record: record.detected_at)]

    def _elephant(self, record: Record) -> Any:
        path = self.conductor.path_of(record.flow)
        pressure = max((self._utilisation(link) for link in path or ()), default=0.0)
        return {
            **asdict(record),
            "flow": str(record.flow),
            "wanted_path": switches_of(path, record.ingress) if path is not None else None,
            "share_of_busiest_link": self._share(record.flow, record.rate),
            "busiest_link_utilisation": pressure,
        }

    def _share(self, flow: FlowKey, rate: float) -> float:
        path = self.conductor.path_of(flow)
        return max((rate / link.speed for link in path or () if link.speed), default=0.0)

    def _controls(self, query: Mapping[str, str]) -> Any:
        conductor = self.conductor
        return [
            {
                "flow": str(control.flow),
                "dscp": control.dscp,
                "path": switches_of(control.path, control.ingress) if control.path is not None else None,
                "rules": {
                    switch: text(rule)
                    for switch, rule in rules.express(conductor.fabric, control, conductor.policy.idle_timeout).items()
                },
            }
            for control in conductor.controls.values()
        ]

    def _link(self, link: Link) -> Any:
        flows = self.conductor.elephants_on().get(link, [])
        utilisation = self._utilisation(link)
        busy = ("mice", "elephant", "collision")[min(len(flows), 2)]
        return {
            "name": link.name,
            "from": link.source.switch,
            "to": link.target.switch,
            "from_port": link.source.name,
            "to_port": link.target.name,
            "speed_bps": link.speed,
            "load_bps": self._load(link),
            "utilisation": utilisation,
            "up": not self.conductor.fabric.down
            & {(link.source.switch, link.source.number), (link.target.switch, link.target.number)},
            "elephants": [str(flow) for flow in flows],
            "flows_seen": self.health.flows_on.get((link.target.switch, link.target.number), 0),
            "state": busy if utilisation >= BUSY else "calm",
        }

    def _load(self, link: Link) -> float:
        return self.meter.load(self.conductor.fabric.switches[link.source.switch].dpid, link.source.number).tx

    def _utilisation(self, link: Link) -> float:
        return self._load(link) / link.speed if link.speed else 0.0

    def _ecmp(self, query: Mapping[str, str]) -> Any:
        fabric = self.conductor.fabric
        return [
            self._group(fabric.by_dpid[dpid].name, dpid, group)
            for dpid, held in self.conductor.installed.items()
            for group in held.groups.values()
        ]

    def _group(self, switch: str, dpid: int, group: Group) -> Any:
        fabric = self.conductor.fabric
        counters = self.meter.members.get((dpid, group.group_id), [])
        numbers = [a.port for bucket in group.buckets for a in bucket.actions if isinstance(a, Output)]
        on_links = self.conductor.elephants_on()
        members: list[dict[str, Any]] = []
        for index, number in enumerate(numbers):
            link = fabric.link_from.get((switch, int(number)))
            packets, size = counters[index] if index < len(counters) else (0, 0)
            members.append(
                {
                    "port": number,
                    "name": fabric.switches[switch].ports[int(number)].name,
                    "to": link.target.switch if link else None,
                    "up": (switch, number) not in fabric.down,
                    "packets": packets,
                    "bytes": size,
                    "load_bps": self.meter.load(dpid, int(number)).tx,
                    "elephants": len(on_links.get(link, [])) if link else 0,
                    "flows_seen": self.health.flows_on.get((link.target.switch, link.target.number), 0) if link else 0,
                }
            )
        return {
            "switch": switch,
            "group": group.group_id,
            "destination": next((n for n, i in group_ids(fabric).items() if i == group.group_id), None),
            "hash_basis": group.hash_basis,
            "imbalance": imbalance({index: member["bytes"] for index, member in enumerate(members)}),
            "members": members,
        }
