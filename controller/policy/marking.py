"""Marking: every elephant carries a DSCP, so that queues can put mice first.

The default is Lower Effort (DSCP 1, RFC 8622), the code point made for bulk traffic that gives way to everything
else. When there are more elephants than rules allowed on their ingress switch, the largest keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from controller.elephants import Elephant
from controller.flow import FlowKey
from controller.topology import Place

LOWER_EFFORT = 1


def entry_switch(elephant: Elephant) -> str:
    """The name of the switch where it enters."""
    return elephant.entry.switch


def entry_port(elephant: Elephant) -> Place:
    """The edge port where it enters."""
    return elephant.entry.switch, elephant.entry.number


def within_cap(
    elephants: Iterable[Elephant], cap: int, place: Callable[[Elephant], Hashable]
) -> tuple[set[FlowKey], set[FlowKey]]:
    """(those that may have a rule, those refused): of each place the `cap` largest by rate, older first."""
    by_place: dict[Hashable, list[Elephant]] = {}
    for elephant in elephants:
        by_place.setdefault(place(elephant), []).append(elephant)
    kept: set[FlowKey] = set()
    refused: set[FlowKey] = set()
    for group in by_place.values():
        group.sort(key=lambda elephant: (-elephant.rate, elephant.detected_at))
        kept |= {elephant.flow for elephant in group[:cap]}
        refused |= {elephant.flow for elephant in group[cap:]}
    return kept, refused
