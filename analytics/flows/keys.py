"""The key language: `name:arg1:arg2`, nested in square brackets, backslash escapes (sflow-rt-api.md 2.3, 2.4, 2.6).

`parse` turns one key into an Expression: the raw fields it reads and a function from a Sample's texts to text or
None (missing). Adding a key function is one row of FUNCTIONS: its argument signature and what it does with evaluated
arguments. Signature letters: k a key (evaluated), t a literal text, i a literal integer; `?` makes the last
optional, `+` repeats it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Protocol

from analytics.core.flows.flowkeys import FIELDS

MAX_KEY_TEXT = 1000  # characters of one key, and so a bound on nesting
TOPOLOGY = "topology"  # a table, as Expression.tables names them


class InvalidDefinition(ValueError):
    """A definition or threshold that cannot be used; the message names the offending word."""


def group_table(name: str) -> str:
    """What Expression.tables calls a group."""
    return f"group {name}"


def map_table(name: str) -> str:
    """What Expression.tables calls a map."""
    return f"map {name}"


class Lookups(Protocol):
    """What a key function can look up outside of the sample; None: not known."""

    def link(self, agent: str, port: str) -> str | None:
        """The name of the link at a port (ifIndex as text) of an agent."""

    def group(self, name: str, address: str) -> str | None:
        """The label of an address in a group."""

    def map_label(self, name: str, text: str) -> str | None:
        """The label of a value in a map."""


@dataclass(frozen=True)
class Sample:
    """What a key function can see: the texts of the raw fields, the agent, and what it may look up."""

    texts: Mapping[str, str | None]
    agent: str
    lookups: Lookups


Evaluate = Callable[[Sample], "str | None"]


@dataclass(frozen=True)
class Expression:
    """A parsed key. `choice`: it is just the first present of these fields, no function needed. `tables`: what it looks
    up (Function.tables): when one of them changes, its texts do."""

    fields: tuple[str, ...]
    evaluate: Evaluate
    by_agent: bool = False
    choice: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()


def split(text: str, separator: str) -> list[str]:
    """Split at a separator that is neither escaped nor inside brackets; pieces keep their escapes."""
    pieces, piece, depth, escaped = [], "", 0, False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth < 0:
                raise InvalidDefinition(f"unbalanced ']' in {text!r}")
        elif char == separator and depth == 0:
            pieces.append(piece)
            piece = ""
            continue
        piece += char
    if depth:
        raise InvalidDefinition(f"unbalanced '[' in {text!r}")
    return [*pieces, piece]


def unescape(text: str) -> str:
    """Remove one level of backslashes."""
    plain, escaped = "", False
    for char in text:
        if char == "\\" and not escaped:
            escaped = True
            continue
        plain, escaped = plain + char, False
    return plain


def parse(text: str) -> Expression:
    """Parse one key or key function; InvalidDefinition names the word that is wrong."""
    text = text.strip()
    if len(text) > MAX_KEY_TEXT:
        raise InvalidDefinition(f"key longer than {MAX_KEY_TEXT} characters: {text[:40]!r}...")
    if text.startswith("[") and text.endswith("]"):
        return parse(text[1:-1])
    name, *arguments = split(text, ":")
    if not arguments:
        return _field(name)
    if name in UNSERVED:
        raise InvalidDefinition(f"key function {name!r} is not served by this version")
    if name not in FUNCTIONS:
        raise InvalidDefinition(f"unknown key function {name!r}" + _hint(name, FUNCTIONS))
    return _call(name, arguments)


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _field(name: str) -> Expression:
    if name == "agent":
        return Expression((), lambda sample: sample.agent, by_agent=True)
    if name not in FIELDS:
        raise InvalidDefinition(f"unknown key {name!r}" + _hint(name, [*FIELDS, "agent"]))
    return Expression((name,), lambda sample: sample.texts[name], choice=(name,))


def _call(name: str, arguments: list[str]) -> Expression:
    function = FUNCTIONS[name]
    values = [
        _argument(name, letter, text)
        for letter, text in zip(_letters(name, function.signature, arguments), arguments, strict=True)
    ]
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


def _letters(name: str, signature: str, arguments: list[str]) -> str:
    """The signature stretched to the number of arguments given."""
    letters = signature.rstrip("?+")
    least = len(letters) - signature.endswith("?")
    if signature.endswith("+") and len(arguments) > len(letters):
        letters += letters[-1] * (len(arguments) - len(letters))
    if not least <= len(arguments) <= len(letters):
        wanted = f"at least {least}" if signature.endswith("+") else f"{least}"
        raise InvalidDefinition(f"key function {name!r} takes {wanted} arguments, got {len(arguments)}")
    return letters[: len(arguments)]


def _argument(name: str, letter: str, text: str) -> Expression | str | int:
    if letter == "k":
        return parse(text)
    plain = unescape(text)
    if letter == "t":
        return plain
    try:
        return int(plain)
    except ValueError:
        raise InvalidDefinition(f"key function {name!r} needs a number, not {plain!r}") from None


def _prefix(_: Sample, text: str | None, delimiter: str, count: int) -> str | None:
    return None if text is None else delimiter.join(text.split(delimiter)[:count] if delimiter else [text])


def _suffix(_: Sample, text: str | None, delimiter: str, count: int) -> str | None:
    if text is None or not delimiter:
        return text
    tokens = text.rstrip(delimiter).split(delimiter) if text.endswith(delimiter) else text.split(delimiter)
    tail = delimiter.join(tokens[-count:] if count > 0 else [])
    return tail + delimiter if text.endswith(delimiter) else tail


def _first(_: Sample, text: str | None, delimiter: str, *wanted: str) -> str | None:
    tokens = [] if text is None else text.split(delimiter) if delimiter else [text]
    return next((token for token in tokens if token in wanted), None)


def _mask(_: Sample, address: str | None, bits: int) -> str | None:
    if address is None:
        return None
    try:
        return str(ip_network((address, bits), strict=False).network_address)
    except ValueError:
        return None


def _range(_: Sample, text: str | None, low: int, high: int | None = None) -> str | None:
    if text is None or not text.lstrip("-").isdigit():
        return None
    return "true" if low <= int(text) and (high is None or int(text) <= high) else "false"


def _concat(_: Sample, separator: str, *texts: str | None) -> str | None:
    return None if None in texts else separator.join(text for text in texts if text is not None)


def _equal(_: Sample, left: str | None, right: str | None) -> str | None:
    return None if left is None or right is None else str(left == right).lower()


def _link(sample: Sample, port: str | None) -> str | None:
    return None if port is None else sample.lookups.link(sample.agent, port)


def _group(sample: Sample, address: str | None, *names: str) -> str | None:
    """The label in the first of the groups that has one."""
    labels = () if address is None else (sample.lookups.group(name, address) for name in names)
    return next((label for label in labels if label is not None), None)


def _map(sample: Sample, text: str | None, name: str) -> str | None:
    return None if text is None else sample.lookups.map_label(name, text)


@dataclass(frozen=True)
class Function:
    """A key function: `apply` has the sample and the arguments, of which those with the letter k are texts or None.
    `by_agent`: its value differs between agents; `tables`: names of what it looks up, of the arguments."""

    signature: str
    apply: Callable[..., str | None]
    by_agent: bool = False
    tables: Callable[..., Iterable[str]] = lambda *_: ()


FUNCTIONS: dict[str, Function] = {
    "or": Function("k+", lambda _, *texts: next((text for text in texts if text is not None), None)),
    "null": Function("kt?", lambda _, text, instead="null": instead if text is None else text),
    "if": Function("ktkk", lambda _, text, value, then, other: then if text == value else other),
    "eq": Function("kk", _equal),
    "range": Function("kii?", _range),
    "prefix": Function("kti", _prefix),
    "suffix": Function("kti", _suffix),
    "first": Function("ktt+", _first),
    "mask": Function("ki", _mask),
    "concat": Function("tk+", _concat),
    "link": Function("k", _link, by_agent=True, tables=lambda *_: (TOPOLOGY,)),
    "group": Function("kt+", _group, tables=lambda _, *names: map(group_table, names)),
    "map": Function("kt", _map, tables=lambda _, name: (map_table(name),)),
}
# sFlow-RT has them, this version does not: say so instead of "unknown"
UNSERVED = frozenset(("country", "asn", "oui", "host", "dns", "uri", "node", "ifname", "bits", "oid"))
UNSERVED |= {"digest", "md5", "hash"}
