"""What reaches a terminal or a log: text that can only be read, whatever its sender put in."""

import ast
import io
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from documents.console import PlainConsole
from documents.printable import Guard, complain, printable, say

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "an escape sequence": "leaf1\x1b[2J\x1b]0;owned\x07",
    "one of C1": "leaf1\x9b2J",
    "a line break": "leaf1\nswitch 0000000000000001 connected",
    "a carriage return": "leaf1\rspine1",
    "a backspace": "leaf1\b\b\b",
    "right to left": "leaf1\u202e1fael",
    "an isolate": "\u2066leaf1\u2069",
    "a mark of direction": "leaf\u200f1",
    "no width": "leaf\u200b1",
    "a line separator": "leaf1\u2028spine1",
    "half a pair": "leaf\udc801",
    "a tag": "leaf\U000e00411",
    "delete": "leaf\x7f1",
}
DANGEROUS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_harmless(text):
    return not any(unicodedata.category(one) in DANGEROUS for one in text)


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(request):
    return request.param


def test_what_is_harmless_stays_as_it_is():
    for text in ("leaf1-eth1", "Zürich 東京 \N{ELEPHANT}", "[/bold] :smile:", "C:\\temp"):
        assert printable(text) == text


def test_what_is_not_is_shown_as_its_escape():
    assert printable("a\x1b[2J\u202e\nb\U000e0041") == r"a\x1b[2J\u202e\nb\U000e0041"


@given(st.text() | st.text(alphabet=st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp"])))
def test_any_text_becomes_one_harmless_line(text):
    assert is_harmless(printable(text))
    assert printable(text).encode() is not None


def test_what_programs_say(hostile, capsys):
    say(hostile)
    complain(hostile)
    for said in capsys.readouterr():
        assert said.count("\n") == 1
        assert is_harmless(said[:-1])


def logged(write):
    """What a guarded handler writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("program: %(message)s"))
    handler.addFilter(Guard())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    write(logger)
    return stream.getvalue()


def test_a_log_has_one_entry_for_each_message(hostile):
    lines = logged(lambda log: log.error("switch %s is refused", hostile)).splitlines()
    assert lines[0].startswith("program: switch leaf") or lines[0].startswith("program: switch \\u2066leaf")
    assert all(line.startswith("    ") for line in lines[1:])
    assert all(is_harmless(line) for line in lines)


def test_a_traceback_is_harmless_and_indented(hostile):
    def fail(log):
        try:
            raise ValueError(hostile)
        except ValueError:
            log.exception("it failed")

    first, *rest = logged(fail).split("\n")
    assert first == "program: it failed"
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest if line)
    assert all(is_harmless(line) for line in rest)


def shown(renderable):
    stream = io.StringIO()
    PlainConsole(file=stream, width=200).print(renderable)
    return stream.getvalue()


def test_no_text_is_markup():
    table = Table("name", title="[/bold]")
    table.add_row("[/bold]")
    table.add_row("[link=http://example.net]:smile:[/link]")
    text = shown(table)
    assert text.count("[/bold]") == 2
    assert "[link=http://example.net]:smile:[/link]" in text
    assert shown("[/bold] [red]") == "[/bold] [red]\n"


def test_no_text_drives_the_terminal(hostile):
    table = Table("name")
    table.add_row(hostile)
    for renderable in (hostile, table):
        assert all(is_harmless(line) for line in shown(renderable).split("\n"))


BORDER = {"documents/printable.py", "documents/console.py"}
JSON = "json.dumps("  # is ASCII


def speaking(path):
    """Lines that print past the border: `print` of anything but JSON, rich's own Console, writing to stderr."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            if not (node.args and ast.unparse(node.args[0]).startswith((JSON, "'ready'"))):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "rich.console":
            yield from (node.lineno for name in node.names if name.name == "Console")
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stderr.write", "typer.echo"):
            yield node.lineno


def test_programs_speak_through_the_border_only():
    packages = ("analytics", "client", "controller", "documents", "ovs_rules", "scripts", "topologies")
    files = [ROOT / "scripts/howdah", *(path for name in packages for path in (ROOT / name).rglob("*.py"))]
    places = {str(path.relative_to(ROOT)): list(speaking(path)) for path in files}
    assert {place: lines for place, lines in places.items() if lines and place not in BORDER} == {}
