"""Measurements of detection: how soon, how right, how exact the rates are, and where the time to the new path goes.

Each function takes a bench and a seeded generator and returns what was seen, as JSON; estimates are made of it later.
Rates count whole frames. Times of flows count from their first packet with data at their switch, in ms.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random
from typing import Any

from documents.topology import Host
from scripts.experiments.bench import LEAD_S, Bench, Values, Wire, sleep_until
from scripts.experiments.stage import until
from scripts.experiments.workload import ELEPHANT_PORT, PAYLOAD_SHARE, finished

FULL, SMALL = 1472, 1000  # bytes of datagrams: full frames, and what makes more samples of the same rate
MOUSE_BPS = 250_000  # half the threshold, which is a tenth of 5 Mb/s
SPACING_S, LASTS_S = 1.5, 1.2  # of flows that come one by one
ENDS_S = 10.0
EVENT_RESOLUTION_S = 0.001  # of an event's time stamp
READING_S, SETTLED_S = 0.1, 2.0


def across(bench: Bench, rng: Random) -> list[tuple[Host, Host]]:
    """Every host with one of another leaf, each once, in random order."""
    shift = rng.randrange(1, len(bench.leaves))
    columns = list(range(len(bench.leaves[0])))
    pairs = []
    for number, leaf in enumerate(bench.leaves):
        others = bench.leaves[(number + shift) % len(bench.leaves)]
        pairs += list(zip(leaf, (others[n] for n in rng.sample(columns, len(columns))), strict=True))
    return rng.sample(pairs, len(pairs))


def detection(bench: Bench, rng: Random, *, flows: int, udp_share: float | None = None) -> Values:
    """Flows one by one through an idle fabric: TCP at link rate, or UDP at a share of it."""
    speed = next(port.speed for _, port in bench.stage.spec.ports()) or 0
    bench.stage.set_policy(steering=False)
    _ = bench.receivers() if udp_share is None else bench.udp_receivers()
    tap = bench.tap()
    start = time.time() + LEAD_S
    programs = []
    for number, pair in enumerate(across(bench, rng)[:flows]):
        when = ("--start", start + number * SPACING_S, "--seconds", LASTS_S)
        programs.append(
            bench.tcp(*pair, *when) if udp_share is None else bench.udp(*pair, speed * udp_share, FULL, *when)
        )
    for _, program in programs:
        finished(program, LEAD_S + flows * SPACING_S + ENDS_S)
    wire, records = Wire.of(tap), bench.elephants()
    return {"flows": [delays(flow, wire, records.get(flow)) for flow, _ in programs]}


def delays(flow: str, wire: Wire, record: dict[str, Any] | None) -> dict[str, Any]:
    """Of one flow: when it was detected, and how long each part took, in ms; None for what did not happen.

    `deciding` is the last sample that had arrived when the event was made.
    """
    first = wire.first.get(flow)
    parts: dict[str, Any] = dict.fromkeys(
        ("detected", "sampling", "export", "detection", "decision", "installation", "moved", "rule", "samples")
    )
    if first is None or record is None:
        return {"flow": flow, **parts}
    event = record["detected_at"]
    parts["detected"] = ms(event - first)
    arrived = [sample for sample in wire.samples.get(flow, ()) if sample[1] <= event + EVENT_RESOLUTION_S]
    if arrived:
        taken, came = arrived[-1]
        parts |= {"sampling": ms(taken - first), "export": ms(came - taken), "detection": ms(event - came)}
        parts["samples"] = len(arrived)
    rules = [at for at in wire.rules(flow) if at >= event - EVENT_RESOLUTION_S]
    if rules:
        parts["rule"] = ms(rules[0] - event)
    moved = [at for at, _ in wire.paths.get(flow, ())[1:] if rules and at > rules[0]]
    if moved:
        rule = [at for at in rules if at <= moved[0]][-1]
        parts |= {"decision": ms(rule - event), "installation": ms(moved[0] - rule), "moved": ms(moved[0] - first)}
    return {"flow": flow, **parts}


def ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def loop(bench: Bench, rng: Random, *, rounds: int) -> Values:
    """Four TCP elephants of one leaf to another begin at once, again and again; who is moved, where the time goes."""
    bench.receivers()
    tap = bench.tap()
    flows = []
    for number in range(rounds):
        leaf, other = (bench.leaves[(number + n) % len(bench.leaves)] for n in (0, 1))
        start = time.time() + LEAD_S / 2
        pairs = zip(leaf, rng.sample(other, len(other)), strict=True)
        started = [bench.tcp(*pair, "--start", start, "--seconds", LASTS_S) for pair in pairs]
        for flow, program in started:
            finished(program, LEAD_S + ENDS_S)
            flows.append(flow)
    wire, records = Wire.of(tap), bench.elephants()
    return {"flows": [delays(flow, wire, records.get(flow)) for flow in flows]}


def false_elephants(bench: Bench, rng: Random, *, seconds: float) -> Values:
    """Sixteen UDP flows of 250 kb/s, half of the threshold: every one that is called an elephant is called so wrongly.
    One half sends full frames, the other smaller ones."""
    bench.udp_receivers()
    start = time.time() + LEAD_S
    mice = {}
    for number, pair in enumerate(across(bench, rng)):
        offset = rng.random()
        size = (FULL, SMALL)[number % 2]
        flow, program = bench.udp(*pair, MOUSE_BPS, size, "--start", start + offset, "--seconds", seconds - offset)
        mice[flow] = (size, program)
    for _, program in mice.values():
        finished(program, LEAD_S + seconds + ENDS_S)
    called = [record["flow"] for record in bench.stage.ask("elephants?all=true") if record["flow"] in mice]
    return {
        "seconds": seconds,
        "flows": len(mice),
        "false": len(called),
        "false_of_full_frames": sum(mice[flow][0] == FULL for flow in called),
    }


def separation(bench: Bench, rng: Random, *, ratio: float, rounds: int) -> Values:
    """Eight mice of 250 kb/s and eight flows `ratio` times as fast: who is called an elephant, and when."""
    bench.udp_receivers()
    tap = bench.tap()
    elephants: dict[str, bool] = {}
    for _ in range(rounds):
        start = time.time() + LEAD_S
        started = []
        for number, pair in enumerate(across(bench, rng)):
            large = number % 2 == 0
            when = ("--start", start + rng.random(), "--seconds", 4)
            flow, program = bench.udp(*pair, MOUSE_BPS * (ratio if large else 1), FULL, *when)
            elephants[flow] = large
            started.append(program)
        for program in started:
            finished(program, LEAD_S + 4 + ENDS_S)
        bench.settle()
    wire, records = Wire.of(tap), bench.elephants()
    return {
        "flows": [
            {"elephant": large, "ms": delays(flow, wire, records.get(flow))["detected"]}
            for flow, large in elephants.items()
        ]
    }


def rates(bench: Bench, rng: Random, *, seconds: float) -> Values:
    """The rates that the controller gives of four TCP elephants, against what their receivers counted in 100 ms."""
    receivers = bench.receivers(READING_S)
    leaf, other = rng.sample(bench.leaves, 2)
    start = time.time() + LEAD_S
    pairs = zip(leaf, rng.sample(other, len(other)), strict=True)
    started = [(bench.tcp(*pair, "--start", start, "--seconds", SETTLED_S + seconds), pair) for pair in pairs]
    readings: list[tuple[float, str, float]] = []
    sleep_until(start + SETTLED_S)
    while time.time() < start + SETTLED_S + seconds - READING_S:
        now = time.time()
        readings += [(now, record["flow"], record["rate"]) for record in bench.stage.ask("elephants")]
        sleep_until(now + READING_S)
    for (_, program), _ in started:
        finished(program, ENDS_S)
    errors = []
    for (flow, _), (source, target) in started:
        counted = [
            (line["time"], line["bytes"])
            for line in receivers[target.name].lines()
            if line["event"] == "bytes" and line["peer"] == source.ipv4 and line["port"] == ELEPHANT_PORT
        ]
        errors += [error for at, one, rate in readings if one == flow for error in error_of(rate, at, counted)]
    return {"errors": errors}


def error_of(rate: float, at: float, counted: list[tuple[float, int]]) -> Iterable[float]:
    """The relative error of a rate against the receiver's counter in the interval that ended last before `at`."""
    before = [point for point in counted if point[0] <= at][-2:]
    if len(before) == 2 and before[1][1] > before[0][1]:
        true = (before[1][1] - before[0][1]) * 8 / (before[1][0] - before[0][0]) / PAYLOAD_SHARE
        yield round(abs(rate - true) / true, 4)


def wait_for_elephants(bench: Bench, flows: Iterable[str]) -> None:
    """Until each of these flows is an elephant that was marked, and its path known."""
    wanted = set(flows)
    until(
        lambda: wanted <= {e["flow"] for e in bench.stage.ask("elephants") if e["marked_at"] and e["path"]},
        3 * ENDS_S, "elephants detected and marked, their paths known",
    )  # fmt: skip
