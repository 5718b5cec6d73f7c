from typing import Literal, TypedDict

from _typeshed import ReadableBuffer
from typing_extensions import NotRequired

from analytics.core.wire.rows import _Value
from analytics.core.wire.structures import Tag

class _FlowSample(TypedDict):
    kind: Literal["flow", "discard"]
    sequence: int
    source_class: int
    source_index: int
    rate: int
    pool: int
    drops: int
    input: tuple[int, int]
    output: tuple[int, int]
    protocol: NotRequired[int]
    frame_length: NotRequired[int]
    stripped: NotRequired[int]
    header: NotRequired[bytes]
    reason: NotRequired[int]
    switch: NotRequired[tuple[int, int, int, int]]

class _CounterSample(TypedDict):
    kind: Literal["counters"]
    sequence: int
    source_class: int
    source_index: int
    fields: dict[Tag, dict[str, _Value]]

class _RtmetricSample(TypedDict):
    kind: Literal["rtmetric"]
    body: bytes

class _Datagram(TypedDict):
    agent: bytes
    sub_agent: int
    sequence: int
    uptime: int
    samples: list[_FlowSample | _CounterSample | _RtmetricSample]
    skipped: int
    faults: int

RTMETRIC_TYPES: tuple[str, ...]

def counter_records(body: ReadableBuffer, records: int) -> tuple[dict[Tag, dict[str, _Value]], int]: ...
def rtmetric(body: ReadableBuffer) -> tuple[str, list[tuple[str, str, int | float | str]], int] | None: ...
def decode(datagram: ReadableBuffer) -> _Datagram | None: ...
