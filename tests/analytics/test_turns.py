"""analytics/turns and what is built of it: the work between two steps is bounded, counted, not timed."""

from __future__ import annotations

import random
import statistics

import pytest

from analytics.metrics.metrics import Cell, ordered, parse_columns, parse_name, summarise
from analytics.turns import SORT_TURN, finished, in_order

ITEMS = 30_000


class Counted(float):
    """A number that counts how often any is compared or added."""

    work = 0

    def __lt__(self, other: object) -> bool:
        Counted.work += 1
        return float.__lt__(self, other)

    def __gt__(self, other: object) -> bool:
        Counted.work += 1
        return float.__gt__(self, other)

    def __add__(self, other: float) -> Counted:
        Counted.work += 1
        return Counted(float.__add__(self, other))

    __radd__ = __add__


def most_work(turns) -> tuple[object, int]:
    """What the turns return, and the most that one step of them compared or added."""
    most = 0
    while True:
        Counted.work = 0
        try:
            next(turns)
        except StopIteration as end:
            return end.value, max(most, Counted.work)
        most = max(most, Counted.work)


def numbers() -> list[Counted]:
    return [Counted(value) for value in random.Random(1).sample(range(10 * ITEMS), ITEMS)]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("count", [0, 1, SORT_TURN, SORT_TURN + 1, 3 * SORT_TURN])
def test_in_order_is_what_sorted_makes_of_it_equals_in_their_order(count, descending):
    items = [(value % 7, value) for value in random.Random(2).sample(range(count), count)]
    found = finished(in_order(items, lambda item: item[0], descending=descending))
    assert found == sorted(items, key=lambda item: item[0], reverse=descending)


def test_a_step_sorts_a_part():
    """Sorting so many at once takes n*log2(n) comparisons, nearly half a million."""
    found, most = most_work(in_order(numbers(), lambda number: number))
    assert found == sorted(numbers())
    assert most < ITEMS * 2


@pytest.mark.parametrize("statistic", ["max", "min", "sum", "avg", "sdev"])
def test_a_step_of_a_statistic_looks_at_a_part_of_the_cells(statistic):
    values = numbers()
    cells = [Cell("10.0.0.1", str(at), "m", value, 1000.0) for at, value in enumerate(values)]
    found, most = most_work(summarise(parse_name(f"{statistic}:m"), cells))
    plain = {"max": max, "min": min, "sum": sum, "avg": statistics.fmean, "sdev": statistics.pstdev}[statistic]
    assert found.value == pytest.approx(plain(list(map(float, values))))
    assert most <= ITEMS // 5


def test_a_step_of_a_table_sorts_a_part():
    columns, order = parse_columns(["sort:m:-10"])
    assert len(columns) == 1
    rows = [[Cell("10.0.0.1", str(at), "m", value, 1000.0)] for at, value in enumerate(numbers())]
    found, most = most_work(ordered(rows, order))
    assert [row[0].value for row in found] == sorted(numbers(), reverse=True)[:10]
    assert most < ITEMS * 2
