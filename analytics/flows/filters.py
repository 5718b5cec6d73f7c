"""The filter language of flow definitions (sflow-rt-api.md 2.7).

    either      = both *( "|" both )
    both        = term *( "&" term )
    term        = "(" either ")" | comparison
    comparison  = key operator values       operator: = any of, != none of, ~ whole match, !~ no match

Keys are those of keys.py. Either side may be quoted: '...' is one literal, "..." holds a comma list. `null` on the
right of = and != tests for absence. A missing key is unequal to every value and matches no regular expression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analytics.flows.keys import Expression, InvalidDefinition, Sample, parse, split, unescape
from analytics.flows.patterns import BadPattern, Pattern

MAX_FILTER_TEXT = 10_000
MAX_NESTING = 50


@dataclass(frozen=True)
class Filter:
    """A parsed filter: the raw fields it reads, what its keys look up, and the test of a sample."""

    fields: tuple[str, ...]
    by_agent: bool
    tables: frozenset[str]
    passes: Callable[[Sample], bool]


class _Reader:
    """The text, a position in it, and the keys read so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: list[Expression] = []

    def peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def fail(self, what: str) -> InvalidDefinition:
        return InvalidDefinition(f"filter: {what} at position {self.at + 1} of {self.text!r}")


def parse_filter(text: str) -> Filter:
    """Parse a filter; InvalidDefinition says what is wrong and where."""
    if len(text) > MAX_FILTER_TEXT:
        raise InvalidDefinition(f"filter longer than {MAX_FILTER_TEXT} characters")
    reader = _Reader(text)
    passes = _either(reader, 0)
    if reader.peek():
        raise reader.fail(f"unexpected {reader.peek()!r}")
    fields = tuple(dict.fromkeys(field for key in reader.keys for field in key.fields))
    tables = frozenset().union(*(key.tables for key in reader.keys))
    return Filter(fields, any(key.by_agent for key in reader.keys), tables, passes)


def _either(reader: _Reader, depth: int) -> Callable[[Sample], bool]:
    terms = [_both(reader, depth)]
    while reader.peek() == "|":
        reader.at += 1
        terms.append(_both(reader, depth))
    return terms[0] if len(terms) == 1 else lambda sample: any(term(sample) for term in terms)


def _both(reader: _Reader, depth: int) -> Callable[[Sample], bool]:
    terms = [_term(reader, depth)]
    while reader.peek() == "&":
        reader.at += 1
        terms.append(_term(reader, depth))
    return terms[0] if len(terms) == 1 else lambda sample: all(term(sample) for term in terms)


def _term(reader: _Reader, depth: int) -> Callable[[Sample], bool]:
    if reader.peek() != "(":
        return _comparison(reader)
    if depth == MAX_NESTING:
        raise reader.fail(f"more than {MAX_NESTING} parentheses")
    reader.at += 1
    inner = _either(reader, depth + 1)
    if reader.peek() != ")":
        raise reader.fail("missing ')'")
    reader.at += 1
    return inner


def _comparison(reader: _Reader) -> Callable[[Sample], bool]:
    key = parse(_key_text(reader))
    reader.keys.append(key)
    negated = reader.text[reader.at] == "!"
    reader.at += negated
    operator = reader.text[reader.at]
    reader.at += 1
    if operator == "~":
        return _matching(key, _pattern(reader), negated)
    wanted = _values(reader)
    absent = "null" in wanted

    def equal(sample: Sample) -> bool:
        text = key.evaluate(sample)
        return (absent if text is None else text in wanted) != negated

    return equal


def _matching(key: Expression, pattern: Pattern, negated: bool) -> Callable[[Sample], bool]:
    def matches(sample: Sample) -> bool:
        text = key.evaluate(sample)
        return (text is not None and pattern.matches(text)) != negated

    return matches


def _quoted(reader: _Reader) -> str:
    """The inside of a quoted text; the reader stands on the opening quote."""
    quote, end = reader.text[reader.at], reader.at + 1
    while end < len(reader.text) and reader.text[end] != quote:
        end += 2 if reader.text[end] == "\\" else 1
    if end >= len(reader.text):
        raise reader.fail(f"missing closing {quote}")
    inside = reader.text[reader.at + 1 : end]
    reader.at = end + 1
    return inside


def _key_text(reader: _Reader) -> str:
    """The left side, up to an operator outside of brackets; the reader then stands on = ! or ~."""
    if reader.peek() in ("'", '"'):
        text = _quoted(reader)
        if reader.peek() not in ("=", "~", "!"):
            raise reader.fail(f"missing operator after {text!r}")
    else:
        start, depth = reader.at, 0
        while reader.at < len(reader.text) and (depth or reader.text[reader.at] not in "=!~&|()"):
            depth += {"[": 1, "]": -1}.get(reader.text[reader.at], 0)
            reader.at += 2 if reader.text[reader.at] == "\\" else 1
        text = reader.text[start : reader.at].strip()
        if not text:
            raise reader.fail("missing key")
    if reader.text[reader.at : reader.at + 1] not in ("=", "~") and reader.text[reader.at : reader.at + 2] not in (
        "!=",
        "!~",
    ):
        raise reader.fail(f"missing operator (= != ~ !~) after {text!r}")
    return text


def _bare(reader: _Reader) -> str:
    """An unquoted right side: up to & | or a ) that it did not open."""
    start, depth = reader.at, 0
    while reader.at < len(reader.text):
        char = reader.text[reader.at]
        if (char in "&|" and depth == 0) or (char == ")" and depth == 0):
            break
        depth += {"(": 1, ")": -1}.get(char, 0)
        reader.at += 2 if char == "\\" else 1
    reader.at = min(reader.at, len(reader.text))
    return reader.text[start : reader.at].strip()


def _pattern(reader: _Reader) -> Pattern:
    text = _quoted(reader) if reader.peek() in ("'", '"') else _bare(reader)
    try:
        return Pattern(text)
    except BadPattern as error:
        raise InvalidDefinition(f"filter: bad regular expression {text!r}: {error}") from None


def _values(reader: _Reader) -> frozenset[str]:
    """One or more values: bare ones end at a comma; quoted ones may hold anything."""
    found: list[str] = []
    while True:
        if reader.peek() == "'":
            found.append(unescape(_quoted(reader)))
        elif reader.peek() == '"':
            found += [unescape(piece) for piece in split(_quoted(reader), ",")]
        else:
            start = reader.at
            while reader.at < len(reader.text) and reader.text[reader.at] not in ",&|()":
                reader.at += 2 if reader.text[reader.at] == "\\" else 1
            reader.at = min(reader.at, len(reader.text))
            value = unescape(reader.text[start : reader.at].strip())
            if not value:
                raise reader.fail("missing value")
            found.append(value)
        if reader.peek() != ",":
            return frozenset(found)
        reader.at += 1
