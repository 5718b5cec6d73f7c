"""Long work in turns: a generator that yields whenever others may go on, and returns what it was for.

The HTTP interface runs such work in its event loop and serves other requests between two turns (api/rest.py); scripts,
benchmarks and tests run it at once. A turn takes the pipeline's lock once and some milliseconds at most.

A turn may see indexes and key ids that have no owner any more a moment later. `Grace` knows which work was under way
then, so that nobody gets them before it has ended.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")

Turns = Generator[None, None, T]
SORT_TURN = 2000  # items that are sorted, or merged, in one turn: about 1 ms


def finished(turns: Turns[T]) -> T:
    """All turns, one after the other."""
    while True:
        try:
            next(turns)
        except StopIteration as end:
            value: T = end.value
            return value


def at_once(method: Callable[Concatenate[S, P], Turns[T]]) -> Callable[Concatenate[S, P], T]:
    """The method that does all turns of another."""

    def run(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        return finished(method(self, *args, **named))

    return functools.update_wrapper(run, method)


def pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """A sequence in pieces of `size`."""
    return (items[first : first + size] for first in range(0, len(items), size))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """What comes, in lists of `size`."""
    iterator = iter(items)
    while some := list(itertools.islice(iterator, size)):
        yield some


def in_order(items: Sequence[T], key: Callable[[T], Any], *, descending: bool = False) -> Turns[list[T]]:
    """What `sorted` makes of items, which is one step of the interpreter: many are sorted in pieces and merged."""
    runs = []
    for some in pieces(items, SORT_TURN):
        runs.append(sorted(some, key=key, reverse=descending))
        yield
    if len(runs) < 2:
        return runs[0] if runs else []
    merged: list[T] = []
    for item in heapq.merge(*runs, key=key, reverse=descending):
        merged.append(item)
        if len(merged) % SORT_TURN == 0:
            yield
    return merged


class Grace:
    """Work under way, by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._under_way: dict[int, None] = {}

    def begin(self) -> int:
        """Some work begins, or something is about to be given to another: its number."""
        return next(self._numbers)

    def during(self, turns: Turns[T]) -> Turns[T]:
        """The same work, known to be under way until it has ended or was closed."""
        number = self.begin()
        self._under_way[number] = None
        try:
            return (yield from turns)
        finally:
            del self._under_way[number]

    def is_over(self, number: int) -> bool:
        """Whether all work that had begun before `number` has ended."""
        return all(other > number for other in list(self._under_way))
