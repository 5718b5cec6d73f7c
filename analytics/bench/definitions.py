"""`howdah bench definitions`: what many flow definitions cost beside one, in processor time per sample.

Two engines in one process, one with the definition that most users begin with and one with all of DEFINITIONS, take
the same samples from memory in turns, so that the machine's other load affects both alike: the ratio is what may be
quoted. Every flow has one port of one switch; either all of them are sampled alike often, or as Zipf's law says: the
n-th largest 1/n as often as the largest, as traffic mostly is. All flows that a round has are known, and their keys
computed, before it is timed; walks over idle flows, once a second however many samples there are, are not in it.
"""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Iterator
from enum import Enum
from itertools import accumulate
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from analytics.bench.load import RATE, SAMPLES, tagged, words
from documents.console import PlainConsole

SITES = {"east": ["10.0.0.0/9"], "west": ["10.128.0.0/9"]}
PORTS = "or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
DEFINITIONS: dict[str, dict[str, Any]] = {
    "five_tuple": {"keys": f"ipsource,ipdestination,ipprotocol,{PORTS}", "value": "bytes"},
    "pair": {"keys": "ipsource,ipdestination", "value": "bytes"},
    "pair_frames": {"keys": "ipsource,ipdestination", "value": "frames"},
    "source": {"keys": "ipsource", "value": "bytes"},
    "destination": {"keys": "ipdestination", "value": "bytes"},
    "service": {"keys": "ipprotocol,or:tcpdestinationport:udpdestinationport", "value": "bytes"},
    "macs": {"keys": "macsource,macdestination", "value": "bytes"},
    "mac": {"keys": "macsource", "value": "frames"},
    "vlan": {"keys": "vlan", "value": "bytes"},
    "dscp": {"keys": "ipdscp", "value": "bytes"},
    "ingress": {"keys": "inputifindex", "value": "bytes"},
    "crossing": {"keys": "inputifindex,outputifindex", "value": "frames"},
    "stack": {"keys": "stack", "value": "frames"},
    "tcp": {
        "keys": "ipsource,tcpsourceport,ipdestination,tcpdestinationport",
        "value": "frames",
        "filter": "direction=ingress",
    },
    "udp": {"keys": "ipsource,udpsourceport,ipdestination,udpdestinationport", "value": "bytes"},
    "web": {"keys": "ipsource,ipdestination", "value": "bytes", "filter": "tcpdestinationport=443"},
    "resolvers": {"keys": "ipsource,ipdestination", "value": "frames", "filter": "udpdestinationport=53"},
    "syn": {"keys": "ipdestination,tcpdestinationport", "value": "frames", "filter": "tcpflags~.......1."},
    "subnets": {"keys": "mask:ipdestination:16,ipprotocol", "value": "bytes"},
    "sites": {"keys": "group:ipsource:site,vlan", "value": "bytes"},
}
THRESHOLD = {"metric": "five_tuple", "value": 1e12, "byFlow": True}  # both engines have it
MEMORY = 16 << 30  # of an engine: nothing shall be refused
AT_ONCE = 256  # datagrams, as many as the receiver reads in one call
TURN = 20_000  # samples that one engine takes before it is the other's turn
WARM_UP = 4  # rounds before those that are timed: the third sample of a flow is added up by microflow
SAMPLES_PER_S = 1e6  # that agents send, as far as `now` says
AGENTS, SWITCH_PORTS, VLANS = 16, 48, 32
FLOWS_PER_HOST = 8
FLOWS = (1000, 100_000, 1_000_000)
SERVICES = (443, 443, 443, 80, 22, 3306, 8080, 53)


class Popularity(str, Enum):
    """How often which flow is sampled."""

    UNIFORM = "uniform"
    ZIPF = "zipf"


def flow(number: int, hosts: int) -> tuple[int, int, bytes]:
    """(agent, input port, flow sample without its tag, length and sequence number) of a flow."""
    scattered = number * 2654435761 & 0xFFFFFFFF
    source, peer = number % hosts, scattered % hosts
    agent, port = source % AGENTS, 1 + source // AGENTS % SWITCH_PORTS
    service = SERVICES[scattered >> 8 & 7]
    is_udp = service == 53
    dscp = (0, 0, 0, 10, 46)[scattered >> 12 & 3]
    ports = struct.pack(">HH", 1024 + scattered % 60_000, service)
    flags = 0x5010 if number % 3 else 0x5018
    upper = ports + struct.pack(">HH", 1480, 0) if is_udp else ports + struct.pack(">IIHHHH", 1, 1, flags, 8192, 0, 0)
    spread = 0x9E3779B1 & 0xFFFFFF  # hosts are everywhere in 10.0.0.0/8
    addresses = struct.pack(">II", 0x0A000000 | source * spread & 0xFFFFFF, 0x0A000000 | peer * spread & 0xFFFFFF)
    ip = struct.pack(">BBHHHBBH", 0x45, dscp << 2, 1500, 7, 0x4000, 64, 17 if is_udp else 6, 0) + addresses
    macs = struct.pack(">HIHI", 0x0200, peer, 0x0200, source)
    frame = (macs + struct.pack(">HHH", 0x8100, source % VLANS, 0x0800) + ip + upper).ljust(128, b"\0")
    length = 64 + scattered % 1454
    header = tagged(1, words(1, length, 4, 128) + frame)
    return agent, port, words(port, RATE, RATE, 0, port, 1 + peer % SWITCH_PORTS, 1) + header


def drawn(flows: int, popularity: Popularity) -> list[int]:
    """Flow numbers in the order in which they are sampled: so many that many of a uniform load come twice."""
    luck = random.Random(1)
    count = max(2 * TURN, flows)
    if popularity is Popularity.UNIFORM:
        chosen = [number % flows for number in range(count)]
        luck.shuffle(chosen)
        return chosen
    return luck.choices(range(flows), cum_weights=list(accumulate(1 / (1 + n) for n in range(flows))), k=count)


def datagrams(chosen: list[int], flows: int) -> list[bytes]:
    """The samples of each agent in datagrams of SAMPLES, one agent after the other as they are full."""
    hosts = max(2, flows // FLOWS_PER_HOST)
    known: dict[int, tuple[int, int, bytes]] = {}
    waiting: list[list[bytes]] = [[] for _ in range(AGENTS)]
    sent = [0] * AGENTS
    sampled: dict[tuple[int, int], int] = {}
    made = []
    for number in chosen:
        if number not in known:
            known[number] = flow(number, hosts)
        agent, port, body = known[number]
        sequence = sampled[agent, port] = sampled.get((agent, port), 0) + 1
        waiting[agent].append(tagged(1, words(sequence) + body))
        if len(waiting[agent]) == SAMPLES:
            sent[agent] += 1
            head = words(5, 1, 0x0A000001 + agent, 0, sent[agent], 1000 + sent[agent], SAMPLES)
            made.append(head + b"".join(waiting[agent]))
            waiting[agent].clear()
    return made


class Contender:
    """An engine, and the processor time that it took. `now` goes on as fast as samples would come."""

    def __init__(self, names: list[str], flows: int) -> None:
        from analytics.engine import Engine, EngineSettings  # noqa: PLC0415  the command line needs no native core

        self.engine = Engine(EngineSettings(memory=MEMORY, max_entries=max(1 << 20, 2 * flows)))
        self.engine.set_group("site", SITES)
        for name in names:
            self.engine.set_flow(name, DEFINITIONS[name])
        self.engine.set_threshold("elephant", THRESHOLD)
        self.now = self.begun = 1000.0
        self.rates: list[float] = []  # seconds per sample of each turn

    def take(self, load: list[bytes]) -> None:
        """A turn: the load, in batches as a busy receiver has them."""
        began = time.thread_time()
        for first in range(0, len(load), AT_ONCE):
            self.now += AT_ONCE * SAMPLES / SAMPLES_PER_S
            self.engine.feed(load[first : first + AT_ONCE], self.now)
        self.rates.append((time.thread_time() - began) / (len(load) * SAMPLES))

    def warm_up(self, load: list[bytes]) -> None:
        """Take a load until every key of it is computed; ticks allow some thousand new ones each."""
        for _ in range(WARM_UP):
            for piece in turns(load):
                self.take(piece)
                self.engine.pipeline.classifier.allow()
        self.rates.clear()
        self.refused = self.engine.numbers().flow_entries_refused

    def report(self) -> dict[str, Any]:
        """RuntimeError: not all that was timed was counted."""
        numbers = self.engine.numbers()
        if numbers.flow_entries_refused > self.refused:
            raise RuntimeError(f"{numbers.flow_entries_refused - self.refused} samples were refused")
        return {"ns_per_sample": 1e9 * median(self.rates), "entries": numbers.flow_entries}


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def turns(load: list[bytes]) -> Iterator[list[bytes]]:
    step = TURN // SAMPLES
    return (load[first : first + step] for first in range(0, len(load) - step + 1, step))


def measured(flows: int, popularity: Popularity, seconds: float) -> dict[str, Any]:
    """One line of the report: both engines over the same load, for about so many seconds."""
    load = datagrams(drawn(flows, popularity), flows)
    contenders = [Contender(names, flows) for names in (["five_tuple"], list(DEFINITIONS))]
    try:
        for each in contenders:
            each.warm_up(load)
        began, pieces = time.thread_time(), list(turns(load))
        while time.thread_time() - began < seconds:
            for piece in pieces:
                for each in contenders:
                    each.take(piece)
                if time.thread_time() - began >= seconds:
                    break
        one, all_of_them = contenders
        return {
            "flows": flows,
            "popularity": popularity.value,
            "turns": len(one.rates),
            "one": one.report(),
            "all": all_of_them.report(),
            "ratio": median([both / single for both, single in zip(all_of_them.rates, one.rates, strict=True)]),
        }
    finally:
        for each in contenders:
            each.engine.close()


def definitions(
    flows: Annotated[list[int] | None, typer.Option(min=1, max=4_000_000, help="How many; repeatable.")] = None,
    popularity: Annotated[
        list[Popularity] | None, typer.Option(help="Which are sampled how often; repeatable.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of processor time for each line of the table.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Processor time per sample with one flow definition and with twenty, and their ratio."""
    rows = [measured(count, kind, seconds) for count in flows or FLOWS for kind in popularity or Popularity]
    if as_json:
        print(json.dumps({"definitions": len(DEFINITIONS), "rows": rows}))
        return
    columns = ("flows", "entries of all", "1: ns/sample", f"{len(DEFINITIONS)}: ns/sample", "ratio")
    table = Table("popularity", *(Column(name, justify="right") for name in columns))
    for row in rows:
        one, every = row["one"], row["all"]
        figures = (f"{one['ns_per_sample']:.0f}", f"{every['ns_per_sample']:.0f}", f"{row['ratio']:.2f}")
        table.add_row(row["popularity"], f"{row['flows']:,}", f"{every['entries']:,}", *figures)
    PlainConsole().print(table)
