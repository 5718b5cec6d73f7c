"""Which HTTP requests a program looks at, and the headers of its answers. Pure: a request's head in, a refusal out.

Both programs listen on loopback by default, and there every page that a browser of this machine shows can reach them.
What keeps pages, and whoever may not write, out:

1. Host. A page whose name was made to resolve to 127.0.0.1 (DNS rebinding) is of our origin to the browser and might
   read and write everything; only the header Host still tells its name. So Host must be an address, which nobody can
   make resolve to another, or localhost, or one of the names that the program was given.
2. Origin. Browsers send it with whatever crosses origins and is more than following a link or loading a picture. One
   that is not ours, nor one that the operator lists (`origins`: CORS), is refused whatever the method; programs (curl,
   requests, Prometheus) send none.
3. Method and Content-Type. Without asking us first (a CORS preflight, which only listed origins are granted) a page may
   send GET, HEAD and POST, the latter as text/plain, as a form, or without a type. Neither program writes by GET; both
   answer 405 to methods they do not have. A body must be JSON, as the published curl recipes for sFlow-RT say; without
   a type it is taken from PUT and DELETE, which are always preflighted, because sFlow-RT's published Python clients
   send none.
4. Token. If there is one, writing needs it; reading too if the operator says so.

The request's target and headers must be UTF-8, so that no later step meets anything else.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

READING = frozenset({"GET", "HEAD", "OPTIONS"})
BODILESS = READING | {"DELETE"}  # a body of theirs is not read
SHOWN = 60  # characters of a header that a refusal quotes
MAX_TARGET = 16 * 1024  # bytes of path and query: two thousand metric names, or a thousand addresses

ANSWER_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer. A page of ours runs only scripts that we serve, is shown in no other page's frame, and no other page
may load an answer of ours as a script or a picture."""

PREFLIGHT_HEADERS: Mapping[str, str] = {
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}

_ORIGIN = re.compile(r"https?://[^\s:/,@\[\]]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:/,@\[\]]+)(?::\d{1,5})?")
_NAME = re.compile(r"[^\s:/,@\[\]]+")
_JSON = re.compile(r"application/([\w.+-]+\+)?json|text/json")


@dataclass(frozen=True)
class Refusal:
    """Why a request is not looked at: an HTTP status, one line for the client, headers of the answer."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """Who may ask. `hosts` are the names that Host may have beside localhost and addresses, `option` says where the
    operator adds one; pages of `origins` may ask too. ValueError, one line, for what cannot work."""

    token: str | None = None
    token_for_reading: bool = False
    hosts: tuple[str, ...] = ()
    option: str = "hosts"
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token == "":
            raise ValueError("token is empty")
        if self.token is not None and (not self.token.isascii() or not self.token.isprintable() or " " in self.token):
            raise ValueError("token must be printable ASCII without spaces")
        if self.token_for_reading and self.token is None:
            raise ValueError("token_for_reading needs a token")
        for name in self.hosts:
            if not _NAME.fullmatch(name):
                raise ValueError(f"hosts: {name!r} is not a host's name (without scheme and port)")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins: {origin!r} is no origin such as https://dashboard.example:3000")

    def refusal(self, method: str, target: bytes, headers: Mapping[str, str]) -> Refusal | None:
        """Why this request is refused, or None.

        target: path and query as they were sent, percent-encoded; headers: names in lower case, values as Latin-1,
        those of a header that came twice joined by a comma.
        """
        return (
            _not_text(target, headers)
            or self._wrong_host(headers)
            or self._wrong_origin(headers)
            or self._no_token(method, headers)
            or _wrong_type(method, headers)
        )

    def _wrong_host(self, headers: Mapping[str, str]) -> Refusal | None:
        host = headers.get("host")
        if host is None:
            return Refusal(400, "the header Host is missing")
        found = _HOST.fullmatch(host.lower())
        name = found["name"].removesuffix(".") if found else ""
        if name == "localhost" or name in {known.lower() for known in self.hosts} or _is_address(name):
            return None
        return Refusal(
            421, f"Host {_shown(host)} is no address and no name of this program; {self.option} in its configuration "
            "lists names"
        )  # fmt: skip

    def _wrong_origin(self, headers: Mapping[str, str]) -> Refusal | None:
        """Ours is the one whose authority is what Host says; the scheme may be a proxy's."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins or origin.partition("://")[2].lower() == headers["host"].lower():
            return None
        return Refusal(403, f"Origin {_shown(origin)} is another site")

    def grants(self, method: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers by which a page of a listed origin may read the answer, or may ask at all (preflight)."""
        origin = headers.get("origin")
        if origin not in self.origins:
            return {}
        granted = {"Access-Control-Allow-Origin": str(origin), "Vary": "Origin"}
        return {**granted, **PREFLIGHT_HEADERS} if is_preflight(method, headers) else granted

    def _no_token(self, method: str, headers: Mapping[str, str]) -> Refusal | None:
        if self.token is None or (method in READING and not self.token_for_reading):
            return None
        if is_preflight(method, headers):  # it has none; what follows it has
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode()):
            return None
        doing = "reading" if method in READING else "writing"
        return Refusal(401, f"{doing} needs the header 'Authorization: Bearer <token>'", {"WWW-Authenticate": "Bearer"})


LOCAL = Access()
"""Who asks by an address or as localhost; nobody needs a token."""


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks if a page may ask (Fetch standard, CORS protocol)."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as `Access.refusal` wants them, of (name, value) as they were sent."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        text = value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _not_text(target: bytes, headers: Mapping[str, str]) -> Refusal | None:
    if len(target) > MAX_TARGET:
        return Refusal(414, f"path and query have {len(target)} bytes, more than {MAX_TARGET}")
    try:
        unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return Refusal(400, f"path and query are not UTF-8: {_shown(target.decode('latin-1'))}")
    for name, value in headers.items():
        try:
            value.isascii() or value.encode("latin-1").decode()
        except UnicodeDecodeError:
            return Refusal(400, f"the header {_shown(name)} is not UTF-8: {_shown(value)}")
    return None


def _wrong_type(method: str, headers: Mapping[str, str]) -> Refusal | None:
    given = headers.get("content-type")
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if method in BODILESS or not has_body or (given is None and method != "POST"):
        return None
    if given is not None and _JSON.fullmatch(given.partition(";")[0].strip().lower()):
        return None
    found = "missing" if given is None else _shown(given)
    return Refusal(415, f"Content-Type is {found}; a body needs the header 'Content-Type: application/json'")


@functools.lru_cache(256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return ascii(text if len(text) <= SHOWN else text[:SHOWN] + "...")
