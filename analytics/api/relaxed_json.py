"""Request bodies: JSON, or the relaxed form of twenty years of curl recipes.

Published recipes leave names unquoted and quote strings with apostrophes: {keys:'ipsource',value:'bytes'}.
Strict JSON is tried first. If that fails, one pass over the tokens rewrites the body to strict JSON (apostrophes to
quotation marks, bare words to strings) and msgspec reads the result, so there is one decoder and one set of rules for
numbers, escapes and nesting. Anything else is refused with its offset and the offending word.

Cost: strict JSON some 20 ns a byte (ten times that where every byte is an object of its own), the rewriting a hundred
times as much, so that is for bodies up to MAX_RELAXED bytes: longer ones come from programs.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

MAX_SHOWN = 30  # characters of the offending text that an error quotes
MAX_RELAXED = 16 * 1024  # bytes
_LARGEST = 2**64 - 1  # and _SMALLEST: what JSON can be written with again
_SMALLEST = -(2**63)
_LONG_NUMBER = re.compile(r"\d{19}")

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<mark>[{}\[\]:,])
      | (?P<double>"(?:[^"\\]|\\.)*")
      | (?P<single>'(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.-]))
      | (?P<word>[^\W\d][\w.-]*)""",
    re.VERBOSE | re.DOTALL,
)
_LITERALS = frozenset({"true", "false", "null"})


class NotJson(ValueError):
    """The body is neither JSON nor its relaxed form; one line that quotes the offending word."""


def decode(body: bytes) -> Any:
    """The value of a JSON or relaxed JSON body (UTF-8, with or without byte order mark)."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise NotJson(f"body is not UTF-8: byte {body[fault.start]:#04x} at offset {fault.start}") from None
    if not text.strip():
        raise NotJson("body is empty; a JSON object is expected")
    try:
        value = _strict(text)
    except msgspec.DecodeError as fault:
        if len(body) > MAX_RELAXED:
            raise NotJson(f"body is not JSON: {fault}; relaxed JSON has at most {MAX_RELAXED} bytes") from None
        try:
            value = _strict(_rewritten(text))
        except msgspec.DecodeError as fault:
            raise NotJson(f"body is not JSON: '{_excerpt(text, 0)}': {fault}") from None
    if _LONG_NUMBER.search(text):
        _check_numbers(value)
    return value


def _strict(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise NotJson("body is nested too deeply") from None


def _check_numbers(value: object) -> None:
    """Raises NotJson for an integer that does not fit 64 bits; the name of its attribute is quoted."""
    left: list[tuple[str, object]] = [("", value)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += ((name, each) for each in value)
        elif isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
            where = f"'{name[:MAX_SHOWN]}'" if name else "body"
            raise NotJson(f"{where}: the number {str(value)[:MAX_SHOWN]}... does not fit 64 bits")


def _rewritten(text: str) -> str:
    """The same tokens as strict JSON."""
    out = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise NotJson(f"body is not JSON: unexpected '{_excerpt(text, position)}' at offset {position}")
        position = token.end()
        if token.lastgroup == "single":
            out.append(_requoted(token.group()[1:-1]))
        elif token.lastgroup == "word" and token.group() not in _LITERALS:
            out.append(f'"{token.group()}"')
        else:
            out.append(token.group())
    return "".join(out)


def _requoted(inside: str) -> str:
    """The inside of an apostrophe-quoted string as a JSON string: only the two kinds of quotes change sides."""
    swapped = re.sub(r"""\\'|"|\\.""", lambda m: {"\\'": "'", '"': '\\"'}.get(m.group(), m.group()), inside, flags=re.S)
    return f'"{swapped}"'


def _excerpt(text: str, position: int) -> str:
    return " ".join(text[position : position + MAX_SHOWN].split())
