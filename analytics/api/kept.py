"""The documents that are kept over a restart (analytics/state.py), in the JSON words of the REST API."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from analytics import topology
from analytics.api import answers
from analytics.engine import Engine
from analytics.export.sender import Sender, Sent
from analytics.export.targets import Forwarding, Tenant
from analytics.flows.definitions import FlowDefinition
from analytics.memory import TOPOLOGY_FACTOR
from analytics.state import Document, each_of


def documents(engine: Engine, sender: Sender, temporary: Callable[[], Collection[str]] = tuple) -> tuple[Document, ...]:
    """In the order in which they are restored: first what others refer to. `temporary`: flows that are not kept."""

    def flows() -> dict[str, FlowDefinition]:
        passing = temporary()
        return {name: flow for name, flow in engine.flows().items() if name not in passing}

    def set_flows(words: dict[str, Any]) -> Iterator[str]:
        for name in engine.flows().keys() - words.keys():  # that are there from the start, and were removed
            engine.clear_flow(name)
        yield from each_of(engine.set_flow)(words)

    def set_topology(words: dict[str, Any]) -> Iterator[str]:
        size = len(msgspec.json.encode(words))
        engine.set_topology(topology.parse(words), TOPOLOGY_FACTOR * size)
        yield from ()

    return (
        Document("groups", engine.groups, lambda groups: groups, each_of(engine.set_group)),
        Document("maps", engine.maps, lambda maps: maps, each_of(engine.set_map)),
        Document("topology", lambda: engine.topology().document, lambda document: document, set_topology),
        Document(
            "flows",
            flows,
            lambda known: {name: answers.flow(flow) for name, flow in known.items()},
            set_flows,
        ),
        Document(
            "thresholds",
            engine.thresholds,
            lambda known: {name: answers.threshold(threshold) for name, threshold in known.items()},
            each_of(engine.set_threshold),
        ),
        Document(
            "forwardings",
            lambda: specs(sender.forwardings()),
            lambda known: known,
            each_of(sender.set_forwarding),
        ),
        Document("tenants", lambda: specs(sender.tenants()), lambda known: known, each_of(sender.set_tenant)),
    )


def specs(known: Mapping[str, tuple[Forwarding | Tenant, Sent]]) -> dict[str, Mapping[str, Any]]:
    """What is passed on, as it was put: without counts."""
    return {name: target.spec for name, (target, _) in known.items()}
