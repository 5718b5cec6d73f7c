"""The topology over HTTP: sFlow-RT's document, its script API's questions as resources, and its topology app.

`/topology/json` is the document. Questions that sFlow-RT answers to its own scripts only (sflow-rt-api.md 6) are
`/v1/topology/...`, one resource each; names stand in the query, since names of ports have slashes. The topology app's
resources (5.5) are where clients of that app ask for them.

Hosts are found by what comes in at edge ports: two flow definitions of ours, one per IP version, made by the first
question and dropped LOCATE_S after the last. So a host is known as long as it sends now and then (12 times SEEN_S), and
the first question finds only what the document itself says. They cost what two definitions cost, and share the
memory for flows with the others.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from analytics import topology
from analytics.api import answers, relaxed_json
from analytics.api.parameters import an_object, body_of, number, required, words
from analytics.api.serving import NO_CONTENT, Serving, answer, in_one_line
from analytics.flows.definitions import Mode
from analytics.flows.patterns import Pattern
from analytics.graph import MOST_PATHS, Graph, TooLarge, UnknownNode
from analytics.memory import TOPOLOGY_FACTOR
from analytics.metrics.metrics import Cell
from analytics.topology import Node, Port, Topology

log = logging.getLogger(__name__)

MAX_TOPOLOGY = 4 * 1024 * 1024  # bytes: about 100,000 ports with ifIndex, or half of that with all we know of a port
MAX_NOTES = 10  # lines that one topology may write into the log
MAX_HOSTS = 50_000  # in one answer
SEEN_S = 60
LOCATE_S = 3600.0
UNTAGGED = ("-", "0")
HOSTS = {  # version of IP -> flow; the VLAN is the packet's tag, or else the one that the switch says it is in
    4: ("topology_hosts", f"macsource,null:[or:vlan:vlansource]:{UNTAGGED[0]},ipsource"),
    6: ("topology_hosts6", f"macsource,null:[or:vlan:vlansource]:{UNTAGGED[0]},ip6source"),
}
LOCATING = frozenset(name for name, _ in HOSTS.values())
"""Flows that are there as long as somebody asks where hosts are."""
APP = "/app/topology/scripts/topology.js"
TRAFFIC = ("ifspeed", "ifinoctets", "ifinpkts", "ifindiscards", "ifoutdiscards", "ifinerrors", "ifouterrors")


class Topologies:
    """The handlers; `routes` is the table of them. The version counts changes since the start."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._engine = serving.engine
        self._putting = asyncio.Lock()
        self._computing = asyncio.Lock()  # one thread at a time
        self._forget: asyncio.TimerHandle | None = None
        self.version = 0

    def routes(self) -> Mapping[str, Mapping[str, Callable[[Request], Any]]]:
        """Path -> method -> handler."""
        document = {"GET": self.get_document, "PUT": self.put_document}
        return {
            "/topology/json": document,
            "/v1/topology/nodes/json": {"GET": self.get_nodes},
            "/v1/topology/node/json": {"GET": self.get_node},
            "/v1/topology/links/json": {"GET": self.get_links},
            "/v1/topology/link/json": {"GET": self.get_link},
            "/v1/topology/interface/json": {"GET": self.get_interface},
            "/v1/topology/linkmetric/json": {"GET": self.get_link_metric},
            "/v1/topology/paths/json": {"GET": self.get_paths},
            "/v1/topology/diameter/json": {"GET": self.get_diameter},
            "/v1/topology/spanningtree/json": {"GET": self.get_spanning_tree},
            "/v1/topology/locate/json": {"GET": self.get_located},
            f"{APP}/topology/json": {**document, "POST": self.put_document},
            f"{APP}/status/json": {"GET": self.get_status},
            f"{APP}/agents/json": {"GET": self.get_agents},
            f"{APP}/unknown/json": {"GET": self.get_unknown},
            f"{APP}/locate/json": {"GET": self.get_located},
            f"{APP}/prometheus/txt": {"GET": self.get_status_text},
        }

    # The document

    async def get_document(self, request: Request) -> Response:
        known = self._engine.topology()
        found = {"found": answers.found_links(known)} if known.is_by_name else {}
        return answer({"version": self.version, **known.document, **found})

    async def put_document(self, request: Request) -> Response:
        body = await body_of(request, "topology", MAX_TOPOLOGY)
        async with self._putting:  # one at a time, so that versions and documents agree
            wanted = await asyncio.to_thread(topology_of, body)  # which takes long for a large one
            if wanted.document != self._engine.topology().document:
                await self._serving.done(self._engine.set_topology_in_turns(wanted, TOPOLOGY_FACTOR * len(body)))
                self.version += 1
                for note in wanted.notes[:MAX_NOTES]:
                    log.warning("topology: %s", note)
                if len(wanted.notes) > MAX_NOTES:
                    log.warning("topology: %d more like these", len(wanted.notes) - MAX_NOTES)
        missing = self._engine.topology().missing
        if not missing:
            return NO_CONTENT
        more = f", and {len(missing) - 1} more; GET shows all" if len(missing) > 1 else ""
        return PlainTextResponse(in_one_line(f"in use; not found so far: {missing[0]}{more}"))

    # What is where

    async def get_nodes(self, request: Request) -> Response:
        """All names; or those of an agent, or of a port of it."""
        nodes = self._engine.topology().nodes
        agent, ifindex = request.query_params.get("agent"), request.query_params.get("ifindex")
        if agent is None:
            return answer(list(nodes))
        return answer([name for name, node in nodes.items() if _has(node, _spelt(agent), ifindex)])

    async def get_node(self, request: Request) -> Response:
        known = self._engine.topology()
        name = required(request, "node")
        if name not in known.nodes:
            raise HTTPException(404, f"no node '{name}' in the topology")
        node = known.nodes[name]
        links = [link.name for link in known.links.values() if name in (link.ends[0][0], link.ends[1][0])]
        said = known.document.get("nodes", {}).get(name, {})
        return answer(
            {
                **{key: said[key] for key in ("dpid", "tags") if key in said},
                **({"agent": node.agent} if node.agent is not None else {}),
                "ports": {port.name: _port(port) for port in node.ports.values()},
                "links": links,
            }
        )

    async def get_links(self, request: Request) -> Response:
        """All names; or those at a node."""
        node = request.query_params.get("node")
        links = self._engine.topology().links
        return answer([name for name, link in links.items() if node in (None, link.ends[0][0], link.ends[1][0])])

    async def get_link(self, request: Request) -> Response:
        known = self._engine.topology()
        name = self._link(request, known)
        said = known.document["links"][name]
        return answer({**said, "interfaces": [_interface(known.end(key)) for key in known.links[name].ends]})

    async def get_interface(self, request: Request) -> Response:
        """The port with an ifIndex of an agent, and the link there."""
        known = self._engine.topology()
        agent, ifindex = _spelt(required(request, "agent")), required(request, "ifindex")
        port = known.port(agent, ifindex)
        if port is None:
            raise HTTPException(404, f"the topology has no port of agent '{agent}' with ifindex '{ifindex}'")
        found: dict[str, Any] = {"node": port.node, "port": port.name}
        link = known.link_name(agent, ifindex)
        if link is not None:
            one, other = known.links[link].ends
            remote = other if one == (port.node, port.name) else one
            found |= {
                "linkname": link,
                "localnode": port.node,
                "localport": port.name,
                "remotenode": remote[0],
                "remoteport": remote[1],
            }
        return answer(found)

    async def get_link_metric(self, request: Request) -> Response:
        """Metrics at both ends of a link, or at one: those of the first end, then those of the other."""
        known, now = self._engine.topology(), self._serving.clock()
        link = known.links[self._link(request, known)]
        names, only = words(request, "metric", required(request, "metric")), request.query_params.get("node")
        found = []
        for key in link.ends:
            port = known.end(key)
            if only not in (None, port.node) or port.place is None:
                continue
            agent, ifindex = port.place
            turns = self._engine.dump_in_turns([agent], [f"{ifindex}.{name}" for name in names], {}, now)
            cells = {cell.metric: cell for cell in await self._serving.asked(request, turns)}
            found += [cells.get(name, Cell(agent, ifindex, name, None, now)) for name in names]
        return answer([answers.metric(cell, now) for cell in found])

    def _link(self, request: Request, known: Topology) -> str:
        name = required(request, "link")
        if name not in known.links:
            raise HTTPException(404, f"no link '{name}' in the topology")
        return name

    # The graph

    async def get_paths(self, request: Request) -> Response:
        start, end = required(request, "from"), required(request, "to")
        most = number(request, "k", 1, least=1, most=MOST_PATHS)
        longest = number(request, "maxlen", 2**31 - 1)
        found = await self._computed(lambda graph: graph.paths(start, end, most, longest))
        return answer([path._asdict() for path in found])

    async def get_diameter(self, request: Request) -> Response:
        return answer(await self._computed(Graph.diameter))

    async def get_spanning_tree(self, request: Request) -> Response:
        return answer(await self._computed(Graph.spanning_tree))

    async def _computed(self, ask: Callable[[Graph], Any]) -> Any:
        """An answer of the graph of the topology in use, made in a thread."""
        async with self._computing:
            try:
                return await asyncio.to_thread(lambda: ask(Graph(self._engine.topology())))
            except UnknownNode as fault:
                raise HTTPException(404, str(fault)) from None
            except TooLarge as fault:
                raise HTTPException(400, str(fault)) from None

    # Hosts

    async def get_located(self, request: Request) -> Response:
        """Where hosts are: all, one, or those at a port."""
        query = request.query_params
        address, agent, ifindex = query.get("address"), query.get("agent"), query.get("ifindex")
        known = self._engine.topology()
        rows = await asyncio.to_thread(lambda: [row for row in _said(known) if _is_host(row, address)])
        for version in HOSTS:
            rows += await self._learnt(request, known, version, address)
        at = {key: text for key, text in (("agent", agent and _spelt(agent)), ("ifindex", ifindex)) if text is not None}
        rows = [row for row in rows if all(row.get(key) == text for key, text in at.items())]
        hosts: dict[tuple[str | None, ...], dict[str, str]] = {}
        for row in rows:  # what the document says comes first, and with a name; what was learnt adds the VLAN
            host = tuple(map(row.get, ("agent", "ifindex", "mac", "ipaddress", "ip6address")))
            hosts[host] = row | hosts.get(host, {})
        for row in hosts.values():
            vendor = self._engine.vendor(row["mac"])
            if vendor is not None:
                row["ouiname"] = vendor
        return self._serving.answer_long(list(hosts.values()), list)

    def _learn(self) -> None:
        """Have hosts learnt for another LOCATE_S."""
        for name, keys in HOSTS.values():
            if self._engine.flow(name) is None:
                spec = {"keys": keys, "value": "frames", "filter": "direction=ingress", "t": SEEN_S}
                self._engine.set_flow(name, spec)
        if self._forget is not None:
            self._forget.cancel()
        self._forget = asyncio.get_running_loop().call_later(LOCATE_S, self._unlearn)

    def _unlearn(self) -> None:
        for name, _ in HOSTS.values():
            self._engine.clear_flow(name)

    async def _learnt(
        self, request: Request, known: Topology, version: int, address: str | None
    ) -> list[dict[str, str]]:
        self._learn()
        wanted = None
        if address is not None:
            mac, ip = _mac(address), _ip(address)
            if mac is None and ip is None:
                return []
            wanted = Pattern(f"^{mac}," if mac is not None else f",{re.escape(str(ip))}$")
        turns = self._engine.active_flows_in_turns(
            ["ALL"],
            HOSTS[version][0],
            self._serving.clock(),
            max_flows=MAX_HOSTS,
            mode=Mode.EDGE,
            pattern=wanted,
        )
        word = "ipaddress" if version == 4 else "ip6address"
        rows = []
        for flow in await self._serving.asked(request, turns):
            mac, vlan, ip = flow.key.split(",")
            tag = {} if vlan in UNTAGGED else {"vlan": vlan}
            rows.append(_where(known, flow.agent, flow.source) | {"mac": mac, word: ip} | tag)
        return rows

    # The topology app

    async def get_agents(self, request: Request) -> Response:
        nodes = self._engine.topology().nodes.values()
        return answer({node.name: node.agent for node in nodes if node.agent is not None})

    async def get_unknown(self, request: Request) -> Response:
        agents = await self._serving.asked(request, self._engine.agents_in_turns())
        return answer(sorted(agents.keys() - self._engine.topology().agents()))

    async def get_status(self, request: Request) -> Response:
        return answer(await self._status(request))

    async def get_status_text(self, request: Request) -> Response:
        status = await self._status(request)
        out = []
        for kind in ("links", "nodes"):
            out.append(f"# TYPE topology_{kind} gauge\n")
            counts = {name: count for name, count in status[kind].items() if name != "details"}
            out += [f'topology_{kind}{{status="{name}"}} {count}\n' for name, count in counts.items()]
        for name, value in status["traffic"].items():
            out.append(f"# TYPE topology_traffic_{name} gauge\ntopology_traffic_{name} {value}\n")
        return PlainTextResponse("".join(out))

    async def _status(self, request: Request) -> dict[str, Any]:
        """How many nodes and links send sFlow, how many links are up, and what enters at the edge."""
        known, now = self._engine.topology(), self._serving.clock()
        turns = self._engine.dump_in_turns(["CORE"], ["ifadminstatus", "ifoperstatus"], {}, now)
        states = {
            (cell.agent, cell.source, cell.metric): cell.value for cell in await self._serving.asked(request, turns)
        }
        agents = await self._serving.asked(request, self._engine.agents_in_turns())
        unmonitored, down = [], []
        for link in known.links.values():
            places = [known.end(key).place for key in link.ends]
            said = [
                states.get((*place, name)) if place else None
                for place in places
                for name in ("ifadminstatus", "ifoperstatus")
            ]
            if None in said:
                unmonitored.append(link.name)
            elif set(said) != {"up"}:
                down.append(link.name)
        silent = [node.name for node in known.nodes.values() if node.agent not in agents]
        no_flows = [
            node.name for node in known.nodes.values() if node.agent in agents and not agents[node.agent].flows.received
        ]
        sums = await self._serving.asked(
            request, self._engine.metric_in_turns(["EDGE"], [f"sum:{name}" for name in TRAFFIC], {}, now)
        )
        speed, octets, packets, *lost = (found.value or 0 for found in sums)
        monitored = len(known.links) - len(unmonitored)
        return {
            "links": {
                "total": len(known.links),
                "monitored": monitored,
                "up": monitored - len(down),
                "down": len(down),
                "details": {"unmonitored": unmonitored, "down": down},
            },
            "nodes": {
                "total": len(known.nodes),
                "monitored": len(known.nodes) - len(silent),
                "flows": len(known.nodes) - len(silent) - len(no_flows),
                "noflows": len(no_flows),
                "details": {"unmonitored": silent, "noflows": no_flows},
            },
            "traffic": {
                "speed": speed,
                "bps": octets * 8,
                "pps": packets,
                "discards": sum(lost[:2]),
                "errors": sum(lost[2:]),
            },
        }


def topology_of(body: bytes) -> topology.Topology:
    """The topology in a body; raises NotJson, InvalidTopology or HTTPException."""
    document = an_object(relaxed_json.decode(body), "topology")
    for ours in ("version", "found"):  # a client that edits what it got sends them back
        document.pop(ours, None)
    return topology.parse(document)


def _has(node: Node, agent: str, ifindex: str | None) -> bool:
    if ifindex is None:
        return node.agent == agent or any(port.agent == agent for port in node.ports.values())
    return any(port.place == (agent, ifindex) for port in node.ports.values())


def _port(port: Port) -> dict[str, Any]:
    known = {"ifindex": port.ifindex, "speed": port.speed, "dpid": port.dpid, "ofport": port.ofport}
    return {name: value for name, value in known.items() if value is not None}


def _interface(port: Port) -> dict[str, str]:
    known = {"node": port.node, "port": port.name, "agent": port.agent, "ifindex": port.ifindex}
    return {name: value for name, value in known.items() if value is not None}


def _where(known: Topology, agent: str, ifindex: str) -> dict[str, str]:
    """A port as rows of hosts have it. One that the document does not list is of the agent's node, if it has only
    one."""
    port = known.port(agent, ifindex)
    if port is not None:
        return _interface(port)
    nodes = [node.name for node in known.nodes.values() if node.agent == agent]
    return ({"node": nodes[0]} if len(nodes) == 1 else {}) | {"agent": agent, "ifindex": ifindex}


def _said(known: Topology) -> Iterator[dict[str, str]]:
    """The hosts in the document: those that have a node, a port and a MAC."""
    hosts = known.document.get("hosts")
    for name, host in hosts.items() if isinstance(hosts, Mapping) else ():
        if not isinstance(host, Mapping):
            continue
        node, port, mac = (host.get(word) for word in ("node", "port", "mac"))
        if not (isinstance(node, str) and isinstance(port, str) and isinstance(mac, str) and _mac(mac)):
            continue
        at = known.nodes[node].ports.get(port) if node in known.nodes else None
        row = (_interface(at) if at is not None else {"node": node, "port": port}) | {"mac": _mac(mac) or ""}
        row["name"] = name
        listed = host.get("addresses")
        texts = [host.get("ipv4"), *(listed if isinstance(listed, list) else ())]
        ips = dict.fromkeys(ip for text in texts if isinstance(text, str) and (ip := _ip(text)) is not None)
        yield from [row | {"ip6address" if ":" in ip else "ipaddress": ip} for ip in ips] or [row]


def _is_host(row: Mapping[str, str], address: str | None) -> bool:
    spellings = {address, _mac(address), _ip(address)} if address is not None else set(row.values())
    return bool(spellings & {row.get(word, "") for word in ("mac", "name", "ipaddress", "ip6address")})


def _mac(text: str) -> str | None:
    """A MAC as sFlow-RT writes it, in any of the usual spellings."""
    digits = re.sub("[:.-]", "", text)
    return digits.upper() if re.fullmatch("[0-9A-Fa-f]{12}", digits) else None


def _ip(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _spelt(agent: str) -> str:
    return _ip(agent) or agent
