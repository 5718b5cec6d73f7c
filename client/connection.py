"""Requests to analytics: a path and a body in, the decoded answer out.

Every failure is one of three errors, each one line that begins with method and URL: nobody answers (Unavailable), the
answer is no (Refused, with its status and the words of the engine), the answer is not what it should be (WrongAnswer).
Each thread has its own kept connection, because `requests` does not promise that a Session may be shared.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

ANSWER_S = 10.0
SHOWN = 200  # characters of a refusal

Query = Mapping[str, str | int | float | Sequence[str] | None]


class Unavailable(Exception):
    """There was no answer."""


class WrongAnswer(Exception):
    """An answer that is not JSON where JSON was promised."""


class Refused(Exception):
    """The engine says no; `status` is HTTP's."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Connection:
    """`url` is that of analytics; `token` what writing needs there, if it has one."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._own = threading.local()

    def get(self, path: str, query: Query | None = None, wait: float = 0.0) -> Any:
        """The decoded JSON of an answer for which the engine may take `wait` seconds."""
        answer = self.ask("GET", path, query=query, wait=wait)
        try:
            return answer.json()
        except ValueError:
            raise WrongAnswer(f"GET {self.url}{path}: the answer is not JSON") from None

    def text(self, path: str) -> str:
        return self.ask("GET", path).text

    def put(self, path: str, body: object) -> list[str]:
        """What of the body the engine takes and does not serve, if it says so."""
        answer = self.ask("PUT", path, json=body)
        try:
            said = answer.json() if answer.content else {}
        except ValueError:  # words for people; sFlow-RT's older versions answer something too
            return []
        notes = said.get("notes", ()) if isinstance(said, dict) else ()
        return [str(note) for note in notes]

    def delete(self, path: str) -> None:
        self.ask("DELETE", path)

    def ask(
        self, method: str, path: str, *, query: Query | None = None, wait: float = 0.0, json: object = None
    ) -> requests.Response:
        """The answer to one request, whose status is good."""
        line = f"{method} {self.url}{path}"
        try:
            answer = self._session().request(
                method, self.url + path, params=query, json=json, timeout=(ANSWER_S, ANSWER_S + wait)
            )
        except requests.Timeout:
            raise Unavailable(f"{line}: no answer in time") from None
        except requests.ConnectionError:
            raise Unavailable(f"{line}: no connection") from None
        except requests.RequestException as fault:
            raise Unavailable(f"{line}: {' '.join(str(fault).split())}") from None
        if not answer.ok:
            words = " ".join(answer.text.split())[:SHOWN]
            raise Refused(answer.status_code, f"{line}: status {answer.status_code} {words}")
        return answer

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.trust_env = False  # no proxy between a script and its analytics
            if self._token:
                session.headers["Authorization"] = f"Bearer {self._token}"
        return session


def part(*names: str) -> str:
    """A part of a path; several names are a list."""
    return ",".join(quote(name, safe=":") for name in names)
