"""The filter language of flow definitions (sflow-rt-api.md 2.7).

    either      = both *( "|" both )
    both        = term *( "&" term )
    term        = "(" either ")" | comparison
    comparison  = key operator values       operator: = any of, != none of, ~ whole match, !~ no match

Keys are those of keys.py. Values are a comma list, of regular expressions too; commas inside of (), [] and {} belong
to one. Either side may be quoted: '...' is one literal, "..." holds a comma list. `null` on the right of = and != tests
for absence. A missing key is unequal to every value and matches no regular expression. Addresses match in any spelling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analytics.flows.addresses import spellings
from analytics.flows.functions import Sample
from analytics.flows.keys import Expression, InvalidDefinition, Span, parse, unescape
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
        return Span(self.text, self.at, len(self.text)).fail(f"filter: {what}")


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
    key = parse(_key(reader))
    reader.keys.append(key)
    negated = reader.text[reader.at] == "!"
    reader.at += negated
    operator = reader.text[reader.at]
    reader.at += 1
    if reader.text[reader.at : reader.at + 1] in ("=", "~"):
        raise reader.fail(f"{operator}{reader.text[reader.at]} is none of = != ~ !~ (quote a value that begins so)")
    if operator == "~":
        return _matching(key, _patterns(reader), negated)
    wanted = _values(reader)
    absent = "null" in wanted
    wanted = frozenset().union(*map(spellings, wanted))

    def equal(sample: Sample) -> bool:
        text = key.evaluate(sample)
        return (absent if text is None else text in wanted) != negated

    return equal


def _matching(key: Expression, patterns: list[Pattern], negated: bool) -> Callable[[Sample], bool]:
    def matches(sample: Sample) -> bool:
        text = key.evaluate(sample)
        return (text is not None and any(pattern.matches(text) for pattern in patterns)) != negated

    return matches


def _quoted(reader: _Reader) -> Span:
    """The inside of a quoted text; the reader stands on the opening quote."""
    quote, end = reader.text[reader.at], reader.at + 1
    while end < len(reader.text) and reader.text[end] != quote:
        end += 2 if reader.text[end] == "\\" else 1
    if end >= len(reader.text):
        raise reader.fail(f"missing closing {quote}")
    inside = Span(reader.text, reader.at + 1, end)
    reader.at = end + 1
    return inside


def _key(reader: _Reader) -> Span:
    """The left side, up to an operator outside of brackets; the reader then stands on = ! or ~."""
    if reader.peek() in ("'", '"'):
        key = _quoted(reader)
        reader.peek()
    else:
        start, depth = reader.at, 0
        while reader.at < len(reader.text) and (depth or reader.text[reader.at] not in "=!~&|()"):
            depth += {"[": 1, "]": -1}.get(reader.text[reader.at], 0)
            reader.at += 2 if reader.text[reader.at] == "\\" else 1
        reader.at = min(reader.at, len(reader.text))
        key = Span(reader.text, start, reader.at).strip()
        if not key.text:
            raise reader.fail("missing key")
    if not reader.text.startswith(("=", "~", "!=", "!~"), reader.at):
        raise reader.fail(f"missing operator (= != ~ !~) after {key.text!r}")
    return key


def _patterns(reader: _Reader) -> list[Pattern]:
    """One or more regular expressions; bare ones end at a comma, an operator or a bracket that they did not open."""
    found: list[Pattern] = []
    while True:
        quote = reader.peek()
        if quote in ("'", '"'):
            inside = _quoted(reader)
            pieces = [inside] if quote == "'" else _listed_patterns(inside)
        else:
            pieces = [_bare_pattern(reader, "&|,)")]
        found += map(_pattern, pieces)
        if reader.peek() != ",":
            return found
        reader.at += 1


def _listed_patterns(inside: Span) -> list[Span]:
    reader = _Reader(inside.whole[: inside.end])
    reader.at = inside.start
    pieces = [_bare_pattern(reader, ",")]
    while reader.at < len(reader.text):
        reader.at += 1
        pieces.append(_bare_pattern(reader, ","))
    return pieces


def _bare_pattern(reader: _Reader, stops: str) -> Span:
    start, opened = reader.at, 0
    while reader.at < len(reader.text):
        char = reader.text[reader.at]
        if not opened and char in stops:
            break
        opened += (char in "([{") - (char in ")]}")
        reader.at += 2 if char == "\\" else 1
    reader.at = min(reader.at, len(reader.text))
    return Span(reader.text, start, reader.at).strip()


def _pattern(span: Span) -> Pattern:
    try:
        return Pattern(span.text)
    except BadPattern as error:
        raise span.fail(f"filter: bad regular expression {span.text!r}: {error}") from None


def _values(reader: _Reader) -> frozenset[str]:
    """One or more values: bare ones end at a comma; quoted ones may hold anything."""
    found: list[str] = []
    while True:
        if reader.peek() == "'":
            found.append(unescape(_quoted(reader).text))
        elif reader.peek() == '"':
            found += [unescape(piece.text) for piece in _quoted(reader).split(",")]
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
