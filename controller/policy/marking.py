"""Marking: every elephant carries a DSCP, so that queues can put mice first.

The default is Lower Effort (DSCP 1, RFC 8622), the code point made for bulk traffic that gives way to everything
else. When there are more elephants than rules allowed on their ingress switch, the largest keep theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.elephants import Elephant
from controller.flow import FlowKey

LOWER_EFFORT = 1


def within_cap(elephants: Iterable[Elephant], cap: int) -> tuple[set[FlowKey], set[FlowKey]]:
    """(those that may have a rule, those refused): per ingress switch the `cap` largest by rate, older first."""
    by_switch: dict[str, list[Elephant]] = {}
    for elephant in elephants:
        by_switch.setdefault(elephant.entry.switch, []).append(elephant)
    kept: set[FlowKey] = set()
    refused: set[FlowKey] = set()
    for group in by_switch.values():
        group.sort(key=lambda elephant: (-elephant.rate, elephant.detected_at))
        kept |= {elephant.flow for elephant in group[:cap]}
        refused |= {elephant.flow for elephant in group[cap:]}
    return kept, refused
