from _typeshed import ReadableBuffer

from analytics.core.wire.structures import Tag

_Value = (
    int | float | str | bytes | list[int] | list[list[int]] | list[tuple[int, list[int]]] | list[tuple[int, list[str]]]
)

def decode_record(tag: Tag, body: ReadableBuffer, *, flow: bool = ...) -> tuple[dict[str, _Value], bool]: ...
