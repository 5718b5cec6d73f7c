from typing import TypeVar, final

from typing_extensions import Self

from analytics.core.flows.definition import Definition
from analytics.core.flows.flowcache import FlowCache

_D = TypeVar("_D", bound=Definition)

@final
class Classifier:
    def __new__(cls, seed: int) -> Self: ...
    def add(self, program: _D, max_entries: int) -> FlowCache[_D]: ...
    def drop(self, cache: FlowCache) -> None: ...
    def headers_seen(self) -> int: ...
