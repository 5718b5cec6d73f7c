"""The history of every elephant, for operators and for measurements: when it was seen, marked, moved, and why.

Kept apart from the decisions: nothing here is read by a policy.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from controller.elephants import Elephant
from controller.flow import FlowKey
from controller.topology import Path, switches_of

# Ended elephants that the northbound interface still lists.
REMEMBERED = 1000
# For so many seconds after detection or a move the next samples show where the flow goes.
FRESH = 3.0


@dataclass
class Counts:
    """What happened since the start. `claims_refused` are places and addresses that hosts claimed and others have,
    `hosts_refused` newcomers for whom there was no room.
    """

    elephants: int = 0
    moves: int = 0
    refused_by_cap: int = 0
    deferred: int = 0
    untracked: int = 0
    refused_by_switch: int = 0
    adopted: int = 0
    claims_refused: int = 0
    hosts_refused: int = 0


@dataclass
class ElephantRecord:
    """One elephant. Times in s since the epoch, rate in bits/s, paths as switch names.

    `marked_at` and `steered_at` are the switch's own confirmation (barrier reply) that the rule is in force;
    `seen_moved_at` is the first sample of the flow on the path it was steered to.
    """

    flow: FlowKey
    ingress: str
    port: str
    detected_at: float
    rate: float = 0.0
    marked_at: float | None = None
    steered_at: float | None = None
    seen_moved_at: float | None = None
    ended_at: float | None = None
    first_path: list[str] | None = None
    path: list[str] | None = None
    moves: int = 0
    reason: str = ""
    state: str = "seen"


class ElephantRecords:
    """Records of live elephants by flow, and of the last ones that ended."""

    def __init__(self) -> None:
        self.live: dict[FlowKey, ElephantRecord] = {}
        self.past: deque[ElephantRecord] = deque(maxlen=REMEMBERED)

    def open(self, elephant: Elephant, state: str = "seen", reason: str = "") -> ElephantRecord:
        record = ElephantRecord(
            elephant.flow,
            elephant.entry.switch,
            elephant.entry.name,
            elephant.detected_at,
            elephant.rate,
            state=state,
            reason=reason,
        )
        self.live[elephant.flow] = record
        return record

    def steer(self, flow: FlowKey, before: Path, reason: str) -> None:
        """A decision to move the flow away from `before`."""
        record = self.live[flow]
        record.first_path = record.first_path or switches_of(before, record.ingress)
        record.moves += 1
        record.steered_at = record.seen_moved_at = None
        record.reason = reason

    def in_force(self, flow: FlowKey, now: float, *, marks: bool, pins: bool) -> None:
        """The switch confirmed a rule of this flow."""
        record = self.live.get(flow)
        if record is None:
            return
        if marks:
            record.marked_at = record.marked_at or now
            record.state = "marked"
        if pins:
            record.steered_at = record.steered_at or now
            record.state = "steered"

    def see(self, elephant: Elephant, path: Path | None, steered_to: Path | None) -> None:
        """What the latest samples show of this elephant: `path` is where they show it to be."""
        record = self.live[elephant.flow]
        record.rate = elephant.rate
        if steered_to is not None and record.seen_moved_at is None:
            record.seen_moved_at = elephant.first_seen_on(steered_to)
        if path is not None:
            record.path = switches_of(path, record.ingress)
            record.first_path = record.first_path or record.path

    def unsettled(self, now: float) -> bool:
        """Whether the next samples matter: an elephant's path, or its arrival on a new one, is not yet seen."""
        return any(
            (record.path is None and now - record.detected_at < FRESH)
            or (record.steered_at is not None and record.seen_moved_at is None and now - record.steered_at < FRESH)
            for record in self.live.values()
        )

    def close(self, flow: FlowKey, now: float) -> None:
        record = self.live.pop(flow, None)
        if record is not None:
            record.ended_at, record.state = now, "ended"
            self.past.append(record)
