"""What all commands share: where analytics is, its token, and failures as one line.

Answers come from the network: they are shown through documents/console.py, which shows text as text only. The token is
taken from the environment, HOWDAH_ANALYTICS_TOKEN, because all users of a machine see command lines.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import requests
import typer

from client.connection import Connection, Refused, Unavailable, WrongAnswer
from documents.printable import complain

URL = "http://127.0.0.1:8008"
Url = Annotated[str, typer.Option("--url", envvar="HOWDAH_ANALYTICS_URL", help="The analytics to ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what analytics answers, as JSON.")]
COMPLETE_S = 0.3  # a shell that waits longer for names is a nuisance


@contextmanager
def analytics(command: str, url: str) -> Iterator[Connection]:
    """A connection; what goes wrong with it ends the program with one line, Ctrl-C and SIGTERM end it quietly."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt: what was defined is removed
    try:
        yield Connection(url, os.environ.get("HOWDAH_ANALYTICS_TOKEN"))
    except (Unavailable, Refused, WrongAnswer, ValueError) as fault:
        complain(f"howdah {command}: {' '.join(str(fault).split())}")
        raise typer.Exit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's own flush at exit must not fail
    except (LookupError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
        complain(f"howdah {command}: {url} answers, but not as analytics does")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return


def show_json(value: Any) -> None:
    """One line, so that a program reads line by line what is renewed."""
    print(json.dumps(value), flush=True)


def names_at(path: str) -> Callable[[typer.Context, str], list[str]]:
    """A completion of the names that a JSON object of analytics has; none when it does not answer at once."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        url = str(context.params.get("url") or os.environ.get("HOWDAH_ANALYTICS_URL") or URL)
        try:
            found = requests.get(url.rstrip("/") + path, timeout=COMPLETE_S).json()
        except (requests.RequestException, ValueError):
            return []
        return [str(name) for name in found if str(name).startswith(incomplete)] if isinstance(found, dict) else []

    return complete
