"""Pages and documents that never change while the program runs: the landing page, the explorer, the description.

All are read once: later the program may be a user who cannot read them. Each has an ETag, so browsers ask again for a
few bytes only (RFC 9110 13.1.2). The explorer is Swagger UI from its package (swagger-ui-bundle), served from here, so
it works without the Internet; it writes styles into its page, for which its answers have a policy of their own. What
sFlow-RT serves under /inc/ is for apps that run in its process; there are none, so there is nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import swagger_ui_bundle
import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from documents.httpguard import ANSWER_HEADERS

HERE = Path(__file__).parent
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".yaml": "application/yaml"}
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
POLICY = ANSWER_HEADERS["Content-Security-Policy"]
EXPLORER_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)


def routes() -> Iterator[Route]:
    """One route per page."""
    yield page("/openapi.yaml", (HERE / "openapi.yaml").read_bytes(), MEDIA[".yaml"])
    yield page("/api-docs", api_docs(), "application/json")
    for path in (HERE / "web").iterdir():
        yield page(f"/html/{path.name}", path.read_bytes(), MEDIA[path.suffix])
    swagger = [Path(swagger_ui_bundle.swagger_ui_path) / name for name in SWAGGER]
    for path in (*swagger, *(HERE / "explorer").iterdir()):
        headers = {"Content-Security-Policy": EXPLORER_POLICY}
        yield page(f"/api/{path.name}", path.read_bytes(), MEDIA[path.suffix], headers)


@cache
def api_docs() -> bytes:
    """The description as JSON. Parsing it in Python takes a third of a start's time, libyaml a sixth of that."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return json.dumps(yaml.load((HERE / "openapi.yaml").read_bytes(), loader)).encode()


def page(url: str, content: bytes, media_type: str, headers: dict[str, str] | None = None) -> Route:
    """A route that answers with the content, or 304 to those who have it."""
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", **(headers or {})}

    async def get_page(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or tag in (each.strip() for each in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    handler: Callable[[Request], Any] = get_page
    return Route(url, handler)
