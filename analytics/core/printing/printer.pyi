from _typeshed import ReadableBuffer
from typing_extensions import Self, disjoint_base

@disjoint_base
class Printer:
    def __new__(cls, form: str) -> Self: ...
    @property
    def samples(self) -> int: ...
    @property
    def faults(self) -> int: ...
    def __len__(self) -> int: ...
    def feed(
        self,
        datagram: ReadableBuffer,
        now: float,
        source: str,
        local: str,
        recorded: bool = ...,
        agent: bytes | None = ...,
    ) -> bool | None: ...
    def take(self) -> bytes: ...
