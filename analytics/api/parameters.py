"""Reading requests: the parts of a path, query parameters and bodies, checked.

sFlow-RT's rules: lists are separated by ',' or, in its older documents, ';'; unknown query parameters are ignored;
the body is JSON whatever its Content-Type, and may be relaxed (relaxed_json.py). Whatever is wrong becomes a 400 whose
one line quotes the offending word.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from analytics.api import relaxed_json
from analytics.flows.patterns import BadPattern, Pattern

Number = TypeVar("Number", int, float)
Choice = TypeVar("Choice", bound=Enum)
FLOW_NAME = re.compile(
    r"[A-Za-z0-9_+-]{1,128}"
)  # no '.', ':', ',', ';': a flow's name is also a metric's name in queries
THRESHOLD_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,128}")


def words(request: Request, parameter: str) -> list[str]:
    """The parts of a path parameter that is a list; sFlow-RT's old and new separators."""
    text = request.path_params[parameter]
    parts = [part for part in re.split("[,;]", text) if part]
    if not parts:
        raise HTTPException(400, f"'{text}' names no {parameter}")
    return parts


def number(request: Request, parameter: str, default: Number, *, least: float = 0, most: float = math.inf) -> Number:
    """A query parameter of the default's type; above `most` it is taken as `most`."""
    text = request.query_params.get(parameter)
    if text is None:
        return default
    kind = type(default)
    try:
        value = msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        value = None
    if value is None or not math.isfinite(value) or value < least:
        what = "an integer" if kind is int else "a number"
        bound = f" of at least {least}" if math.isfinite(least) else ""
        raise HTTPException(400, f"{parameter} '{text}' is not {what}{bound}")
    return min(value, kind(most)) if math.isfinite(most) else value


def choice(request: Request, parameter: str, default: Choice) -> Choice:
    """The member of the default's Enum whose value is the parameter."""
    text = request.query_params.get(parameter)
    try:
        return default if text is None else type(default)(text)
    except ValueError:
        known = ", ".join(each.value for each in type(default))
        raise HTTPException(400, f"{parameter} '{text}' is none of {known}") from None


def pattern(request: Request, parameter: str) -> Pattern | None:
    """A regular expression."""
    text = request.query_params.get(parameter)
    try:
        return None if text is None else Pattern(text)
    except BadPattern as fault:
        raise HTTPException(400, f"{parameter} '{text}' is not a pattern: {fault}") from None


def required(request: Request, parameter: str) -> str:
    text = request.query_params.get(parameter)
    if text is None:
        raise HTTPException(400, f"query parameter '{parameter}' is missing")
    return text


async def spec_of(request: Request, what: str) -> dict[str, Any]:
    """The JSON object in the body, whatever Content-Type says."""
    spec = relaxed_json.decode(await request.body())
    if not isinstance(spec, dict):
        raise HTTPException(400, f"{what}: the body must be a JSON object")
    return spec
