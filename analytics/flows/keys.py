"""The key language: `name:arg1:arg2`, nested in square brackets, backslash escapes (sflow-rt-api.md 2.3, 2.4, 2.6).

`parse` turns one key into an Expression: the raw fields it reads and a function from a Sample's texts to text or None
(missing). The functions are in functions.py. What is wrong is told with its position in what the user wrote: a Span is
a piece of that.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from analytics.core.flows.flowkeys import FIELDS
from analytics.flows.functions import FUNCTIONS, Function, Sample

MAX_KEY_TEXT = 1000  # characters of one key, and so a bound on nesting
MAX_SHOWN = 200  # characters of what the user wrote, in an error


class InvalidDefinition(ValueError):
    """A definition or threshold that cannot be used; the message names the offending word."""


@dataclass(frozen=True, slots=True)
class Span:
    """The characters from `start` to `end` of what the user wrote."""

    whole: str
    start: int
    end: int

    @classmethod
    def of(cls, text: str) -> Span:
        return cls(text, 0, len(text))

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]

    def fail(self, what: str) -> InvalidDefinition:
        """An error here."""
        shown = self.whole if len(self.whole) <= MAX_SHOWN else self.whole[:MAX_SHOWN] + "..."
        return InvalidDefinition(f"{what} at position {self.start + 1} of {shown!r}")

    def part(self, start: int, end: int) -> Span:
        """From the start-th to before the end-th character of this one."""
        return Span(self.whole, self.start + start, self.start + end)

    def strip(self) -> Span:
        text = self.text
        left = len(text) - len(text.lstrip())
        return self.part(left, max(left, len(text.rstrip())))

    def split(self, separator: str) -> list[Span]:
        """Split at a separator that is neither escaped nor inside brackets; pieces keep their escapes."""
        pieces, first, opened, escaped = [], 0, [], False
        for at, char in enumerate(self.text):
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == "[":
                opened.append(at)
            elif char == "]":
                if not opened:
                    raise self.part(at, at + 1).fail("unbalanced ']'")
                opened.pop()
            elif char == separator and not opened:
                pieces.append(self.part(first, at))
                first = at + 1
        if opened:
            raise self.part(opened[-1], opened[-1] + 1).fail("unbalanced '['")
        return [*pieces, self.part(first, self.end - self.start)]


Evaluate = Callable[[Sample], "str | None"]


@dataclass(frozen=True)
class Expression:
    """A parsed key. `choice`: it is just the first present of these fields, no function needed. `tables`: what it looks
    up (functions.Function): when one of them changes, its texts do."""

    fields: tuple[str, ...]
    evaluate: Evaluate
    by_agent: bool = False
    choice: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()


def parse_keys(text: str) -> tuple[Expression, ...]:
    """Parse keys that are separated by commas; InvalidDefinition says what is wrong and where."""
    return tuple(map(parse, Span.of(text).split(","))) if text else ()


def unescape(text: str) -> str:
    """Remove one level of backslashes."""
    plain, escaped = [], False
    for char in text:
        if char == "\\" and not escaped:
            escaped = True
            continue
        plain.append(char)
        escaped = False
    return "".join(plain)


def parse(key: Span) -> Expression:
    """Parse one key or key function; InvalidDefinition says what is wrong and where."""
    key = key.strip()
    text = key.text
    if len(text) > MAX_KEY_TEXT:
        raise key.fail(f"key longer than {MAX_KEY_TEXT} characters")
    name, *arguments = key.split(":")
    if arguments:
        return _call(name, arguments)
    if text.startswith("[") and text.endswith("]"):
        return parse(key.part(1, len(text) - 1))
    return _field(name)


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word[:MAX_SHOWN], list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _field(span: Span) -> Expression:
    name = span.text
    if name == "agent":
        return Expression((), lambda sample: sample.agent, by_agent=True)
    if name not in FIELDS:
        raise span.fail(f"unknown key {name!r}{_hint(name, [*FIELDS, 'agent'])}")
    return Expression((name,), lambda sample: sample.texts[name], choice=(name,))


def _call(span: Span, arguments: list[Span]) -> Expression:
    name = span.text
    function = FUNCTIONS.get(name)
    if function is None:
        raise span.fail(f"unknown key function {name!r}{_hint(name, FUNCTIONS)}")
    letters = _letters(span, function.signature, len(arguments))
    values = [_argument(name, function, *pair) for pair in zip(letters, arguments, strict=True)]
    keys = [value for value in values if isinstance(value, Expression)]
    choice: tuple[str, ...] = ()
    if name == "or" and all(key.choice for key in keys):
        choice = tuple(field for key in keys for field in key.choice)
    return Expression(
        fields=tuple(dict.fromkeys(field for key in keys for field in key.fields)),
        evaluate=lambda sample: function.apply(
            sample, *[value.evaluate(sample) if isinstance(value, Expression) else value for value in values]
        ),
        by_agent=function.by_agent or any(key.by_agent for key in keys),
        choice=choice,
        tables=frozenset(function.tables(*values)).union(*(key.tables for key in keys)),
    )


def _letters(span: Span, signature: str, given: int) -> str:
    """The signature stretched to the number of arguments given."""
    letters = signature.rstrip("?+")
    least = len(letters) - signature.endswith("?")
    if signature.endswith("+") and given > len(letters):
        letters += letters[-1] * (given - len(letters))
    if not least <= given <= len(letters):
        wanted = f"at least {least}" if signature.endswith("+") else " or ".join(map(str, {least, len(letters)}))
        raise span.fail(f"key function {span.text!r} takes {wanted} arguments, got {given},")
    return letters[:given]


def _argument(name: str, function: Function, letter: str, span: Span) -> Expression | str | int:
    if letter == "k":
        return parse(span)
    plain = unescape(span.text)
    if letter == "t":
        return plain
    if letter == "w":
        if plain not in function.words:
            raise span.fail(f"key function {name!r} knows {', '.join(function.words)}, not {plain!r},")
        return plain
    try:
        return int(plain)
    except ValueError:
        raise span.fail(f"key function {name!r} needs a number, not {plain!r},") from None
