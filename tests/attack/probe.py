"""What users notice while analytics is attacked: is a known flow still measured, are questions answered, and how soon?

Four threads beside the flood: agents, of which one has a flow of a known rate and one makes a new large flow with each
sample, one user who asks, one who waits for the events, and one that watches memory. Their figures are for reading and
for comparing; what must hold whatever the machine (answers, values, no restart) is asserted by the tests.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.attack.floods import datagram, sample
from tests.patience import PATIENCE_S

AGENT, SPIKES = "10.7.7.7", "10.7.7.8"
FLOW = b"\x0a\x01\x00\x01\x0a\x01\x00\x02\x04\x00\x00\x50"  # 10.1.0.1:1024 -> 10.1.0.2:80
RATE, FRAME_BYTES = 1000, 1518
SAMPLES_PER_S = 50
SMOOTHING_S = 2.0
PERIOD_S = 0.05


@dataclass(frozen=True)
class Figures:
    """Of one attack: seconds, milliseconds and MB as the names say. `known_error` is a share of the known rate;
    `unpolled` events came to nobody."""

    seconds: float
    known_error: float
    asked: int
    unanswered: int
    rest_p50_ms: float
    rest_p99_ms: float
    rest_max_ms: float
    polled: int
    poll_p50_ms: float
    poll_p99_ms: float
    poll_max_ms: float
    unpolled: int
    rss_peak_mb: float

    def row(self) -> dict[str, Any]:
        return {name: round(value, 3) for name, value in asdict(self).items()}


class Probe:
    """Users of the analytics process `pid`, from entering to leaving."""

    def __init__(self, pid: int, http_port: int, sflow_port: int) -> None:
        self._pid, self._http, self._sflow = pid, http_port, sflow_port
        self._stop = threading.Event()
        self._sent: list[float] = []
        self._rest: list[float] = []
        self._unanswered = 0
        self._spikes: dict[str, float] = {}
        self._polls: list[float] = []
        self.put("flow/known", {"keys": "ipsource,ipdestination", "value": "bytes", "t": SMOOTHING_S})
        self.put("flow/spike", {"keys": "tcpdestinationport", "value": "bytes", "filter": "ipsource=10.2.0.1"})
        self.put("threshold/spike", {"metric": "spike", "value": 1000, "byFlow": True, "timeout": 1})
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._send, self._ask, self._poll, self._watch)
        ]

    def __enter__(self) -> Probe:
        self._began = self._measured_from = time.monotonic()
        self._peak = self.rss_mb()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def put(self, what: str, body: object) -> None:
        status, answer = self._request("PUT", f"/{what}/json", json.dumps(body))
        assert status == 204, (what, status, answer)

    def delete(self, what: str) -> None:
        status, answer = self._request("DELETE", f"/{what}/json")
        assert status == 204, (what, status, answer)

    def get(self, path: str) -> Any:
        status, answer = self._request("GET", path)
        assert status == 200, (path, status, answer)
        return json.loads(answer)

    def measure_anew(self) -> None:
        """Figures are of what is asked and happens from now on."""
        self._measured_from = time.monotonic()
        self._rest.clear()
        self._polls.clear()

    def known_error(self) -> float:
        """How far the known flow's value is from what its agent sent over the last time constants."""
        now = time.monotonic()
        span = min(4 * SMOOTHING_S, now - self._began)
        sent = sum(now - at <= span for at in list(self._sent))
        rate = sent / span * RATE * FRAME_BYTES
        found = self.get(f"/activeflows/{AGENT}/known/json")
        value = next((flow["value"] for flow in found if flow["key"] == "10.1.0.1,10.1.0.2"), 0.0)
        return float(abs(value / rate - 1)) if rate else 1.0

    def rss_mb(self) -> float:
        """Memory that the process holds."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def figures(self, known_error: float) -> Figures:
        rest, polls = sorted(self._rest), sorted(self._polls)
        awaited = [sent for sent in self._spikes.values() if self._measured_from < sent]
        return Figures(
            seconds=time.monotonic() - self._measured_from,
            known_error=known_error,
            asked=len(rest) + self._unanswered,
            unanswered=self._unanswered,
            rest_p50_ms=_percentile(rest, 0.5),
            rest_p99_ms=_percentile(rest, 0.99),
            rest_max_ms=_percentile(rest, 1.0),
            polled=len(polls),
            poll_p50_ms=_percentile(polls, 0.5),
            poll_p99_ms=_percentile(polls, 0.99),
            poll_max_ms=_percentile(polls, 1.0),
            unpolled=len(awaited),
            rss_peak_mb=self._peak,
        )

    # -- the users --

    def _send(self) -> None:
        """The agent of the known flow, and the one of the spikes."""
        sequence = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.connect(("127.0.0.1", self._sflow))
            due = time.monotonic()
            while not self._stop.is_set():
                sequence += 1
                out.send(datagram(socket.inet_aton(AGENT), sample(FLOW, rate=RATE), sequence=sequence))
                self._sent.append(time.monotonic())
                port = 1024 + sequence % 60_000
                spike = b"\x0a\x02\0\1\x0a\x02\0\2\x04\0" + port.to_bytes(2, "big")
                self._spikes[str(port)] = time.monotonic()
                out.send(datagram(socket.inet_aton(SPIKES), sample(spike, rate=RATE), sequence=sequence))
                due += 1 / SAMPLES_PER_S
                self._stop.wait(max(0.0, due - time.monotonic()))

    def _ask(self) -> None:
        paths = ("/version", f"/activeflows/{AGENT}/known/json", "/flow/known/json", "/threshold/json")
        while not self._stop.wait(PERIOD_S):
            began = time.monotonic()
            try:
                status, _ = self._request("GET", paths[len(self._rest) % len(paths)])
                assert status == 200
            except (OSError, http.client.HTTPException, AssertionError):
                self._unanswered += 1
            else:
                self._rest.append(time.monotonic() - began)

    def _poll(self) -> None:
        """On a kept connection, as the controller does: each event is waited for by a request that is there already."""
        cursor = -1
        connection = http.client.HTTPConnection("127.0.0.1", self._http, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                try:
                    connection.request("GET", f"/events/json?thresholdID=spike&timeout=5&eventID={cursor}")
                    events = json.loads(connection.getresponse().read())
                except (OSError, http.client.HTTPException):
                    connection.close()
                    continue
                now = time.monotonic()
                for event in events:
                    if sent := self._spikes.pop(event["flowKey"], None):
                        self._polls.append(now - sent)
                cursor = events[0]["eventID"] if events else cursor

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._peak = max(self._peak, self.rss_mb())

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._http, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _percentile(ordered: list[float], share: float) -> float:
    """Milliseconds; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0
