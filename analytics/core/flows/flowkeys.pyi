from _typeshed import ReadableBuffer

from analytics.core.dissect.packet import _Row

MAX_PICKS: int
MAX_VALUES: int
MAX_CHOICES: int
MAX_KEY_BYTES: int
STATISTICS: dict[str, int]
STATE_WORDS: dict[int, int]
FIELDS: dict[str, _Row]

def slot_of(name: str) -> int: ...
def computed_size(size: int) -> int: ...
def fields_of(header: ReadableBuffer, protocol: int = ...) -> dict[str, bytes]: ...
def fields_inside(buffer: ReadableBuffer, start: int, length: int, protocol: int = ...) -> dict[str, bytes]: ...
def spans_of(header: ReadableBuffer, protocol: int = ...) -> dict[str, tuple[int, int]]: ...
