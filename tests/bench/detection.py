"""How soon elephants are found, and how often mice are taken for such: the native core in virtual time.

    .venv-test/bin/python tests/bench/detection.py [--trials 400] [--hours 2] [--seed 1]

Packets of flows cross three switches that each sample 1 in N by itself, and export as Open vSwitch does with
header=600: a sample leaves with the next one of its switch, or with the tick of a second. The datagrams go through an
engine that has the test and, beside it in the same run, the plain threshold that was there before it (smoothed over a
second, at the edge port). Nothing waits: an hour of sixteen mice takes some 20 s. Prints one JSON object a scenario:
seconds from a flow's first byte to its event, p50 and p95, the part that was found in time, false elephants per hour.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.modules["tests"] = ModuleType("tests")  # ours is no package, and ryu installs one of that name
sys.modules["tests"].__path__ = [str(ROOT / "tests")]

from analytics.engine import Engine  # noqa: E402
from tests.analytics.engine_fabric import HOWDAH  # noqa: E402
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, words  # noqa: E402

SAMPLING = 10
SWITCHES = ("10.254.0.1", "10.254.0.9", "10.254.0.2")  # leaf, spine, leaf
THRESHOLD, LINK = 500_000, 5_000_000  # bits/s
FULL = 1518  # bytes of a packet with its FCS
START = 1000.0


@dataclass(frozen=True)
class Traffic:
    """A flow of packets of `size` bytes, evenly spaced, at `rate` bits/s from `start` to `end`; `acked`: half as many
    small ones come back."""

    number: int
    rate: float
    size: int = 1000
    start: float = START
    end: float = math.inf
    acked: bool = False


Sample = tuple[float, Traffic, int, bool]  # time, flow, packet, it is an acknowledgement


def sampled(rng: random.Random, flows: Sequence[Traffic], until: float) -> Iterator[Sample]:
    """What one switch samples, in order of time."""

    def of_flow(flow: Traffic, back: bool) -> Iterator[Sample]:
        gap = flow.size * 8 / flow.rate * (2 if back else 1)
        packet = 0
        while True:
            packet += 1 + int(math.log(1 - rng.random()) / math.log(1 - 1 / SAMPLING))
            at = flow.start + packet * gap
            if at >= min(flow.end, until):
                return
            yield at, flow, packet, back

    streams = [of_flow(flow, back) for flow in flows for back in (False, True) if flow.acked or not back]
    return heapq.merge(*streams, key=lambda sample: sample[0])


def exported(rng: random.Random, switch: int, samples: Iterator[Sample]) -> Iterator[tuple[float, int, Sample]]:
    """When each sample leaves its switch."""
    tick, held = rng.random(), None
    for sample in samples:
        if held is not None:
            yield min(sample[0], math.ceil(held[0] - tick) + tick), switch, held
        held = sample
    if held is not None:
        yield math.ceil(held[0] - tick) + tick, switch, held


def frame(flow: Traffic, packet: int, back: bool) -> bytes:
    """The first bytes of a packet."""
    ends = [f"10.0.{end}.{flow.number % 250 + 1}" for end in (1, 2)]
    ports = [40_000 + flow.number // 250, 5001]
    if back:
        ends.reverse(), ports.reverse()
    numbers = (7, packet * 1448) if back else (packet * 1448, 7)
    tcp = bytes([ports[0] >> 8, ports[0] & 255, ports[1] >> 8, ports[1] & 255])
    tcp += words(*(number & 0xFFFFFFFF for number in numbers)) + bytes.fromhex("5010200000000000")
    return ethernet(ipv4(tcp, 6, *ends))


class Bench:
    """An engine with the test and the plain threshold, and the events of both."""

    def __init__(self, seed: int, **test: float) -> None:
        self.rng, self.engine = random.Random(seed), Engine()
        value = THRESHOLD / 8
        for name, spec in (("plain", {}), ("test", {"switches": 3, "fastest": LINK / 8} | test)):
            self.engine.set_flow(name, {**HOWDAH, "t": 1, "n": 20})
            threshold = {"metric": name, "value": value, "byFlow": True, "timeout": 1}
            self.engine.set_threshold(name, threshold | ({"test": spec} if spec else {}))
        self.sent, self.seen = [0] * len(SWITCHES), 0

    def run(self, flows: Sequence[Traffic], until: float) -> dict[str, list[tuple[str, str, float]]]:
        """The events of both, as (state, flow, time); of the plain threshold those at the edge."""
        streams = [exported(self.rng, switch, sampled(self.rng, flows, until)) for switch in range(len(SWITCHES))]
        second, found = START, {"plain": [], "test": []}
        for at, switch, (_, flow, packet, back) in heapq.merge(*streams, key=lambda row: row[:2]):
            while at >= second + 1:
                second += 1
                self.engine.tick(second)
                self.collect(second, found)
            self.sent[switch] += 1
            size = 70 if back else flow.size
            ports = (60, 1 + flow.number % 50) if back else (1 + flow.number % 50, 60)
            sample = flow_sample(sampled_header(frame(flow, packet, back), size), sequence=self.sent[switch],
                                 source=(2, 1000), rate=SAMPLING, ports=ports)  # fmt: skip
            wire = datagram(sample, agent=SWITCHES[switch], sequence=self.sent[switch], uptime=int(at * 1000))
            self.engine.feed([wire], at)
            self.collect(at, found)
        for _ in range(8):
            second += 1
            self.engine.tick(second)
            self.collect(second, found)
        return found

    def collect(self, now: float, found: dict[str, list[tuple[str, str, float]]]) -> None:
        """The events that are new."""
        events = self.engine.news.events
        if events.newest == self.seen:
            return
        for event in reversed(self.engine.events(self.seen, 1000)):
            if event.found is not None:
                found["test"].append((event.found.state, str(event.key), now))
            elif event.agent == SWITCHES[0]:
                found["plain"].append(("start", str(event.key), now))
        self.seen = events.newest


def quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def delays(flows: Sequence[Traffic], found: Sequence[tuple[str, str, float]]) -> list[float]:
    """From each flow's first byte to its first event; infinite: none."""
    first: dict[str, float] = {}
    for state, key, at in found:
        if state == "start":
            first.setdefault(key, at)
    return [first.get(key_of(flow), math.inf) - flow.start for flow in flows]


def key_of(flow: Traffic) -> str:
    """As events have it."""
    host = flow.number % 250 + 1
    return f"10.0.1.{host},10.0.2.{host},6,{40_000 + flow.number // 250},5001"


def started(
    seed: int, trials: int, rate: float, size: int, seconds: float, beside: int = 0, *, acked: bool = False
) -> dict[str, list[float]]:
    """Flows that begin one after another and last so long, beside so many long ones at the speed of the link."""
    out: dict[str, list[float]] = {"plain": [], "test": []}
    for first in range(0, trials, 50):
        bench = Bench(seed + first)
        long = [Traffic(number, LINK, FULL, acked=True) for number in range(beside)]
        flows = [
            Traffic(100 + n, rate, size, begin, begin + seconds, acked)
            for n in range(min(50, trials - first))
            for begin in (START + 3 + (seconds + 2) * n + bench.rng.random(),)
        ]
        found = bench.run([*long, *flows], flows[-1].end)
        for name in out:
            out[name] += delays(flows, found[name])
    return out


def report(scenario: str, **row: object) -> None:
    print(json.dumps({"scenario": scenario} | row), flush=True)


def timing(scenario: str, found: dict[str, list[float]], within: Sequence[float] = ()) -> None:
    for name, values in found.items():
        row = {"p50_s": round(quantile(values, 0.5), 3), "p95_s": round(quantile(values, 0.95), 3)}
        row |= {f"found_in_{limit}_s": sum(value <= limit for value in values) / len(values) for limit in within}
        report(scenario, by=name, flows=len(values), **row)


def mice(scenario: str, seed: int, rate: float, size: int, hours: float) -> None:
    """Sixteen long mice, and how many of them are called elephants, and how often."""
    events, flows = {"plain": 0, "test": 0}, 0
    for part in range(max(1, round(hours * 4))):  # a quarter of an hour each, all of them new
        some = [Traffic(n, rate * (0.99 + 0.02 * n / 16), size, START + n / 20) for n in range(16)]
        found = Bench(seed + part).run(some, START + 900)
        flows += len(some)
        for name in events:
            events[name] += sum(state == "start" for state, _, _ in found[name])
    for name, number in events.items():
        report(scenario, by=name, flows=flows, false_per_hour=round(number / (flows / 64), 2),
               false_per_flow_and_minute=round(number / flows / 15, 5))  # fmt: skip


def ends(scenario: str, seed: int, trials: int, rate: float) -> None:
    """How long an elephant that has stopped is still one."""
    took = []
    for first in range(0, trials, 50):
        bench = Bench(seed + first)
        flows = [Traffic(n, rate, FULL, START + 15 * n, START + 15 * n + 8) for n in range(min(50, trials - first))]
        last = {key: at for state, key, at in bench.run(flows, flows[-1].end)["test"] if state == "end"}
        took += [last[key_of(flow)] - flow.end for flow in flows if key_of(flow) in last]
    report(
        scenario, by="test", flows=len(took), p50_s=round(quantile(took, 0.5), 2), p95_s=round(quantile(took, 0.95), 2)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for beside, name in ((0, "alone"), (2, "beside two")):
        timing(f"5 Mb/s, {name}", started(given.seed, given.trials, LINK, FULL, 1.5, beside, acked=True))
    for rate, size, within in ((THRESHOLD, 1000, 3), (2 * THRESHOLD, 1000, 3), (2 * THRESHOLD, 1000, 0.6),
                               (4 * THRESHOLD, FULL, 0.6)):  # fmt: skip
        found = started(given.seed, given.trials, rate, size, 10 if rate == THRESHOLD else 4)
        timing(f"{rate / 1e6} Mb/s of {size} bytes, alone", found, (within,))
    for rate, size in ((250_000, 1000), (250_000, FULL), (125_000, FULL)):
        mice(f"16 mice of {rate / 1e3:.0f} kb/s, {size} bytes", given.seed, rate, size, given.hours)
    for rate in (LINK, THRESHOLD):
        ends(f"{rate / 1e6} Mb/s, stopped", given.seed, given.trials // 4, rate)


if __name__ == "__main__":
    main()
