"""Max-min fair sharing by progressive filling (Bertsekas & Gallager, Data Networks, 6.5.2).

All flows grow together; when a resource is full or a flow has all it wants, those flows stop. Used twice: for the
rate a flow would have if only hosts limited it (its demand, the question Hedera's estimator answers), and for the
best total a fabric allows (the bound that an experiment is measured against).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence


def fair_share(
    flows: Mapping[Hashable, Sequence[Hashable]],
    capacity: Mapping[Hashable, float],
    limit: Mapping[Hashable, float] | None = None,
) -> dict[Hashable, float]:
    """The max-min fair rate of every flow.

    flows: flow -> the resources it uses; capacity: resource -> rate; limit: flow -> the most it wants (none = all it
    can get). A flow without resources and without limit gets infinity. All rates in one unit.
    """
    wants = {flow: (limit or {}).get(flow, float("inf")) for flow in flows}
    rate = dict.fromkeys(flows, 0.0)
    left = {resource: float(capacity[resource]) for uses in flows.values() for resource in uses}
    growing = set(flows)
    while growing:
        users: dict[Hashable, int] = {}
        for flow in growing:
            for resource in flows[flow]:
                users[resource] = users.get(resource, 0) + 1
        rest = [left[resource] / n for resource, n in users.items()]
        step = min(rest + [wants[flow] - rate[flow] for flow in growing])
        for flow in growing:
            rate[flow] += step
        for resource, n in users.items():
            left[resource] -= step * n
        full = {resource for resource in users if left[resource] <= 1e-9 * capacity[resource]}
        growing = {
            flow
            for flow in growing
            if rate[flow] < wants[flow] and not any(resource in full for resource in flows[flow])
        }
    return rate
