"""What the core reads of a compiled flow definition; it is made outside of the core, and given back as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Definition(Protocol):
    """Names are those of flowkeys.FIELDS. How computed and carried fields make a key: flowkeys.pyx."""

    @property
    def computed(self) -> Sequence[str]:
        """Fields that go through Listener.compute_key."""

    @property
    def by_agent(self) -> bool:
        """Whether computed keys differ by agent."""

    @property
    def carried(self) -> Sequence[tuple[Sequence[str], bool]]:
        """Per key part: its fields, of which the first that a sample has counts, and whether the key says which."""

    @property
    def value(self) -> str | None:
        """The numeric field that is added up; None: 1 per sample."""

    @property
    def statistics(self) -> Sequence[tuple[str, Sequence[str]]]:
        """What is kept in the place of that field's rate, if anything: what of it (flowkeys.STATISTICS), and the fields
        of which the first that a sample has counts, none: 1 per sample. The first of them is the flow's value."""

    @property
    def of_agent(self) -> bool:
        """Whether a flow is one of the agent as a whole, not one of each of its data sources."""

    @property
    def t(self) -> float:
        """The time constant of the rates in seconds."""

    @property
    def log(self) -> bool:
        """Whether its flows are recorded,"""

    @property
    def flow_start(self) -> bool:
        """told when they begin instead of when they end,"""

    @property
    def active_timeout(self) -> float:
        """and after how many seconds of a flow that goes on."""

    @property
    def connection(self) -> str | None:
        """The TCP flags field of the connection that the keys identify, when it is logged."""

    @property
    def dropped(self) -> bool:
        """Whether it takes discarded packets instead of samples."""


class TestSettings(Protocol):
    """How a sequential test decides (sequential.pyx); rates in the definition's unit."""

    @property
    def alpha(self) -> float:
        """The probability that a mouse is taken for an elephant."""

    @property
    def beta(self) -> float:
        """The probability that an elephant is taken to have ended."""

    @property
    def separation(self) -> float:
        """How many times the rate of the largest mouse the limit is."""

    @property
    def fastest(self) -> float:
        """The rate of the links."""

    @property
    def switches(self) -> int:
        """The most on a path, 0: not known."""
