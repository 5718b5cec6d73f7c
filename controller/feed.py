"""The controller's ear: everything it asks of analytics, over sFlow-RT's REST API and nothing else.

Two questions run side by side: the long poll for threshold events (a new elephant is known within milliseconds) and,
once a second, a look at every port's top flows (rates, ways, ends, and whatever an outage of either side hid).
After every outage the definitions and the topology are put again: analytics keeps nothing over a restart.

Nothing here retries or sleeps; the callers in app.py do, so that one place decides about pace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import requests

from controller.flow import FlowKey, FlowObservation

FLOW = "howdah_flow"
FLOW_KEYS = "ipsource,ipdestination,ipprotocol,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
FLOW_FILTER = "direction=ingress&(ipprotocol=6|ipprotocol=17)"
THRESHOLD = "howdah_elephant_"
TOP_FLOWS = 20  # the most that sFlow-RT keeps per data source
POLL_S = 10.0
ANSWER_S = 5.0


class Feed:
    """One client of one analytics process. Every method may raise requests.RequestException."""

    def __init__(self, base: str, token: str | None = None) -> None:
        self.base = base
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._polling = requests.Session()
        self._asking = requests.Session()
        for session in (self._polling, self._asking):
            session.trust_env = False  # no proxy between a controller and its analytics
        self._cursor = -1

    def alive(self) -> bool:
        try:
            return self._asking.get(f"{self.base}/version", timeout=ANSWER_S).ok
        except requests.RequestException:
            return False

    def publish(self, topology: Mapping[str, Any]) -> None:
        """Puts the topology document."""
        self._put("/topology/json", topology)

    def define(self, thresholds: Mapping[int, float], smoothing: float) -> None:
        """Puts our flow and one threshold per edge port speed (speed -> bits/s); moves on to new events only.

        A flow of the same name as ours but unlike it is replaced. `smoothing` is the rates' time constant in seconds.
        """
        spec = {"keys": FLOW_KEYS, "value": "bytes", "filter": FLOW_FILTER, "n": TOP_FLOWS, "t": smoothing}
        self._put(f"/flow/{FLOW}/json", spec)
        for speed, limit in thresholds.items():
            threshold = {"metric": FLOW, "value": limit / 8, "byFlow": True, "timeout": 1}
            self._put(f"/threshold/{THRESHOLD}{speed}/json", threshold)
        newest = self._get(self._asking, "/events/json?maxEvents=1", ANSWER_S)
        self._cursor = newest[0]["eventID"] if newest else -1

    def events(self) -> list[FlowObservation]:
        """The elephants' events since the last call; waits up to POLL_S seconds for one."""
        query = f"/events/json?eventID={self._cursor}&maxEvents=1000&timeout={POLL_S:.0f}"
        events = self._get(self._polling, query, POLL_S + ANSWER_S)
        if events:
            self._cursor = events[0]["eventID"]
        return list(_observations_of_events(reversed(events)))

    def look(self, now: float) -> list[FlowObservation]:
        """The top flows of every port, with their rates now."""
        rows = self._get(self._asking, f"/dump/ALL/{FLOW}/json", ANSWER_S)
        return list(_observations_of_rows(rows, now))

    def ports(self) -> list[tuple[str, str, int, int]]:
        """(agent, ifIndex, datapath id, OpenFlow port) of every port whose counters carry both (Open vSwitch does)."""
        known: dict[tuple[str, str], dict[str, Any]] = {}
        for row in self._get(self._asking, "/dump/ALL/of_dpid,of_port/json", ANSWER_S):
            known.setdefault((row["agent"], row["dataSource"]), {})[row["metricName"]] = row["metricValue"]
        return [
            (agent, ifindex, int(str(found["of_dpid"]), 16), int(found["of_port"]))
            for (agent, ifindex), found in known.items()
            if len(found) == 2
        ]

    def _put(self, path: str, body: Any) -> None:
        answer = self._asking.put(self.base + path, json=body, headers=self._headers, timeout=ANSWER_S)
        if answer.status_code not in (200, 204):
            raise requests.HTTPError(f"PUT {path}: {answer.status_code} {answer.text.strip()[:200]}", response=answer)

    def _get(self, session: requests.Session, path: str, timeout: float) -> Any:
        answer = session.get(self.base + path, timeout=timeout)
        answer.raise_for_status()
        return answer.json()


def _observations_of_events(events: Iterator[Mapping[str, Any]]) -> Iterator[FlowObservation]:
    for event in events:
        if not str(event.get("thresholdID", "")).startswith(THRESHOLD) or "flowKey" not in event:
            continue
        flow = _flow(event["flowKey"])
        if flow is not None:
            at = event["timestamp"] / 1000
            yield FlowObservation(flow, event["agent"], event["dataSource"], event["value"] * 8, at)


def _observations_of_rows(rows: list[Mapping[str, Any]], now: float) -> Iterator[FlowObservation]:
    for row in rows:
        for top in row.get("topKeys", ()):
            flow = _flow(top["key"])
            if flow is not None:
                yield FlowObservation(flow, row["agent"], row["dataSource"], top["value"] * 8, now)


def _flow(text: str) -> FlowKey | None:
    """A flow of ours, None for a key that is not a 5-tuple (somebody redefined the flow)."""
    try:
        return FlowKey.parse(text)
    except ValueError:
        return None
