"""metrics: names, statistics, filters and tables over cells."""

from __future__ import annotations

import pytest

from analytics.flows.flowquery import TopFlow
from analytics.metrics.metrics import (
    Cell,
    InvalidQuery,
    Name,
    Quartiles,
    Statistic,
    matches,
    ordered,
    parse_columns,
    parse_filters,
    parse_name,
    summarise,
    table_rows,
)
from analytics.turns import finished

NOW = 1000.0


@pytest.mark.parametrize(
    ("text", "statistic", "source", "metric"),
    [
        ("ifinoctets", "max", None, "ifinoctets"),
        ("sum:ifinoctets", "sum", None, "ifinoctets"),
        ("5.howdah_flow", "max", "5", "howdah_flow"),
        ("max:4.ifinoctets", "max", "4", "ifinoctets"),
        ("2.1.load_one", "max", "2.1", "load_one"),
        ("nope:x", "max", None, "nope:x"),
    ],
)
def test_names(text, statistic, source, metric):
    assert parse_name(text) == Name(text, statistic, source, metric)


CELLS = [Cell(f"10.0.0.{number}", "5", "m", value, NOW - age) for number, (value, age) in enumerate(
    [(10.0, 1), (40.0, 3), (20.0, 2), (30.0, 4)]
)]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("m", 40.0),
        ("min:m", 10.0),
        ("sum:m", 100.0),
        ("avg:m", 25.0),
        ("var:m", 125.0),
        ("sdev:m", pytest.approx(11.1803, abs=1e-3)),
        ("med:m", 25.0),
        ("q2:m", 25.0),
        ("q1:m", 17.5),
        ("q3:m", 32.5),
        ("iqr:m", 15.0),
        ("any:m", 10.0),  # the newest
    ],
)
def test_statistics(name, value):
    found = finished(summarise(parse_name(name), CELLS))
    assert (found.name, found.cells, found.value) == (name, 4, value)
    assert (found.newest, found.oldest) == (NOW - 1, NOW - 4)
    chosen = {"m": CELLS[1], "min:m": CELLS[0], "any:m": CELLS[0]}
    assert found.chosen is chosen.get(name)
    quartiles = name.split(":")[0] in ("med", "q1", "q2", "q3", "iqr")
    assert found.quartiles == (Quartiles(10.0, 17.5, 25.0, 32.5, 40.0) if quartiles else None)


def test_nothing_found_has_no_value():
    assert finished(summarise(parse_name("sum:m"), [])) == Statistic("sum:m", 0)


def test_texts_are_left_out_of_sums_but_can_be_asked_for():
    cells = [Cell("a", "1", "ifname", "eth0", NOW), Cell("a", "2", "ifname", "eth1", NOW - 1)]
    assert finished(summarise(parse_name("ifname"), cells)) == Statistic("ifname", 0)
    assert finished(summarise(parse_name("any:ifname"), cells)).value == "eth0"
    assert finished(summarise(parse_name("2.ifname"), cells[1:])).value == "eth1"
    assert finished(summarise(parse_name("sdev:2.ifname"), cells[1:])) == Statistic("sdev:2.ifname", 0)


def test_top_keys_are_merged():
    one = (TopFlow("a", 5.0, NOW - 3), TopFlow("b", 3.0, NOW - 2))
    two = (TopFlow("b", 4.0, NOW - 1), TopFlow("c", 1.0, NOW))
    cells = [Cell("x", "1", "f", 5.0, NOW, one), Cell("y", "1", "f", 4.0, NOW, two)]
    assert finished(summarise(parse_name("max:f"), cells)).top == one
    assert finished(summarise(parse_name("sum:f"), cells)).top == (
        TopFlow("b", 7.0, NOW - 1),
        TopFlow("a", 5.0, NOW - 3),
    )
    assert finished(summarise(parse_name("avg:f"), cells)).top == (
        TopFlow("a", 5.0, NOW - 3),
        TopFlow("b", 4.0, NOW - 1),
    )


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"ifspeed": [1_000_000_000]}, True),
        ({"ifspeed": [1e9]}, True),
        ({"ifspeed": "1000000000"}, True),
        ({"ifspeed": [10, 100]}, False),
        ({"ifspeed": [10, 1_000_000_000]}, True),
        ({"ifname": ["leaf*"]}, True),
        ({"ifname": ["*eth2"]}, False),
        ({"ifname": ["*"], "ifspeed": ["*"]}, True),
        ({"host_name": ["*"]}, False),
        ({"ifname": ["leaf1-eth[0-9]"]}, False),
        ({"ifspeed": [1e9], "ifname": ["x"]}, False),
    ],
)
def test_filters(filters, passes):
    attributes = {"ifspeed": 1_000_000_000, "ifname": "leaf1-eth1"}
    assert matches(parse_filters(filters), attributes.get) is passes


@pytest.mark.parametrize("filters", ["x", 5, {"a": []}, {"a": [[]]}, {"a": {}}])
def test_wrong_filters(filters):
    with pytest.raises(InvalidQuery, match="filter"):
        parse_filters(filters)


TABLE = {
    ("a", "1", "ifname"): "eth1",
    ("a", "2", "ifname"): "eth2",
    ("b", "1", "ifname"): "eth1",
    ("a", "1", "ifinoctets"): 5.0,
    ("a", "2", "ifinoctets"): 9.0,
    ("a", "2.1", "host_name"): "alpha",
}


def rows(*names: str) -> list[list[object]]:
    def cell(agent: str, source: str, metric: str) -> Cell | None:
        value = TABLE.get((agent, source, metric))
        return None if value is None else Cell(agent, source, metric, value, NOW)

    columns, order = parse_columns(names)
    ports = [number for number, column in enumerate(columns) if column.metric.startswith("if") and not column.source]
    firsts = {agent: ports[0] for agent in "ab"} if ports else {}
    sources = [("a", "1"), ("a", "2"), ("b", "1"), ("a", "2.1")]
    made = finished(ordered(table_rows(columns, sources, firsts, cell, NOW), order))
    return [[each.value for each in row] for row in made]


def test_tables():
    assert rows("ifname", "ifinoctets") == [["eth1", 5.0], ["eth2", 9.0], ["eth1", None]]
    assert rows("ifinoctets", "ifname") == [[5.0, "eth1"], [9.0, "eth2"]]
    assert rows("ifinoctets", "host_name") == [[5.0, "alpha"], [9.0, "alpha"]]
    assert rows("ifname", "sort:ifinoctets:-2") == [["eth1", None], ["eth2", 9.0]]
    assert rows("sort:ifinoctets:-1", "ifname") == [[9.0, "eth2"]]
    assert rows("sort:ifinoctets", "ifname") == [[5.0, "eth1"], [9.0, "eth2"]]
    assert rows("sort:ifinoctets:-", "ifname") == [[9.0, "eth2"], [5.0, "eth1"]]
    assert rows("sort:ifinoctets:1", "ifname") == [[5.0, "eth1"]]
    assert rows("sort:ifinoctets:", "ifname") == [[5.0, "eth1"], [9.0, "eth2"]]
    assert rows("2.ifinoctets") == [[9.0], [9.0], [9.0]]
    assert rows("host_name", "ifname") == [["alpha", "eth1"], ["alpha", "eth2"], [None, "eth1"]]
    assert rows("host_name") == [["alpha"]]
    with pytest.raises(InvalidQuery, match="'sum:ifname': values are listed one by one"):
        rows("ifname", "sum:ifname")
    with pytest.raises(InvalidQuery, match="'many'"):
        rows("sort:ifname:many")
