"""What elephants want and where they are, kept up to date for the placement of each (policy/demand.py, placement.py).

An event concerns a few flows; what they want may change what others at the same ports want, and that the load of their
links. Only those are worked out again. Another fabric begins anew.
"""

from __future__ import annotations

from controller.elephants import Elephant
from controller.flow import FlowKey
from controller.policy.demand import Demands
from controller.policy.placement import Move, Placement
from controller.topology import Fabric, Path
from ovs_rules.rule import PROTO_UDP


class Steering:
    """The elephants that may be moved in one fabric."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self._demands = Demands()
        self._placement = Placement(fabric)
        self._placed: dict[FlowKey, tuple[tuple[str, str], Path]] = {}
        self._moved_at: dict[FlowKey, float] = {}

    @property
    def unfinished(self) -> bool:
        """Whether the latest decision left links for which it had no time."""
        return self._placement.unfinished

    def see(self, elephant: Elephant, path: Path | None) -> None:
        """An elephant is on this path now, as far as known."""
        flow, exit = elephant.flow, elephant.exit
        is_limited = elephant.entry.speed or (exit and exit.speed)
        limit = elephant.rate if flow.protocol == PROTO_UDP or not is_limited else None
        self._demands.put(flow, elephant.entry, exit, limit)
        if path is None or exit is None:
            self._placed.pop(flow, None)
            self._placement.drop(flow)
        else:
            self._placed[flow] = (elephant.entry.switch, exit.switch), path
            self._weigh(flow)

    def forget(self, flow: FlowKey) -> None:
        """An elephant is gone, or may no longer be moved."""
        self._demands.drop(flow)
        self._placement.drop(flow)
        self._placed.pop(flow, None)
        self._moved_at.pop(flow, None)

    def retry(self) -> None:
        """Have the next decision look at everything again."""
        self._placement.retry()

    def decide(self, now: float, hold: float) -> list[Move]:
        """The moves to make now; what moved within the last `hold` seconds stays. They are taken to be made."""
        for flow in self._demands.settle():
            if flow in self._placed:
                self._weigh(flow)
        self._moved_at = {flow: at for flow, at in self._moved_at.items() if now - at < hold}
        moves = self._placement.decide(self._moved_at.keys())
        for move in moves:
            self._placed[move.flow] = self._placed[move.flow][0], move.path
            self._moved_at[move.flow] = now
        return moves

    def undo(self, move: Move, path: Path) -> None:
        """A move is not made after all: the flow is where it was."""
        self._placed[move.flow] = self._placed[move.flow][0], path
        del self._moved_at[move.flow]
        self._weigh(move.flow)

    def _weigh(self, flow: FlowKey) -> None:
        ends, path = self._placed[flow]
        self._placement.put(flow, ends, path, self._demands.of(flow))
