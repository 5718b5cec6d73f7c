"""Placement: which elephants share links that cannot carry them, and which of them to put on other equal-cost paths.

1. What every elephant wants is known (demand.py); the load of a link is the sum of what the elephants on it want, its
   pressure is load over speed. The cost of a placement is the sum over links of the pressure above COMFORT, squared,
   times speed: zero when every link can carry what its elephants want, so none moves then.
2. One overloaded link after the other is looked at, that under the most pressure first. The single move of one of its
   flows that lowers the cost most is made. Where none helps, a *chain* is tried for each of them and each other path:
   the flow goes there; on every link where that makes too much, a flow of about that size goes where the newcomer came
   from, or, on links of a switch where it was not before, to the best path beside; and so on, as often as the switches
   have links. It is kept if it lowers the cost. On a leaf-spine with equal links these are the alternating chains of
   Koenig's theorem on edge colouring, with spines as colours, and on a fat-tree the same once more in each plane; so
   permutations, for which those have room, are carried in full. Where links have too little room for all, chains even
   out what each carries.
3. A flow that moved lately is held: its effect has to show first.

Everything is kept from one decision to the next, so that a decision costs what changed: links whose load is as it was
when nothing helped are not looked at again, and no decision tries more than EFFORT changes; what it had no time for is
the next one's. Memory: some hundred bytes an elephant, and the paths between PAIRS pairs of edge switches.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from controller.flow import FlowKey
from controller.topology import PAIRS, Fabric, Link, Path

# Pressure a link may have from elephants alone before a flow is moved off it.
COMFORT = 1.02
# A move has to lower the cost by this part of one link's speed to be worth a reroute.
WORTHWHILE = 0.01
# Paths of flows that one decision tries: a few milliseconds' worth.
EFFORT = 1000
# Moves of one chain, and chains that are tried for one link: those whose first moves cost least.
LONGEST = 40
BEGINNINGS = 12

Course = tuple[int, ...]  # a path as the numbers of its links
Steps = list[tuple[FlowKey, Course]]


@dataclass(frozen=True)
class Move:
    """Put this flow on that path. `busiest` is the link it leaves, `pressure` that link's load over its speed."""

    flow: FlowKey
    path: Path
    busiest: Link
    pressure: float


class Placement:
    """The paths of elephants in one fabric and the load that follows. Rates are bits/s."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.unfinished = False
        self._links = fabric.links
        self._number = {link: number for number, link in enumerate(fabric.links)}
        self._speed = [link.speed for link in fabric.links]
        self._load = [0.0] * len(fabric.links)
        self._on: list[dict[FlowKey, None]] = [{} for _ in fabric.links]
        self._costs = [0.0] * len(fabric.links)
        self._over: set[int] = set()
        self._hopeless: dict[int, None] = {}  # of those: nothing helped, and nothing changed since
        self._again: dict[int, None] = {}  # of those: nothing helped when they were looked at last
        self._want: dict[FlowKey, float] = {}
        self._course: dict[FlowKey, Course] = {}
        self._choices: dict[FlowKey, list[Course]] = {}
        self._courses: dict[tuple[str, str], list[Course]] = {}
        self._left = 0

    # What is

    def put(self, flow: FlowKey, ends: tuple[str, str], path: Path, wanted: float) -> None:
        """A flow between these edge switches is on this path and wants that rate; also for a flow that was known."""
        course = tuple(self._number[link] for link in path)
        if self._course.get(flow) == course and self._want[flow] == wanted:
            return
        self.drop(flow)
        self._choices[flow] = self._between(*ends)
        self._want[flow] = wanted
        self._course[flow] = course
        self._enter(flow, course)
        self._hope(course)

    def drop(self, flow: FlowKey) -> None:
        """A flow is no longer there, or not known where."""
        course = self._course.pop(flow, None)
        if course is not None:
            self._leave(flow, course)
            self._hope(course)
            del self._want[flow], self._choices[flow]

    def _between(self, source: str, destination: str) -> list[Course]:
        known = self._courses.get((source, destination))
        if known is None:
            paths = self.fabric.paths(source, destination)
            known = [tuple(self._number[link] for link in path) for path in paths]
            if len(self._courses) >= PAIRS:
                self._courses.clear()
            self._courses[source, destination] = known
        return known

    def _enter(self, flow: FlowKey, course: Course) -> None:
        for link in course:
            self._on[link][flow] = None
            self._weigh(link, self._want[flow])

    def _leave(self, flow: FlowKey, course: Course) -> None:
        for link in course:
            del self._on[link][flow]
            self._weigh(link, -self._want[flow])

    def _weigh(self, link: int, more: float) -> None:
        load = self._load[link] = self._load[link] + more if self._on[link] else 0.0
        self._costs[link] = self._cost(link, load)
        if load > COMFORT * self._speed[link] and self._speed[link]:
            self._over.add(link)
        else:
            self._over.discard(link)

    def _hope(self, course: Course) -> None:
        """The load of these links changed: whoever shares a link with a flow on one of them may be helped now."""
        for link in course:
            for near in (link, *(other for flow in self._on[link] for other in self._course[flow])):
                self._hopeless.pop(near, None)
                self._again.pop(near, None)

    # What shall be

    def retry(self) -> None:
        """Look at all overloaded links again: time has passed, and flows are no longer held."""
        self._again |= self._hopeless
        self._hopeless.clear()

    def decide(self, held: Collection[FlowKey]) -> list[Move]:
        """The moves to make now, which are taken to be made; `held` flows stay. `unfinished` says that links are left
        for which there was no time."""
        self._left = EFFORT
        before: dict[FlowKey, tuple[Course, int, float]] = {}
        while (link := self._worst()) is not None and self._left > 0:
            steps = self._relieve(link, held)
            if not steps:
                self._again.pop(link, None)
                self._hopeless[link] = None
                continue
            for flow, _ in steps:
                old = self._course[flow]
                if flow not in before:
                    busiest = max(old, key=self._pressure)
                    before[flow] = old, busiest, self._pressure(busiest)
            for flow, course in steps:
                self._move(flow, course)
            for flow, _ in steps:
                self._hope(before[flow][0])
                self._hope(self._course[flow])
        self.unfinished = link is not None
        return [
            Move(flow, self._path(flow), self._links[busiest], pressure)
            for flow, (old, busiest, pressure) in before.items()
            if self._course[flow] != old
        ]

    def _path(self, flow: FlowKey) -> Path:
        return tuple(self._links[number] for number in self._course[flow])

    def _pressure(self, link: int) -> float:
        return self._load[link] / self._speed[link] if self._speed[link] else 0.0

    def _worst(self) -> int | None:
        """The overloaded link under the most pressure for which there is hope; those of `retry` last, and in turns."""
        fresh = self._over - self._hopeless.keys() - self._again.keys()
        if fresh:
            return max(fresh, key=lambda link: (self._pressure(link), -link))
        return next((link for link in self._again if link in self._over), None)

    def _relieve(self, link: int, held: Collection[FlowKey]) -> Steps:
        """What lowers the cost enough and most: a move of one flow off the link, else a chain that begins so; or
        nothing.
        """
        first = [
            (self._dearer(flow, course), flow, course)
            for flow in sorted(self._on[link])
            if flow not in held
            for course in self._choices[flow]
            if link not in course
        ]
        first.sort(key=lambda step: step[0])
        most = WORTHWHILE * self._speed[link]
        if first and -first[0][0] > most:
            return [first[0][1:]]
        best: Steps = []
        for _, flow, course in first[:BEGINNINGS]:
            steps, saved = self._try(flow, course, held)
            if saved > most * (1 + 1e-9) or (best and len(steps) < len(best) and saved > most * (1 - 1e-9)):
                best, most = steps, saved
        return best

    def _try(self, first: FlowKey, course: Course, held: Collection[FlowKey]) -> tuple[Steps, float]:
        """The chain that begins with this move, and what it saves. Everything is as before afterwards."""
        before: dict[FlowKey, Course] = {}
        bearable: dict[int, float] = {}
        waiting: list[tuple[int, Course, FlowKey]] = []
        saved, count = 0.0, 0
        step: tuple[FlowKey, Course] | None = (first, course)
        while True:
            if step is not None:
                flow, way = step
                saved -= self._dearer(flow, way)
                count += 1
                old = self._course[flow]
                before.setdefault(flow, old)
                for link in way:
                    if link not in old:
                        bearable.setdefault(link, self._bearable(link))
                        waiting.append((link, old, flow))
                self._move(flow, way)
            while waiting and self._load[waiting[0][0]] <= bearable[waiting[0][0]] * (1 + 1e-9):
                waiting.pop(0)
            if not waiting or count == LONGEST:
                break
            link, old, newcomer = waiting[0]
            step = self._aside(link, newcomer, old, first, held, before)
            if step is None:
                waiting.pop(0)
        steps = [(flow, self._course[flow]) for flow in before]
        for flow, way in before.items():
            self._move(flow, way)
        return steps, saved

    def _bearable(self, link: int) -> float:
        """Up to which load a link of a chain is left alone: what it can carry, or what it has to carry anyway."""
        return max(COMFORT * self._speed[link], self._load[link])

    def _aside(
        self,
        link: int,
        newcomer: FlowKey,
        old: Course,
        first: FlowKey,
        held: Collection[FlowKey],
        before: dict[FlowKey, Course],
    ) -> tuple[FlowKey, Course] | None:
        """Who shall leave a link for a newcomer, and where to: a flow of about its size, for which that is cheapest."""
        here = self._links[link]
        left = {
            number
            for number in old
            if self._links[number].source.switch == here.source.switch
            or self._links[number].target.switch == here.target.switch
        }  # what the newcomer left at either end of the link
        best, least = None, float("inf")
        size = self._want[newcomer]
        for flow in self._on[link]:
            if flow in (newcomer, first) or flow in held:
                continue
            own = self._course[flow]
            for course in self._choices[flow]:
                if link in course:
                    continue
                if left and not any(
                    number in course and self._load[number] + self._want[flow] < self._load[link] for number in left
                ):
                    continue
                if flow in before and (course[0], course[-1]) != (own[0], own[-1]):
                    continue
                dearer = self._dearer(flow, course) + abs(self._want[flow] - size) * 1e-3
                if dearer < least:
                    best, least = (flow, course), dearer
        return best

    def _move(self, flow: FlowKey, course: Course) -> None:
        self._leave(flow, self._course[flow])
        self._course[flow] = course
        self._enter(flow, course)

    def _dearer(self, flow: FlowKey, course: Course) -> float:
        """By how much the cost is higher with the flow on another path."""
        self._left -= 1
        old, want = self._course[flow], self._want[flow]
        load, costs, dearer = self._load, self._costs, 0.0
        for link in course:
            if link not in old:
                dearer += self._cost(link, load[link] + want) - costs[link]
        for link in old:
            if costs[link] and link not in course:
                dearer += self._cost(link, load[link] - want) - costs[link]
        return dearer

    def _cost(self, link: int, load: float) -> float:
        speed = self._speed[link]
        excess = load / speed - COMFORT if speed else 0.0
        return excess * excess * speed if excess > 0 else 0.0
