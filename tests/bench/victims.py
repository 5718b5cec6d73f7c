"""What takes foreign bytes, joined so that one call feeds an input to all of it: the engine (decode, account, dissect,
aggregate, counters, thresholds), the printers, both capture readers, and the parsers of requests.

Every datagram goes through the engine and one of the four printers, in turn; every 16th also through `decode`. A
capture file is played natively and read by capture.py, which must agree; a request is read as everything that a user
may send. What escapes that is not documented ends the epoch. Under the address sanitizer an input is in memory of its
own whose next byte is out of bounds.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
from collections import Counter
from collections.abc import Mapping
from itertools import islice

from starlette.exceptions import HTTPException
from starlette.requests import Request

from analytics import topology
from analytics.api import parameters, relaxed_json
from analytics.core.dissect.packet import KEY_SIZES
from analytics.core.flows.flowkeys import FIELDS, MAX_KEY_BYTES, computed_size
from analytics.core.printing.printer import Printer
from analytics.core.wire.sflow import decode
from analytics.engine import Engine, EngineSettings
from analytics.events.thresholds import parse_threshold
from analytics.flows.definitions import compile_flow
from analytics.flows.keys import InvalidDefinition
from analytics.inputs import replay
from analytics.inputs.capture import MalformedCapture, datagrams
from analytics.metrics.numbers import AgentNumbers
from tests.analytics.examples.inputs import CAPTURE, REQUEST, START

SILENCE = 300  # inputs between two silences of all senders
FORMS = ("text", "json", "csv", "pcap")
FIXED = {
    "carried": {"keys": "or:ipsource:ip6source,null:vlan,stack", "value": "bytes", "filter": "ipttl!=1"},
    "computed": {"keys": "mask:ipsource:8,null:[link:inputifindex],eq:vlan:ipttl", "value": "ipbytes"},
    "inner": {
        "keys": "null:ipsource.1,null:ip6source.2,null:macsource.1,inputifindex,outputifindex",
        "value": "frames",
    },
    "records": {"keys": "null:aclname,null:natipsource,null:mplsinputlabels", "value": "frames"},
    "requests": {"keys": "null:uripath,null:httphost", "value": "frames", "filter": "httpmethod!=GET"},
    "names": {"keys": "suffix:dnsqname:.:2,dnsqtypename,dnsqr", "value": "frames"},
    "tested": {"keys": "or:ipsource:ip6source", "value": "bytes", "filter": "ipttl!=1"},
    "tested_frames": {"keys": "null:stack,inputifindex", "value": "frames", "log": True},
    "drops": {"keys": "reason,null:ipsource", "value": "frames", "dropped": True},
}
VALUES_PER_EPOCH = 5  # with more there would be no microflows (core/flows/microflows.pxd)
FIELDS_PER_EPOCH = 12
EPOCHS_PER_ROUND = -(-len(FIELDS) // FIELDS_PER_EPOCH)  # after so many every field was read
THRESHOLDS = {
    "flow": {"metric": "carried", "value": 1, "byFlow": True},
    "test": {"metric": "tested", "value": 1000, "byFlow": True, "timeout": 0.1, "test": {"switches": 3}},
    "test_of_frames": {"metric": "tested_frames", "value": 1, "byFlow": True, "test": {"alpha": 0.5, "separation": 9}},
    "counter": {"metric": "ifinoctets", "value": 1},
}
ASKED = ["ifinutilization", "field0"]
HEAD = bytes.__basicsize__ - 1  # of a bytes object: what stands in front of its content; 16 before that, its length
EDGE, PADDING = bytes(64), bytes(576)


def definitions(epoch: int) -> dict[str, dict[str, object]]:
    """The flow definitions of an epoch: half of the fixed ones, and of the fields so many that all have their turn.

    A field is read as a key that is carried and, if it is a number, as a value, in every other round of epochs also as
    a key that is computed; in every third round all of them of discards.
    """
    names, turn = list(FIELDS), epoch % EPOCHS_PER_ROUND * FIELDS_PER_EPOCH
    mine = names[turn : turn + FIELDS_PER_EPOCH]
    dropped = epoch // EPOCHS_PER_ROUND % 3 == 2
    made: dict[str, dict[str, object]] = {name: FIXED[name] for name in list(FIXED)[epoch & 1 :: 2]}
    for index, name in enumerate(mine):
        valued = (index + epoch // EPOCHS_PER_ROUND * VALUES_PER_EPOCH) % FIELDS_PER_EPOCH < VALUES_PER_EPOCH
        value = name if valued and FIELDS[name][-1] == "number" else "frames"
        made[f"field{index}"] = {"keys": name, "value": value, "dropped": dropped}
    groups: list[list[str]] = []
    for name in mine[: len(mine) // 2] if epoch // EPOCHS_PER_ROUND % 2 else mine[len(mine) // 2 :]:
        if not groups or len(groups[-1]) == 3 or _width([*groups[-1], name]) > MAX_KEY_BYTES:
            groups.append([])
        groups[-1].append(name)
    for index, group in enumerate(groups):
        keys = ",".join(f"null:{name}" for name in group)
        made[f"nulls{index}"] = {"keys": keys, "value": "frames", "dropped": dropped}
    return made


def _width(names: list[str]) -> int:
    """Bytes of these fields as computed ones."""
    return sum(computed_size(KEY_SIZES.get(FIELDS[name][-1], 4)) for name in names)


def _poisoner() -> ctypes._CFuncPtr | None:
    """The sanitizer's call that forbids memory, if this process runs under it."""
    with contextlib.suppress(AttributeError):
        poison = ctypes.CDLL(None).__asan_poison_memory_region
        poison.argtypes, poison.restype = (ctypes.c_void_p, ctypes.c_size_t), None
        return poison
    return None


_poison = _poisoner()


def guarded(wire: bytes) -> bytes:
    """The same bytes; under the sanitizer those behind them are out of bounds, down to the zero that Python appends.

    They are made too long for Python's pools, so that they lie in a piece of memory of their own, and then shortened.
    """
    if _poison is None:
        return wire
    whole = b"".join((wire, PADDING))  # a sum with nothing would be PADDING itself
    ctypes.c_ssize_t.from_address(id(whole) + HEAD - 16).value = len(wire)
    _poison(id(whole) + HEAD + len(wire), len(PADDING) + 1)
    return whole


def alone(wire: bytes) -> memoryview:
    """The same bytes; under the sanitizer those around them are out of bounds, on both sides."""
    if _poison is None:
        return memoryview(wire)
    whole = b"".join((EDGE, wire, PADDING))
    _poison(id(whole) + HEAD, len(EDGE))
    _poison(id(whole) + HEAD + len(EDGE) + len(wire), len(PADDING) + 1)
    return memoryview(whole)[len(EDGE) : len(EDGE) + len(wire)]


def _pages(fileno: int, length: int, access: int) -> contextlib.AbstractContextManager[bytes]:
    """In place of mmap, whose last page hides reads beyond the end."""
    return contextlib.nullcontext(guarded(os.pread(fileno, os.fstat(fileno).st_size, 0)))


class Victim:
    """Takes an epoch of inputs: one engine, four printers."""

    def __init__(self, epoch: int) -> None:
        assert hasattr(replay, "mmap"), "replay reads its file in another way: guard that"
        replay.mmap = _pages  # type: ignore[assignment]
        self.epoch, self.file = epoch, os.memfd_create("capture")
        self.engine = Engine(EngineSettings(max_entries=64 if epoch % 4 == 3 else 1 << 16))
        self.names = list(definitions(epoch))
        for name, spec in definitions(epoch).items():
            self.engine.set_flow(name, spec)
        for name, spec in THRESHOLDS.items():
            self.engine.set_threshold(name, spec)
        self.printers = {form: Printer(form) for form in FORMS}
        self.taken, self.printed, self.now, self.last = 0, 0, float(START), b""
        self.sums: Counter[str] = Counter()

    def take(self, kind: str, wire: bytes) -> None:
        """One input."""
        self.taken += 1
        self.now += 0.001
        self.sums[kind] += 1
        if self.taken % SILENCE == 0:
            self.silence()
        if kind == CAPTURE:
            self.play(wire)
        elif kind == REQUEST:
            self.request(wire)
        else:
            self.datagram(wire)

    def silence(self) -> None:
        """All senders fall silent for so long that others get their indexes."""
        agents = self.engine.agents()
        self.now += 700.0
        for _ in range(2):
            self.engine.tick(self.now)
        heard = [each for each in self.engine.agents().values() if each.last_seen < self.now]
        assert not heard, "only a capture's clock may be ahead"
        self.book_agents(agents)

    def datagram(self, wire: bytes) -> None:
        if self.taken & 15 == 1:  # thrice the same samples: by their microflows, and several datagrams in one batch
            self.engine.feed([guarded(each) for each in (self.last, wire) * 2], self.now)
        self.engine.feed([guarded(wire)], self.now)
        self.last = wire
        lonely, form = alone(wire), FORMS[self.taken + self.taken // 64 & 3]
        printer = self.printers[form]
        if printer.feed(lonely, self.now, "192.0.2.1", "then"):
            self.sums[f"printed as {form}"] += 1
        if len(printer) > 1 << 20:
            self.printed += len(printer.take())
        if self.taken & 15 == 0:
            decode(lonely)

    def play(self, wire: bytes) -> None:
        """A capture file: both readers find the same datagrams, or both find it broken."""
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, wire, 0)
        before = self.fed()
        with contextlib.suppress(MalformedCapture):
            replay.replay(f"/proc/self/fd/{self.file}", self.engine)
        plain = [0, 0]
        with contextlib.suppress(MalformedCapture):
            for _, _, payload in datagrams("-", 6343, file=io.BytesIO(wire)):
                plain = [plain[0] + 1, plain[1] + len(payload)]
        native = [after - then for after, then in zip(self.fed(), before, strict=True)]
        assert native == plain, f"(datagrams, bytes): replay {native}, capture.py {plain}"
        self.sums["datagrams in capture files"] += plain[0]

    def fed(self) -> tuple[int, int]:
        numbers = self.engine.numbers()
        return numbers.datagrams, numbers.bytes

    def request(self, wire: bytes) -> None:
        """The text as a body, a query's number and a query's pattern."""
        query = Request({"type": "http", "headers": [], "query_string": b"number=%b&pattern=%b" % (wire, wire)})
        for read in (parameters.number, parameters.pattern):
            with contextlib.suppress(HTTPException):
                read(query, read.__name__, *((5,) if read is parameters.number else ()))
        try:
            spec = relaxed_json.decode(wire)
        except relaxed_json.NotJson as refused:
            assert "\n" not in str(refused)
            return
        self.sums["requests that are JSON"] += 1
        with contextlib.suppress(topology.InvalidTopology):
            topology.parse(spec)
        for parse in (compile_flow, parse_threshold):
            with contextlib.suppress(InvalidDefinition):
                parse("name", spec)

    def end(self) -> Counter[str]:
        """The questions that users ask, and what the epoch came to."""
        engine, now = self.engine, self.now
        engine.tick(now)
        found = engine.agents()
        engine.flow_keys(now)
        engine.events(None, 100)
        engine.dump(["ALL"], ["ALL"] if self.epoch % 64 == 0 else ASKED, {}, now)
        engine.metric(["ALL"], [f"max:{name}" for name in ASKED], {}, now)
        for agent in islice(found, self.epoch % 8, self.epoch % 8 + 1):
            engine.table([agent], ASKED, {}, now)
            engine.metrics_of(agent, now)
        for name in self.names[self.epoch & 3 :: 4]:
            flows = engine.active_flows(["ALL"], name, now)
            self.sums["flows read"] += len(flows)
            assert all(flow.key.isprintable() for flow in flows)
        if flows:
            engine.flow_locations(["ALL"], name, flows[0].key, now)
        self.book()
        engine.close()
        os.close(self.file)
        return self.sums

    def book(self) -> None:
        """Add up what engine and printers counted."""
        numbers = self.engine.numbers()
        self.book_agents(self.engine.agents())
        self.sums["bytes printed"] += self.printed + sum(map(len, self.printers.values()))
        self.sums["datagrams"] += numbers.datagrams
        self.sums["not sFlow 5"] += numbers.not_sflow + numbers.other_version
        self.sums["flow entries refused"] += numbers.flow_entries_refused
        self.sums["samples by microflow"] += self.engine.pipeline.numbers()["by_microflow"]
        self.sums["events"] += numbers.events

    def book_agents(self, agents: Mapping[str, AgentNumbers]) -> None:
        """The same of agents that are, or were until now."""
        self.sums["agents"] += len(agents)
        for agent in agents.values():
            self.sums["flow samples"] += agent.flows.received
            self.sums["counter samples"] += agent.counters.received
            self.sums["discards"] += agent.discards.received
            self.sums["skipped samples"] += agent.skipped
            self.sums["faults"] += agent.faults
