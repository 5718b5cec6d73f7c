from _typeshed import ReadableBuffer

from analytics.core.pipeline import Pipeline

def play(
    pipeline: Pipeline,
    chunk: ReadableBuffer,
    big_endian: bool,
    fraction: float,
    link: int,
    port: int,
    until: float,
) -> tuple[int, int, float]: ...
