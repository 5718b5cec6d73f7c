"""Measurements of what control gives and costs: goodput, churn, moves, mice behind elephants, links that fail.

Each function takes a bench and a seeded generator and returns what was seen, as JSON; estimates are made of it later.
What is compared has the same 5-tuples, so that ECMP makes the same choices and only the controller differs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from random import Random
from typing import Any

from scripts.experiments import patterns
from scripts.experiments.bench import LEAD_S, READY_S, Bench, Values, Wire, sleep_until
from scripts.experiments.detecting import FULL, across, wait_for_elephants
from scripts.experiments.stage import Program, until
from scripts.experiments.workload import Elephant, bound, finished, mice_behind, run_elephants

PATTERNS: dict[str, Callable[[int, int, Random], patterns.Pairs]] = {  # hosts, hosts per leaf
    "stride(1)": lambda n, leaf, rng: patterns.stride(n, 1),
    "stride(2)": lambda n, leaf, rng: patterns.stride(n, 2),
    "stride(4)": lambda n, leaf, rng: patterns.stride(n, 4),
    "stride(8)": lambda n, leaf, rng: patterns.stride(n, 8),
    "stag(.2)": lambda n, leaf, rng: patterns.staggered(n, 0.2, 0, rng, edge=leaf, pod=leaf),
    "stag(.5)": lambda n, leaf, rng: patterns.staggered(n, 0.5, 0, rng, edge=leaf, pod=leaf),
    "randbij": lambda n, leaf, rng: patterns.randbij(n, rng),
    "rand": lambda n, leaf, rng: patterns.rand(n, rng),
    "randx(2)": lambda n, leaf, rng: patterns.randx(n, 2, rng),
    "hotspot": lambda n, leaf, rng: patterns.hotspot(n, rng),
}
PER_LEAF = 4
WARM_UP_S = 6.0  # of elephants, before their goodput counts: TCP fills its queues
LISTENING = range(20_000, 60_000)
OVERLOAD = 0.55  # of a link, each of two streams: together so little too much that no queue overflows before they part
MOUSE_GAP_S = 0.04
STREAM_S, PROBE_BYTES, PROBE_GAP_S = 4.0, 200, 0.005
DOWN_S, UP_S = 6.0, 4.0  # how long a link stays down, and how long streams are watched after it came back


def goodput(bench: Bench, rng: Random, *, pattern: str, seconds: float, steered: bool) -> Values:
    """An elephant for every pair of a pattern; on a fabric under ECMP alone and then steered."""
    pairs = PATTERNS[pattern](len(bench.hosts), PER_LEAF, rng)
    first = rng.choice(LISTENING[: -len(pairs)])
    elephants = [Elephant(bench.hosts[a], bench.hosts[b], first + n) for n, (a, b) in enumerate(pairs)]
    receivers, out = bench.receivers(), {"flows": len(pairs), "bound": bound(bench.stage.spec, elephants)}
    for name in ("ecmp", "steered") if steered else ("switch",):
        bench.set_policy(steering=name == "steered")
        moves = bench.stage.ask("status")["counts"]["moves"]
        run = run_elephants(
            bench.stage, receivers, elephants, WARM_UP_S + seconds, (WARM_UP_S, WARM_UP_S + seconds), lambda _: None
        )
        out[name] = run.total
        out[f"{name}_moves"] = bench.stage.ask("status")["counts"]["moves"] - moves
    return out


def churn(bench: Bench, rng: Random, *, size: int, seconds: float) -> Values:
    """Every host sends elephants of `size` bytes to random others, one after another, under ECMP and then steered."""
    speed = next(port.speed for _, port in bench.stage.spec.ports()) or 0
    count = max(2, round(seconds * speed / 8 / size))
    bench.receivers()
    port = rng.choice(LISTENING[: -count * len(bench.hosts)])
    flows = {}
    for source in bench.hosts:
        targets = [rng.choice([one for one in bench.hosts if one.node != source.node]) for _ in range(count)]
        flows[source.name] = [f"{target.ipv4}:5001@{port + n}" for n, target in enumerate(targets)]
        port += count
    out: Values = {"flows": count * len(bench.hosts)}
    for name in ("ecmp", "steered"):
        bench.set_policy(steering=name == "steered")
        before = bench.stage.ask("status")["counts"]
        start = time.time() + LEAD_S
        senders = [
            bench.stage.traffic(host, "send", *words, "--bytes", size, "--in-turn", "--start", start)
            for host, words in flows.items()
        ]
        for sender in senders:
            finished(sender, LEAD_S + 10 * seconds)
        after = bench.stage.ask("status")["counts"]
        times = [line["seconds"] for sender in senders for line in sender.lines() if line["event"] == "end"]
        out[name] = {
            "mean_s": round(sum(times) / len(times), 4),
            "elephants": after["elephants"] - before["elephants"],
            "moves": after["moves"] - before["moves"],
        }
    return out


def moves(bench: Bench, rng: Random, *, rounds: int) -> Values:
    """Pairs of UDP streams that fill an uplink a little too much if ECMP puts them on one: what a move loses."""
    streams = []
    for number in range(rounds):
        receivers = bench.udp_receivers()
        start = time.time() + LEAD_S
        started = []
        for at, leaf in enumerate(bench.leaves):
            other = bench.leaves[(at + 1 + number) % len(bench.leaves) if number % 4 != 3 else (at + 1) % 4]
            for source, target in zip(rng.sample(leaf, 2), rng.sample(other, 2), strict=True):
                when = ("--start", start, "--seconds", STREAM_S)
                speed = bench.stage.spec.nodes[source.node].ports[source.port].speed or 0
                flow, program = bench.udp(source, target, OVERLOAD * speed, FULL, *when)
                started.append((flow, target, program))
        ends = [(flow, target, finished(program, LEAD_S + STREAM_S + 10)) for flow, target, program in started]
        for program in receivers.values():
            program.stop()
        records = bench.elephants()
        for flow, target, end in ends:
            port = int(flow.split(",")[3])
            got = [
                line for line in receivers[target.name].lines() if line["event"] == "end" and line.get("sport") == port
            ]
            streams.append(
                {
                    "moves": records.get(flow, {}).get("moves", 0),
                    "sent": end["sent"],
                    "lost": end["sent"] - (got[0]["distinct"] if got else 0),
                    "late": got[0]["late"] if got else 0,
                }
            )
        bench.settle()
    return {"streams": streams}


def mice(bench: Bench, rng: Random, *, seconds: float) -> Values:
    """Small requests to a host whose link four elephants fill, these unmarked and then marked Lower Effort."""
    first, second, third, fourth = rng.sample(bench.leaves, 4)
    senders = [*rng.sample(first, 2), *rng.sample(second, 2)]
    receivers, client, target = bench.receivers(), rng.choice(third), rng.choice(fourth)
    until(bench.stage.traffic(target.name, "mice-serve").lines, READY_S, "a server of mice")
    elephants = [Elephant(source, target, bench.port()) for source in senders]
    out: Values = {}
    for name in ("unmarked", "marked"):
        bench.set_policy(marking=name == "marked")
        behind = mice_behind(bench.stage, receivers, elephants, client, seconds, MOUSE_GAP_S)
        out[name] = {"times": behind.mice.times, "timeouts": behind.mice.timeouts, "alone": behind.alone}
    return out


def failure(bench: Bench, rng: Random, *, what: str, controlled: bool) -> Values:
    """Streams and elephants across the spines; a link or a spine goes down, later comes up again.

    Of the streams the longest pause in each of the two times counts, of the elephants of the lost links when their
    first packet came by another spine.
    """
    bench.receivers()
    receivers = bench.udp_receivers("--pause", 4 * PROBE_GAP_S)
    leaf, other = rng.sample(bench.leaves, 2)
    tap, start = bench.tap(), time.time() + LEAD_S
    length = ("--start", start, "--seconds", 60)
    rate = (PROBE_BYTES + 42) * 8 / PROBE_GAP_S
    streams = [bench.udp(*pair, rate, PROBE_BYTES, *length) for pair in across(bench, rng)]
    elephants = dict(bench.tcp(*pair, *length) for pair in zip(leaf, rng.sample(other, len(other)), strict=True))
    sleep_until(start)
    wait_for_elephants(bench, elephants)
    time.sleep(UP_S)  # until those that collide have been moved
    on = {flow: seen[-1][1].partition("-")[0] for flow, seen in Wire.of(tap).paths.items()}  # the spine of each
    spine = on[rng.choice(list(elephants))]
    ends = {spine} if what == "spine" else {spine, leaf[0].node}
    lost = [link for link in bench.stage.spec.links.values() if ends <= {link.node1, link.node2}]
    if not controlled:
        bench.stage.end_controller()
    try:
        down = _switched(lost, "down")
        sleep_until(down + DOWN_S)
    finally:
        up = _switched(lost, "up")
    sleep_until(up + UP_S)
    for receiver in receivers.values():
        receiver.stop()  # before the senders: a stream that never came back is silent to the end
    wire = Wire.of(tap)
    for program in [program for _, program in streams] + list(elephants.values()):
        program.stop()
    if not controlled:
        bench.stage.start_controller()
        until(bench.stage.ready, READY_S, "controller, analytics and sFlow of all switches")
    paths = {flow: [(at, by) for at, by in wire.paths[flow] if at > down] for flow in elephants if on[flow] == spine}
    return {
        "down_ms": longest_pauses(receivers, down, down + DOWN_S),
        "up_ms": longest_pauses(receivers, up, up + UP_S),
        "elephants_ms": [round((seen[0][0] - down) * 1000, 1) if seen else None for seen in paths.values()],
    }


def longest_pauses(receivers: dict[str, Program], begin: float, end: float) -> dict[str, float]:
    """Of each stream that fell silent between two moments, its longest pause in ms, by receiver and source port."""
    longest: dict[str, float] = {}
    for host, receiver in receivers.items():
        for line in receiver.lines():
            if line["event"] == "pause" and begin - PROBE_GAP_S < line["time"] - line["seconds"] < end:
                stream = f"{host}:{line['sport']}"
                longest[stream] = max(longest.get(stream, 0.0), round(line["seconds"] * 1000, 1))
    return longest


def _switched(links: list[Any], state: str) -> float:
    """Sets one end of each link down or up, which the other end sees; the moment at which that began."""
    began = time.time()
    subprocess.run(
        ["ip", "-batch", "-"],
        input="".join(f"link set {link.port1} {state}\n" for link in links),
        text=True,
        check=True,
    )
    return began
