"""Everything the controller asks of analytics, over sFlow-RT's REST API and nothing else.

Two questions run side by side: the long poll for threshold events (a new elephant is known within milliseconds) and,
once a second, every port's top flows (rates, paths, ends, and whatever an outage of either side hid). Our analytics
makes sequential tests of all samples of a flow: its events also say where the flow is, and when it is elsewhere or
over. sFlow-RT, and an analytics that knows no tests, get plain thresholds. After every outage the definitions and the
topology are put again: analytics keeps nothing over a restart.

What is read is checked against the structs below, which name the fields that are used and nothing more. So a method
either returns values or raises one of two errors, each one line that begins with the request's URL:

- Unavailable: there was no answer, or a status that says no (analytics is away, ends, or refuses what is put);
- WrongAnswer: there was an answer, and it is not what the API promises; the line names the field.

Nothing here retries or sleeps; the callers in app.py do, so that one place decides about pace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import requests

from controller.flow import FlowKey, FlowObservation

FLOW = "howdah_flow"
FLOW_KEYS = (
    "or:ipsource:ip6source,or:ipdestination:ip6destination,or:ipprotocol:ip6nexthdr,"
    "or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
)
FLOW_FILTER = "direction=ingress&(ipprotocol=6|ipprotocol=17|ip6nexthdr=6|ip6nexthdr=17)"
THRESHOLD = "howdah_elephant_"
TOP_FLOWS = 20  # the most that sFlow-RT keeps per data source
POLL_S = 10.0
ANSWER_S = 5.0

T = TypeVar("T")


class FeedError(Exception):
    """A request to analytics that gave nothing; one line that begins with its method and URL."""


class Unavailable(FeedError):
    """No answer, or a status that says no."""


class Refused(Unavailable):
    """A status that says that the request is at fault."""


class WrongAnswer(FeedError):
    """An answer that is not what the API promises."""


class Location(msgspec.Struct, rename="camel"):
    """Where a flow is sampled, as it comes in."""

    agent: str
    data_source: str


class Event(msgspec.Struct, rename="camel"):
    """An element of GET /events/json, newest first. Value and threshold in bytes/s, timestamp in ms since the epoch;
    state (start, update, end) and path are there if a test was made."""

    event_id: int = msgspec.field(name="eventID")
    threshold_id: str = msgspec.field(name="thresholdID")
    timestamp: float
    agent: str
    data_source: str
    value: float
    flow_key: str | None = None
    threshold: float = 0.0
    state: str | None = None
    path: list[Location] = msgspec.field(default_factory=list)


class KnownThreshold(msgspec.Struct):
    """GET /threshold/<name>/json, as far as it says whether tests are made."""

    test: dict[str, float] | None = None


class TopKey(msgspec.Struct):
    """One of a port's largest flows; value in bytes/s."""

    key: str
    value: float


class TopFlows(msgspec.Struct, rename="camel"):
    """An element of GET /dump/ALL/<flow>/json: one port; without any flow it has no keys."""

    agent: str
    data_source: str
    top_keys: list[TopKey] = msgspec.field(default_factory=list)


class Metric(msgspec.Struct, rename="camel"):
    """An element of GET /dump/ALL/<metrics>/json: one counter metric of one port."""

    agent: str
    data_source: str
    metric_name: str
    metric_value: int | str


class Feed:
    """One client of one analytics process. Every method but `alive` may raise Unavailable or WrongAnswer.

    `makes_tests`: as far as known since `define`. `connect` makes what asks: it is called once for the long poll and
    once for all else.
    """

    def __init__(self, base: str, token: str | None = None, connect: Callable[[], Any] = requests.Session) -> None:
        self.base = base
        self._polling = connect()
        self._asking = connect()
        for session in (self._polling, self._asking):
            session.trust_env = False  # no proxy between a controller and its analytics
            if token:
                session.headers["Authorization"] = f"Bearer {token}"
        self._cursor = -1
        self.makes_tests = False

    def alive(self) -> bool:
        try:
            return bool(self._asking.get(f"{self.base}/version", timeout=ANSWER_S).ok)
        except requests.RequestException:
            return False

    def publish(self, topology: Mapping[str, Any]) -> None:
        """Puts the topology document."""
        self._put("/topology/json", topology)

    def define(self, thresholds: Mapping[int, float], smoothing: float, separation: float, switches: int) -> None:
        """Puts our flow and one threshold per edge port speed (speed -> bits/s); moves on to new events only.

        A flow of the same name as ours but unlike it is replaced. `smoothing` is the rates' time constant in seconds.
        Tests tell flows at the threshold from those of threshold/separation; a path has `switches` at most.
        """
        spec = {"keys": FLOW_KEYS, "value": "bytes", "filter": FLOW_FILTER, "n": TOP_FLOWS, "t": smoothing}
        self._put(f"/flow/{FLOW}/json", spec)
        for speed, limit in thresholds.items():
            test = {"separation": separation, "switches": switches, "fastest": max(speed, limit) / 8}
            self._put_threshold(f"/threshold/{THRESHOLD}{speed}/json", limit, test)
        newest = self._get(self._asking, "/events/json?maxEvents=1", ANSWER_S, list[Event])
        self._cursor = newest[0].event_id if newest else -1

    def events(self) -> list[FlowObservation]:
        """The elephants' events since the last call, oldest first; waits up to POLL_S seconds for one."""
        query = f"/events/json?eventID={self._cursor}&maxEvents=1000&timeout={POLL_S:.0f}"
        events = self._get(self._polling, query, POLL_S + ANSWER_S, list[Event])
        if events:
            self._cursor = events[0].event_id
        return list(_of_events(reversed(events)))

    def flows(self, now: float) -> list[FlowObservation]:
        """The top flows of every port, with their rates now."""
        return list(_of_ports(self._get(self._asking, f"/dump/ALL/{FLOW}/json", ANSWER_S, list[TopFlows]), now))

    def ports(self) -> list[tuple[str, str, int, int]]:
        """(agent, ifIndex, datapath id, OpenFlow port) of every port whose counters carry both (Open vSwitch does)."""
        path = "/dump/ALL/of_dpid,of_port/json"
        known: dict[tuple[str, str], dict[str, int | str]] = {}
        for row in self._get(self._asking, path, ANSWER_S, list[Metric]):
            known.setdefault((row.agent, row.data_source), {})[row.metric_name] = row.metric_value
        complete = {port: found for port, found in known.items() if found.keys() == {"of_dpid", "of_port"}}
        try:
            return [
                (agent, ifindex, int(str(found["of_dpid"]), 16), int(found["of_port"]))
                for (agent, ifindex), found in complete.items()
            ]
        except ValueError as error:
            raise WrongAnswer(f"GET {self.base}{path}: metricValue is no number of a port: {error}") from None

    def _put_threshold(self, path: str, limit: float, test: Mapping[str, float]) -> None:
        """Puts a threshold of so many bits/s with this test, without it where it is not known."""
        threshold = {"metric": FLOW, "value": limit / 8, "byFlow": True, "timeout": 1}
        try:
            self._put(path, threshold | {"test": test})
        except Refused:
            self._put(path, threshold)
        self.makes_tests = self._get(self._asking, path, ANSWER_S, KnownThreshold).test is not None

    def _put(self, path: str, body: Any) -> None:
        self._ask(self._asking, "PUT", path, ANSWER_S, json=body)

    def _get(self, session: requests.Session, path: str, timeout: float, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(self._ask(session, "GET", path, timeout), type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise WrongAnswer(f"GET {self.base}{path}: {error}") from None

    def _ask(self, session: requests.Session, method: str, path: str, timeout: float, **more: Any) -> bytes:
        url = self.base + path
        try:
            answer = session.request(method, url, timeout=timeout, **more)
        except requests.RequestException as error:
            raise Unavailable(f"{method} {url}: {_reason(error)}") from None
        if not answer.ok:
            text = " ".join(answer.text.split())[:200]
            refusal = Refused if answer.status_code == 400 else Unavailable
            raise refusal(f"{method} {url}: status {answer.status_code} {text}")
        return answer.content


def _reason(error: requests.RequestException) -> str:
    match error:
        case requests.Timeout():
            return "no answer in time"
        case requests.ConnectionError():
            return "no connection"
    return " ".join(str(error).split())


def _of_events(events: Iterable[Event]) -> Iterator[FlowObservation]:
    for event in events:
        if event.threshold_id.startswith(THRESHOLD) and event.flow_key is not None:
            flow = _flow(event.flow_key)
            if flow is None:
                continue
            rate, at = event.value * 8, event.timestamp / 1000
            if event.state is None:
                yield FlowObservation(flow, event.agent, event.data_source, rate, at)
                continue
            found, ended = event.threshold * 8, event.state == "end"
            for place in event.path:
                yield FlowObservation(flow, place.agent, place.data_source, rate, at, found, ended)


def _of_ports(ports: Iterable[TopFlows], now: float) -> Iterator[FlowObservation]:
    for port in ports:
        for top in port.top_keys:
            flow = _flow(top.key)
            if flow is not None:
                yield FlowObservation(flow, port.agent, port.data_source, top.value * 8, now)


def _flow(text: str) -> FlowKey | None:
    """A flow of ours, None for a key that is not a 5-tuple (another client redefined the flow)."""
    try:
        return FlowKey.parse(text)
    except ValueError:
        return None
