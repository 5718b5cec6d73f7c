"""Placement: move an elephant when it shares its path's busiest link and an equal-cost path is better.

1. The demand of every elephant is the rate it would have if only hosts limited it: max-min fair over the host links
   (what Hedera, NSDI 2010, estimates), because the rates of colliding flows say little about what they want.
   A UDP flow wants what it sends.
2. The load of a link is the sum of the demands of the elephants on it; its pressure is load over speed.
3. The cost of a placement is the sum over links of the pressure above COMFORT, squared, times speed: zero when every
   link can carry what its elephants want, so none moves then.
4. Single moves are taken first, the one that lowers the cost most before the others. Where none helps any more, a
   chain is tried: the flow takes its new path, a flow that is one too many there takes the path over the top switch
   that the first one left, a flow that is one too many there takes the other one, and so on (the alternating chains
   of Koenig's edge colouring theorem, with top switches as colours: on a leaf-spine with as many spines as hosts per
   leaf they carry every permutation in full).
5. A flow that moved within the last `hold` seconds stays: its effect has to show first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.elephants import Elephant
from controller.flow import FlowKey
from controller.policy.fairshare import fair_share
from controller.topology import Fabric, Link, Path
from ovs_rules.rule import PROTO_UDP

# Pressure a link may have from elephants alone before a flow is moved off it.
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


def demands(elephants: Mapping[FlowKey, Elephant]) -> dict[FlowKey, float]:
    """What each elephant wants, bits/s."""
    uses, capacity, limit = {}, {}, {}
    for flow, elephant in elephants.items():
        ends = [("in", elephant.entry)]
        if elephant.exit is not None:
            ends.append(("out", elephant.exit))
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
    trial = _Placement(demands(elephants), dict(placed))
    start = dict(placed)
    for _ in range(len(free)):
        chain = trial.best(free, choices, trial.alone) or trial.best(free, choices, trial.chain)
        if chain is None:
            break
        for flow, path in chain:
            trial.put(flow, path)
    before = _Placement(trial.want, start)
    return [
        Move(flow, path, busiest, before.pressure(busiest))
        for flow, path in trial.path.items()
        if path != start[flow] and (busiest := max(start[flow], key=before.pressure, default=None)) is not None
    ]


Step = tuple[FlowKey, Path]
Choices = Mapping[FlowKey, list[Path]]
Extend = Callable[[Step, set[FlowKey], Choices], list[Step]]


class _Placement:
    """A placement under consideration: the path of every flow, the load of every link, the cost of changing it."""

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

    def best(self, free: set[FlowKey], choices: Choices, extend: Extend) -> list[Step] | None:
        """The moves, begun by a flow on an overloaded link, that lower the cost most; None if none lowers it enough."""
        best, gain = None, 0.0
        for flow in sorted(free):
            if not self._is_overloaded(flow):
                continue
            for path in choices[flow]:
                steps = extend((flow, path), free, choices)
                saved = self._saving(steps)
                if saved > gain + WORTHWHILE * max((link.speed for link in path), default=0):
                    best, gain = steps, saved
        return best

    def alone(self, first: Step, free: set[FlowKey], choices: Choices) -> list[Step]:
        """The move and nothing else."""
        return [first]

    def chain(self, first: Step, free: set[FlowKey], choices: Choices) -> list[Step]:
        """The move, and those of flows for which no capacity is left then: between its old and its new top switch."""
        flow, path = first
        tops = _top(self.path[flow]), _top(path)
        steps = {flow: path}
        waiting = [path]
        while waiting:
            for link in waiting.pop():
                here = sorted(f for f in free if link in steps.get(f, self.path[f]))
                load = sum(self.want[f] for f in here)
                for other in here:
                    if load <= COMFORT * link.speed:
                        break
                    if other in steps:
                        continue
                    wanted = tops[1] if _top(self.path[other]) == tops[0] else tops[0]
                    aside = next((path for path in choices[other] if _top(path) == wanted), None)
                    if aside is not None:
                        steps[other] = aside
                        waiting.append(aside)
                        load -= self.want[other]
        return list(steps.items())

    def _is_overloaded(self, flow: FlowKey) -> bool:
        return any(self.pressure(link) > COMFORT for link in self.path[flow])

    def _saving(self, moves: list[Step]) -> float:
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

    def _add(self, path: Path, rate: float) -> None:
        for link in path:
            self.load[link] = self.load.get(link, 0.0) + rate


def _top(path: Path) -> str | None:
    """The switch halfway along a path: the spine, or the core of a fat-tree. It names the path between two edges."""
    return path[len(path) // 2].source.switch if path else None


def _cost(load: float, speed: int) -> float:
    excess = load / speed - COMFORT if speed else 0.0
    return excess * excess * speed if excess > 0 else 0.0
