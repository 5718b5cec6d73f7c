"""`howdah define`: flow definitions, thresholds, groups, maps, forwardings and tenants of analytics: set, list, show,
delete.

Words are those of the flow language (analytics/README.md) and go to analytics as they are: what is wrong with them it
says itself, and what of them it takes and does not serve is shown on stderr. Every attribute has an option. Nothing is
kept here.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any

import typer

from client.commands.asking import URL, AsJson, Url, analytics, names_at, show_json
from client.connection import part
from documents.printable import complain, say

define = typer.Typer(help="Flow definitions, thresholds, groups, maps, forwardings and tenants.", no_args_is_help=True)


class Kind(str, Enum):
    """What can be defined; the words are those of analytics' paths."""

    flow = "flow"
    threshold = "threshold"
    group = "group"
    map = "map"
    forwarding = "forwarding"
    tenant = "tenant"


def _complete_name(context: typer.Context, incomplete: str) -> list[str]:
    kind = context.params.get("kind")
    return names_at(f"/{getattr(kind, 'value', kind)}/json")(context, incomplete)


Name = Annotated[str, typer.Argument(help="The name.")]
KnownName = Annotated[str, typer.Argument(help="The name.", autocompletion=_complete_name)]


@define.command()
def flow(
    name: Annotated[str, typer.Argument(help="The name.", autocompletion=names_at("/flow/json"))],
    *,
    value: Annotated[str, typer.Option(help="What is counted: bytes, frames, a field.")] = "bytes",
    values: Annotated[str | None, typer.Option(help="What else is counted, a list.")] = None,
    keys: Annotated[str | None, typer.Option(help="Keys, a list.")] = None,
    condition: Annotated[str | None, typer.Option("--filter", help="Which samples count.")] = None,
    seconds: Annotated[float | None, typer.Option("-t", help="Time constant.")] = None,
    top: Annotated[int | None, typer.Option("-n", help="Largest flows reported per data source.")] = None,
    separator: Annotated[str | None, typer.Option("--fs", help="Separator of the fields of a key.")] = None,
    agg_mode: Annotated[
        str | None,
        typer.Option(help="What many data sources that see one packet count: AGENT, edge, core, max, sum, avg."),
    ] = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="Count discarded packets.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Record flows as they end.")] = False,
    flow_start: Annotated[bool, typer.Option("--flow-start", help="Record flows as they begin.")] = False,
    active_timeout: Annotated[float | None, typer.Option(help="Seconds after which a long flow is recorded.")] = None,
    ipfix: Annotated[
        list[str] | None, typer.Option("--ipfix-collector", help="For sFlow-RT: Howdah exports no IPFIX, and says so.")
    ] = None,
    url: Url = URL,
) -> None:
    """Define a flow or replace it."""
    spec = {"keys": keys, "value": value, "values": values, "filter": condition, "t": seconds, "n": top,
            "fs": separator, "aggMode": agg_mode, "dropped": dropped or None, "log": log or None,
            "flowStart": flow_start or None, "activeTimeout": active_timeout,
            "ipfixCollectors": ipfix or None}  # fmt: skip
    _put(Kind.flow, name, url, {key: given for key, given in spec.items() if given is not None})


@define.command()
def threshold(
    name: Annotated[str, typer.Argument(help="The name.", autocompletion=names_at("/threshold/json"))],
    *,
    metric: Annotated[str, typer.Option(help="The metric; a flow's name is one.")],
    value: Annotated[float, typer.Option(help="The value that is too much.")],
    by_flow: Annotated[bool, typer.Option("--by-flow", help="One event per flow, not per data source.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds at or below it before the next event.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--filter", help="METRIC=VALUE[,VALUE]: data sources that have it; repeatable.")
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            help="ATTRIBUTE=NUMBER of a sequential test: alpha, beta, separation, fastest, switches; repeatable."
        ),
    ] = None,
    url: Url = URL,
) -> None:
    """Define a threshold or replace it."""
    spec: dict[str, Any] = {"metric": metric, "value": value, "byFlow": by_flow}
    if timeout is not None:
        spec["timeout"] = timeout
    if only:
        spec["filter"] = {key: [_number(one) for one in values] for key, values in _pairs(only, "--filter").items()}
    if test:
        spec["test"] = {key: _number(",".join(values)) for key, values in _pairs(test, "ATTRIBUTE=NUMBER").items()}
    _put(Kind.threshold, name, url, spec)


@define.command()
def group(
    name: Name,
    members: Annotated[list[str], typer.Argument(help="GROUP=PREFIX[,PREFIX] ...", metavar="GROUP=PREFIX,... ...")],
    url: Url = URL,
) -> None:
    """Define groups of addresses: howdah define group sites east=10.1.0.0/16,10.2.0.0/16 west=10.3.0.0/16"""
    _put(Kind.group, name, url, _pairs(members, "GROUP=PREFIX"))


@define.command("map")
def map_(
    name: Name,
    members: Annotated[list[str], typer.Argument(help="WORD=VALUE[,VALUE] ...", metavar="WORD=VALUE,... ...")],
    url: Url = URL,
) -> None:
    """Define words for values: howdah define map service web=80,443 dns=53"""
    _put(Kind.map, name, url, _pairs(members, "WORD=VALUE"))


@define.command()
def forwarding(
    name: Name,
    address: Annotated[str, typer.Argument(help="Where datagrams go, as they came.")],
    *,
    port: Annotated[int | None, typer.Option(help="UDP port there; 6343 otherwise.")] = None,
    agents: Annotated[list[str] | None, typer.Option("--agent", help="Only of this agent; repeatable.")] = None,
    url: Url = URL,
) -> None:
    """Pass sFlow datagrams on: howdah define forwarding archive 192.0.2.7 --agent 10.0.0.1"""
    spec = {"address": address, "port": port, "agents": agents or None}
    _put(Kind.forwarding, name, url, {key: given for key, given in spec.items() if given is not None})


@define.command()
def tenant(
    name: Name,
    address: Annotated[str, typer.Argument(help="Where samples go that match one of the options.")],
    *,
    port: Annotated[int | None, typer.Option(help="UDP port there; 6343 otherwise.")] = None,
    ifindex: Annotated[list[str] | None, typer.Option(help="AGENT_IFINDEX, a port; repeatable.")] = None,
    ifname: Annotated[list[str] | None, typer.Option(help="AGENT_NAME, a port by its name; repeatable.")] = None,
    cidr: Annotated[list[str] | None, typer.Option(help="A prefix or an address of the packet; repeatable.")] = None,
    mac: Annotated[list[str] | None, typer.Option(help="A MAC address of the packet; repeatable.")] = None,
    url: Url = URL,
) -> None:
    """Pass chosen samples on: howdah define tenant blue 192.0.2.8 --cidr 10.1.0.0/16 --ifname 10.0.0.1_eth3"""
    filters = {"ifindex": ifindex, "ifname": ifname, "cidr": cidr, "mac": mac}
    spec: dict[str, Any] = {
        "collectorAddress": address,
        "filters": {kind: given for kind, given in filters.items() if given},
    }
    if port is not None:
        spec["collectorPort"] = port
    _put(Kind.tenant, name, url, spec)


@define.command("list")
def list_(
    kind: Annotated[Kind | None, typer.Argument(help="Which; else all.", show_default=False)] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List what is defined."""
    with analytics("define list", url) as connection:
        found = {each.value: connection.get(f"/{each.value}/json") for each in ([kind] if kind else Kind)}
        if as_json:
            show_json(found)
            return
        for word, names in found.items():
            for name in names:
                say(f"{word} {name}")


@define.command()
def show(
    kind: Annotated[Kind, typer.Argument(help="What it is.")], name: KnownName, url: Url = URL, as_json: AsJson = False
) -> None:
    """Show one definition."""
    with analytics("define show", url) as connection:
        found = connection.get(_path(kind, name))
        show_json(found) if as_json else say(*json.dumps(found, indent=1).split("\n"))


@define.command()
def delete(kind: Annotated[Kind, typer.Argument(help="What it is.")], name: KnownName, url: Url = URL) -> None:
    """Delete one definition."""
    with analytics("define delete", url) as connection:
        connection.get(_path(kind, name))  # of what is not there some paths say nothing
        connection.delete(_path(kind, name))


def _path(kind: Kind, name: str) -> str:
    return f"/{kind.value}/{part(name)}/json"


def _put(kind: Kind, name: str, url: str, spec: dict[str, Any]) -> None:
    with analytics(f"define {kind.value}", url) as connection:
        for note in connection.put(_path(kind, name), spec):
            complain(f"howdah define {kind.value}: {note}")


def _pairs(words: list[str], form: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not name or not equals or not values:
            raise typer.BadParameter(f"{word!r} is not {form}")
        found.setdefault(name, []).extend(values.split(","))
    return found


def _number(text: str) -> object:
    """Metrics are numbers or texts, and 10 is not "10"."""
    try:
        return json.loads(text)
    except ValueError:
        return text
