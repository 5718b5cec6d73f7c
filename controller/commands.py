"""What the controller's core wants done, as values. app.py executes it and knows nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from controller.reconcile import Change


@dataclass(frozen=True)
class Send:
    """Make these changes on that switch, in order, then a barrier."""

    dpid: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Emit:
    """Send this frame out of that port."""

    dpid: int
    port: int
    frame: bytes


@dataclass(frozen=True)
class Complain:
    """Count a fault of this kind (documents/faults.py)."""

    kind: str
    error: Exception


Command = Send | Emit | Complain
