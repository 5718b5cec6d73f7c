"""Regular expressions that clients send, in filters of definitions and in queries: Python's `re`."""

from __future__ import annotations

import re
import warnings


class BadPattern(ValueError):
    """Not a regular expression; the message says why."""


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a client's expression. Python warns of some that a later version may read in another way ("Possible set
    difference"); they are valid today, and the server's log is not where their author looks."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(str(error)) from None
