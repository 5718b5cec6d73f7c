"""Marking: every elephant carries a DSCP, so that queues can put mice first.

The default is Lower Effort (DSCP 1, RFC 8622), the code point made for bulk traffic that gives way to everything
else. When there are more elephants than rules allowed on their ingress switch, the largest keep theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.elephants import Elephant
from controller.flow import FlowKey

LOWER_EFFORT = 1


def within_cap(elephants: Iterable[Elephant], cap: int) -> tuple[list[FlowKey], list[FlowKey]]:
    """(those that may have a rule, those refused) of one place: kept are the `cap` largest by rate, older first."""
    flows = [e.flow for e in sorted(elephants, key=lambda elephant: (-elephant.rate, elephant.detected_at))]
    return flows[:cap], flows[cap:]
