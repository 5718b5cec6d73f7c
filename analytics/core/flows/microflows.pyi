from collections.abc import Iterable

from analytics.core.flows.definition import Definition

def masked_loads(programs: Iterable[Definition]) -> list[tuple[int, int, int]]: ...
