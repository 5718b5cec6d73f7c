"""What comes from a network or a file, on its way to a terminal or a log: as text that can only be read.

Names of switches, hosts and ports, paths of requests and what other programs answer may hold escape sequences, line
breaks and direction marks, with which their sender would write over our lines or forge some. `printable` is the one
border: what it lets through is what Python calls printable (no controls C0 and C1, no format characters such as the
bidirectional controls of Unicode, no separators but the space); all else is shown as its escape, \\x1b or \\u202e.
`say` and `complain` print so, `Guard` makes the lines of a log so; for rich there is console.py.
"""

from __future__ import annotations

import logging
import sys

CONTINUED = "\n    "  # a second line of one entry of a log cannot be taken for an entry of its own


def printable(text: object) -> str:
    """`text` on one line, harmless to a terminal; what is harmless already comes back as it is."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in line)


def say(*lines: object) -> None:
    """Print each on a line of standard output, at once."""
    for line in lines:
        print(printable(line), flush=True)


def complain(*lines: object) -> None:
    """Print each on a line of standard error."""
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)


class Guard(logging.Filter):
    """On a handler: makes message and traceback of every record printable, lines after the first indented."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record is changed."""
        record.msg, record.args = _lines(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = "    " + _lines(record.exc_text)
        return True


def guard_logs() -> None:
    """Put a Guard on every handler of the root logger: to be called once the program's logging is set up."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Guard())


def _lines(text: str) -> str:
    return CONTINUED.join(printable(line) for line in text.split("\n"))
