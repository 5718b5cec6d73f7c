"""What tests wait for ends the wait; how long they wait for it at most is said in one place, patience.py.

A number of seconds of its own is sooner or later too short for a busy or slow machine.
"""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WAITS = {"join": 0, "settimeout": 0, "wait": 0, "wait_for": 1, "create_connection": 1}  # -> the place of the time-out
BY_NAME = {*WAITS, "communicate", "run", "Ovsdb"}  # take it as `timeout`
POLLS_S = 1.0  # shorter ones are the steps of a loop, or what a test is about


def limits(tree):
    """The constants that say how long a call waits."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            name, place = call.func.attr, WAITS.get(call.func.attr, len(call.args))
            named = [each.value for each in call.keywords if each.arg == "timeout" and name in BY_NAME]
            yield from (each for each in (*call.args[place : place + 1], *named) if isinstance(each, ast.Constant))


def test_tests_wait_as_long_as_patience_says():
    found = [
        f"{path.relative_to(HERE)}:{limit.lineno}"
        for path in sorted(HERE.rglob("test_*.py"))
        for limit in limits(ast.parse(path.read_text()))
        if isinstance(limit.value, (int, float)) and limit.value >= POLLS_S
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "count"),
    [("thread.join(60)", 1), ("process.wait(timeout=5.0)", 1), ("sock.settimeout(PATIENCE_S)", 0), ("','.join(x)", 0)],
)
def test_such_a_number_is_found(line, count):
    assert len(list(limits(ast.parse(line)))) == count
