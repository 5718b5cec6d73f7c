"""Regular expressions that clients send, in filters of definitions and in queries: RE2's syntax.

RE2 takes time linear in the text, whatever the expression; a backtracking engine lets one request hold the process for
minutes. It has no look-around, no backreferences and no possessive quantifiers; these are refused with RE2's words.
Cost: at most MAX_MEMORY per expression.
"""

from __future__ import annotations

import re2

MAX_LENGTH = 4096  # characters
MAX_MEMORY = 1 << 20  # bytes


class BadPattern(ValueError):
    """Not a regular expression that RE2 takes; the message says why."""


class Pattern:
    """A compiled expression. Raises BadPattern."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise BadPattern(f"longer than {MAX_LENGTH} characters")
        options = re2.Options()
        options.max_mem = MAX_MEMORY
        options.log_errors = False
        try:
            self._compiled = re2.compile(_encoded(text), options)
        except re2.error as error:
            [what] = error.args
            raise BadPattern(what.decode(errors="replace") if isinstance(what, bytes) else str(what)) from None

    def matches(self, text: str) -> bool:
        """Whether the whole text is one that the expression describes."""
        return self._compiled.fullmatch(_encoded(text)) is not None

    def is_in(self, text: str) -> bool:
        """Whether any part of the text is."""
        return self._compiled.search(_encoded(text)) is not None


def _encoded(text: str) -> bytes:
    """As RE2 reads it; JSON may hold halves of surrogate pairs, which are no characters."""
    return text.encode("utf-8", "surrogatepass")
