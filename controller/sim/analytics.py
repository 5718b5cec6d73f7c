"""What analytics would answer about the model network, over the same URLs and in the same JSON (analytics/api).

It stands in for `requests` inside controller/feed.py. Rates are the flows' own, with an error; samples are lost,
answers are late, wrong or missing, and a restart forgets what was put. Its clock is not the controller's. It makes no
sequential tests, as sFlow-RT does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import requests

from controller.feed import FLOW, THRESHOLD
from controller.sim.packet import IN_PORT

if TYPE_CHECKING:
    from controller.sim.network import Flow
    from controller.sim.simulation import Simulation

DECAY_S = 3.0  # a flow that ended is still shown for so long, ever smaller
ERROR = 0.15  # of a rate, either way
UNSAMPLED = 0.01  # of the ports that a flow crosses: there no sample came of late


class Reply:
    """What is used of requests.Response."""

    def __init__(self, body: Any = None, status: int = 200) -> None:
        self.content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.status_code, self.ok, self.text = status, status < 400, ""


class Analytics:
    """One analytics process, restarted in place."""

    trust_env = True

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.headers: dict[str, str] = {}
        self.is_up = True
        self.is_wrong = False
        self.clock_ahead = 0.0
        self.restart()

    def restart(self) -> None:
        """Forgets everything."""
        self.flow_defined = False
        self.thresholds: dict[int, float] = {}
        self.events: list[dict[str, Any]] = []

    def delay(self) -> float:
        """Seconds that the next answer takes."""
        dice = self.sim.dice
        return dice.uniform(0.05, 1.0) if dice.random() < 0.02 else dice.uniform(0.001, 0.02)

    def crossed(self, flow: Flow) -> bool:
        """A flow's rate was seen to pass its threshold: an event; False if none is made."""
        host = self.sim.network.hosts.get(flow.source)
        if not self.is_up or host is None or flow.ended is not None:
            return False
        port = self.sim.network.wiring.switches[host.switch].ports[host.port]
        limit = self.thresholds.get(port.speed)
        rate = flow.rate * self.sim.dice.uniform(1 - ERROR, 1 + ERROR) / 8
        if not self.flow_defined or limit is None or rate < limit:
            return False
        switch = self.sim.network.wiring.switches[host.switch]
        self.events.append({
            "eventID": len(self.events), "timestamp": round((self.sim.now + self.clock_ahead) * 1000),
            "thresholdID": f"{THRESHOLD}{port.speed}", "agent": switch.agent, "dataSource": port.ifindex,
            "metric": FLOW, "threshold": limit, "value": rate, "flowKey": str(flow.key),
        })  # fmt: skip
        return True

    # As requests.Session

    def get(self, url: str, **_: Any) -> Reply:
        return self.request("GET", url)

    def request(self, method: str, url: str, *, json: Any = None, **_more: Any) -> Reply:
        """Raises requests.ConnectionError while it is away."""
        if not self.is_up:
            raise requests.ConnectionError("refused")
        path, _, query = url.removeprefix("http://analytics").partition("?")
        parameters = {name: value for name, _, value in (pair.partition("=") for pair in query.split("&"))}
        if method == "PUT":
            self._put(path, json)
            return Reply()
        if self.is_wrong:
            return Reply(self.sim.dice.choice((b"", b"{", b"[1]", b'{"a":1}', b"\xff")))
        match path:
            case "/events/json":
                newest = [event for event in self.events if event["eventID"] > int(parameters.get("eventID", -1))]
                return Reply(newest[::-1][: int(parameters["maxEvents"])])
            case "/dump/ALL/of_dpid,of_port/json":
                return Reply(list(self._ports()))
            case _ if path.startswith("/threshold/"):
                return Reply({})
        return Reply(list(self._flows()) if self.flow_defined and path == f"/dump/ALL/{FLOW}/json" else [])

    def _put(self, path: str, body: Any) -> None:
        if path == f"/flow/{FLOW}/json":
            self.flow_defined = True
        elif path.startswith(f"/threshold/{THRESHOLD}"):
            self.thresholds[int(path.removeprefix(f"/threshold/{THRESHOLD}").removesuffix("/json"))] = body["value"]

    def _ports(self) -> Iterator[dict[str, Any]]:
        for switch in self.sim.network.wiring.switches.values():
            for port in switch.ports.values():
                row = {"agent": switch.agent, "dataSource": port.ifindex}
                yield row | {"metricName": "of_dpid", "metricValue": f"{switch.dpid:016x}"}
                yield row | {"metricName": "of_port", "metricValue": str(port.number)}

    def _flows(self) -> Iterator[dict[str, Any]]:
        now, network, dice = self.sim.now, self.sim.network, self.sim.dice
        for flow in network.flows.values():
            left = 1.0 if flow.ended is None else 1.0 - (now - flow.ended) / DECAY_S
            for switch, packet, _ in network.course(flow) if left > 0 else ():
                if self.sim.stretch > 1.0 or dice.random() >= UNSAMPLED:
                    known = network.wiring.switches[switch]
                    rate = flow.rate * left * dice.uniform(1 - ERROR, 1 + ERROR) / 8
                    top = [{"key": str(flow.key), "value": rate}]
                    ifindex = known.ports[packet[IN_PORT]].ifindex
                    yield {"agent": known.agent, "dataSource": ifindex, "topKeys": top}
