"""What is answered where there is nothing: 404, in words that say where to look instead.

Paths of sFlow-RT that are not served, because they are of older versions or of apps and scripts that run inside of it,
say what takes their place here; any other path says where the interface is described.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

INSTEAD = {
    r"/groups/json": "the groups are at /group/json",
    r"/script/.*|/app/.*/scripts/.*": "scripts are processes of their own here (howdah run), with ports of their own; "
    "of sFlow-RT's apps there are prometheus/scripts/export.js and topology/scripts/topology.js",
    r"/app/.*": "no app's pages are here",
    r"/inc/.*": "sFlow-RT's widgets are for its apps, which do not run here",
    r"/of/.*": "the controller speaks OpenFlow, and answers on a port of its own",
    r"/.*/html": "there is no page of it; the path that ends in /json has what it would show",
}
"""Path -> what to say; the first that matches the whole path counts."""


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """The application for paths that no route has."""
    path = scope["path"]
    why = (words for pattern, words in INSTEAD.items() if re.fullmatch(pattern, path, re.DOTALL))
    raise HTTPException(404, f"nothing at '{path[:100]}': {next(why, 'the interface is described at /api/index.html')}")
