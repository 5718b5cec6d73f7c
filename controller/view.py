"""What the controller knows and does at one moment, as frozen values: what app.py and rest.py read.

The conductor gives a view on request. Nothing in it changes afterwards, and nothing is decided by reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from controller.control import Policy
from controller.flow import FlowKey
from controller.reconcile import Installed
from controller.records import Counts, ElephantRecord
from controller.rules import Control
from controller.topology import Fabric, Host, Link, Path

LEAST_RELEASE, MOST_RELEASE = 0.001, 0.9  # with which tests can be made


@dataclass(frozen=True)
class Definitions:
    """What analytics has to be given: the fabric, without the hosts that were learnt, of which it has no use; and for
    each speed of an edge port (bits/s) the rate from which a flow that enters there is an elephant (bits/s), and of
    which part it ends; `switches` are as many as a path has. `ports` says that the controller needs analytics' names
    of ports.
    """

    fabric: Fabric
    thresholds: Mapping[int, float]
    release: float
    switches: int
    ports: bool

    @property
    def separation(self) -> float:
        """Times the rate below which a flow is none any more."""
        return 1 / min(max(self.release, LEAST_RELEASE), MOST_RELEASE)

    @property
    def elephants(self) -> tuple[Mapping[int, float], float, int]:
        """All that analytics' definition of an elephant is made of."""
        return self.thresholds, self.separation, self.switches


@dataclass(frozen=True)
class View:
    """`installed` is what each connected switch holds of ours, by datapath id; `paths` where each live elephant is, as
    far as known; `flows_seen` the flows of the latest poll, by (switch, port number), of which analytics lists at most
    20 per port.
    """

    policy: Policy
    fabric: Fabric
    hosts: tuple[Host, ...]
    installed: Mapping[int, Installed]
    elephants: tuple[ElephantRecord, ...]
    ended: tuple[ElephantRecord, ...]
    controls: Mapping[FlowKey, Control]
    paths: Mapping[FlowKey, Path]
    flows_seen: Mapping[tuple[str, int], int]
    counts: Counts
    problems: tuple[str, ...]

    @cached_property
    def elephants_on(self) -> Mapping[Link, list[FlowKey]]:
        """The elephants of every link that has any."""
        out: dict[Link, list[FlowKey]] = {}
        for flow, path in self.paths.items():
            for link in path:
                out.setdefault(link, []).append(flow)
        return out
