"""Reading requests: the parts of a path, query parameters and bodies, checked.

sFlow-RT's rules: lists are separated by ',' or, in its older documents, ';'; unknown query parameters are ignored;
the body is JSON and may be relaxed (relaxed_json.py). Whatever is wrong, too long or too large becomes a 400 or 413
whose one line quotes the offending word, shortened. What one request can make the program do is bounded here: lists by
MAX_LISTED, numbers and bodies by the handler that reads them. connections.py bounds all requests together.
"""

from __future__ import annotations

import asyncio
import re
import sys
from enum import Enum
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from analytics.api import relaxed_json
from analytics.flows.patterns import BadPattern, Pattern

Number = TypeVar("Number", int, float)
Choice = TypeVar("Choice", bound=Enum)
LARGEST = sys.float_info.max
SHOWN = 60  # characters of a wrong word that an answer quotes
MAX_LISTED = 256  # names of agents or metrics in one path
MAX_SPEC = 64 * 1024  # bytes of a definition or a threshold
MAX_LABELS = 4 * 1024 * 1024  # bytes of a group or a map: about 200,000 prefixes


def words(request: Request, parameter: str, text: str | None = None) -> list[str]:
    """The parts of a path parameter, or of `text`, that is a list; sFlow-RT's old and new separators."""
    if text is None:
        text = str(request.path_params[parameter])
    parts = [part for part in re.split("[,;]", text) if part]
    if not parts:
        raise HTTPException(400, f"'{shortened(text)}' names no {parameter}")
    if len(parts) > MAX_LISTED:
        raise HTTPException(
            400, f"{len(parts)} names of {parameter} in one list, at most {MAX_LISTED}: '{shortened(text)}'"
        )
    return parts


def number(request: Request, parameter: str, default: Number, *, least: float = 0, most: float = LARGEST) -> Number:
    """A query parameter of the default's type, from `least` to `most`."""
    text = request.query_params.get(parameter)
    if text is None:
        return default
    kind = type(default)
    try:
        value = msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        value = None
    if value is None or not least <= value <= most:  # NaN is not
        what = "an integer" if kind is int else "a number"
        low = f" of at least {least}" if least > -LARGEST else ""
        high = f"{' and' if low else ' of'} at most {most:.0f}" if most < LARGEST else ""
        raise HTTPException(400, f"{parameter} '{shortened(text)}' is not {what}{low}{high}")
    return value


def choice(request: Request, parameter: str, default: Choice) -> Choice:
    """The member of the default's Enum whose value is the parameter."""
    text = request.query_params.get(parameter)
    return default if text is None else choice_of(parameter, text, type(default))


def choice_of(parameter: str, text: str, kind: type[Choice]) -> Choice:
    """The member of an Enum whose value a parameter has."""
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise HTTPException(400, f"{parameter} '{shortened(text)}' is none of {known}") from None


def flag(request: Request, parameter: str) -> bool:
    """`true` or `false`, which is also the default."""
    text = request.query_params.get(parameter, "false")
    if text not in ("true", "false"):
        raise HTTPException(400, f"{parameter} '{shortened(text)}' is neither true nor false")
    return text == "true"


def pattern(request: Request, parameter: str) -> Pattern | None:
    """A regular expression."""
    text = request.query_params.get(parameter)
    if text is None:
        return None
    try:
        return Pattern(text)
    except BadPattern as fault:
        raise HTTPException(400, f"{parameter} '{shortened(text)}' is not a pattern: {fault}") from None


def one_or_list(text: str) -> list[str]:
    """A value, and where it may be a comma list the values in it too."""
    return [text, *text.split(",")] if "," in text else [text]


def required(request: Request, parameter: str) -> str:
    text = request.query_params.get(parameter)
    if text is None:
        raise HTTPException(400, f"query parameter '{parameter}' is missing")
    return text


async def spec_of(request: Request, what: str, most: int = MAX_SPEC) -> dict[str, Any]:
    """The JSON object in the body of at most so many bytes."""
    body = await body_of(request, what, most)
    if len(body) <= MAX_SPEC:
        return an_object(relaxed_json.decode(body), what)
    return an_object(await asyncio.to_thread(relaxed_json.decode, body), what)  # which takes long


def an_object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HTTPException(400, f"{what}: the body must be a JSON object")
    return value


async def body_of(request: Request, what: str, most: int) -> bytes:
    """The body; 413 as soon as it is known to have more than `most` bytes."""
    refusal = HTTPException(413, f"{what}: the body has more than {most} bytes")
    if int(request.headers.get("content-length", 0)) > most:  # digits: the parser took it
        raise refusal
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise refusal
    return bytes(body)


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
