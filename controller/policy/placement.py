"""Placement: move an elephant when it shares its path's busiest link and an equal-cost path is better.

1. The demand of every elephant is the rate it would have if only hosts limited it: max-min fair over the host links
   (what Hedera, NSDI 2010, estimates), because the rates of colliding flows say little about what they want.
   A UDP flow wants what it sends.
2. The load of a link is the sum of the demands of the elephants on it; its pressure is load over speed.
3. The cost of a placement is the sum over links of the pressure above COMFORT, squared, times speed: zero when every
   link can carry what its elephants want, so nobody moves then.
4. Moves that lower the cost most are taken first: single moves, and where no single move helps, one that first pushes
   another elephant out of the way (a chain of two; on a leaf-spine with as many spines as hosts per leaf that undoes
   most dead ends of single moves).
5. A flow that moved within the last `hold` seconds stays: its effect has to show first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.elephants import Elephant, FlowKey
from controller.policy.fairshare import fair_share
from controller.topology import Fabric, Link, Path
from ovs_rules.rule import PROTO_UDP

# Pressure a link may have from elephants alone before anybody is moved off it.
COMFORT = 1.02
# A move has to lower the cost by this part of one link's speed to be worth a reroute.
WORTHWHILE = 0.01


@dataclass(frozen=True)
class Move:
    """Put this flow on that path. `busiest` is the link it leaves, `pressure` that link's load over its speed."""

    flow: FlowKey
    path: Path
    busiest: Link
    pressure: float


def demands(fabric: Fabric, elephants: Mapping[FlowKey, Elephant]) -> dict[FlowKey, float]:
    """What each elephant wants, bits/s."""
    uses, capacity, limit = {}, {}, {}
    for flow, elephant in elephants.items():
        host = elephant.destination(fabric)
        ends = [("in", elephant.entry)]
        if host is not None:
            ends.append(("out", fabric.switches[host.switch].ports[host.port]))
        uses[flow] = [end for end in ends if end[1].speed]
        capacity.update({end: float(end[1].speed) for end in uses[flow]})
        if flow.protocol == PROTO_UDP or not uses[flow]:
            limit[flow] = elephant.rate
    return fair_share(uses, capacity, limit)  # type: ignore[arg-type, return-value]


def decide(
    fabric: Fabric,
    elephants: Mapping[FlowKey, Elephant],
    placed: Mapping[FlowKey, Path],
    moved_at: Mapping[FlowKey, float],
    *,
    now: float,
    hold: float = 2.0,
) -> list[Move]:
    """The moves to make now, in order.

    placed: the path of every elephant whose path is known; moved_at: when a flow was last moved (s since the epoch).
    """
    choices = {flow: elephants[flow].paths(fabric) for flow in placed}
    free = {flow for flow in placed if len(choices[flow]) > 1 and now - moved_at.get(flow, float("-inf")) >= hold}
    board = _Board(demands(fabric, elephants), dict(placed))
    start = dict(placed)
    for _ in range(len(free)):
        chain = board.best_single(free, choices) or board.best_pair(free, choices)
        if chain is None:
            break
        for flow, path in chain:
            board.put(flow, path)
    before = _Board(board.want, start)
    return [
        Move(flow, path, busiest, before.pressure(busiest))
        for flow, path in board.path.items()
        if path != start[flow] and (busiest := max(start[flow], key=before.pressure, default=None)) is not None
    ]


class _Board:
    """A placement under consideration: who is where, the load of every link, the cost of changing it."""

    def __init__(self, want: Mapping[FlowKey, float], path: dict[FlowKey, Path]) -> None:
        self.want = want
        self.path = path
        self.load: dict[Link, float] = {}
        for flow, links in path.items():
            self._add(links, want[flow])

    def pressure(self, link: Link) -> float:
        return self.load.get(link, 0.0) / link.speed if link.speed else 0.0

    def put(self, flow: FlowKey, path: Path) -> None:
        self._add(self.path[flow], -self.want[flow])
        self._add(path, self.want[flow])
        self.path[flow] = path

    def best_single(
        self, free: set[FlowKey], choices: Mapping[FlowKey, list[Path]]
    ) -> list[tuple[FlowKey, Path]] | None:
        best, gain = None, 0.0
        for flow in sorted(free):
            if not self._crowded(flow):
                continue
            for path in choices[flow]:
                saved = self._saving([(flow, path)])
                if saved > gain + self._worth(path):
                    best, gain = [(flow, path)], saved
        return best

    def best_pair(self, free: set[FlowKey], choices: Mapping[FlowKey, list[Path]]) -> list[tuple[FlowKey, Path]] | None:
        best, gain = None, 0.0
        for flow in sorted(free):
            if not self._crowded(flow):
                continue
            for path in choices[flow]:
                for other, way in self._ways_out(flow, path, free, choices):
                    saved = self._saving([(flow, path), (other, way)])
                    if saved > gain + self._worth(path):
                        best, gain = [(other, way), (flow, path)], saved
        return best

    def _ways_out(
        self, flow: FlowKey, path: Path, free: set[FlowKey], choices: Mapping[FlowKey, list[Path]]
    ) -> Iterator[tuple[FlowKey, Path]]:
        """Elephants that stand where `flow` would go, with every other path they have."""
        wanted = set(path)
        for other in sorted(free - {flow}):
            if wanted & set(self.path[other]):
                for way in choices[other]:
                    if way != self.path[other]:
                        yield other, way

    def _crowded(self, flow: FlowKey) -> bool:
        return any(self.pressure(link) > COMFORT for link in self.path[flow])

    def _saving(self, moves: list[tuple[FlowKey, Path]]) -> float:
        change: dict[Link, float] = {}
        for flow, path in moves:
            for link in self.path[flow]:
                change[link] = change.get(link, 0.0) - self.want[flow]
            for link in path:
                change[link] = change.get(link, 0.0) + self.want[flow]
        return sum(
            _cost(self.load.get(link, 0.0), link.speed) - _cost(self.load.get(link, 0.0) + more, link.speed)
            for link, more in change.items()
        )

    @staticmethod
    def _worth(path: Path) -> float:
        return WORTHWHILE * max((link.speed for link in path), default=0)

    def _add(self, path: Path, rate: float) -> None:
        for link in path:
            self.load[link] = self.load.get(link, 0.0) + rate


def _cost(load: float, speed: int) -> float:
    excess = load / speed - COMFORT if speed else 0.0
    return excess * excess * speed if excess > 0 else 0.0
