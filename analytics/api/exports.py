"""Forwardings and tenants over HTTP: what is passed on to other collectors (export/targets.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from analytics.api.parameters import existing, spec_of
from analytics.api.serving import NO_CONTENT, Serving, answer
from analytics.export.sender import Sender, Sent
from analytics.export.targets import Forwarding, Tenant


class Exports:
    """The handlers; `routes` is the table of them. Lists have counts beside each definition."""

    def __init__(self, serving: Serving, sender: Sender) -> None:
        self._serving = serving
        self._sender = sender

    def routes(self) -> Mapping[str, Mapping[str, Callable[[Request], Any]]]:
        """Path -> method -> handler."""
        return {
            "/forwarding/json": {"GET": self.get_forwardings},
            "/forwarding/{name}/json": {
                "GET": self.get_forwarding,
                "PUT": self.put_forwarding,
                "DELETE": self.delete_forwarding,
            },
            "/tenant/json": {"GET": self.get_tenants},
            "/tenant/{name}/json": {"GET": self.get_tenant, "PUT": self.put_tenant, "DELETE": self.delete_tenant},
        }

    async def get_forwardings(self, request: Request) -> Response:
        return answer(counted(self._sender.forwardings(), "datagrams", "lost"))

    async def get_forwarding(self, request: Request) -> Response:
        return answer(existing("forwarding", request, self._sender.forwardings())[0].spec)

    async def put_forwarding(self, request: Request) -> Response:
        name = request.path_params["name"]
        spec = await spec_of(request, f"forwarding '{name}'")
        await self._serving.done(self._sender.set_forwarding_in_turns(name, spec))
        return NO_CONTENT

    async def delete_forwarding(self, request: Request) -> Response:
        existing("forwarding", request, self._sender.forwardings())
        self._sender.clear_forwarding(request.path_params["name"])
        return NO_CONTENT

    async def get_tenants(self, request: Request) -> Response:
        return answer(counted(self._sender.tenants(), "samples", "datagrams", "lost"))

    async def get_tenant(self, request: Request) -> Response:
        return answer(existing("tenant", request, self._sender.tenants())[0].spec)

    async def put_tenant(self, request: Request) -> Response:
        name = request.path_params["name"]
        spec = await spec_of(request, f"tenant '{name}'")
        await self._serving.done(self._sender.set_tenant_in_turns(name, spec))
        return NO_CONTENT

    async def delete_tenant(self, request: Request) -> Response:
        existing("tenant", request, self._sender.tenants())
        self._sender.clear_tenant(request.path_params["name"])
        return NO_CONTENT


def counted(known: Mapping[str, tuple[Forwarding | Tenant, Sent]], *numbers: str) -> dict[str, dict[str, Any]]:
    """Definitions by name, each with these numbers."""
    return {
        name: {**each.spec, **{number: asdict(sent)[number] for number in numbers}}
        for name, (each, sent) in known.items()
    }
