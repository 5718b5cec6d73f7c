"""What every elephant wants: the rate it would have if only hosts limited it, kept up to date flow by flow.

That is max-min fair sharing of the host ports alone (the question that Hedera's estimator answers, NSDI 2010, section
4.2), because the rates of colliding flows say little about what they want. A UDP flow wants at most what it sends.

Every port has a level: the rate that it gives to each flow that nothing else keeps below. A change is carried on from
port to port, as in the distributed algorithm of Charny, Clark and Jain (ICC 1995): the level of a port follows from the
levels of its flows' other ports, and where it changes by more than a part of STILL, those are due. From any beginning
this ends at the max-min rates, the lowest levels first. So an event costs the ports that it concerns, and of those the
flows there; no more than MOST_LEVELS are worked out in one go, the others in the next.
"""

from __future__ import annotations

from collections import deque

from controller.flow import FlowKey
from controller.topology import Port

STILL = 1e-3
MOST_LEVELS = 2000

End = tuple[str, Port]  # a direction, "in" or "out", of an edge port


class Demands:
    """The flows, the ports where they enter and leave the fabric, and what each wants, in bits/s."""

    def __init__(self) -> None:
        self._ends: dict[FlowKey, tuple[End, ...]] = {}
        self._limit: dict[FlowKey, float] = {}
        self._flows: dict[End, dict[FlowKey, None]] = {}
        self._level: dict[End, float] = {}
        self._due: deque[End] = deque()
        self._waiting: set[End] = set()

    def put(self, flow: FlowKey, entry: Port, exit: Port | None, limit: float | None) -> None:
        """A flow from `entry` to `exit` (None: unknown), which wants `limit` at most; also for one that was known.

        Ports of unknown speed limit nothing. A flow that nothing else limits wants its limit, without one nothing.
        """
        ports = (("in", entry), ("out", exit))
        ends = tuple((way, port) for way, port in ports if port is not None and port.speed)
        most = float("inf") if limit is None else limit
        if self._ends.get(flow) == ends and self._limit[flow] == most:
            return
        self.drop(flow)
        self._ends[flow], self._limit[flow] = ends, most
        for end in ends:
            self._flows.setdefault(end, {})[flow] = None
            self._note(end)

    def drop(self, flow: FlowKey) -> None:
        """A flow is gone."""
        ends = self._ends.pop(flow, ())
        self._limit.pop(flow, None)
        for end in ends:
            del self._flows[end][flow]
            self._note(end)

    def of(self, flow: FlowKey) -> float:
        """What a flow wants, bits/s."""
        wanted = self._elsewhere(flow, None)
        return wanted if wanted < float("inf") else 0.0

    def settle(self) -> list[FlowKey]:
        """Bring the levels up to date; answers the flows whose demand may have changed."""
        changed: dict[FlowKey, None] = {}
        for _ in range(MOST_LEVELS):
            if not self._due:
                break
            end = self._due.popleft()
            self._waiting.discard(end)
            flows = self._flows[end]
            if not flows:
                del self._flows[end]
                self._level.pop(end, None)
                continue
            old, level = self._level.get(end, float("inf")), self._worked_out(end)
            self._level[end] = level
            changed.update(dict.fromkeys(flows))
            if old != level and abs(level - old) > STILL * min(level, old):
                for flow in flows:
                    for other in self._ends[flow]:
                        if other != end:
                            self._note(other)
        return list(changed)

    def _note(self, end: End) -> None:
        if end not in self._waiting:
            self._waiting.add(end)
            self._due.append(end)

    def _worked_out(self, end: End) -> float:
        """The level at which the port is full; infinite while its flows want less than it has."""
        left = float(end[1].speed)
        kept_below = sorted(self._elsewhere(flow, end) for flow in self._flows[end])
        for number, wanted in enumerate(kept_below):
            share = left / (len(kept_below) - number)
            if wanted > share:
                return share
            left -= wanted
        return float("inf")

    def _elsewhere(self, flow: FlowKey, but: End | None) -> float:
        """What a flow would take, if this one of its ports did not limit it."""
        return min([self._limit[flow], *(self._level.get(end, float("inf")) for end in self._ends[flow] if end != but)])
